package control

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/admission/broken"
)

// named makes the name of an object of a text.
func named(text string) string {
	return strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(text))
}

// pairs are annotations as rawNetwork takes them.
func pairs(annotations map[string]string) (all []string) {
	for key, value := range annotations {
		all = append(all, key, value)
	}
	return all
}

func TestABrokenNetworkSaysWhatToWriteAndIsTakenUpWhenItIsMended(t *testing.T) {
	w := newWorld(t)
	networks := broken.Networks()
	names := slices.Sorted(maps.Keys(networks))
	for _, name := range names {
		w.rawNetwork(named(name), networks[name].Config, pairs(networks[name].Annotations)...)
	}
	c := w.start()
	w.fine() // the controller knows this network, and so those made before it
	for _, name := range names {
		w.pod("on-"+named(name), named(name))
	}
	w.fine()
	for _, name := range names { // every pod is looked at again, and nothing is said again
		w.rawNetwork(named(name), networks[name].Config, append(pairs(networks[name].Annotations), "touched", "yes")...)
	}
	w.fine()
	for i, name := range names {
		w.under(t, name, func() {
			pod := "on-" + named(name)
			w.saidOnce(pod, "FabricRefused", networks[name].Mend)
			if got := w.elements(pod)[0]; got.Configured || got.GUID != 0 {
				t.Errorf("the pod was let go on: %+v", got)
			}
			p := pkey.PKey(0x100 + i)
			w.network(named(name), p.String())
			w.inUFM(p, w.configured(pod)[0])
		})
	}
	w.unharmed(c)
}

// What looks odd and can be meant in one way only is taken in that way.
func TestAnOddNetworkIsTakenAsItCanOnlyBeMeant(t *testing.T) {
	w := newWorld(t)
	padded := `{"type":"ib-sriov","pkey":"0x17","x":"` + strings.Repeat("y", 1<<20) + `"}`
	odd := map[string]struct {
		config string
		want   pkey.PKey // 0: a GUID and no partition
	}{
		"a number":          {broken.Keyed(`1000`), 0x3e8},
		"an escaped key":    {`{"type":"ib-sriov","pk\u0065y":"0x11"}`, 0x11},
		"an escaped value":  {broken.Keyed(`"\u0030x12"`), 0x12},
		"another case":      {`{"Type":"ib-sriov","PKey":"0x13"}`, 0x13},
		"padded":            {broken.Keyed(`"0X00014"`), 0x14},
		"behind another":    {`{"plugins":[{"type":"tuning"},` + broken.Keyed(`"0x15"`) + `]}`, 0x15},
		"null":              {broken.Keyed(`null`), 0},
		"empty":             {broken.Keyed(`""`), 0},
		"absent":            {`{"type":"ib-sriov"}`, 0},
		"a mebibyte":        {padded, 0x17},
		"spaces and breaks": {" {\n\t\"type\" : \"ib-sriov\" , \"pkey\" : \"0x18\" } \n", 0x18},
	}
	for name, f := range odd {
		w.rawNetwork(named(name), f.config)
		w.pod("on-"+named(name), named(name))
	}
	// Of a NAD without a config Multus reads a file on the node: nobody here knows which.
	w.rawNetwork("file", "")
	c := w.start()
	w.fine()
	w.pod("on-file", "file")
	for name, f := range odd {
		w.under(t, name, func() {
			g := w.configured("on-" + named(name))[0]
			if f.want != 0 {
				w.inUFM(f.want, g)
				return
			}
			if row := w.rows()[g.String()]; len(row.PKeys) != 0 {
				t.Errorf("it is in %v", row.PKeys)
			}
		})
	}
	w.fine() // it came after that pod
	if said := slices.DeleteFunc(w.reasons("on-file"), w.isOthers); len(said) != 0 || w.elements("on-file")[0].Configured {
		t.Errorf("a network of a file on the node is not ours: %v", said)
	}
	w.network("file", "0x19")
	w.inUFM(0x19, w.configured("on-file")[0])
	w.unharmed(c)
}

// A tenant with many faults at a time gets one Event, and the log no book.
func TestManyFaultsOfOnePodAreOneShortMessage(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.pod("many", strings.TrimSuffix(strings.Repeat("missing-network,", 15<<10), ","))
	w.fine()
	w.saidOnce("many", "FabricWaiting", "create that NetworkAttachmentDefinition")
}
