package programs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAProgramDiesWithWhoeverStartedIt(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), part+"=parent")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := bufio.NewReader(out)
	if line, err := heard.ReadString('\n'); err != nil || line != "listening\n" { // the child says so
		t.Fatalf("no child runs: %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The child has the other end of the pipe as well: there is no end before its own.
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, heard); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the child lives on")
	}
	_ = cmd.Wait() // it was killed
}

func TestAProgramOutlivesTheThreadOfWhoeverAskedForIt(t *testing.T) {
	l := newLauncher(t)
	var p *Process
	var err error
	tid := onThreadThatEnds(func() { p, err = l.Start(playing("obedient", filepath.Join(t.TempDir(), "log"))) })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it listens", func() bool { return strings.Contains(p.Tail(5), "listening") })
	eventually(t, "the thread is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return os.IsNotExist(err)
	})
	if err := p.Stop(time.Minute); err != nil || p.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("%v, and it ended with %s", err, p.cmd.ProcessState)
	}
}

// onThreadThatEnds does something on a thread that is about to end, as one does whose
// goroutine ends without unlocking it. The main thread never ends: who gets that keeps
// it while another tries.
func onThreadThatEnds(do func()) (tid int) {
	done := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid := syscall.Gettid()
		if tid == os.Getpid() {
			tid = onThreadThatEnds(do)
			runtime.UnlockOSThread()
		} else {
			do()
		}
		done <- tid
	}()
	return <-done
}
