package takeover

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// network is a NAD as users of ib-kubernetes have it.
type network struct {
	name   string
	pkey   pkey.PKey // 0: none, GUIDs only
	config string
	asked  string // how a pod's annotation names it; %s is the namespace
}

// networks are one of each kind. The PKeys have no letters: v1.1.1 refuses 0xa.
func networks() []network {
	return []network{
		{"red", 0x10, `{"cniVersion":"0.3.1","name":"red","type":"ib-sriov","pkey":"0x10","ibKubernetesEnabled":true}`,
			`red`},
		{"blue", 0x11, `{"cniVersion":"0.3.1","name":"blue","plugins":[{"type":"ib-sriov","pkey":"0x11","ibKubernetesEnabled":true}]}`,
			`[{"name":"blue","namespace":"%s","interface":"ib0"}]`},
		{"green", 0x12, `{"cniVersion":"0.3.1","name":"green","type":"ib-sriov","pkey":"0x0012","capabilities":{"infinibandGUID":true},"ibKubernetesEnabled":true}`,
			`green`},
		{"grey", 0, `{"cniVersion":"0.3.1","name":"grey","type":"ib-sriov","ibKubernetesEnabled":true}`,
			`grey`},
		{"yellow", 0x13, `{"cniVersion":"0.3.1","name":"yellow","type":"ib-sriov","pkey":"0x13","ibKubernetesEnabled":true}`,
			`%s/yellow@rail5`},
	}
}

func (w *world) makeNetworks() {
	for _, n := range networks() {
		w.bed.CreateNAD(w.t, w.ns, n.name, n.config, nil)
	}
}

// annotation is what pod number i asks for: one of the networks in turn, and every
// twenty-fifth two.
func (w *world) annotation(i int) string {
	if i%25 == 0 {
		return "red,green"
	}
	all := networks()
	asked := all[i%len(all)].asked
	if slices.Contains([]byte(asked), '%') {
		return fmt.Sprintf(asked, w.ns)
	}
	return asked
}

// shown are the members of the networks' partitions in UFM.
func (w *world) shown() map[pkey.PKey][]guid.GUID {
	all := map[pkey.PKey][]guid.GUID{}
	for _, n := range networks() {
		for _, m := range w.sim.Members(n.pkey) {
			all[n.pkey] = append(all[n.pkey], m.GUID)
		}
	}
	return all
}

// explained are the members that UFM must have for the pods that are there, by their own
// annotations.
func (w *world) explained() map[pkey.PKey][]guid.GUID {
	w.t.Helper()
	all := map[pkey.PKey][]guid.GUID{}
	for g, h := range w.holdings(w.pods()) {
		for _, n := range networks() {
			if n.pkey != 0 && h.Network == w.ns+"/"+n.name {
				all[n.pkey] = append(all[n.pkey], g)
			}
		}
	}
	for _, list := range all {
		slices.Sort(list)
	}
	return all
}

// inUFM waits until UFM has the members that the pods explain, and no other.
func (w *world) inUFM() {
	w.t.Helper()
	want := w.explained()
	testbed.Eventually(w.t, "UFM has the pods' members and no others", func() (bool, string) {
		diff := cmp.Diff(want, w.shown())
		return diff == "", diff
	})
}

// changed are the GUIDs that UFM was asked to take in, and to let go, after entry number
// seq of its journal.
func (w *world) changed(seq int) (in, out []guid.GUID) {
	for _, e := range w.sim.Journal()[seq:] {
		for _, m := range e.Members {
			if e.Op == ufmsim.OpRemove || e.Op == ufmsim.OpDelete {
				out = append(out, m.GUID)
			} else {
				in = append(in, m.GUID)
			}
		}
	}
	return in, out
}
