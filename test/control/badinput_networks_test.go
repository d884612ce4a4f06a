package control

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// brokenNetwork is a NAD that cannot be meant like this, and the part of the message that
// names the mend.
type brokenNetwork struct {
	config      string
	mend        string
	annotations []string
}

// keyed is a config with a pkey as JSON.
func keyed(raw string) string { return `{"type":"ib-sriov","pkey":` + raw + `}` }

// with annotates a sound config.
func with(key, value, mend string) brokenNetwork {
	return brokenNetwork{keyed(`"0x5"`), mend, []string{key, value}}
}

func brokenNetworks() map[string]brokenNetwork {
	const range1 = "use 0x1 to 0x7ffe"
	list := map[string]brokenNetwork{
		"unknown membership":   with(attach.MembershipAnnotation, "half", "write full or limited"),
		"also names nonsense":  with(attach.AlsoAnnotation, "Storage!", "write a PKey as 0x20 or the name of a Partition"),
		"also in decimal":      with(attach.AlsoAnnotation, "20", "did you mean 0x14 (that is decimal 20) or 0x20?"),
		"also a trailing part": with(attach.AlsoAnnotation, "0x20,", "write it as storage:limited,0x20"),
		"also the same":        with(attach.AlsoAnnotation, "0x0005", "name it once"),
		"index0 as yes":        with(attach.Index0Annotation, "yes", `write "true" or "false"`),
		"pkey and a partition": with(attach.PartitionAnnotation, "tenant", "remove one of them"),
	}
	for name, f := range map[string][2]string{
		"decimal text":            {keyed(`"1000"`), "did you mean 0x3e8 (that is decimal 1000) or 0x1000?"},
		"hex without 0x":          {keyed(`"abc"`), "did you mean 0xabc?"},
		"the top bit":             {keyed(`"0x8001"`), "write 0x1 and say the membership apart"},
		"a typing error":          {keyed(`"x0x5"`), "write it in hex, as in 0x1000"},
		"zero":                    {keyed(`"0x0"`), range1},
		"the management key":      {keyed(`"0x7fff"`), range1},
		"a number out of range":   {keyed(`70000`), range1},
		"a negative number":       {keyed(`-1`), `write it as a string of hex, as in "0x1000"`},
		"a fraction":              {keyed(`1.5`), `write it as a string of hex, as in "0x1000"`},
		"a number with exponent":  {keyed(`1e3`), `write it as a string of hex, as in "0x1000"`},
		"pkey as a list":          {keyed(`["0x5"]`), `write it as a string of hex, as in "0x1000"`},
		"pkey as an object":       {keyed(`{"0x5":1}`), `write it as a string of hex, as in "0x1000"`},
		"pkey as a bool":          {keyed(`true`), `write it as a string of hex, as in "0x1000"`},
		"not JSON":                {`{"type":"ib-sriov","pkey":`, "mend the text near"},
		"JSON and more":           {keyed(`"0x5"`) + "}", "mend the text near"},
		"a list for a config":     {`[` + keyed(`"0x5"`) + `]`, `write {"type":"ib-sriov",…}`},
		"doubled keys":            {`{"type":"ib-sriov","pkey":"0x5","pkey":"0x6"}`, `"pkey" stands there 2 times; leave one of them`},
		"doubled in another case": {`{"type":"ib-sriov","pkey":"0x5","PKey":"0x6"}`, `"pkey" stands there 2 times; leave one of them`},
		"doubled by an escape":    {`{"type":"ib-sriov","pkey":"0x5","pk\u0065y":"0x6"}`, `"pkey" stands there 2 times; leave one of them`},
		"two plugins of ours":     {`{"plugins":[` + keyed(`"0x5"`) + `,` + keyed(`"0x6"`) + `]}`, "are both ib-sriov; leave one of them"},
		"plugins as an object":    {`{"plugins":` + keyed(`"0x5"`) + `}`, `write "plugins":[{"type":"ib-sriov",…}]`},
		"a mebibyte of nothing":   {keyed(strings.Repeat(" ", 1<<20)), "mend the text near"},
		"a mebibyte of pkey":      {keyed(`"0x` + strings.Repeat("f", 1<<20) + `"`), "write it as 0x1000"},
		"capability as text":      {`{"type":"ib-sriov","capabilities":{"infinibandGUID":"yes"}}`, "write true or false, without quotes"},
	} {
		list[name] = brokenNetwork{config: f[0], mend: f[1]}
	}
	return list
}

// named makes the name of an object of a text.
func named(text string) string {
	return strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(text))
}

func TestABrokenNetworkSaysWhatToWriteAndIsTakenUpWhenItIsMended(t *testing.T) {
	w := newWorld(t)
	broken := brokenNetworks()
	names := slices.Sorted(maps.Keys(broken))
	for _, name := range names {
		w.rawNetwork(named(name), broken[name].config, broken[name].annotations...)
	}
	c := w.start()
	w.fine() // the controller knows this network, and so those made before it
	for _, name := range names {
		w.pod("on-"+named(name), named(name))
	}
	w.fine()
	for _, name := range names { // every pod is looked at again, and nothing is said again
		w.rawNetwork(named(name), broken[name].config, append(broken[name].annotations, "touched", "yes")...)
	}
	w.fine()
	for i, name := range names {
		w.under(t, name, func() {
			pod := "on-" + named(name)
			w.saidOnce(pod, "FabricRefused", broken[name].mend)
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
		"a number":          {keyed(`1000`), 0x3e8},
		"an escaped key":    {`{"type":"ib-sriov","pk\u0065y":"0x11"}`, 0x11},
		"an escaped value":  {keyed(`"\u0030x12"`), 0x12},
		"another case":      {`{"Type":"ib-sriov","PKey":"0x13"}`, 0x13},
		"padded":            {keyed(`"0X00014"`), 0x14},
		"behind another":    {`{"plugins":[{"type":"tuning"},` + keyed(`"0x15"`) + `]}`, 0x15},
		"null":              {keyed(`null`), 0},
		"empty":             {keyed(`""`), 0},
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
	if said := w.reasons("on-file"); len(said) != 0 || w.elements("on-file")[0].Configured {
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
