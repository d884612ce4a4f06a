//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
)

// The test program is the plugin itself when these say so: its name and its root.
const (
	runAs   = "IBFABRIC_CNI_TEST_NAME"
	runRoot = "IBFABRIC_CNI_TEST_ROOT"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(runAs); name != "" {
		os.Exit(run([]string{name}, os.Getenv(runRoot)))
	}
	os.Exit(m.Run())
}

// call runs the program as a runtime does.
func call(t *testing.T, name, command, config string) (stdout, stderr string, code int) {
	t.Helper()
	return callIn(t, t.TempDir(), name, command, config)
}

func callIn(t *testing.T, root, name, command, config string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(config), &out, &errs
	cmd.Env = append(os.Environ(), runAs+"="+name, runRoot+"="+root, "CNI_COMMAND="+command, "CNI_CONTAINERID=c1",
		"CNI_NETNS=/var/run/netns/never-was", "CNI_IFNAME=net1", "CNI_PATH=/opt/cni/bin", "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=train-0")
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestItAnswersForTheVersionsOfTheProtocol(t *testing.T) {
	out, _, code := call(t, "ib-sriov", "VERSION", "")
	if code != 0 || !strings.Contains(out, `"1.1.0"`) || !strings.Contains(out, `"0.3.1"`) {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestAnErrorIsAnswerOfTheProtocolWithCodeAndField(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		code   uint
		says   string
	}{
		"no device":     {`{"cniVersion":"1.0.0","name":"gpu1","type":"ib-sriov"}`, types.ErrInvalidNetworkConfig, "deviceID"},
		"no namespace":  {`{"cniVersion":"1.0.0","name":"gpu1","type":"ib-sriov","deviceID":"0000:ff:1f.7"}`, types.ErrInvalidNetNS, "CNI_NETNS"},
		"not done":      {`{"cniVersion":"1.0.0","name":"gpu1","deviceID":"0000:ff:1f.7","ibKubernetesEnabled":true}`, types.ErrTryAgainLater, "not configured"},
		"no JSON":       {`{`, types.ErrDecodingFailure, ""},
		"no name":       {`{"cniVersion":"1.0.0"}`, types.ErrInvalidNetworkConfig, "name"},
		"later version": {`{"cniVersion":"9.0.0","name":"gpu1"}`, types.ErrIncompatibleCNIVersion, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, code := call(t, "ib-sriov", "ADD", c.config)
			var got types.Error
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if code != 1 || got.Code != c.code || !strings.Contains(got.Msg, c.says) {
				t.Errorf("exit %d, %+v", code, got)
			}
		})
	}
}

func TestADelOfNothingIsDone(t *testing.T) {
	if out, stderr, code := call(t, "ib-sriov", "DEL", `{"cniVersion":"1.0.0","name":"gpu1","deviceID":"x"}`); code != 0 || out != "" {
		t.Errorf("exit %d, %s, %s", code, out, stderr)
	}
}

func TestCHECKOfWhatWasNeverAttachedIsAnError(t *testing.T) {
	for _, name := range []string{"ib-sriov", "sriov", "rdma"} {
		out, _, code := call(t, name, "CHECK", `{"cniVersion":"1.1.0","name":"gpu1","deviceID":"0000:ff:1f.7"}`)
		if code == 0 || !strings.Contains(out, "no record") {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
	}
}

func TestSTATUSOfANodeWithoutRDMAIsCode50AndSaysWhy(t *testing.T) {
	if _, err := host.New(host.Paths{}).RDMAMode(t.Context()); err == nil {
		t.Skip("this machine has an RDMA subsystem")
	}
	for _, name := range []string{"ib-sriov", "sriov", "rdma"} {
		out, _, code := call(t, name, "STATUS", `{"cniVersion":"1.1.0","name":"gpu1","rdmaIsolation":true}`)
		if code == 0 || !strings.Contains(out, `"code": 50`) || !strings.Contains(out, "ib_core") {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
	}
}

func TestGCOfNothingIsDone(t *testing.T) {
	for _, name := range []string{"ib-sriov", "sriov", "rdma"} {
		if out, stderr, code := call(t, name, "GC", `{"cniVersion":"1.1.0","name":"gpu1"}`); code != 0 {
			t.Errorf("%s: exit %d, %s, %s", name, code, out, stderr)
		}
	}
}

func TestAnUnknownNameIsNoPlugin(t *testing.T) {
	for _, command := range []string{"ADD", "GC", "STATUS"} {
		if out, _, code := call(t, "no-such-plugin", command, `{"cniVersion":"1.1.0","name":"gpu1"}`); code == 0 || !strings.Contains(out, "no-such-plugin") {
			t.Errorf("%s: exit %d, %s", command, code, out)
		}
	}
}

func TestGCLeavesItsMarkSoThatVFsMayKeepTheirGUIDs(t *testing.T) {
	root := t.TempDir()
	state := filepath.Join(root, "var/lib/cni/ibfabric")
	if collected(state, time.Now()) {
		t.Error("collected before anything was")
	}
	if code := run([]string{"ibfabric-cni", "gc"}, root); code != 0 {
		t.Errorf("exit %d", code)
	}
	if !collected(state, time.Now()) || collected(state, time.Now().Add(collectEvery)) {
		t.Error("the mark of gc counts for another time than collectEvery")
	}
	if code := run([]string{"ibfabric-cni", "gc", "--every", "often"}, root); code != 2 {
		t.Errorf("a bad flag: exit %d", code)
	}
}

func TestLogsAreJSONOnStderrAndInTheFile(t *testing.T) {
	root := nodeRoot(t)
	file := filepath.Join(root, "var/log/fabric/cni.log")
	config := `{"cniVersion":"1.0.0","name":"gpu1","deviceID":"0000:ff:1f.7","logLevel":"debug","logFile":"/var/log/fabric/cni.log"}`
	_, stderr, _ := callIn(t, root, "ib-sriov", "ADD", config)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for where, log := range map[string]string{"stderr": stderr, "file": string(text)} {
		line, _, _ := strings.Cut(log, "\n")
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%s: %v in %q", where, err, line)
		}
		if entry["pod"] != "team-a/train-0" || entry["network"] != "gpu1" || entry["interface"] != "net1" || entry["level"] != "error" {
			t.Errorf("%s: %v", where, entry)
		}
	}
}

// nodeRoot is the file system of a node that has /var/log.
func nodeRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/log"), 0o700); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestALogFileThatCannotBeWrittenStopsNothing(t *testing.T) {
	_, stderr, code := call(t, "ib-sriov", "DEL", `{"cniVersion":"1.0.0","name":"gpu1","logFile":"/var/log/x.log"}`) // there is no /var/log
	if code != 0 || !strings.Contains(stderr, "logFile is not written") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestANetworkCannotHaveRootWriteAnythingButALog(t *testing.T) {
	root := nodeRoot(t)
	log, etc := filepath.Join(root, "var/log"), filepath.Join(root, "etc")
	other := filepath.Join(etc, "passwd.log")
	err := errors.Join(os.Mkdir(etc, 0o700), os.WriteFile(other, nil, 0o600), os.Symlink(other, filepath.Join(log, "link.log")),
		os.Symlink(etc, filepath.Join(log, "folder")), os.Symlink("../../etc", filepath.Join(log, "up")), syscall.Mkfifo(filepath.Join(log, "pipe.log"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/var/log/link.log", "/var/log/folder/x.log", "/var/log/folder/passwd.log", "/var/log/up/x.log", "/var/log/pipe.log",
		"/var/log/../../etc/x.log", "/etc/x.log", other, "relative.log", "var/log/x.log", "/var/log/new/x.sh", "/var/log", "/var/log/.log/../x",
		"/var/log/pods/ns_pod_uid/main/0.log", "/var/log/containers/x.log", "/var/log/./pods/x/y.log",
	} {
		file, err := openLog(root, path)
		if err == nil {
			t.Errorf("%s was opened", path)
			_ = file.Close()
		} else if !strings.HasPrefix(path, "/var/log/") && !strings.Contains(err.Error(), "write it as /var/log/") {
			t.Errorf("%s: the mend is missing in: %v", path, err)
		}
	}
	for dir, want := range map[string]int{etc: 1, log: 4} {
		if entries, err := os.ReadDir(dir); len(entries) != want || err != nil {
			t.Errorf("%s has %v, %v: something was made for what is refused", dir, entries, err)
		}
	}
	for _, path := range []string{"/var/log/x.log", "/var/log/a/b/x.log", "/var//log/../log/x.log"} {
		file, err := openLog(root, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		_ = file.Close()
	}
}
