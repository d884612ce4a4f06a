package chaos

import (
	"context"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func (w *world) open(ctx context.Context, program string) error {
	var err error
	if w.bed, err = testbed.Run(ctx, filepath.Join(w.dir, "bed")); err != nil {
		return err
	}
	if err := rig.InstallKinds(ctx, w.bed); err != nil {
		return err
	}
	if err := w.connect(); err != nil {
		return err
	}
	if err := w.furnish(ctx); err != nil {
		return err
	}
	ranges := ranges(w.plan)
	if w.ufms, err = startUFMs(w.plan, ranges, w.chronicle); err != nil {
		return err
	}
	gate := "ibfabric.io/" + w.ns
	w.history = newHistory(gate, w.chronicle)
	w.networks = &networks{api: w.api, ns: w.ns, said: map[types.NamespacedName][]saying{}}
	w.pods = &pods{kube: w.kube, ns: w.ns, gate: gate, most: w.plan.Pods, names: w.plan.Names(), pins: ranges[1], seen: w.history}
	if err := w.networks.makeMissing(ctx, Step{Seed: w.plan.Seed}.random()); err != nil {
		return err
	}
	w.prepareController(program, ranges)
	return nil
}

// ranges are where GUIDs come from, and where pods pin theirs: from the second range the
// controllers give out only when the first is used up.
func ranges(plan Plan) []guid.Range {
	const first, pinned guid.GUID = 0x0200000000010000, 0x0200000000020000
	return []guid.Range{{First: first, Last: first + guid.GUID(plan.GUIDs) - 1}, {First: pinned, Last: pinned + guid.GUID(plan.Names())/pinEvery - 1}}
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

// furnish makes the namespace and the nodes.
func (w *world) furnish(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if _, err := w.kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	w.nodes = newNodes(w.bed, w.chronicle)
	return w.nodes.furnish(ctx)
}

func (w *world) prepareController(program string, ranges []guid.Range) {
	var first, last []string
	for _, r := range ranges {
		first, last = append(first, r.First.String()), append(last, r.Last.String())
	}
	w.replicas = &replicas{
		launcher: programs.NewLauncher(), dir: w.dir, chronicle: w.chronicle,
		command: programs.Command{
			Program: program,
			Args: []string{
				"--fabric=" + w.ns, "--namespace=" + w.ns, "--health-address=0", "--console-address=127.0.0.1:0", "--log-level=debug",
				"--sync-period=1s", "--hold=" + holdTime.String(), "--ufm-timeout=2s",
				"--lease-duration=3s", "--lease-renew=2s", "--lease-retry=300ms",
				"--guid-range-start=" + strings.Join(first, ","), "--guid-range-end=" + strings.Join(last, ","),
			},
			Env: []string{
				"KUBECONFIG=" + w.bed.Kubeconfig(), "UFM_USERNAME=" + ufmUser, "UFM_PASSWORD=" + ufmPassword,
				"UFM_ADDRESS=" + w.ufms.addresses(), "UFM_CERTIFICATE=" + string(w.ufms.authority.PEM()),
			},
		},
	}
}
