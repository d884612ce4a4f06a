package control

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// spec is what a test says of a Partition.
type spec = v1alpha1.PartitionSpec

// toAll grants a Partition to every namespace.
func toAll() *metav1.LabelSelector { return &metav1.LabelSelector{} }

// toTeam grants it to namespaces with that label.
func toTeam(team string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
}

// partition makes a Partition of this fabric. Partitions have no namespace: the name is the
// test's with this behind it.
func (w *world) partition(name string, s spec) {
	w.t.Helper()
	if err := w.tryPartition(name, s); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.dropPartition(name) })
}

func (w *world) tryPartition(name string, s spec) error {
	return w.api.Create(w.ctx(), &v1alpha1.Partition{
		ObjectMeta: metav1.ObjectMeta{Name: w.named(name), Labels: map[string]string{"fabric": w.ns}}, Spec: s,
	})
}

// named is a Partition's whole name.
func (w *world) named(partition string) string { return w.ns + "-" + partition }

func (w *world) readPartition(name string) (*v1alpha1.Partition, error) {
	var part v1alpha1.Partition
	err := w.api.Get(w.t.Context(), types.NamespacedName{Name: w.named(name)}, &part)
	return &part, err
}

// editPartition changes a Partition's spec, as its owner would.
func (w *world) editPartition(name string, change func(*spec)) {
	w.t.Helper()
	part := &v1alpha1.Partition{ObjectMeta: metav1.ObjectMeta{Name: w.named(name)}}
	if err := rig.Edit(w.ctx(), w.api, part, func(p *v1alpha1.Partition) { change(&p.Spec) }); err != nil {
		w.t.Fatal(err)
	}
}

// dropPartition asks for a Partition's end; its finalizer says when.
func (w *world) dropPartition(name string) {
	part := &v1alpha1.Partition{ObjectMeta: metav1.ObjectMeta{Name: w.named(name)}}
	_ = w.api.Delete(w.t.Context(), part) // behind a test it may be gone, and nobody there to see
}

// stands waits, as kubectl wait does, until a Partition has a condition that says something.
func (w *world) stands(name, kind string, status metav1.ConditionStatus, says string) *v1alpha1.Partition {
	w.t.Helper()
	var part *v1alpha1.Partition
	testbed.Eventually(w.t, fmt.Sprintf("partition %s is %s=%s and says %q", name, kind, status, says), func() (bool, string) {
		var err error
		if part, err = w.readPartition(name); err != nil {
			return false, err.Error()
		}
		cond := meta.FindStatusCondition(part.Status.Conditions, kind)
		ok := cond != nil && cond.Status == status && strings.Contains(cond.Message, says) && cond.ObservedGeneration == part.Generation
		return ok, fmt.Sprintf("%+v", part.Status)
	})
	return part
}

// counts waits until a Partition has so many members, and none on its way.
func (w *world) counts(name string, members int32) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("partition %s has %d members", name, members), func() (bool, string) {
		part, err := w.readPartition(name)
		return err == nil && part.Status.Members == members && part.Status.Pending == 0, fmt.Sprintf("%+v %v", part.Status, err)
	})
}

// team gives a namespace its label; "" takes it away.
func (w *world) team(ns, team string) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"team":%q}}}`, team)
	if team == "" {
		patch = `{"metadata":{"labels":{"team":null}}}`
	}
	_, err := w.bed.Client().CoreV1().Namespaces().Patch(w.ctx(), ns, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// on makes a network that names a Partition.
func (w *world) on(network, partition string, annotations ...string) {
	w.t.Helper()
	w.network(network, "", append([]string{attach.PartitionAnnotation, w.named(partition)}, annotations...)...)
}

func TestAPartitionIsUsedOnlyByTheNamespacesItGrants(t *testing.T) {
	w := newWorld(t)
	w.partition("blue", spec{PKey: "0x5", Namespaces: toTeam("blue")})
	w.network("by-number", "0x5")
	w.on("by-name", "blue")
	w.network("open", "0x6")
	w.start()
	w.pod("a", "by-number")
	w.pod("b", "by-name")
	w.pod("c", "open")
	w.event("a", "FabricRefused", "Partition "+w.named("blue")+" does not grant it; ask its owner for a label")
	w.event("b", "FabricRefused", "does not grant it")
	w.inUFM(0x6, w.configured("c")[0])
	w.inUFM(0x5)

	other := w.within(t)
	other.ns = w.bed.Namespace(t)
	w.team(other.ns, "red")
	w.inNamespace(other.ns, "thief", "0x5")
	other.pod("thief", "thief")
	other.event("thief", "FabricRefused", "does not grant it")

	w.team(w.ns, "blue") // and nothing else wakes them
	w.inUFM(0x5, w.configured("a")[0], w.configured("b")[0])
	w.counts("blue", 2)
	if part := w.stands("blue", v1alpha1.ConditionInSync, metav1.ConditionTrue, "all members"); part.Status.PKey != "0x5" {
		t.Errorf("its status is %+v", part.Status)
	}
	other.notConfigured("thief")
}

func TestAWithdrawnGrantKeepsNewPodsOutAndLiveOnesIn(t *testing.T) {
	w := newWorld(t)
	w.team(w.ns, "blue")
	w.partition("blue", spec{PKey: "0x5", Namespaces: toTeam("blue")})
	w.on("rail1", "blue")
	w.start()
	w.pod("live", "rail1")
	g := w.configured("live")[0]
	version := w.get("live").ResourceVersion
	w.team(w.ns, "")
	w.event("live", "FabricNetworkChanged", "does not grant it")
	w.pod("late", "rail1")
	w.event("late", "FabricRefused", "does not grant it")
	w.editPartition("blue", func(s *spec) { s.Namespaces = nil }) // a second reason, and no second Event
	w.stands("blue", v1alpha1.ConditionReady, metav1.ConditionTrue, "grants it to nobody")
	w.someRounds()
	w.loggedOnce("live", "pod.keeps")
	if now := w.get("live").ResourceVersion; now != version {
		t.Error("the live pod was changed")
	}
	w.inUFM(0x5, g)
	w.deletePod("live")
	w.inUFM(0x5)
	w.notConfigured("late")
}

func TestWithoutAPartitionAPKeyIsNobodysWhereOneIsRequired(t *testing.T) {
	w := newWorld(t)
	w.network("open", "0x6")
	w.network("plain", "")
	w.start("--require-partition")
	w.pod("a", "open")
	w.pod("guid-only", "plain")
	w.event("a", "FabricRefused", "ask for a Partition with that pkey that grants namespace "+w.ns)
	w.configured("guid-only")
	w.partition("six", spec{PKey: "0x6", Namespaces: toAll()})
	w.inUFM(0x6, w.configured("a")[0])
}

func TestAPodWaitsForAPartitionThatIsNotThereYet(t *testing.T) {
	w := newWorld(t)
	w.on("rail1", "later")
	w.network("rail2", "0x8", attach.AlsoAnnotation, w.named("later")+":limited")
	w.start()
	w.pod("a", "rail1")
	w.pod("b", "rail2")
	w.event("a", "FabricWaiting", "there is no Partition")
	w.event("b", "FabricWaiting", "there is no Partition")
	w.partition("later", spec{PKey: "0x7", Namespaces: toAll()})
	b := w.configured("b")[0]
	w.inUFM(0x7, w.configured("a")[0], b)
	w.inUFM(0x8, b)
}

func TestMembersAreAsThePartitionSaysAndJoinWhatItBrings(t *testing.T) {
	w := newWorld(t)
	no := false
	w.partition("storage", spec{PKey: "0x20", IPOverIB: &no}) // grants nobody
	w.partition("blue", spec{PKey: "0x5", Namespaces: toAll(), Membership: "limited", Index0: &no, Also: []v1alpha1.PartitionRef{{Name: w.named("storage")}}})
	w.on("rail1", "blue", attach.MembershipAnnotation, "full")
	w.on("storage", "storage")
	w.start()
	w.pod("a", "rail1")
	w.pod("straight", "storage")
	w.event("straight", "FabricRefused", "does not grant it")
	g := w.configured("a")[0]
	w.inUFM(0x5, g)
	w.inUFM(0x20, g)
	want := pkey.Member{GUID: g, Mode: pkey.Mode{Membership: pkey.Limited}}
	for _, p := range w.sim.Partitions() {
		if p.PKey != pkey.Default && (p.Members[0] != want || p.IPoIB != (p.PKey == 0x5)) {
			t.Errorf("UFM has in %s %+v, ip over ib %t", p.PKey, p.Members, p.IPoIB)
		}
	}
	if text := w.get("a").Annotations[attach.NetworksAnnotation]; !strings.Contains(text, `"ibfabric.io/pkeys":"0x5:limited,0x20:limited"`) {
		t.Errorf("the pod says %s", text)
	}
	w.deletePod("a")
	w.inUFM(0x5)
	w.inUFM(0x20)
}

func TestOfTwoPartitionsWithOnePKeyTheOlderCounts(t *testing.T) {
	w := newWorld(t)
	w.partition("a-first", spec{PKey: "0x5", Namespaces: toTeam("blue")})
	w.on("rail1", "b-second") // before the start: who comes before its network is told that first
	w.network("by-number", "0x5")
	w.start()
	w.stands("a-first", v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	w.partition("b-second", spec{PKey: "0x0005", Namespaces: toAll()})
	w.stands("b-second", v1alpha1.ConditionConflict, metav1.ConditionTrue, "the older Partition "+w.named("a-first"))
	w.stands("b-second", v1alpha1.ConditionReady, metav1.ConditionFalse, "delete one of them")
	w.stands("a-first", v1alpha1.ConditionConflict, metav1.ConditionFalse, "")
	w.pod("a", "rail1")
	w.pod("b", "by-number")
	w.event("a", "FabricWaiting", "the older Partition")
	w.event("b", "FabricRefused", w.named("a-first")+" does not grant it")
	w.dropPartition("a-first")
	w.stands("b-second", v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	w.stands("b-second", v1alpha1.ConditionConflict, metav1.ConditionFalse, "")
	w.inUFM(0x5, w.configured("a")[0], w.configured("b")[0])
}

func TestAFullPartitionLetsTheNextPodInWhenOneLeft(t *testing.T) {
	w := newWorld(t)
	room := int32(4)
	w.partition("small", spec{PKey: "0x5", Namespaces: toAll(), MaxMembers: &room})
	w.partition("wide", spec{PKey: "0x6", Namespaces: toAll(), Also: []v1alpha1.PartitionRef{{Name: w.named("small")}}})
	w.on("rail", "small")
	w.on("along", "wide")
	w.start("--sync-period=1h") // nothing but a pod that leaves wakes one that waits
	w.pod("big", "rail,rail,rail,rail,rail")
	w.event("big", "FabricRefused", "needs 5 GUIDs in Partition "+w.named("small"))
	w.pod("a", "rail,rail")
	in := w.configured("a")
	w.pod("b", "rail")
	in = append(in, w.configured("b")...)
	w.pod("two", "rail,rail") // there is room for one of them: that is none
	w.event("two", "FabricWaiting", "has 3 of 4 members, and the pod needs 2")
	w.pod("c", "along") // what comes along counts too
	in = append(in, w.configured("c")...)
	w.pod("d", "along")
	w.event("d", "FabricWaiting", "has 4 of 4 members")
	w.inUFM(0x5, in...)
	if n := len(w.rows()); n != 4 {
		t.Errorf("%d rows for 4 GUIDs", n)
	}
	w.deletePod("b")
	w.configured("d")
	w.notConfigured("two")
	w.deletePod("a")
	w.configured("two")
	if n := len(w.members(0x5)); n != 4 {
		t.Errorf("UFM has %d members", n)
	}
	room = 9
	w.editPartition("small", func(s *spec) { s.MaxMembers = &room })
	w.configured("big")
}
