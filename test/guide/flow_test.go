package guide

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// gpus are the resources of n cards, as the policies of the examples name them.
func gpus(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("spidernet.io/gpu%dsriov", i+1))
	}
	return names
}

func (l *live) applyExample(name string) {
	l.t.Helper()
	files, err := filepath.Glob(root + "/deploy/examples/" + name + "/*.yaml")
	if err != nil || len(files) == 0 {
		l.t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		for _, o := range l.create(l.t, file, "") {
			if o.GetKind() == multus.Kind {
				l.known(o)
			}
		}
	}
}

// inUFM waits until UFM has that many members in a partition.
func (l *live) inUFM(p pkey.PKey, want int, membership pkey.Membership) {
	l.t.Helper()
	testbed.Eventually(l.t, fmt.Sprintf("pkey %s has %d members", p, want), func() (bool, string) {
		members := l.sim.Members(p)
		for _, m := range members {
			if m.Membership != membership {
				return false, fmt.Sprintf("%+v", m)
			}
		}
		return len(members) == want, fmt.Sprintf("%d", len(members))
	})
}

// onAllRails wants a pod to have the eight networks and resources.
func onAllRails(t *testing.T, pod corev1.Pod, configured bool) {
	t.Helper()
	elements, err := attach.ParseAnnotation(pod.Namespace, pod.Annotations[attach.NetworksAnnotation])
	if err != nil || len(elements) != 8 {
		t.Fatalf("%s: %d networks, %v", pod.Name, len(elements), err)
	}
	for i, e := range elements {
		if e.Err != nil || e.Network.Name != fmt.Sprintf("gpu%d-sriov", i+1) || e.Configured != configured || (e.GUID != 0) != configured {
			t.Errorf("%s, element %d: %+v", pod.Name, i+1, e)
		}
	}
	want := map[string]int64{}
	for _, name := range gpus(8) {
		want[name] = 1
	}
	if diff := cmp.Diff(want, limits(pod)); diff != "" {
		t.Errorf("%s: %s", pod.Name, diff)
	}
	if len(pod.Spec.SchedulingGates) > 0 {
		t.Errorf("%s still has the gates %v", pod.Name, pod.Spec.SchedulingGates)
	}
}

func TestTheInfiniBandExampleWorks(t *testing.T) {
	l := newLive(t, gpus(8)...)
	l.applyExample("infiniband-spider")
	for _, pod := range append(l.running("team-a", "rdma-tools-", 2), l.running("team-a", "train-", 2)...) {
		onAllRails(t, pod, true)
	}
	// The job is done, and its members have left.
	l.inUFM(0x1000, 2*8, pkey.Full)
	l.inUFM(0x20, 2, pkey.Limited)
	l.theDoorHoldsForConfigsToo(t)
	l.aNamespaceAsks(t)
	l.theWebhookIsDown(t)
}

// theDoorHoldsForConfigsToo: what admission refuses of a network, the author of its config
// is told.
func (l *live) theDoorHoldsForConfigsToo(t *testing.T) {
	u := config("pinned")
	u.Object["spec"] = map[string]any{"cniType": "custom", "customCNI": `{"type":"ib-sriov","pkey":"0x5","guid":"02:00:00:00:00:00:00:99"}`}
	if err := l.api.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	l.told("spiderpool", multus.Kind+" pinned: NetworkRefused", "its config sets guid, which is each pod's own; remove it")
}

// aNamespaceAsks for the rails of all its pods, but for one that wants none.
func (l *live) aNamespaceAsks(t *testing.T) {
	ns := &corev1.Namespace{}
	ns.Name = "team-b"
	ns.Annotations = map[string]string{multus.RDMAInject: "rdma-network"}
	if err := l.api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "pods of team-b are given networks", func() (bool, string) {
		pod := draft("team-b", "probe", nil)
		err := l.api.Create(t.Context(), pod, client.DryRunAll)
		return err == nil && pod.Annotations[attach.NetworksAnnotation] != "", fmt.Sprint(err)
	})
	for name, says := range map[string]map[string]string{"asks-not": nil, "wants-none": {multus.RDMAInject: ""}} {
		if err := l.api.Create(t.Context(), draft("team-b", name, says)); err != nil {
			t.Fatal(err)
		}
	}
	onAllRails(t, l.running("team-b", "asks-not", 1)[0], true)
	if pod := l.running("team-b", "wants-none", 1)[0]; pod.Annotations[attach.NetworksAnnotation] != "" || len(limits(pod)) > 0 {
		t.Errorf("it wanted none: %v, %v", pod.Annotations, limits(pod))
	}
}

// theWebhookIsDown: a pod that asks would run without its networks and is refused, no
// other is.
func (l *live) theWebhookIsDown(t *testing.T) {
	l.controller.Kill()
	if err := l.api.Create(t.Context(), draft("team-a", "plain", nil)); err != nil {
		t.Errorf("a pod that asks for nothing: %v", err)
	}
	for _, pod := range []*corev1.Pod{draft("team-a", "asks", map[string]string{multus.RDMAInject: "rdma-network"}), draft("team-b", "by-namespace", nil)} {
		if err := l.api.Create(t.Context(), pod); err == nil || !strings.Contains(err.Error(), "inject.ibfabric.io") {
			t.Errorf("%s: %v", pod.Name, err)
		}
	}
}

func draft(namespace, name string, annotations map[string]string) *corev1.Pod {
	no := false
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.Annotations = namespace, name, annotations
	pod.Spec.AutomountServiceAccountToken = &no
	pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	return pod
}

func TestTheRoCEExampleWorksAndTheFabricHasNoPartInIt(t *testing.T) {
	l := newLive(t, gpus(8)...)
	l.applyExample("roce")
	named := l.running("team-a", "rdma-tools-", 2)
	asked := l.running("team-a", "train-", 2)
	for _, pod := range append(named, asked...) {
		onAllRails(t, pod, false)
		if _, touched := pod.Labels["ibfabric.io/managed"]; touched {
			t.Errorf("%s was taken for one on InfiniBand", pod.Name)
		}
	}
	sameJSON(t, json.RawMessage(named[0].Annotations[attach.NetworksAnnotation]), json.RawMessage(asked[0].Annotations[attach.NetworksAnnotation]))
	if members := l.sim.Members(0x1000); len(members) > 0 {
		t.Errorf("UFM has members: %v", members)
	}
}

// The guide's own manifests, in its order, as its reader applies them: what cannot work says
// so where its author looks, and what is mended as it was told works.
func TestWhoFollowsTheGuideIsLedToAClusterThatWorks(t *testing.T) {
	l := newLive(t, gpus(1)...)
	ns := &corev1.Namespace{}
	ns.Name = "spiderpool"
	if err := l.api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	const guide = "testdata/guide/"

	l.apply(guide+"vfs.yaml", guide+"infiniband.yaml")
	l.told("spiderpool", "SriovNetworkNodePolicy gpu2-nic-policy: FabricCheck", "it takes root device 0000:86:00.0, which the older SriovNetworkNodePolicy spiderpool/gpu1-nic-policy takes", "name each card in one policy alone")
	l.told("spiderpool", "SriovNetworkNodePolicy gpu1-nic-policy: FabricCheck", "the younger SriovNetworkNodePolicy spiderpool/gpu2-nic-policy")
	l.told("spiderpool", multus.Kind+" gpu1-sriov: NetworkRefused", "spec.ibsriov.ippools", "write disableIPAM: true for a network without IP addresses", "until then no network comes of it")
	l.mend("gpu1-sriov", `[{"op":"remove","path":"/spec/ibsriov/ippools"},{"op":"add","path":"/spec/disableIPAM","value":true}]`)

	l.apply(guide + "partition.yaml")
	l.told("spiderpool", multus.Kind+" ib-sriov: NetworkWarned", "spec.ibsriov.pkey", `write "0x3e8"`)
	l.network("ib-sriov")
	l.bed.CreatePod(t, "spiderpool", "in-a-partition", func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: "ib-sriov"}
	})
	l.running("spiderpool", "in-a-partition", 1)
	l.inUFM(0x3e8, 1, pkey.Full)

	// The group of the guide's last step takes the name of its first network.
	l.remove("gpu1-sriov")
	l.apply(guide+"group.yaml", guide+"train.yaml")
	l.told("spiderpool", multus.Kind+" gpu1-sriov: NetworkRefused", "spec.ippools", "as in spec.sriov.ippools; move it there")
	l.told("spiderpool", "ReplicaSet train-", "SpiderMultusConfig spiderpool/gpu1-sriov is in rdma-network, but no network comes of it", "spec.ippools", "move it there")
	l.mend("gpu1-sriov", `[{"op":"remove","path":"/spec/ippools"},{"op":"add","path":"/spec/disableIPAM","value":true}]`)
	l.told("spiderpool", multus.Kind+" gpu1-sriov: NetworkWarned", "no node offers spidernet.io/gpu1rdma yet", "correct the name")
	l.mend("gpu1-sriov", `[{"op":"replace","path":"/spec/sriov/resourceName","value":"spidernet.io/gpu1sriov"}]`)
	l.made("spiderpool", "gpu1-sriov", "spidernet.io/gpu1sriov")
	l.again("spiderpool", "app=train")
	pod := l.running("spiderpool", "train-", 1)[0]
	if diff := cmp.Diff(map[string]int64{"spidernet.io/gpu1sriov": 1}, limits(pod)); diff != "" {
		t.Error(diff)
	}
	if got := pod.Annotations[attach.NetworksAnnotation]; got != `[{"name":"gpu1-sriov","namespace":"spiderpool"}]` {
		t.Error(got)
	}
}

// With Spiderpool the guide's pools are used, and the one that its network names is not there.
func TestWhoNamesAPoolThatIsNotThereIsToldWhichThereAre(t *testing.T) {
	l := newLive(t, gpus(1)...)
	rig.GrantAccount(t, l.bed, "spiderpool", "default", rig.SpiderpoolAgentRules())
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "spiderpool"}}, agent(),
	} {
		if err := l.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	l.apply("testdata/guide/infiniband.yaml")
	l.told("spiderpool", multus.Kind+" gpu1-sriov: FabricCheck", "network spiderpool/gpu1-sriov", "SpiderIPPool gpu1-net91, which does not exist (there are gpu1-net11)", "create it, or name one that does")

	n := nad()
	if err := l.api.Get(t.Context(), client.ObjectKey{Namespace: "spiderpool", Name: "gpu1-sriov"}, n); err != nil {
		t.Fatal(err)
	}
	byHand := nad()
	byHand.SetNamespace("spiderpool")
	byHand.SetName("by-hand")
	byHand.Object["spec"] = n.Object["spec"]
	pod := draft("spiderpool", "own-pool", map[string]string{attach.NetworksAnnotation: "gpu1-sriov", "ipam.spidernet.io/ippool": `{"ipv4":["gpu1-net12"]}`})
	for _, o := range []client.Object{byHand, pod} {
		// Admission may not answer yet: nobody is refused for that, nor warned.
		testbed.Eventually(t, "whoever makes "+o.GetName()+" is warned", func() (bool, string) {
			warned, err := l.warns(o)
			return len(warned) == 1 && strings.Contains(warned[0], "which does not exist (there are gpu1-net11)"), fmt.Sprintf("%q, %v", warned, err)
		})
	}
	pool := only(t, read(t, "testdata/guide/infiniband.yaml"), "SpiderIPPool")
	pool.SetName("gpu1-net91")
	if err := l.api.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "it is seen to be mended", func() (bool, string) {
		return strings.Contains(l.said(), `"event":"check.passed"`), l.said()
	})
}

// agent is Spiderpool's, as far as anybody looks at it.
func agent() *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "spiderpool", Name: "spiderpool-agent"}}
	labels := map[string]string{"app": "spiderpool-agent"}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec.NodeSelector = map[string]string{"there": "is-no-such-node"}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	return d
}

// warns are the warnings that who makes an object gets, without making it.
func (l *live) warns(o client.Object) ([]string, error) {
	heard := &warnings{}
	cfg := rest.CopyConfig(l.bed.Config())
	cfg.WarningHandler = heard
	api, err := client.New(cfg, client.Options{})
	if err == nil {
		o.SetResourceVersion("") // of the last time
		err = api.Create(l.t.Context(), o, client.DryRunAll)
	}
	return heard.all, err
}

type warnings struct{ all []string }

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _ string, text string) { w.all = append(w.all, text) }

// made waits until a network takes that resource.
func (l *live) made(namespace, name, resource string) {
	l.t.Helper()
	testbed.Eventually(l.t, "network "+name+" takes "+resource, func() (bool, string) {
		n := nad()
		err := l.api.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, n)
		return err == nil && n.GetAnnotations()[multus.ResourceAnnotation] == resource, fmt.Sprint(err)
	})
}

// again has pods made anew, as `kubectl rollout restart` does.
func (l *live) again(namespace, selector string) {
	l.t.Helper()
	var now int64
	pods := l.bed.Client().CoreV1().Pods(namespace)
	if err := pods.DeleteCollection(l.t.Context(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: selector}); err != nil {
		l.t.Fatal(err)
	}
}

// mend is a JSON patch of a config.
func (l *live) mend(name, patch string) {
	l.t.Helper()
	if err := l.api.Patch(l.t.Context(), config(name), client.RawPatch("application/json-patch+json", []byte(patch))); err != nil {
		l.t.Fatal(err)
	}
	l.network(name)
}

// network waits until a network is there.
func (l *live) network(name string) {
	l.t.Helper()
	testbed.Eventually(l.t, "network "+name+" is there", func() (bool, string) {
		err := l.api.Get(l.t.Context(), client.ObjectKey{Namespace: "spiderpool", Name: name}, nad())
		return err == nil, strings.Join(append(l.events("spiderpool"), fmt.Sprint(err)), "\n")
	})
}

func (l *live) remove(name string) {
	l.t.Helper()
	if err := l.api.Delete(l.t.Context(), config(name)); err != nil {
		l.t.Fatal(err)
	}
	testbed.Eventually(l.t, "network "+name+" goes", func() (bool, string) {
		return client.IgnoreNotFound(l.api.Get(l.t.Context(), client.ObjectKey{Namespace: "spiderpool", Name: name}, nad())) == nil &&
			l.api.Get(l.t.Context(), client.ObjectKey{Namespace: "spiderpool", Name: name}, nad()) != nil, ""
	})
}
