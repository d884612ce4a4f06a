package host

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asRoot says that the program is root of a user namespace that it made for its tests.
const asRoot = "IBFABRIC_TEST_USERNS"

// TestMain runs the tests in a user namespace where it is not root: network namespaces,
// veth, addresses and rules need no more. Where that is not to be had they are skipped.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asRoot) != "":
		// Paths of network namespaces are mounts, for which this one has no place yet.
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "mounting /run in the user namespace:", err)
		}
	case os.Geteuid() != 0:
		if code, ran := rerun(); ran {
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}

func rerun() (code int, ran bool) {
	self, err := os.Executable()
	if err != nil {
		return 0, false
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), asRoot+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		return 0, false // newNetNS says why it skips
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), true
}
