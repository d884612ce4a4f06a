package control

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
)

// shared is the cluster of all tests here, each with a namespace, a fabric and a UFM of its own.
var shared rig.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// process is one controller.
type process struct {
	w   *world
	run *programs.Process
	end <-chan struct{} // closed when it has ended
}

// start runs a controller. Its periods are short, so that a test need not wait for what
// takes a minute; none of them decides whether a test passes. It keeps its lease on a machine
// that is slow for a while, since nobody starts it again; one that is to lose it is quick. And
// it waits for UFM as long: that a call was given up is said, and what it sent is sent again.
func (w *world) start(flags ...string) *process {
	w.t.Helper()
	return w.startWith(nil, flags...)
}

// succeed starts a controller behind a quick one that was killed or paused, and waits until it
// leads. From then on it removes nothing, and gives away no PKey, for its lease and one call.
func (w *world) succeed(flags ...string) *process {
	w.t.Helper()
	p := w.start(flags...)
	w.logged("leader.elected", "may still have a write under way")
	return p
}

// startWith is start with more of the environment.
func (w *world) startWith(env []string, flags ...string) *process {
	w.t.Helper()
	args := append([]string{
		"--fabric=" + w.ns, "--network-selector=fabric=" + w.ns, "--namespace=" + w.ns,
		"--health-address=0", "--console-address=127.0.0.1:0", "--sync-period=1s", "--hold=1h", "--log-level=debug",
		"--lease-duration=16s", "--lease-renew=15s", "--lease-retry=300ms", "--ufm-timeout=10s",
	}, flags...)
	host, port, _ := strings.Cut(w.ufm.Addr(), ":")
	env = append([]string{
		"KUBECONFIG=" + w.bed.Kubeconfig(), "UFM_USERNAME=" + user, "UFM_PASSWORD=" + password,
		"UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_CERTIFICATE=" + string(w.ufm.CertPEM()),
	}, env...)
	out := &bytes.Buffer{}
	w.mu.Lock()
	w.logs = append(w.logs, out)
	w.mu.Unlock()
	run, err := shared.Rig(w.t).Launcher.Start(programs.Command{Program: shared.Rig(w.t).Program(), Args: args, Env: env, Out: lockedWriter{w, out}})
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{w: w, run: run, end: run.Done()}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			p.signal(syscall.SIGQUIT) // its goroutines go into the log
			p.signal(syscall.SIGCONT) // also of one that the test had paused
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

func (p *process) signal(s syscall.Signal) { p.run.Signal(s) }

func (p *process) kill() { p.run.Kill() }

// stop ends the controller as Kubernetes would.
func (p *process) stop() {
	p.w.t.Helper()
	if err := p.run.Stop(programs.StopWithin); err != nil {
		p.w.t.Error(err)
	}
}
