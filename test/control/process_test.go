package control

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/test/testbed"
)

var shared struct {
	once    sync.Once
	bed     *testbed.Cluster
	program string
	err     error
	stop    func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

// setUp starts the cluster and builds the controller, once for all tests.
func setUp() {
	dir, err := os.MkdirTemp("", "ibfabric-control-")
	if err != nil {
		shared.err = err
		return
	}
	shared.stop = func() { _ = os.RemoveAll(dir) }
	shared.program = filepath.Join(dir, "ibfabric-controller")
	build := exec.Command("go", "build", "-o", shared.program, "github.com/ibfabric/ibfabric/cmd/ibfabric-controller")
	if os.Getenv("IBFABRIC_RACE") != "" { // the controller, not this test, under the race detector
		build = exec.Command("go", "build", "-race", "-o", shared.program, "github.com/ibfabric/ibfabric/cmd/ibfabric-controller")
		build.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := build.CombinedOutput(); err != nil {
		shared.err = fmt.Errorf("build the controller: %w\n%s", err, out)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shared.bed, shared.err = testbed.Run(ctx, filepath.Join(dir, "bed"))
	if shared.err != nil {
		return
	}
	shared.stop = func() { shared.bed.Stop(); _ = os.RemoveAll(dir) }
	if shared.err = shared.bed.InstallNADCRD(ctx); shared.err != nil {
		return
	}
	shared.err = installCRDs(ctx, shared.bed)
}

func installCRDs(ctx context.Context, bed *testbed.Cluster) error {
	for _, file := range []string{"../../deploy/crds/ledgers.ibfabric.io.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := bed.Apply(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// process is one controller.
type process struct {
	w   *world
	cmd *exec.Cmd
	end chan struct{}
}

// start runs a controller. Its periods are short, so that a test need not wait for what
// takes a minute; none of them decides whether a test passes.
func (w *world) start(flags ...string) *process {
	w.t.Helper()
	return w.startWith(nil, flags...)
}

// startWith is start with more of the environment.
func (w *world) startWith(env []string, flags ...string) *process {
	w.t.Helper()
	args := append([]string{
		"--fabric=" + w.ns, "--network-selector=fabric=" + w.ns, "--namespace=" + w.ns,
		"--health-address=0", "--sync-period=1s", "--hold=1h", "--log-level=debug",
		"--lease-duration=3s", "--lease-renew=2s", "--lease-retry=300ms", "--ufm-timeout=3s",
	}, flags...)
	p := &process{w: w, cmd: exec.Command(shared.program, args...), end: make(chan struct{})}
	host, port, _ := strings.Cut(w.ufm.Addr(), ":")
	p.cmd.Env = append(os.Environ(),
		"KUBECONFIG="+w.bed.Kubeconfig(), "UFM_USERNAME="+user, "UFM_PASSWORD="+password,
		"UFM_ADDRESS="+host, "UFM_PORT="+port, "UFM_CERTIFICATE="+string(w.ufm.CertPEM()))
	p.cmd.Env = append(p.cmd.Env, env...)
	out := &bytes.Buffer{}
	w.mu.Lock()
	w.logs = append(w.logs, out)
	w.mu.Unlock()
	p.cmd.Stdout, p.cmd.Stderr = lockedWriter{w, out}, lockedWriter{w, out}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.end) }()
	w.t.Cleanup(func() {
		if w.t.Failed() {
			p.signal(syscall.SIGQUIT) // its goroutines go into the log
			<-p.end
		}
		p.kill()
	})
	return p
}

type lockedWriter struct {
	w *world
	b *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.b.Write(p)
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.end
}

// stop ends the controller as Kubernetes would.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	<-p.end
}
