package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// pkeyOf waits until a Partition can be used, and gives its PKey.
func (w *world) pkeyOf(name string) string {
	w.t.Helper()
	return w.stands(name, v1alpha1.ConditionReady, metav1.ConditionTrue, "").Status.PKey
}

func TestPartitionsWithoutAPKeyAreGivenFreeOnes(t *testing.T) {
	w := newWorld(t)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x1000}); err != nil { // somebody's, without members yet
		t.Fatal(err)
	}
	w.partition("fixed", spec{PKey: "0x1002"})
	w.network("open", "0x1003")
	const pkeyRange = "--pkey-range=0x1000-0x1005"
	before := w.start()
	w.pod("squatter", "open")
	squats := w.configured("squatter")
	before.stop()
	first := w.start(append(quick(), pkeyRange)...)
	w.pod("late", "open") // whoever gets this PKey next would find it inside
	w.event("late", "FabricRefused", "pkey 0x1003 has no Partition")
	w.inUFM(0x1003, squats...)
	w.partition("one", spec{Namespaces: toAll()})
	one := w.pkeyOf("one")
	w.partition("two", spec{Namespaces: toAll()})
	two := w.pkeyOf("two")
	if one != "0x1001" || two != "0x1004" {
		t.Errorf("they got %s and %s, want those that nobody has", one, two)
	}
	w.on("rail1", "one")
	w.pod("a", "rail1")
	w.inUFM(0x1001, w.configured("a")[0])

	w.dropPartition("two")
	testbed.Eventually(t, "partition two is gone", func() (bool, string) {
		_, err := w.readPartition("two")
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	first.run.Kill()
	w.succeed(pkeyRange)
	w.partition("three", spec{Namespaces: toAll()})
	three := w.pkeyOf("three")
	if now := w.pkeyOf("one"); now != one || three == one {
		t.Errorf("after a restart they have %s and %s", now, three)
	}
	w.deletePod("a")
	w.inUFM(0x1001)
	w.dropPartition("one") // its member's GUID is held for an hour, and the PKey with it
	w.partition("four", spec{Namespaces: toAll()})
	four := w.pkeyOf("four")
	got := []string{three, four}
	slices.Sort(got)
	if !slices.Equal(got, []string{"0x1004", "0x1005"}) {
		t.Errorf("the free ones went as %v", got)
	}
	w.partition("none", spec{Namespaces: toAll()})
	w.stands("none", v1alpha1.ConditionReady, metav1.ConditionFalse, "widen --pkey-range")
	w.dropPartition("four")
	w.pkeyOf("none")
}

func TestAPartitionWithoutAPKeyIsToldThatThereIsNoRange(t *testing.T) {
	w := newWorld(t)
	w.on("rail1", "one")
	w.start()
	w.partition("one", spec{Namespaces: toAll()})
	w.stands("one", v1alpha1.ConditionReady, metav1.ConditionFalse, "--pkey-range")
	w.pod("a", "rail1")
	w.event("a", "FabricWaiting", "kubectl describe partition "+w.named("one"))
}

// qos is what UFM has of a partition; zero without one.
func (w *world) qos(p pkey.PKey) pkey.QoS {
	for _, part := range w.sim.Partitions() {
		if part.PKey == p {
			return part.QoS
		}
	}
	return pkey.QoS{}
}

func (w *world) hasQoS(p pkey.PKey, want pkey.QoS) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("UFM has %s as %+v", p, want), func() (bool, string) {
		return w.qos(p) == want, fmt.Sprintf("%+v", w.qos(p))
	})
}

func TestAPartitionHasItsQualityOfServiceWheneverUFMMakesIt(t *testing.T) {
	w := newWorld(t)
	level := int32(3)
	w.partition("fast", spec{PKey: "0x5", Namespaces: toAll(), MTU: 4096, RateLimit: "100", ServiceLevel: &level})
	w.on("rail1", "fast")
	first := w.start()
	want := pkey.QoS{MTULimit: 4, RateLimit: 100, ServiceLevel: 3}
	// Long enough for a pod to go on before it, if it did not wait.
	_, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultLatency, Op: ufmsim.OpQoS, Delay: 500 * time.Millisecond, Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // with the last member UFM forgets all of it
		name := fmt.Sprintf("p%d", i)
		w.pod(name, "rail1")
		w.configured(name)
		if got := w.qos(0x5); got != want {
			t.Errorf("when pod %s goes on UFM has %+v", name, got)
		}
		w.deletePod(name)
		w.inUFM(0x5)
	}
	w.pod("a", "rail1")
	w.pod("b", "rail1")
	w.configured("a")
	w.configured("b")
	w.editPartition("fast", func(s *spec) { s.RateLimit = "200" })
	want.RateLimit = 200
	w.hasQoS(0x5, want)

	calls := w.sim.Calls()[ufmsim.OpQoS]
	if calls > 4 { // two pods that came alone, the pair, and the edit
		t.Errorf("UFM was told %d times", calls)
	}
	first.stop()
	w.start()
	w.someRounds()
	if now := w.sim.Calls()[ufmsim.OpQoS]; now != calls {
		t.Errorf("a new leader told UFM again what it has: %d times", now-calls)
	}
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 400, Op: ufmsim.OpQoS}); err != nil {
		t.Fatal(err)
	}
	w.editPartition("fast", func(s *spec) { s.RateLimit = "300" })
	w.stands("fast", v1alpha1.ConditionInSync, metav1.ConditionFalse, "not as spec.mtu")
	w.pod("c", "rail1")
	w.configured("c") // it is a member all the same
}

func TestAPartitionGoesWhenItsLastMemberIsGone(t *testing.T) {
	w := newWorld(t)
	w.partition("blue", spec{PKey: "0x5", Namespaces: toAll()})
	w.on("rail1", "blue")
	w.start()
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	w.dropPartition("blue")
	w.stands("blue", v1alpha1.ConditionReady, metav1.ConditionFalse, "delete their pods")
	w.pod("late", "rail1")
	w.event("late", "FabricWaiting", "is being deleted")
	w.someRounds()
	if _, err := w.readPartition("blue"); err != nil {
		t.Errorf("with a member in it: %v", err)
	}
	w.inUFM(0x5, g)
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpRemove}); err != nil {
		t.Fatal(err)
	}
	w.deletePod("a")
	testbed.Eventually(t, "UFM is told to let it go", func() (bool, string) { return w.sim.Calls()[ufmsim.OpRemove] > 0, "" })
	if _, err := w.readPartition("blue"); err != nil {
		t.Errorf("with a member that is leaving: %v", err)
	}
	w.sim.ClearFaults()
	testbed.Eventually(t, "the partition is gone", func() (bool, string) {
		_, err := w.readPartition("blue")
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	w.inUFM(0x5)
	w.notConfigured("late")
}

func TestAPartitionTellsOfMembersThatUFMDoesNotTake(t *testing.T) {
	w := newWorld(t)
	w.partition("blue", spec{PKey: "0x5", Namespaces: toAll()})
	w.on("rail1", "blue")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pod("a", "rail1")
	part := w.stands("blue", v1alpha1.ConditionInSync, metav1.ConditionFalse, "UFM lacks 1 of 1 members")
	if part.Status.Pending != 1 || part.Status.Members != 0 {
		t.Errorf("its status is %+v", part.Status)
	}
	w.sim.ClearFaults()
	w.configured("a")
	w.counts("blue", 1)
	w.stands("blue", v1alpha1.ConditionInSync, metav1.ConditionTrue, "")
}

func TestWhatNoPartitionCanBeIsRefusedWithTheMend(t *testing.T) {
	w := newWorld(t)
	level, none := int32(16), int32(0)
	for name, tc := range map[string]struct {
		s    spec
		says string
	}{
		"decimal":        {spec{PKey: "1000"}, "as in 0x1000"},
		"membership-bit": {spec{PKey: "0x8005"}, "without the membership bit"},
		"management":     {spec{PKey: "0x7fff"}, "not 0x7fff"},
		"zero":           {spec{PKey: "0x0"}, "from 0x1"},
		"mtu":            {spec{MTU: 1500}, "2048"},
		"rate":           {spec{RateLimit: "7"}, "2.5"},
		"level":          {spec{ServiceLevel: &level}, "less than or equal to 15"},
		"nobody":         {spec{MaxMembers: &none}, "greater than or equal to 1"},
		"membership":     {spec{Membership: "partial"}, "limited"},
		"itself":         {spec{Also: []v1alpha1.PartitionRef{{Name: w.named("itself")}}}, "names this Partition itself"},
	} {
		if err := w.tryPartition(name, tc.s); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want it refused with %q", name, err, tc.says)
		}
	}
	for i, good := range []string{"0x1", "0x7ffe", "0x00aB", "0X7Fef", "0x6fff", "0x7eff"} {
		w.partition(fmt.Sprintf("good%d", i), spec{PKey: good})
	}
	w.partition("fixed", spec{PKey: "0x5"})
	w.partition("chosen", spec{})
	for name, p := range map[string]string{"fixed": "0x6", "chosen": "0x7"} {
		part, err := w.readPartition(name)
		if err != nil {
			t.Fatal(err)
		}
		other := func(part *v1alpha1.Partition) { part.Spec.PKey = p }
		if err := rig.Edit(w.ctx(), w.api, part, other); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "make another Partition") {
			t.Errorf("%s: its pkey could be changed: %v", name, err)
		}
	}
}

func TestPartitionsCostAnIdleControllerNothing(t *testing.T) {
	w := newWorld(t)
	w.partition("blue", spec{PKey: "0x5", Namespaces: toTeam("blue"), MTU: 4096})
	w.partition("clash", spec{PKey: "0x5"})
	w.partition("wants", spec{})
	w.team(w.ns, "blue")
	w.on("rail1", "blue")
	api, env := w.apiFront()
	w.lead(env, "--log-level=info", "--sync-period=200ms", "--summary-period=2s")
	w.pod("a", "rail1")
	w.pod("b", "rail1")
	w.configured("a")
	w.configured("b")
	w.counts("blue", 2)
	w.stands("wants", v1alpha1.ConditionReady, metav1.ConditionFalse, "")
	w.journaled()
	w.summaries(2) // what was still on its way has come; the first summary may be due right now
	writes, calls := len(api.requests(isWrite)), w.sim.Calls()
	w.summaries(2)
	for _, r := range api.requests(isWrite)[writes:] {
		if strings.Contains(r.URL.Path, w.ns) {
			t.Errorf("an idle controller wrote: %s %s", r.Method, r.URL.Path)
		}
	}
	for op, n := range w.sim.Calls() {
		if n -= calls[op]; n > 0 && op != ufmsim.OpList {
			t.Errorf("an idle controller asked UFM for %s %d times", op, n)
		}
	}
}
