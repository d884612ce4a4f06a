// Package ufm runs ufm-sim, the program, in front of an OpenSM, for tests.
package ufm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/programs"
)

// patience is the deadline of everything that is waited for: far more than it takes.
const patience = 3 * time.Minute

// SM is where an OpenSM has its files; a [fabric.Fabric] is one.
type SM interface {
	PartitionsFile() string
	PIDFile() string
	LogFile() string
}

// Sim is a running ufm-sim.
type Sim struct {
	t       testing.TB
	sm      SM
	program string
	runs    *programs.Launcher
	process *programs.Process
	url     string
	http    http.Client
}

const controlToken = "lab"

// New builds ufm-sim and starts it. It ends with the test.
func New(t testing.TB, sm SM) *Sim {
	t.Helper()
	dir := t.TempDir()
	if err := programs.Build(t.Context(), dir, false, "cmd/ufm-sim"); err != nil {
		t.Fatal(err)
	}
	u := &Sim{
		t: t, sm: sm, program: filepath.Join(dir, "ufm-sim"), runs: programs.NewLauncher(),
		http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience},
	}
	t.Cleanup(func() { u.stop(); u.runs.Close() })
	u.Start()
	return u
}

// Start starts it again, after a Crash.
func (u *Sim) Start() {
	u.t.Helper()
	log := filepath.Join(u.t.TempDir(), "ufm-sim.log")
	var err error
	u.process, err = u.runs.Start(programs.Command{Program: u.program, Log: log, Args: []string{
		"--http", "--listen=127.0.0.1:0", "--username=admin", "--password=lab", "--control", "--control-token=" + controlToken,
		"--opensm-partitions=" + u.sm.PartitionsFile(), "--opensm-pid-file=" + u.sm.PIDFile(), "--opensm-log=" + u.sm.LogFile(),
	}})
	if err != nil {
		u.t.Fatal(err)
	}
	eventually(u.t, func() bool {
		text, _ := os.ReadFile(log)
		u.url = regexp.MustCompile(`http://[0-9.:]+`).FindString(string(text))
		return u.url != "" || u.process.Ended() != nil
	}, func() any { return u.process.Tail(5) })
	if err := u.process.Ended(); err != nil {
		u.t.Fatal(err)
	}
}

// Crash kills it.
func (u *Sim) Crash() { u.process.Kill() }

func (u *Sim) stop() {
	u.t.Helper()
	if err := u.process.Stop(programs.StopWithin); err != nil {
		u.t.Error(err)
	}
}

// Call makes a request and returns the answer, whatever it is.
func (u *Sim) Call(method, path, body string) (status int, answer string) {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, u.url+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	req.SetBasicAuth("admin", "lab")
	if strings.HasPrefix(path, "/ufm-sim/") {
		req.Header.Set("Authorization", "Bearer "+controlToken)
	}
	res, err := u.http.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Must is Call, and fails the test unless the answer is 200.
func (u *Sim) Must(method, path, body string) string {
	u.t.Helper()
	status, answer := u.Call(method, path, body)
	if status != http.StatusOK {
		u.t.Fatalf("%s %s %.300s: %d %s", method, path, body, status, answer)
	}
	return answer
}

// PKeys is the path of all partitions.
const PKeys = "/ufmRest/resources/pkeys"

// Add puts GUIDs into a partition as the controller does. more is what the body has beside.
func (u *Sim) Add(key, more string, guids ...guid.GUID) {
	u.t.Helper()
	u.Must("POST", PKeys, fmt.Sprintf(`{"pkey":%q,"guids":[%s]%s}`, key, quoted(guids), more))
}

// Remove takes GUIDs out of a partition.
func (u *Sim) Remove(key string, guids ...guid.GUID) {
	u.t.Helper()
	u.Must("POST", "/ufmRest/actions/remove_guids_from_pkey", fmt.Sprintf(`{"pkey":%q,"guids":[%s]}`, key, quoted(guids)))
}

func quoted(guids []guid.GUID) string {
	var list []string
	for _, g := range guids {
		list = append(list, `"`+g.Hex()+`"`)
	}
	return strings.Join(list, ",")
}

// Entry is a line of ufm-sim's journal.
type Entry struct {
	Seq              uint64
	Op, Outcome      string
	Changed, Applied time.Time
}

// Journal is what ufm-sim has done so far.
func (u *Sim) Journal() (entries []Entry) {
	u.t.Helper()
	lines := json.NewDecoder(strings.NewReader(u.Must("GET", "/ufm-sim/journal", "")))
	for lines.More() {
		var e Entry
		if err := lines.Decode(&e); err != nil {
			u.t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// Applied waits until ufm-sim says that the fabric has all changes made so far, and
// returns how long the last one took.
func (u *Sim) Applied() (took time.Duration) {
	u.t.Helper()
	var all []Entry
	eventually(u.t, func() bool {
		all = u.Journal()
		for _, e := range all {
			if !e.Changed.IsZero() && e.Applied.IsZero() {
				return false
			}
		}
		return true
	}, func() any { return all })
	for _, e := range all {
		if e.Op != "apply" && !e.Changed.IsZero() {
			took = e.Applied.Sub(e.Changed)
		}
	}
	return took
}

// Complaint waits for a journal entry with a text.
func (u *Sim) Complaint(text string) {
	u.t.Helper()
	eventually(u.t, func() bool {
		for _, e := range u.Journal() {
			if strings.Contains(e.Outcome, text) {
				return true
			}
		}
		return false
	}, func() any { return u.Journal() })
}

// LastAdd is the number of the last change that added members.
func (u *Sim) LastAdd() (seq uint64) {
	u.t.Helper()
	for _, e := range u.Journal() {
		if e.Op == "add" {
			seq = e.Seq
		}
	}
	return seq
}

func eventually(t testing.TB, so func() bool, seen func() any) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come to be; last seen: %v", seen())
		}
	}
}
