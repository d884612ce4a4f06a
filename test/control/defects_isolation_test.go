package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestDefect1WhoeverAsksForALivePodsGUIDGetsNothing(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.network("red", "0x7")
	first := w.lead(nil)
	w.pod("victim", "blue")
	g := w.configured("victim")[0]
	w.phase("victim", corev1.PodRunning)

	dashes := strings.ToUpper(strings.ReplaceAll(g.String(), ":", "-"))
	thieves := map[string]func(*corev1.Pod){
		"in-cni-args":     annotated(`[{"name":"red","cni-args":{"guid":%q}}]`, g),
		"at-the-top":      annotated(`[{"name":"red","infiniband-guid":%q}]`, g),
		"other-spelling":  annotated(`[{"name":"red","cni-args":{"guid":%q}}]`, dashes),
		"same-partition":  annotated(`[{"name":"blue","cni-args":{"guid":%q}}]`, g),
		"says-configured": annotated(`[{"name":"red","cni-args":{"guid":%q,"pkey":"0x7","mellanox.infiniband.app":"configured"}}]`, g),
	}
	for name, asks := range thieves {
		w.pod(name, "", asks)
		w.event(name, "FabricRefused", "belongs to another pod")
	}
	first.stop() // the next leader reads all that as if it were old
	w.lead(nil)
	w.pod("late", "", thieves["in-cni-args"])
	w.event("late", "FabricRefused", "belongs to another pod")
	w.inUFM(0x5, g)
	w.inUFM(0x7)
	w.undisturbed(g)
	if row := w.rows()[g.String()]; row.Pod != "victim" || len(w.rows()) != 1 {
		t.Errorf("the ledger says %v", w.rows())
	}
	for name := range thieves {
		w.notConfigured(name)
	}
}

func TestDefect2NetworksOfOneNameInTwoNamespacesAreTwo(t *testing.T) {
	w := newWorld(t)
	other := w.bed.Namespace(t)
	w.network("rail1", "0x5")
	w.inNamespace(other, "rail1", "0x6")
	w.lead(nil)
	w.pod("both", "rail1,"+other+"/rail1")
	guids := w.configured("both")
	w.pod("there", "rail1", func(p *corev1.Pod) { p.Namespace = other })
	there := w.guidsOf(types.NamespacedName{Namespace: other, Name: "there"})
	w.inUFM(0x5, guids[0])
	w.inUFM(0x6, guids[1], there[0])
	if e := w.elements("both"); e[0].Recorded[0].PKey != 0x5 || e[1].Recorded[0].PKey != 0x6 {
		t.Errorf("the annotation says %v and %v", e[0].Recorded, e[1].Recorded)
	}
	w.deletePod("both")
	w.inUFM(0x5)
	w.inUFM(0x6, there[0])
}

func TestDefect3APodThatCallsItselfConfiguredGoesTheWayOfTheOthers(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.network("red", "0x7")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd}); err != nil {
		t.Fatal(err)
	}
	w.lead(nil)
	own := guid.GUID(0x0200000000000042)
	const format = `[{"name":"blue","cni-args":{"guid":%q,"pkey":%q,"mellanox.infiniband.app":"configured"}}]`
	w.pod("no-guid", "", annotated(format, "", "0x5"), gated("ibfabric.io/"+w.ns))
	w.pod("own-guid", "", annotated(format, own, "0x5"), gated("ibfabric.io/"+w.ns))
	w.pod("other-pkey", "", annotated(format, "", "0x7"), gated("ibfabric.io/"+w.ns))
	names := []string{"no-guid", "own-guid", "other-pkey"}
	for _, name := range names {
		w.event(name, "FabricWaiting", "pkey 0x5")
		if len(w.get(name).Spec.SchedulingGates) != 1 {
			t.Errorf("%s was let go on by its own word", name)
		}
	}
	w.sim.ClearFaults()
	var want []guid.GUID
	for _, name := range names {
		testbed.Eventually(t, name+" goes on", func() (bool, string) { return len(w.get(name).Spec.SchedulingGates) == 0, "" })
		e := w.elements(name)[0]
		if e.GUID == 0 || e.Recorded[0].PKey != 0x5 || w.rows()[e.GUID.String()].Pod != name {
			t.Errorf("%s has %+v", name, e)
		}
		want = append(want, e.GUID)
	}
	w.inUFM(0x5, want...)
	w.inUFM(0x7)
	if !slices.Contains(want, own) {
		t.Errorf("the pod that pinned %s has it not: %v", own, want)
	}
}

func TestDefect3TheWordOfARefusedPodIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.network("red", "0x7")
	w.lead(nil)
	w.pod("victim", "blue")
	g := w.configured("victim")[0]
	w.pod("thief", "", written(w.ns, "red", g, "0x7"))
	w.event("thief", "FabricRefused", "belongs to another pod")
	w.unmarked("thief")
	w.event("thief", "FabricUnmarked", "the controller alone writes it")
	w.undisturbed(g)
}

// unmarked waits until no element of a pod says any longer that it is configured.
func (w *world) unmarked(name string) {
	w.t.Helper()
	testbed.Eventually(w.t, name+" says no longer that it is configured", func() (bool, string) {
		text := w.get(name).Annotations[attach.NetworksAnnotation]
		return !strings.Contains(text, `"configured"`), text // whoever reads it, and however
	})
}

// A UFM that takes no members leaves time to look.
func (w *world) takesNobodyIn() {
	w.t.Helper()
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd}); err != nil {
		w.t.Fatal(err)
	}
}

func TestTheWordOfAPodThatUFMDoesNotHoldIsTakenBackUntilItDoes(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.takesNobodyIn()
	w.lead(nil)
	w.logged("leader.adopted", "") // it would take over what it finds
	own, later := guid.GUID(0x0200000000000042), guid.GUID(0x0200000000000043)
	w.pod("early", "", written(w.ns, "blue", own, "0x5"))
	w.pod("late", "", pinned(w.ns, "blue", later.String()))
	w.event("late", "FabricWaiting", "pkey 0x5") // it has its row
	w.reannotate("late", func(a map[string]string) {
		a[attach.NetworksAnnotation] = fmt.Sprintf(`[{"name":"blue","cni-args":{"guid":%q,"mellanox.infiniband.app":"configured"}}]`, later)
	})
	for name, g := range map[string]guid.GUID{"early": own, "late": later} {
		w.unmarked(name)
		w.event(name, "FabricUnmarked", "the controller alone writes it")
		if e := w.elements(name)[0]; e.GUID != g {
			t.Errorf("%s wished for %s, and now says %+v", name, g, e)
		}
		w.notConfigured(name)
	}
	w.sim.ClearFaults()
	for name, g := range map[string]guid.GUID{"early": own, "late": later} {
		if got := w.configured(name)[0]; got != g {
			t.Errorf("%s has %s, and wished for %s", name, got, g)
		}
		w.loggedOnce(name, "pod.unmarked")
	}
	w.inUFM(0x5, own, later)
}

func TestAWordIsTakenBackWhateverElseIsWrongWithIt(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.network("typo", "1000")
	w.lead(nil)
	w.logged("leader.adopted", "")
	const mark = `"guid":"02:00:00:00:00:00:00:42","mellanox.infiniband.app":"configured"`
	for name, element := range map[string]string{
		"refused-network": `{"name":"typo","cni-args":{` + mark + `}}`,
		"two-guids":       `{"name":"blue","infiniband-guid":"02:00:00:00:00:00:00:43","cni-args":{` + mark + `}}`,
		"doubled-key":     `{"name":"blue","cni-args":{"Guid":"1",` + mark + `}}`,
		"two-cni-args":    `{"name":"blue","CNI-Args":{"pkey":"0x6"},"cni-args":{` + mark + `}}`,
	} {
		w.pod(name, "", annotated(`[%s]`, element))
		w.event(name, "FabricRefused", "")
		w.unmarked(name)
	}
	if len(w.rows()) != 0 {
		t.Errorf("the ledger has %v", w.rows())
	}
}

// What others say, and what can no longer be taken back, is let be.
func TestOnlyAWordThatIsTheControllersToSayIsTakenBack(t *testing.T) {
	w := newWorld(t)
	other := worldOn(t, w.bed)
	w.network("blue", "0x5")
	other.network("theirs", "0x5")
	g := guid.GUID(0x0200000000000042)
	w.lead(nil)
	w.logged("leader.adopted", "")
	pods := map[string]func(*corev1.Pod){
		"on-theirs":   written(other.ns, "theirs", g, "0x5"),
		"on-nothing":  written(w.ns, "not-there", g, "0x5"),
		"on-the-host": func(p *corev1.Pod) { written(w.ns, "blue", g, "0x5")(p); p.Spec.HostNetwork = true },
		"runs":        func(p *corev1.Pod) { written(w.ns, "not-there", g, "0x5")(p) },
	}
	wrote := map[string]string{}
	for name, edit := range pods {
		wrote[name] = w.pod(name, "", edit).Annotations[attach.NetworksAnnotation]
	}
	w.event("on-nothing", "FabricWaiting", "does not exist")
	w.event("on-the-host", "FabricIgnored", "host's network")
	w.phase("runs", corev1.PodRunning)
	w.reannotate("runs", func(a map[string]string) {
		a[attach.NetworksAnnotation] = fmt.Sprintf(`[{"name":"blue","cni-args":{"guid":%q,"mellanox.infiniband.app":"configured"}}]`, g)
	})
	wrote["runs"] = w.get("runs").Annotations[attach.NetworksAnnotation]
	w.inUFM(0x5, g) // it has the GUID, and UFM is told
	w.pod("after", "blue")
	w.configured("after")
	for name, text := range wrote {
		if got := w.get(name).Annotations[attach.NetworksAnnotation]; got != text {
			t.Errorf("%s wrote %s, and now has %s", name, text, got)
		}
	}
}

func TestADryRunTakesNoWordBack(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.lead(nil, "--sync-policy=dry-run")
	w.logged("leader.adopted", "")
	w.pod("a", "", written(w.ns, "blue", 0x0200000000000042, "0x5"))
	w.logged("plan.add", "02:00:00:00:00:00:00:42")
	if !w.elements("a")[0].Configured {
		t.Error("a dry run changed a pod")
	}
}

func TestDefect5ThePasswordIsInNoLogAlsoWhenUFMSaysItBack(t *testing.T) {
	w := newWorld(t)
	f, env := w.ufmFront()
	f.stepIn(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		// As a proxy does that shows the request it did not like.
		rw.WriteHeader(http.StatusBadGateway)
		_, _ = fmt.Fprintf(rw, "refused:\nAuthorization: %s\npassword=%s", r.Header.Get("Authorization"), password)
		return true
	})
	w.network("rail1", "0x5")
	w.lead(env)
	w.pod("a", "rail1")
	w.event("a", "FabricWaiting", "502")
	f.stepIn(nil)
	w.configured("a")
	events, err := w.bed.Client().CoreV1().Events(w.ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text := w.said()[0]
	if !strings.Contains(text, `"level":"debug"`) || !strings.Contains(text, "ufm call went wrong") {
		t.Fatal("the log is not at debug, or says nothing of the call: the test proves nothing")
	}
	for where, said := range map[string]string{"log": text, "events": fmt.Sprint(events.Items)} {
		for _, secret := range []string{password, "YWRtaW46czNjcmV0LW9mLXVmbQ"} { // plain, and as basic auth
			if strings.Contains(said, secret) {
				t.Errorf("the password is in the %s", where)
			}
		}
	}
}

func TestDefect6WhatAnotherClusterPutsInMeanwhileIsNotGivenToAPod(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.lead(nil, "--sync-period=100ms")
	w.pod("a", "rail1")
	a := w.configured("a")[0]
	theirs := []guid.GUID{a + 1, a + 2} // what the walk would come to next
	full := pkey.Mode{Index0: true}
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: theirs[0], Mode: full}, {GUID: theirs[1], Mode: full}}}); err != nil {
		t.Fatal(err)
	}
	w.logged("members.unclaimed", theirs[1].String())
	w.pod("b", "rail1")
	if b := w.configured("b")[0]; slices.Contains(theirs, b) {
		t.Errorf("the pod got %s, which another cluster has in pkey 0x66", b)
	}
	w.inUFM(0x66, theirs...)
}
