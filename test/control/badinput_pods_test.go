package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/guid"
)

// brokenPod is a networks annotation that cannot be meant like this; NS stands for the
// namespace, and OWNED for the GUID of a pod that lives.
type brokenPod struct {
	networks string
	reason   string
	mend     string
}

const refusedBy = "FabricRefused"

func brokenPods() map[string]brokenPod {
	guidOf := func(g string) string { return `[{"name":"rail","cni-args":{"guid":` + g + `}}]` }
	return map[string]brokenPod{
		"a number for a guid":         {guidOf(`144115188075855873`), refusedBy, `put it in quotes`},
		"an object for a guid":        {guidOf(`{}`), refusedBy, `put it in quotes`},
		"a live pod's guid":           {guidOf(`"OWNED"`), refusedBy, "leave the guid out, or choose one that is free"},
		"a guid out of range":         {guidOf(`"04:00:00:00:00:00:00:01"`), refusedBy, "outside the pool's range"},
		"six bytes":                   {guidOf(`"02:00:00:00:00:01"`), refusedBy, "write 16 hex digits"},
		"a guid of zeros":             {guidOf(`"00:00:00:00:00:00:00:00"`), refusedBy, "write 16 hex digits"},
		"two guids":                   {`[{"name":"rail","infiniband-guid":"02:00:00:00:00:00:00:71","cni-args":{"guid":"02:00:00:00:00:00:00:72"}}]`, refusedBy, "leave one of them"},
		"self-written partitions":     {`[{"name":"rail","cni-args":{"pkey":"0x6","ibfabric.io/pkeys":"0x5:full"}}]`, refusedBy, "remove both: the controller writes them"},
		"invalid JSON":                {`[{"name":"rail",}]`, refusedBy, "mend the text near"},
		"JSON with something behind":  {`[{"name":"rail"}] please`, refusedBy, "mend the text near"},
		"an object for a list":        {`{"name":"rail"}`, refusedBy, `write it as [{"name":"…"}], also for one network`},
		"cni-args as text":            {`[{"name":"rail","cni-args":"guid=5"}]`, refusedBy, `write it as "cni-args":{"guid":"…"}`},
		"cni-args as a list":          {`[{"name":"rail","cni-args":["guid"]}]`, refusedBy, `write it as "cni-args":{"guid":"…"}`},
		"one interface twice":         {`[{"name":"rail","interface":"ib0"},{"name":"rail","interface":"ib0"}]`, refusedBy, "give each element its own"},
		"one interface by its number": {`rail@net2,rail`, refusedBy, "give each element its own"},
		"a guid in another case":      {`[{"name":"rail","cni-args":{"GUID":"02:00:00:00:00:00:00:73"}}]`, refusedBy, `write it as "guid"`},
		"200 KiB of one word":         {strings.Repeat("a", 200<<10), refusedBy, "write it as [namespace/]name[@interface]"},
		"200 KiB of brackets":         {strings.Repeat("[", 200<<10), refusedBy, "mend the text near"},
		"200 KiB of guid":             {guidOf(`"` + strings.Repeat("0", 200<<10) + `"`), refusedBy, "write 16 hex digits"},
		"no such network":             {`nowhere`, "FabricWaiting", "create that NetworkAttachmentDefinition, or correct the pod's annotation"},
		"no such namespace":           {`nowhere/rail`, "FabricWaiting", "create that NetworkAttachmentDefinition, or correct the pod's annotation"},
	}
}

func TestABrokenPodSaysWhatToWriteAndIsTakenUpWhenItIsMended(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	c := w.start()
	w.pod("owner", "rail")
	owned := w.configured("owner")[0]
	broken := brokenPods()
	names := slices.Sorted(maps.Keys(broken))
	for _, name := range names {
		w.pod(named(name), strings.ReplaceAll(broken[name].networks, "OWNED", owned.String()))
	}
	w.fine()
	w.network("rail", "0x5", "touched", "yes") // its pods are looked at again, and nothing is said again
	w.fine()
	members := []guid.GUID{owned}
	for _, name := range names {
		w.under(t, name, func() {
			w.saidOnce(named(name), broken[name].reason, broken[name].mend)
			w.inUFM(0x5, members...)
			w.rewrite(named(name), "rail")
			members = append(members, w.configured(named(name))[0])
			w.inUFM(0x5, members...)
		})
	}
	if again := w.configured("owner")[0]; again != owned {
		t.Errorf("the owner had %s and has %s", owned, again)
	}
	w.unharmed(c)
}

func TestAnElementThatNamesNoNetworkSaysWhatToWrite(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	c := w.start()
	for name, f := range map[string]brokenPod{
		"an element that is a number":  {`[5]`, refusedBy, `write it as {"name":"…"}`},
		"a name that is a number":      {`[{"name":5}]`, refusedBy, "put it in quotes"},
		"a name that is none":          {`[{"name":"Rail 1"}]`, refusedBy, "write the name of a NetworkAttachmentDefinition"},
		"two names":                    {`[{"name":"rail","Name":"rail2"}]`, refusedBy, "leave one of them"},
		"an interface with a slash":    {`[{"name":"rail","interface":"a/b"}]`, refusedBy, "use up to 15 characters"},
		"an empty part":                {`rail,,rail`, refusedBy, "write it as [namespace/]name[@interface]"},
		"an upper-case name in a list": {`Rail`, refusedBy, "write it as [namespace/]name[@interface]"},
	} {
		w.under(t, name, func() {
			w.pod(named(name), f.networks)
			w.saidOnce(named(name), f.reason, f.mend)
			w.rewrite(named(name), "rail")
			w.configured(named(name))
		})
	}
	w.unharmed(c)
}

// Both are new and want the same one: who comes first has it, the other is told, and
// gets one when it no longer insists.
func TestOfTwoPodsWithOneGUIDOneIsServed(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	const both = "02:00:00:00:00:00:00:61"
	for _, name := range []string{"a", "b"} {
		w.pod(name, "", pinned(w.ns, "rail", both))
	}
	c := w.start()
	w.inUFM(0x5, 0x0200000000000061)
	first, second := "a", "b"
	if row := w.rows()[both]; row.Pod == "b" {
		first, second = "b", "a"
	}
	w.configured(first)
	w.saidOnce(second, refusedBy, fmt.Sprintf("leave the guid out, or choose one that is free (%s net1)", first))
	w.rewrite(second, "rail")
	w.inUFM(0x5, 0x0200000000000061, w.configured(second)[0])
	w.fine()
	w.unharmed(c)
}

func TestAnOddPinnedGUIDIsTakenAsItCanOnlyBeMeant(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	c := w.start()
	odd := map[string]string{
		"upper case": "02:00:00:00:00:00:00:AB", "dashes": "02-00-00-00-00-00-00-AC", "as in sysfs": "0200:0000:0000:00ad",
		"bare": "02000000000000AE", "with 0x": "0X02000000000000af",
	}
	for name, g := range odd {
		w.pod(named(name), "", pinned(w.ns, "rail", g))
	}
	var want []guid.GUID
	for name, text := range odd {
		g, err := guid.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if have := w.configured(named(name))[0]; have != g {
			t.Errorf("%s: %s became %s", name, text, have)
		}
		want = append(want, g)
	}
	w.inUFM(0x5, want...)
	w.unharmed(c)
}

// Whoever is refused again for another reason is told again.
func TestASecondFaultIsToldAsTheFirstWas(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	w.start()
	w.fine()
	w.pod("a", `[{"name":"rail","cni-args":{"guid":5}}]`)
	w.event("a", refusedBy, "put it in quotes")
	w.rewrite("a", `[{"name":"rail","cni-args":{"guid":"5"}}]`)
	w.event("a", refusedBy, "write 16 hex digits")
	w.rewrite("a", `[{"name":"rail","cni-args":"5"}]`)
	w.event("a", refusedBy, `write it as "cni-args"`)
	w.rewrite("a", "rail")
	w.inUFM(0x5, w.configured("a")[0])
}
