//go:build linux

package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// Multus asks the kubelet at fixed paths which devices a pod has, and wants the pod's network
// namespace to be one. So it runs in a mount namespace of its own, where both are.
const (
	stageName = "multus-on-node"
	stagePlan = "IBFABRIC_COMPAT_STAGE"
)

type plan struct {
	Program    string
	NetNS      string
	Checkpoint json.RawMessage // what the kubelet remembers of devices
}

// stage is the test program as what makes the mount namespace's content, and becomes Multus.
func stage() int {
	var p plan
	err := json.Unmarshal([]byte(os.Getenv(stagePlan)), &p)
	if err == nil {
		err = p.set()
	}
	if err == nil {
		err = syscall.Exec(p.Program, []string{p.Program}, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "setting the stage for Multus:", err)
	return 1
}

func (p plan) set() error {
	const kubelet = "/var/lib/kubelet/device-plugins"
	for _, dir := range []string{"/var/lib", "/run"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	err := errors.Join(
		os.MkdirAll(kubelet, 0o755), os.WriteFile(filepath.Join(kubelet, "kubelet_internal_checkpoint"), p.Checkpoint, 0o600),
		os.MkdirAll(filepath.Dir(p.NetNS), 0o755), os.WriteFile(p.NetNS, nil, 0o600))
	if err != nil {
		return err
	}
	// By a thread that ends with it, so that Multus itself stays where the API server is.
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", p.NetNS, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	return <-made
}

// multus calls the real Multus for a sandbox, as the runtime does. It gives the API server a
// quarter of a second to show it the pod, and fails before it has done anything where that
// is too short: the kubelet tries again, and so does this.
func (n *node) multus(s *sandbox, command string) (err error) {
	n.t.Helper()
	testbed.Eventually(n.t, "Multus sees the pod", func() (bool, string) {
		err = n.multusOnce(s, command)
		return err == nil || !strings.Contains(err.Error(), "error waiting for pod"), fmt.Sprint(err)
	})
	return err
}

func (n *node) multusOnce(s *sandbox, command string) error {
	n.t.Helper()
	config, err := json.Marshal(map[string]any{
		"cniVersion": "1.0.0", "name": "multus", "type": "multus", "kubeconfig": n.bed.Kubeconfig(),
		"cniDir": filepath.Join(n.dir, "multus"), "binDir": n.bin, "logToStderr": true, "logLevel": "error",
		"delegates": []any{map[string]string{"cniVersion": "1.0.0", "name": "cluster", "type": clusterPlugin}},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	staged, err := json.Marshal(plan{n.programs["multus"], string(s.ns), s.checkpoint()})
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(n.bin, stageName))
	cmd.Env, cmd.Stdin = append(n.environment(s, command, "eth0"), stagePlan+"="+string(staged)), bytes.NewReader(config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	_, err = output(cmd)
	if cmd.Process == nil && errors.Is(err, syscall.EPERM) {
		n.t.Skipf("SKIPPED: Multus needs a mount namespace of its own, and none can be made here: %v", err)
	}
	return err
}

// checkpoint is the kubelet's file about the devices of the sandbox's pod.
func (s *sandbox) checkpoint() json.RawMessage {
	type entry struct {
		PodUID, ContainerName, ResourceName string
		DeviceIDs                           map[int64][]string
	}
	var entries []entry
	for resource, devices := range s.devices {
		var ids []string
		for _, d := range devices {
			ids = append(ids, string(d))
		}
		entries = append(entries, entry{string(s.pod.UID), "main", resource, map[int64][]string{0: ids}})
	}
	text, err := json.Marshal(map[string]any{"Data": map[string]any{"PodDeviceEntries": entries}, "Checksum": 0})
	if err != nil {
		panic(err) // of strings
	}
	return text
}

// mustMultus is multus where it must succeed.
func (n *node) mustMultus(s *sandbox, command string) {
	n.t.Helper()
	if err := n.multus(s, command); err != nil {
		n.t.Fatalf("Multus's %s for pod %s: %v", command, s.pod.Name, err)
	}
}
