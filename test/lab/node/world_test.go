//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/go-logr/logr"
	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/test/lab/bridge"
	"github.com/ibfabric/ibfabric/test/lab/cards"
	"github.com/ibfabric/ibfabric/test/lab/fabric"
	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/lab/ufm"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
)

const (
	ibResource   = "lab.test/ib"
	roceResource = "lab.test/roce"
	// hold is short, so that a story sees its end; a node that is silent for longer than
	// silence is not Ready any more, and is so well before its GUIDs could be given away.
	hold    = 2 * time.Second
	silence = 15 * time.Second
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// world is all there is: a control plane, a fabric with OpenSM, ufm-sim between the two, the
// controller, and nodes.
type world struct {
	t          *testing.T // of the story that is told
	bed        *testbed.Cluster
	api        client.Client
	fabric     *fabric.Fabric
	sim        *ufm.Sim
	launcher   *programs.Launcher
	snapshot   *Snapshot
	controller *programs.Process // on this machine
	webhooks   int               // port of this machine where the API server looks for it
	dir        string            // of our programs
	log        logBuffer
	nodes      map[string]*place // that run, or did
}

// place is a node, and its VFs as they were when it had booted.
type place struct {
	*Node
	fresh string
}

// newWorld starts everything, the slow parts beside each other.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, launcher: programs.NewLauncher(), dir: t.TempDir(), nodes: map[string]*place{}}
	t.Cleanup(w.launcher.Close)
	tools, err := fabric.Prepare(t.Context(), "")
	skipIfUnavailable(t, err)
	w.needsMemory(4 << 30)
	var starting sync.WaitGroup
	defer starting.Wait() // also where the test ends here
	var snapshotErr, bedErr error
	starting.Go(func() {
		w.snapshot, snapshotErr = Prepare(t.Context(), kernel, func(line string) { fmt.Println(line) })
	})
	starting.Go(func() { bedErr = w.startBed() })
	w.startFabric(tools)
	starting.Wait()
	skipIfUnavailable(t, snapshotErr)
	must(t, bedErr)
	fmt.Printf("kernel %s: booted %s\n", kernel, w.snapshot.Release())
	w.startController()
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.Kill()
		}
	})
	w.startNode(1)
	w.admissionAnswers()
	return w
}

func skipIfUnavailable(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, guest.ErrUnavailable) || errors.Is(err, fabric.ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needsMemory is for a guest of 2 GiB, and for what it is tested with.
func (w *world) needsMemory(bytes int64) {
	w.t.Helper()
	if free, err := freeMemory(); err != nil || free < bytes {
		w.t.Skipf("SKIPPED: %d MiB of free memory are needed, here are %d (%v)", bytes>>20, free>>20, err)
	}
}

// freeMemory is what the kernel says that programs can have.
func freeMemory() (bytes int64, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if _, scanErr := fmt.Sscanf(line, "MemAvailable: %d kB", &bytes); scanErr == nil {
			return bytes << 10, err
		}
	}
	return 0, errors.Join(err, errors.New("/proc/meminfo does not say"))
}

// startBed runs a control plane, with ibfabric's kinds.
func (w *world) startBed() error {
	ctx := w.t.Context()
	if err := programs.Build(ctx, w.dir, false, "cmd/ibfabric-controller", "cmd/ibfabric-cni", "test/lab/node/inside"); err != nil {
		return err
	}
	var err error
	w.bed, err = testbed.Run(ctx, filepath.Join(w.dir, "bed"), testbed.WithScheduler(), testbed.WithServiceAccounts(),
		testbed.WithControllerManagerFlags("--node-monitor-period=1s", "--node-monitor-grace-period="+silence.String()))
	if err != nil {
		return err
	}
	w.t.Cleanup(w.bed.Stop)
	config := w.bed.Config()
	scheme, err := controller.Scheme()
	if err != nil {
		return err
	}
	if w.api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return rig.InstallKinds(ctx, w.bed)
}

// maxNodes is how many hosts the fabric has, each on a leaf of its own.
const maxNodes = 2

// startFabric runs OpenSM on hosts with a port for each InfiniBand VF, and ufm-sim before it.
func (w *world) startFabric(tools *fabric.Tools) {
	w.t.Helper()
	var err error
	w.fabric, err = fabric.New(w.t.Context(), tools, fabric.Config{Topology: fabric.Topology{Leaves: maxNodes, Spines: 1, Hosts: 1, VFs: cards.PerPF}})
	must(w.t, err)
	w.t.Cleanup(w.fabric.Close)
	w.sim = ufm.New(w.t, w.fabric)
	must(w.t, w.fabric.StartSM(w.t.Context()))
}

// startController runs it with admission as it is shipped, under its own account and with
// the rights of the manifests.
func (w *world) startController() {
	w.t.Helper()
	w.webhooks = testbed.HoldPort(w.t)
	must(w.t, rig.InstallAdmission(w.t.Context(), w.bed, release, w.webhooks))
	w.applyManifests("manifests/1*.yaml")
	account := "system:serviceaccount:" + release + ":ibfabric-controller"
	kubeconfig, err := w.bed.KubeconfigFor(account, "system:serviceaccounts", "system:serviceaccounts:"+release)
	must(w.t, err)
	u, err := url.Parse(w.sim.URL())
	must(w.t, err)
	p, err := w.launcher.Start(programs.Command{
		Program: filepath.Join(w.dir, "ibfabric-controller"), Out: &w.log,
		Args: []string{
			"--admission", fmt.Sprintf("--webhook-port=%d", w.webhooks), "--health-address=0", "--console-address=0", "--sync-period=1s", "--hold=" + hold.String(),
			"--leader-elect=false", // a busy machine may be too slow for any lease, and nothing starts it again here
		},
		Env: []string{
			"KUBECONFIG=" + kubeconfig, "UFM_HTTP_SCHEMA=http", "UFM_ADDRESS=" + u.Hostname(), "UFM_PORT=" + u.Port(),
			"UFM_USERNAME=" + ufm.User, "UFM_PASSWORD=" + ufm.Password, "TMPDIR=" + w.dir,
		},
	})
	must(w.t, err)
	w.t.Cleanup(p.Kill)
	w.controller = p
}

// admissionAnswers waits until a network that cannot be is refused.
func (w *world) admissionAnswers() {
	w.t.Helper()
	bad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "probe"}}
	bad.Spec.Config = `{"cniVersion":"1.0.0","type":"ib-sriov","pkey":"0x8001"}`
	w.eventually("admission answers", func() (bool, string) {
		err := w.api.Create(w.ctx(), bad.DeepCopy(), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "denied the request"), fmt.Sprint(err)
	})
}

// grant gives a user rights in the whole cluster.
func (w *world) grant(user string, rules ...rbacv1.PolicyRule) {
	w.t.Helper()
	name := "lab-" + strings.ReplaceAll(user, ":", "-")
	for _, object := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
		},
	} {
		must(w.t, client.IgnoreAlreadyExists(w.api.Create(w.t.Context(), object)))
	}
}

// startNode restores a node, joins it to cluster and fabric, and waits until pods can come.
func (w *world) startNode(number int, edits ...func(*Config)) *Node {
	w.t.Helper()
	// What Multus' own manifest grants.
	w.grant("multus",
		rbacv1.PolicyRule{APIGroups: []string{"k8s.cni.cncf.io"}, Resources: []string{"*"}, Verbs: []string{"*"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/status"}, Verbs: []string{"get", "list", "update", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}})
	begun, name := time.Now(), fmt.Sprintf("node-%d", number)
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c := Config{
		Name: name, Number: number,
		Kubelet: w.identity("system:node:"+name, "system:nodes"), Multus: w.identity("multus"),
		Inside: filepath.Join(w.dir, "inside"), CNI: filepath.Join(w.dir, "ibfabric-cni"),
		Resources: map[string]int{ibResource: InfiniBandCard, roceResource: RoCECard},
	}
	for _, edit := range edits {
		edit(&c)
	}
	n, err := w.snapshot.Restore(ctx, c)
	must(w.t, err)
	for _, other := range w.nodes {
		if other.BootID() == n.BootID() {
			w.t.Errorf("%s and %s have one boot ID: somebody has read it before the snapshot", other.Name(), name)
		}
	}
	w.nodes[name] = &place{Node: n}
	must(w.t, errors.Join(n.Start(ctx), n.Ended()))
	w.bridge(n, number-1)
	w.usable(n)
	w.nodes[name].fresh = w.vfs(n)
	fmt.Printf("lab: %s can run pods %s after it was restored\n", name, time.Since(begun).Round(100*time.Millisecond))
	return n
}

// identity is a user of the API server's.
func (w *world) identity(user string, groups ...string) Identity {
	w.t.Helper()
	file, err := w.bed.KubeconfigFor(user, groups...)
	must(w.t, err)
	config, err := clientcmd.BuildConfigFromFlags("", file)
	must(w.t, err)
	return config
}

// bridge joins a node's cards to a host of the fabric, for as long as the node lives.
func (w *world) bridge(n *Node, host int) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	givingUp := time.AfterFunc(patience, cancel)
	hca, err := bridge.NewClient(ctx, n.Line())
	givingUp.Stop()
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	b := bridge.Bridge{Fabric: w.fabric, HCA: hca, Name: func(vf int) string { return fabric.VFName(host, vf) }, Log: w.log.say}
	go func() {
		defer cancel()
		if err := b.Run(ctx); err != nil {
			w.log.say("it ended: " + err.Error())
		}
	}()
}
