package takeover

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/test/peers"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// process is a controller that runs.
type process struct {
	*programs.Process
	t      *testing.T
	health string // address of /readyz
}

// ibfabric starts our controller. Its periods are short, so that a test need not wait
// for what takes a minute; none of them decides whether a test passes.
func (w *world) ibfabric(more ...string) *process {
	w.t.Helper()
	return w.ibfabricWith([]string{"--console-address=0"}, more...)
}

// ibfabricWith starts it with flags and variables besides.
func (w *world) ibfabricWith(flags []string, more ...string) *process {
	w.t.Helper()
	health := fmt.Sprintf("127.0.0.1:%d", testbed.HoldPort(w.t))
	p := w.start(programs.Command{
		Program: shared.Rig(w.t).Program(), Env: append(w.settings(w.ours), more...),
		Args: append([]string{
			"--health-address=" + health, "--sync-period=1s", "--hold=1h", "--log-level=debug",
			// The lease outlasts a busy machine's pauses: one that cannot renew it ends.
			"--lease-duration=10s", "--lease-renew=8s", "--lease-retry=300ms", "--ufm-timeout=3s",
		}, flags...),
	})
	p.health = health
	return p
}

// ibKubernetes starts the peer, as its Deployment does with one replica.
func (w *world) ibKubernetes(peer *peers.IBKubernetes) *process {
	w.t.Helper()
	w.deployment(1)
	p := w.start(programs.Command{Program: peer.Program(), Env: append(w.settings(w.theirs), peer.Environment()...)})
	p.says("running periodic add update")
	return p
}

// scaleDown ends the peer, as scaling its Deployment to 0 does.
func (w *world) scaleDown(p *process) {
	w.t.Helper()
	p.stop()
	w.deployment(0)
}

func (w *world) start(c programs.Command) *process {
	w.t.Helper()
	log, err := os.CreateTemp(w.t.TempDir(), filepath.Base(c.Program)+"-*.log")
	if err != nil {
		w.t.Fatal(err)
	}
	_ = log.Close()
	c.Log = log.Name()
	run, err := shared.Rig(w.t).Launcher.Start(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		run.Kill()
		if w.t.Failed() {
			w.t.Logf("%s said, at the end:\n%s", filepath.Base(c.Program), run.Tail(40))
		}
	})
	return &process{Process: run, t: w.t}
}

// stop ends the process as Kubernetes would.
func (p *process) stop() {
	p.t.Helper()
	if err := p.Stop(programs.StopWithin); err != nil {
		p.t.Error(err)
	}
}

func (p *process) log() string {
	p.t.Helper()
	text, err := os.ReadFile(p.Log())
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// says waits for a line of the log that has all these words.
func (p *process) says(words ...string) {
	p.t.Helper()
	testbed.Eventually(p.t, fmt.Sprintf("a line of the log says %q", words), func() (bool, string) {
		if p.count(words...) > 0 {
			return true, ""
		}
		return false, p.Tail(10)
	})
}

// count is how many lines of the log have all these words.
func (p *process) count(words ...string) (n int) {
	for line := range strings.Lines(p.log()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			n++
		}
	}
	return n
}

// ready is the answer of a health check, "" when there is none.
func (p *process) ready(path string) string {
	p.t.Helper()
	answer, err := http.Get("http://" + p.health + path)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// deployment makes the Deployment of ib-kubernetes, or changes how many of its pods are
// ready: no controller-manager says it here. Its account has the rights that it needs.
func (w *world) deployment(ready int32) {
	w.t.Helper()
	w.entitle(w.ns)
	w.deploymentIn(w.ns, ready)
}

// entitle gives the account of ib-kubernetes in a namespace what its manifests give it.
func (w *world) entitle(ns string) {
	w.t.Helper()
	rig.GrantAccount(w.t, w.bed, ns, theirAccount, rig.IBKubernetesRules())
}

const theirAccount = "ib-kubernetes"

// deploymentIn is deployment of whoever may make one in a namespace.
func (w *world) deploymentIn(ns string, ready int32) {
	w.t.Helper()
	labels := map[string]string{"name": "ib-kubernetes"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "ib-kubernetes"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{ServiceAccountName: theirAccount, Containers: []corev1.Container{{Name: "ib-kubernetes", Image: "none"}}},
			},
		},
	}
	err := w.api.Create(w.t.Context(), d)
	if apierrors.IsAlreadyExists(err) {
		err = w.api.Get(w.t.Context(), client.ObjectKeyFromObject(d), d)
	} else {
		w.t.Cleanup(func() { w.gone(d) })
	}
	if err == nil {
		d.Status.Replicas, d.Status.ReadyReplicas = ready, ready
		err = w.api.Status().Update(w.t.Context(), d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
