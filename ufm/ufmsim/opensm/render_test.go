package opensm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// partition is one with UFM's own name and QoS.
func partition(key pkey.PKey, members ...pkey.Member) ufmsim.Partition {
	p := pkey.Partition{PKey: key, Name: "api_pkey_" + key.String(), IPoIB: true, Members: members}
	return ufmsim.Partition{Partition: p, QoS: pkey.QoS{MTULimit: 2, RateLimit: 2.5}}
}

func member(n int, m pkey.Membership, index0 bool) pkey.Member {
	return pkey.Member{GUID: guid.GUID(0x0200_0000_0000_0000 + n), Mode: pkey.Mode{Membership: m, Index0: index0}}
}

func TestAPartitionIsLinesOfItsOwn(t *testing.T) {
	a := partition(0x10, member(1, pkey.Full, true), member(2, pkey.Limited, false), member(3, pkey.Limited, true))
	b := partition(0x20)
	b.Name, b.IPoIB, b.QoS = "storage-1", false, pkey.QoS{MTULimit: 4, RateLimit: 200, ServiceLevel: 3}
	got, err := Render([]ufmsim.Partition{a, b, {Partition: pkey.Partition{PKey: pkey.Default, Name: "management"}}})
	want := header + defaultPartition +
		"api_pkey_0x10=0x10, ipoib, mtu=4, rate=2, sl=0 : 0x0200000000000002=limited ;\n" +
		"api_pkey_0x10=0x10, indx0, ipoib, mtu=4, rate=2, sl=0 : 0x0200000000000001=full, 0x0200000000000003=limited ;\n" +
		"storage-1=0x20, mtu=5, rate=17, sl=3 : ;\n"
	if diff := gocmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestEveryRateAndMTUThatUFMHasIsOneOfOpenSMs(t *testing.T) {
	// In the order of the architecture's codes, which begin with 2.
	rates := []float64{2.5, 10, 30, 5, 20, 40, 60, 80, 120, 14, 56, 112, 168, 25, 100, 200, 300}
	for i, rate := range rates {
		if got := rateCodes()[rate]; got != i+2 {
			t.Errorf("rate %v is %d, want %d", rate, got, i+2)
		}
	}
	slices.Sort(rates)
	if diff := gocmp.Diff(pkey.Rates(), rates); diff != "" || mtuCodes()[2] != 4 || mtuCodes()[4] != 5 {
		t.Error(diff, mtuCodes())
	}
}

// anyParts are partitions in order, of which most can be written and some cannot.
func anyParts(t *rapid.T, names *rapid.Generator[string]) []ufmsim.Partition {
	var parts []ufmsim.Partition
	for _, key := range rapid.SliceOfNDistinct(rapid.Uint16Range(1, 0x7ffe), 0, 5, rapid.ID).Draw(t, "pkeys") {
		p := partition(pkey.PKey(key))
		p.Name, p.IPoIB = names.Draw(t, "name"), rapid.Bool().Draw(t, "ipoib")
		p.QoS = pkey.QoS{
			MTULimit: rapid.SampledFrom([]int{2, 4}).Draw(t, "mtu"), RateLimit: rapid.SampledFrom(pkey.Rates()).Draw(t, "rate"),
			ServiceLevel: rapid.IntRange(0, 15).Draw(t, "sl"),
		}
		for n := range rapid.SampledFrom([]int{0, 1, 2, membersALine, 3 * membersALine}).Draw(t, "members") {
			mode := rapid.IntRange(0, 3).Draw(t, "mode")
			p.Members = append(p.Members, member(7*n+1, pkey.Membership(mode%2), mode > 1))
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b ufmsim.Partition) int { return cmp.Compare(a.PKey, b.PKey) })
	return parts
}

func goodNames() *rapid.Generator[string] {
	return rapid.StringMatching(`[A-Za-z][A-Za-z0-9_.-]{0,30}`)
}

func badNames() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"x ;Default=0x7fff : ALL=full ;#", "x\nDefault=0x7fff : ALL=full ;\n", "#", "x : ALL", "", "a,b", "a b", "0x10", "x\x00", strings.Repeat("a", 5000),
	}))
}

// TestWhatIsWrittenIsWhatOpenSMReads holds for every partition that is taken, whatever
// somebody calls it: each port gets its entries, nobody else any.
func TestWhatIsWrittenIsWhatOpenSMReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hostile := rapid.Bool().Draw(t, "hostile")
		names := goodNames()
		if hostile {
			names = badNames()
		}
		parts := anyParts(t, names)
		body, err := Render(parts)
		if err != nil {
			if !hostile {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		got, err := tables(string(body))
		if err != nil {
			t.Fatalf("OpenSM refuses %q: %v", body, err)
		}
		want := map[guid.GUID]map[uint16]entry{0: everybody()}
		for _, p := range parts {
			for _, m := range p.Members {
				put(want, m.GUID, entry{p.PKey.TableEntry(m.Membership), m.Index0})
			}
		}
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(entry{})); diff != "" {
			t.Fatal(diff)
		}
		if err := proofread(body, parts); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatWouldNotBeReadAsMeantIsNotWritten(t *testing.T) {
	twice := partition(0x10, member(1, pkey.Full, false), member(1, pkey.Limited, false))
	long := partition(0x10)
	long.Name = strings.Repeat("a", 32)
	digit := partition(0x10)
	digit.Name = "1"
	rate := partition(0x10)
	rate.QoS.RateLimit = 2.6
	sl := partition(0x10)
	sl.QoS.ServiceLevel = 16
	for name, parts := range map[string][]ufmsim.Partition{
		"a guid twice":             {twice},
		"a long name":              {long},
		"a name that is a number":  {digit},
		"a rate that nobody has":   {rate},
		"a service level too high": {sl},
		"the management partition": {partition(pkey.Default, member(1, pkey.Full, false))},
		"pkey 0":                   {partition(0)},
		"a membership bit":         {partition(0x8010)},
		"a pkey twice":             {partition(0x10), partition(0x10)},
		"guid 0":                   {partition(0x10, pkey.Member{})},
		"an unknown membership":    {partition(0x10, member(1, 2, false))},
	} {
		if body, err := Render(parts); err == nil {
			t.Errorf("%s was written: %s", name, body)
		}
	}
}

// FuzzRead: a file that is taken is no mistake to OpenSM, and is what would be written.
func FuzzRead(f *testing.F) {
	body, err := Render([]ufmsim.Partition{partition(0x10, member(1, pkey.Full, true), member(2, pkey.Limited, false)), partition(0x20)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(body[len(header)+len(defaultPartition):]))
	f.Add("x=0x10, mtu=4, rate=2, sl=0 : 0x0200000000000001=full ;\nx=0x10 : ;\n")
	f.Fuzz(func(t *testing.T, lines string) {
		body := header + defaultPartition + lines
		parts, err := Read([]byte(body))
		if err != nil {
			return
		}
		ports, err := tables(body)
		if err != nil {
			t.Fatalf("OpenSM refuses %q: %v", body, err)
		}
		if !equalEntries(ports[0], everybody()) {
			t.Fatalf("all ports get %v by %q", ports[0], body)
		}
		again, err := Render(parts)
		if err != nil || string(again) != body {
			t.Fatalf("%q became %q, %v", body, again, err)
		}
	})
}

func TestAFileThatOthersWroteOrChangedIsRefused(t *testing.T) {
	body, err := Render([]ufmsim.Partition{partition(0x10, member(1, pkey.Full, false))})
	if err != nil {
		t.Fatal(err)
	}
	whole := string(body)
	for name, text := range map[string]string{
		"empty":                  "",
		"OpenSM's own":           defaultPartition,
		"torn":                   whole[:len(whole)-5],
		"another default":        strings.Replace(whole, "ALL=limited", "ALL=full", 1),
		"a line of somebody":     whole + "p=0x11 : 0x0200000000000002=full ;\n",
		"a comment":              whole + "# mine\n",
		"a pkey spelt otherwise": strings.Replace(whole, "=0x10,", "=0x010,", 1),
		"a number and more":      strings.Replace(whole, "mtu=4", "mtu=4x", 1),
		"a guid spelt otherwise": strings.Replace(whole, "0x02", "0X02", 1),
		"a blank line":           whole + "\n",
		"a second default":       whole + "d=0x7fff, mtu=4, rate=2, sl=0 : 0x0200000000000002=full ;\n",
		"another membership":     strings.Replace(whole, "=full", "=both", 1),
		"a member twice":         strings.Replace(whole, " ;\n", ", 0x0200000000000001=full ;\n", 2),
		"lines in another order": whole + "p=0x1, mtu=4, rate=2, sl=0 : ;\n",
		"a line too long":        whole + "p=0x11, mtu=4, rate=2, sl=0 : " + strings.Repeat("0x0200000000000002=full, ", 200) + ";\n",
	} {
		if parts, err := Read([]byte(text)); err == nil {
			t.Errorf("%s was read as %s", name, fmt.Sprint(parts))
		}
	}
}
