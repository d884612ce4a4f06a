package programs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// part, set, makes this test binary play one of the programs that the tests start.
const part = "PROGRAMS_TEST_PART"

func TestMain(m *testing.M) {
	parts := map[string]func(){"obedient": obedient, "deaf": deaf, "parent": parent}
	if play := parts[os.Getenv(part)]; play != nil {
		play()
		return
	}
	goleak.VerifyTestMain(m)
}

// obedient ends when it is asked to.
func obedient() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("UFM_TOKEN is", os.Getenv("UFM_TOKEN"))
	fmt.Println("listening")
	<-asked
	fmt.Println("ended in order")
}

// deaf does not listen.
func deaf() {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("listening")
	for {
		time.Sleep(time.Hour)
	}
}

// parent starts a program that would run for ever, and waits to be killed.
func parent() {
	started := make(chan error)
	go func() {
		c := playing("deaf", "")
		c.Out = os.Stdout // the file itself: the child holds it open
		_, err := NewLauncher().Start(c)
		started <- err
	}()
	if err := <-started; err != nil {
		fmt.Println(err)
		return
	}
	for {
		time.Sleep(time.Hour)
	}
}

func playing(name, log string) Command {
	return Command{Program: os.Args[0], Env: []string{part + "=" + name}, Log: log}
}

func newLauncher(t *testing.T) *Launcher {
	l := NewLauncher()
	t.Cleanup(l.Close)
	return l
}

// listening starts a program and waits until it listens to signals.
func listening(t *testing.T, l *Launcher, name string) *Process {
	t.Helper()
	p, err := l.Start(playing(name, filepath.Join(t.TempDir(), "log")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	eventually(t, name+" listens", func() bool { return strings.Contains(p.Tail(5), "listening") })
	return p
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came that " + what)
		}
	}
}

func TestAProgramIsAskedToEndBeforeItIsKilled(t *testing.T) {
	p := listening(t, newLauncher(t), "obedient")
	if err := p.Ended(); err != nil {
		t.Fatalf("while it runs: %v", err)
	}
	if err := p.Stop(time.Minute); err != nil || !strings.Contains(p.Tail(1), "ended in order") {
		t.Errorf("%v; it said\n%s", err, p.Tail(5))
	}
	if err := p.Ended(); err == nil || !strings.Contains(err.Error(), "ended in order") {
		t.Errorf("its last words are not told: %v", err)
	}
}

func TestAProgramThatDoesNotEndIsKilled(t *testing.T) {
	p := listening(t, newLauncher(t), "deaf")
	if err := p.Stop(time.Millisecond); err == nil {
		t.Error("nobody is told that it had to be killed")
	}
	if p.Ended() == nil {
		t.Error("it runs still")
	}
	p.CPU()
	if err := (*Process)(nil).Stop(0); err != nil {
		t.Errorf("a program that was never started: %v", err)
	}
}

func TestWhatAProgramSaysGoesToAWriterOrBehindWhatItsLogHas(t *testing.T) {
	l := newLauncher(t)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := l.Start(playing("obedient", log))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says something", func() bool { return strings.Contains(p.Tail(5), "listening") })
	if p.Kill(); !strings.HasPrefix(p.Tail(5), "\tbefore\n") {
		t.Errorf("the log has\n%s", p.Tail(5))
	}
	var out bytes.Buffer
	c := playing("nobody", "") // no part at all: the binary lists its tests
	c.Args, c.Out = []string{"-test.list=^TestWhatAProgramSays"}, &out
	if p, err = l.Start(c); err != nil {
		t.Fatal(err)
	}
	if <-p.Done(); !strings.HasPrefix(out.String(), t.Name()) {
		t.Errorf("the writer got %q", out.String())
	}
}

func TestAProgramHearsOnlyWhatItIsTold(t *testing.T) {
	t.Setenv("UFM_TOKEN", "of the real UFM")
	if p := listening(t, newLauncher(t), "obedient"); strings.Contains(p.Tail(5), "real") {
		t.Errorf("it said\n%s", p.Tail(5))
	}
	env := []string{"UFM_ADDRESS=ufm", "IBFABRIC_RACE=1", "DAEMON_SM_PLUGIN=ufm", "GUID_POOL_RANGE_START=2", "KUBECONFIG=/root/config",
		"KUBERNETES_SERVICE_HOST=10.0.0.1", "POD_NAMESPACE=ns", "GOMAXPROCS=1", "PATH=/bin", "HOME=/root", "KUBE_EDITOR=vi", "GOFLAGS=-mod=mod"}
	if got := clean(env); !slices.Equal(got, env[8:]) {
		t.Errorf("left is %v, want %v", got, env[8:])
	}
}

func TestAProgramThatIsNotThereIsNamed(t *testing.T) {
	if _, err := newLauncher(t).Start(Command{Program: "/nowhere/ufm-sim"}); err == nil || !strings.Contains(err.Error(), "start ufm-sim") {
		t.Error(err)
	}
	l := NewLauncher()
	l.Close()
	eventually(t, "a closed launcher refuses", func() bool {
		p, err := l.Start(playing("obedient", filepath.Join(t.TempDir(), "log")))
		if err == nil { // the thread was just about to end
			p.Kill()
		}
		return err != nil
	})
}

func TestProgramsAreBuiltIntoAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	if err := Build(t.Context(), dir, false, "cmd/ufm-sim"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ufm-sim")); err != nil {
		t.Error(err)
	}
	if err := Build(t.Context(), dir, false, "cmd/nothing"); err == nil || !strings.Contains(err.Error(), "build cmd/nothing") {
		t.Errorf("a program that does not exist: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Build(ended, dir, false, "cmd/ufm-sim"); err == nil {
		t.Error("it was built after its context had ended")
	}
}
