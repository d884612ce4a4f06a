// Package testbed runs a real Kubernetes control plane, without containers and without root:
// etcd and kube-apiserver, and on request the scheduler, the controller-manager and any
// number of nodes played by kwok. Tests use it instead of fakes, because the rules that
// matter here (conflicts, patches that test, finalizers, scheduling gates, RBAC) are the API
// server's and no fake has them all.
//
// The programs come from `make testbed`, which builds them from source once.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ibfabric/ibfabric/test/authority"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed/internal/plan"
)

// startTimeout bounds the start of a cluster. An idle machine needs four seconds; a CI runner
// that compiles beside it may need ten times that.
const startTimeout = 3 * time.Minute

// Cluster is a running control plane. Its methods may be called from several goroutines.
type Cluster struct {
	opts      options
	dir, logs string // data and logs
	bin       string // the programs
	pki       pki
	port      *port // of the API server, ours for the cluster's life
	etcdPort  *port
	launcher  *programs.Launcher
	config    *rest.Config
	client    kubernetes.Interface
	applier   *applier

	mu        sync.Mutex
	processes []*process // in the order of their start
	etcd      *process
	apiserver *process
	stopped   bool
}

// Start runs a cluster for a test, which fails when it does not come up, and stops it at the
// test's end. With `go test -artifacts` the logs of its programs stay.
func Start(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	opts = append([]Option{withLogs(t.ArtifactDir())}, opts...)
	c, err := Run(t.Context(), t.TempDir(), opts...)
	if err != nil {
		t.Fatalf("test bed: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

// Run runs a cluster that keeps its files in dir (made if missing), until Stop. The context
// bounds the start alone.
func Run(ctx context.Context, dir string, opts ...Option) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := newCluster(dir, opts)
	if err != nil {
		return nil, err
	}
	if err := c.up(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func newCluster(dir string, opts []Option) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, opts: defaults(dir)}
	for _, o := range opts {
		o(&c.opts)
	}
	c.logs = c.opts.logs
	if c.bin, err = findPrograms(c.opts); err != nil {
		return nil, err
	}
	for _, d := range []string{c.dir, c.logs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("making the cluster's folder: %w", err)
		}
	}
	if c.pki.Authority, err = authority.New("testbed"); err != nil {
		return nil, err
	}
	if err := c.writeFiles(); err != nil {
		return nil, fmt.Errorf("writing the cluster's files: %w", err)
	}
	return c, nil
}

// findPrograms finds the folder with every program that the options ask for.
func findPrograms(o options) (string, error) {
	p, err := plan.Load()
	if err != nil {
		return "", err
	}
	if missing := plan.Missing(p.Dir, o.programs()); len(missing) > 0 {
		return "", fmt.Errorf("%s not in %s: run `make testbed` first", strings.Join(missing, ", "), p.Dir)
	}
	return p.Dir, nil
}

// Config gives a client configuration with every right (system:masters) and no rate limit.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the path of a kubeconfig file with the same rights.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Client gives a client with every right.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Stop ends every program at once, as a power cut would, and waits until they are gone. The
// files stay; a test's go with its temporary folder. A second Stop does nothing.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.stopped = true
	for _, p := range c.processes {
		p.signal(syscall.SIGKILL)
	}
	for _, p := range c.processes {
		<-p.done
	}
	c.launcher.Close()
	c.port.release()
	c.etcdPort.release()
}

// errStopped answers calls that come after Stop.
var errStopped = errors.New("the cluster is stopped")
