package opensm

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyAnOpenSMIsSignalled(t *testing.T) {
	if _, err := os.Stat("/proc/self/comm"); err != nil {
		t.Skip("SKIPPED: without /proc nobody can tell an OpenSM from another process")
	}
	// Under nohup a program would be started with SIGHUP ignored, and sleep for ten minutes.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	dir := t.TempDir()
	file := filepath.Join(dir, "pid")
	run := func(name string) *exec.Cmd {
		program, err := exec.LookPath("sleep")
		if err != nil {
			t.Skip("SKIPPED: there is no sleep to send signals to")
		}
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(filepath.Join(dir, name), "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stranger, sm := run("stranger"), run("opensm")
	write(strconv.Itoa(stranger.Process.Pid) + "\n")
	if err := PIDFile(file)(t.Context()); err == nil || !strings.Contains(err.Error(), "not opensm") {
		t.Errorf("a stranger: %v", err)
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := stranger.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the stranger ended by %v and not by the test's SIGKILL", err)
	}
	write(strconv.Itoa(sm.Process.Pid))
	if err := PIDFile(file)(t.Context()); err != nil {
		t.Error(err)
	}
	_ = sm.Wait() // by the signal
	if status := sm.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGHUP {
		t.Errorf("OpenSM got %s", status.Signal())
	}
	for _, bad := range []string{"", "x", "1", "0", "-1", "99999999"} {
		write(bad)
		if PIDFile(file)(t.Context()) == nil {
			t.Errorf("pid %q was signalled", bad)
		}
	}
	if PIDFile(file+"x")(t.Context()) == nil {
		t.Error("no file, and no error")
	}
}

func TestACommandSignalsToo(t *testing.T) {
	touched := filepath.Join(t.TempDir(), "touched")
	signal, err := Command("touch  " + touched)
	if err != nil {
		t.Fatal(err)
	}
	if err := signal(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(touched); err != nil {
		t.Error(err)
	}
	if signal, _ = Command("ls " + touched + "/nothing"); signal(t.Context()) == nil {
		t.Error("a command that failed was no error")
	}
	if _, err := Command(" "); err == nil {
		t.Error("an empty command was taken")
	}
}
