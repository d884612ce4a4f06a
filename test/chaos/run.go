package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// holdTime is what the controllers are told, short enough for GUIDs to come round again.
const holdTime = 5 * second

// world is all that takes part in a run.
type world struct {
	plan Plan
	dir  string
	ns   string

	bed      *testbed.Cluster
	kube     kubernetes.Interface
	api      client.Client
	ufms     *ufms
	replicas *replicas
	history  *history
	networks *networks
	pods     *pods
	counts   *counts
}

// Result is what came of a run.
type Result struct {
	Violations []string
	Table      string // what was done, and how often
}

// Run plays a plan and judges it. It keeps logs and journals in dir. An error is that
// things did not settle, or that the run itself failed.
func Run(ctx context.Context, plan Plan, dir string) (Result, error) {
	w := &world{plan: plan, dir: dir, ns: "chaos", counts: &counts{n: map[string]int{}}}
	defer w.close()
	if err := w.open(ctx); err != nil {
		return Result{}, fmt.Errorf("set up: %w", err)
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	go w.history.follow(watching, w.kube, w.ns)
	w.replicas.add()
	if err := w.play(ctx); err != nil {
		return Result{}, fmt.Errorf("play the plan: %w", err)
	}
	failed := w.settle(ctx)
	j := newJudge(w.history, w.networks, w.ufms)
	r := Result{Violations: j.rules()}
	w.counts.set("members added", count(j.puts))
	w.counts.set("members removed", count(j.takes))
	w.counts.set("guids given again", j.reuses())
	w.counts.set("VIOLATIONS", len(r.Violations))
	r.Table = w.counts.String()
	if err := w.writeJournals(); err != nil && failed == nil {
		failed = err
	}
	return r, failed
}

func (w *world) open(ctx context.Context) error {
	var err error
	if w.bed, err = testbed.Run(ctx, filepath.Join(w.dir, "bed")); err != nil {
		return err
	}
	if err := w.install(ctx); err != nil {
		return err
	}
	if err := w.connect(); err != nil {
		return err
	}
	if err := w.furnish(ctx); err != nil {
		return err
	}
	ranges := ranges(w.plan)
	if w.ufms, err = startUFMs(w.plan, ranges); err != nil {
		return err
	}
	gate := "ibfabric.io/" + w.ns
	w.history = newHistory(gate)
	w.networks = &networks{api: w.api, ns: w.ns, said: map[types.NamespacedName][]saying{}}
	w.pods = &pods{kube: w.kube, ns: w.ns, gate: gate, most: 300, pins: ranges[1], seen: w.history, counts: w.counts}
	if w.plan.Narrow {
		w.pods.most = 90
	}
	if err := w.networks.makeMissing(ctx, Step{Seed: w.plan.Seed}.random()); err != nil {
		return err
	}
	return w.buildController(ctx, ranges)
}

// ranges are where GUIDs come from, and where pods pin theirs: from the second range the
// controllers give out only when the first is used up.
func ranges(plan Plan) []guid.Range {
	const first, pinned guid.GUID = 0x0200000000010000, 0x0200000000020000
	size := guid.GUID(8192)
	if plan.Narrow {
		size = 150
	}
	return []guid.Range{{First: first, Last: first + size - 1}, {First: pinned, Last: pinned + podNames/pinEvery - 1}}
}

func (w *world) install(ctx context.Context) error {
	if err := w.bed.InstallNADCRD(ctx); err != nil {
		return err
	}
	crds, err := deploy.CRDs.ReadDir("crds")
	if err != nil {
		return err
	}
	for _, file := range crds {
		text, err := deploy.CRDs.ReadFile("crds/" + file.Name())
		if err != nil {
			return err
		}
		if err := w.bed.Apply(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) connect() error {
	scheme, err := controller.Scheme()
	if err != nil {
		return err
	}
	w.kube = w.bed.Client()
	w.api, err = client.New(w.bed.Config(), client.Options{Scheme: scheme})
	return err
}

// furnish makes the namespace, and the one node, which has been Ready for ever.
func (w *world) furnish(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if _, err := w.kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := w.bed.CreateNode(ctx, nodeName); err != nil {
		return err
	}
	node, err := w.kube.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour)),
	}}
	_, err = w.kube.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

func (w *world) buildController(ctx context.Context, ranges []guid.Range) error {
	program := filepath.Join(w.dir, "ibfabric-controller")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/ibfabric/ibfabric/cmd/ibfabric-controller")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the controller: %w\n%s", err, out)
	}
	var first, last []string
	for _, r := range ranges {
		first, last = append(first, r.First.String()), append(last, r.Last.String())
	}
	w.replicas = &replicas{program: program, dir: w.dir,
		args: []string{
			"--fabric=" + w.ns, "--namespace=" + w.ns, "--health-address=0", "--log-level=debug",
			"--sync-period=1s", "--hold=" + holdTime.String(), "--ufm-timeout=2s",
			"--lease-duration=3s", "--lease-renew=2s", "--lease-retry=300ms",
			"--guid-range-start=" + strings.Join(first, ","), "--guid-range-end=" + strings.Join(last, ","),
		},
		env: []string{
			"KUBECONFIG=" + w.bed.Kubeconfig(), "UFM_USERNAME=" + ufmUser, "UFM_PASSWORD=" + ufmPassword,
			"UFM_ADDRESS=" + w.ufms.addresses(), "UFM_CERTIFICATE=" + string(w.ufms.now().srv.CertPEM()),
		},
	}
	return nil
}

// writeJournals leaves what every UFM went through beside the controllers' logs.
func (w *world) writeJournals() error {
	for _, u := range w.ufms.all {
		var b strings.Builder
		for _, e := range u.sim.Journal() {
			line, err := json.Marshal(e)
			if err != nil {
				return err
			}
			b.Write(append(line, '\n'))
		}
		if err := os.WriteFile(filepath.Join(w.dir, u.name+".journal"), []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("write a journal: %w", err)
		}
	}
	return nil
}

func (w *world) close() {
	if w.replicas != nil {
		w.replicas.close()
	}
	if w.ufms != nil {
		w.ufms.close()
	}
	if w.bed != nil {
		w.bed.Stop()
	}
}
