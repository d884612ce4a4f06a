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
	"testing"

	"github.com/containernetworking/cni/pkg/types"
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(config), &out, &errs
	cmd.Env = append(os.Environ(), runAs+"="+name, runRoot+"="+t.TempDir(), "CNI_COMMAND="+command, "CNI_CONTAINERID=c1",
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

func TestWhatIsNotBuiltDoesNotAnswerThatAllIsWell(t *testing.T) {
	for _, command := range []string{"CHECK", "GC", "STATUS"} {
		if out, _, code := call(t, "ib-sriov", command, `{"cniVersion":"1.1.0","name":"gpu1"}`); code == 0 {
			t.Errorf("%s: exit %d, %s", command, code, out)
		}
	}
	if out, _, code := call(t, "no-such-plugin", "ADD", `{"cniVersion":"1.0.0","name":"gpu1"}`); code == 0 || !strings.Contains(out, "no-such-plugin") {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestLogsAreJSONOnStderrAndInTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log", "cni.log")
	config := `{"cniVersion":"1.0.0","name":"gpu1","deviceID":"0000:ff:1f.7","logLevel":"debug","logFile":"` + file + `"}`
	_, stderr, _ := call(t, "ib-sriov", "ADD", config)
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

func TestALogFileThatCannotBeWrittenStopsNothing(t *testing.T) {
	_, stderr, code := call(t, "ib-sriov", "DEL", `{"cniVersion":"1.0.0","name":"gpu1","logFile":"/proc/none/x"}`)
	if code != 0 || !strings.Contains(stderr, "logFile is not written") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}
