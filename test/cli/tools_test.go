package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/cni/node/doctor"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// TestTheDoctorOnARealAPIServer has a cluster without Multus, without admission, and with a
// network that cannot be read.
func TestTheDoctorOnARealAPIServer(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.network("bad", "1000")
	testbed.Eventually(t, "somebody leads, and has adopted", func() (bool, string) {
		r := w.admin("status")
		return r.code == 0, r.out + r.err
	})
	var report struct{ Rows []doctor.Row }
	smconf := filepath.Join(t.TempDir(), "smconf.json")
	if err := os.WriteFile(smconf, []byte(`{"m_key":"0x0","sm_key":"0x7777","sa_key":"0x8888"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"doctor", "--ufm-address", w.ufm.Addr(), "--sm-conf", smconf}
	w.read(&report, args...)
	for check, want := range map[string]struct {
		state doctor.State
		says  string
	}{
		"crds":            {doctor.OK, "journals"},
		"multus":          {doctor.Mend, "no DaemonSet"},
		"networks":        {doctor.Mend, w.ns + "/bad"},
		"resources":       {doctor.Mend, w.ns + "/bad names no resource"},
		"ib-kubernetes":   {doctor.OK, "none works here"},
		"controller":      {doctor.OK, "leads since"},
		"ufm":             {doctor.OK, "answers; read in full"},
		"ufm-certificate": {doctor.OK, "names"},
		"subnet-manager":  {doctor.Mend, "m_key is 0"},
	} {
		if !slices.ContainsFunc(report.Rows, func(r doctor.Row) bool {
			return r.Check == check && r.State == want.state && strings.Contains(r.Seen, want.says)
		}) {
			t.Errorf("no row %s %s says %q: %+v", check, want.state, want.says, report.Rows)
		}
	}
	r := w.admin(args...)
	if r.code != 1 || !strings.Contains(r.out, "mend   multus") || strings.Contains(r.out, "0x7777") {
		t.Errorf("%+v", r)
	}
	// A row for each that it may not look at, and no crash.
	lost := w.account("lost", nil, "")
	if r := w.as(lost, args...); r.code != 1 || !strings.Contains(r.out, "kubectl auth can-i list nodes") || !strings.Contains(r.out, "create role ibfabric-find") {
		t.Errorf("%+v", r)
	}
	w.noSecrets()
}

// TestTheProxyShowsTheConsole is `ibfabric console` with a browser that is none.
func TestTheProxyShowsTheConsole(t *testing.T) {
	w := newWorld(t)
	w.start()
	viewer := w.account("viewer", finding(), "get", "/ibfabric/*")
	cmd := w.command(t.Context(), viewer, "console", "--wait", "5m")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	entry, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(line, "Open ")))
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger, browser := &http.Client{}, &http.Client{Jar: jar}
	get := func(c *http.Client, path string) (int, []byte) {
		t.Helper()
		r, err := c.Get("http://" + entry.Host + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, text
	}
	get(browser, entry.RequestURI())
	if code, _ := get(stranger, api.PathOverview); code != http.StatusUnauthorized {
		t.Errorf("who has not the key gets %d", code)
	}
	testbed.Eventually(t, "the overview is shown", func() (bool, string) { // a console is found a moment before its replica leads
		var o api.Overview
		code, text := get(browser, api.PathOverview)
		return code == http.StatusOK && json.Unmarshal(text, &o) == nil && o.Fabric == w.ns, fmt.Sprintf("%d %s", code, text)
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	w.noSecretsButThat(line)
}

// noSecretsButThat looks at one line.
func (w *world) noSecretsButThat(line string) {
	for _, token := range w.tokens {
		if strings.Contains(line, token) {
			w.t.Error("the token is in the address")
		}
	}
}

// TestSecretIsApplied writes the Secret as the guide's hand does, twice.
func TestSecretIsApplied(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	trust, pass := filepath.Join(dir, "ufm.crt"), filepath.Join(dir, "password")
	if err := os.WriteFile(trust, w.ufm.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pass, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(w.ufm.Addr(), ":")
	base := []string{"ufm", "secret", "--ufm-address", host, "--certificate", trust, "--apply"}
	if r := w.admin(append(base, "--username", user, "--password-file", pass)...); r.code != 0 || r.err != "" {
		t.Fatalf("%+v", r)
	}
	keys := func() string {
		t.Helper()
		s, err := w.bed.Client().CoreV1().Secrets(w.ns).Get(t.Context(), "ib-kubernetes-ufm-secret", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for k := range s.Data {
			all = append(all, k)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	if got := keys(); got != "UFM_ADDRESS UFM_CERTIFICATE UFM_PASSWORD UFM_USERNAME" {
		t.Errorf("it has %s", got)
	}
	if r := w.admin(append(base, "--token-file", pass)...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if got := keys(); got != "UFM_ADDRESS UFM_CERTIFICATE UFM_TOKEN" { // no password beside the token
		t.Errorf("it has %s", got)
	}
	lost := w.account("lost", nil, "")
	if r := w.as(lost, append(base, "--token-file", pass)...); r.code != 5 || !strings.Contains(r.err, "kubectl auth can-i patch secrets -n "+w.ns) {
		t.Errorf("%+v", r)
	}
	w.noSecrets()
}
