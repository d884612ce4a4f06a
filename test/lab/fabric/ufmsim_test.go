package fabric

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

// ufm is ufm-sim, the program, in front of a fabric's OpenSM.
type ufm struct {
	t       *testing.T
	fabric  *Fabric
	program string
	runs    *programs.Launcher
	process *programs.Process
	url     string
	http    http.Client
}

const controlToken = "lab"

// newUFM builds ufm-sim and starts it.
func newUFM(t *testing.T, f *Fabric) *ufm {
	t.Helper()
	dir := t.TempDir()
	if err := programs.Build(t.Context(), dir, false, "cmd/ufm-sim"); err != nil {
		t.Fatal(err)
	}
	u := &ufm{
		t: t, fabric: f, program: filepath.Join(dir, "ufm-sim"), runs: programs.NewLauncher(),
		http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience},
	}
	t.Cleanup(func() { u.stop(); u.runs.Close() })
	u.start()
	return u
}

func (u *ufm) start() {
	u.t.Helper()
	log := filepath.Join(u.t.TempDir(), "ufm-sim.log")
	var err error
	u.process, err = u.runs.Start(programs.Command{Program: u.program, Log: log, Args: []string{
		"--http", "--listen=127.0.0.1:0", "--username=admin", "--password=lab", "--control", "--control-token=" + controlToken,
		"--opensm-partitions=" + u.fabric.PartitionsFile(), "--opensm-pid-file=" + u.fabric.PIDFile(), "--opensm-log=" + u.fabric.LogFile(),
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

func (u *ufm) stop() {
	u.t.Helper()
	if err := u.process.Stop(programs.StopWithin); err != nil {
		u.t.Error(err)
	}
}

// call makes a request and returns the answer, whatever it is.
func (u *ufm) call(method, path, body string) (status int, answer string) {
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

func (u *ufm) must(method, path, body string) string {
	u.t.Helper()
	status, answer := u.call(method, path, body)
	if status != http.StatusOK {
		u.t.Fatalf("%s %s %.300s: %d %s", method, path, body, status, answer)
	}
	return answer
}

const pkeys = "/ufmRest/resources/pkeys"

// add puts GUIDs into a partition as the controller does. more is what the body has beside.
func (u *ufm) add(key, more string, guids ...guid.GUID) {
	u.t.Helper()
	u.must("POST", pkeys, fmt.Sprintf(`{"pkey":%q,"guids":[%s]%s}`, key, quoted(guids), more))
}

func (u *ufm) remove(key string, guids ...guid.GUID) {
	u.t.Helper()
	u.must("POST", "/ufmRest/actions/remove_guids_from_pkey", fmt.Sprintf(`{"pkey":%q,"guids":[%s]}`, key, quoted(guids)))
}

func quoted(guids []guid.GUID) string {
	var list []string
	for _, g := range guids {
		list = append(list, `"`+g.Hex()+`"`)
	}
	return strings.Join(list, ",")
}

// entry is a line of ufm-sim's journal.
type entry struct {
	Seq              uint64
	Op, Outcome      string
	Changed, Applied time.Time
}

func (u *ufm) journal() (entries []entry) {
	u.t.Helper()
	lines := json.NewDecoder(strings.NewReader(u.must("GET", "/ufm-sim/journal", "")))
	for lines.More() {
		var e entry
		if err := lines.Decode(&e); err != nil {
			u.t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// applied waits until ufm-sim says that the fabric has all changes made so far, and
// returns how long the last one took.
func (u *ufm) applied() (took time.Duration) {
	u.t.Helper()
	var all []entry
	eventually(u.t, func() bool {
		all = u.journal()
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

// complaint waits for a journal entry with a text.
func (u *ufm) complaint(text string) {
	u.t.Helper()
	eventually(u.t, func() bool {
		for _, e := range u.journal() {
			if strings.Contains(e.Outcome, text) {
				return true
			}
		}
		return false
	}, func() any { return u.journal() })
}
