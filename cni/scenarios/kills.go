package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/record"
)

// strike lets the n-th verb from now on fail or die, once, of those that everywhere has.
func (n *node) strike(at int, fault hostfake.Fault) {
	n.onVerb(at, func() hostfake.Fault { return fault })
}

// onVerb does something before the n-th verb from now on, of those that everywhere has.
func (n *node) onVerb(at int, do func() hostfake.Fault) {
	next := 0
	n.faults.Plan(func(_ int, verb string) hostfake.Fault {
		if n.leftOut(verb) {
			return hostfake.Fault{}
		}
		next++
		if next-1 == at {
			return do()
		}
		return hostfake.Fault{}
	})
}

// addVerbs are the verbs of an ADD that goes well.
func (n *node) addVerbs(k kind) []string {
	p := k.pod(n, "rehearsal", 0x0200000000000100)
	verbs := n.rehearse(func() { n.mustAdd(p) })
	n.faults.Plan(nil)
	n.mustDel(p)
	n.lab.EndNetNS(p.ns)
	return verbs
}

// KilledAddThenDel is the runtime that lost its plugin and cleans up.
func KilledAddThenDel(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	n.everywhere(n.addVerbs(k), func(at int, late bool, name string) {
		p := k.pod(n, fmt.Sprintf("c-%d-%t", at, late), 0x0200000000000100)
		n.strike(at, hostfake.Fault{Kill: true, Late: late})
		dead, err := hostfake.Survive(func() error { _, err := n.add(p); return err })
		if !dead {
			t.Fatalf("%s: it lived (%v)", name, err)
		}
		n.faults.Plan(nil)
		n.mustDel(p)
		n.untouched(name)
		lab.EndNetNS(p.ns)
	})
}

// KilledAddThenAdd is the runtime that lost its plugin and forgot about it.
func KilledAddThenAdd(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	n.everywhere(n.addVerbs(k), func(at int, late bool, name string) {
		p := k.pod(n, fmt.Sprintf("c-%d-%t", at, late), 0x0200000000000100)
		n.strike(at, hostfake.Fault{Kill: true, Late: late})
		if dead, err := hostfake.Survive(func() error { _, err := n.add(p); return err }); !dead {
			t.Fatalf("%s: it lived (%v)", name, err)
		}
		n.faults.Plan(nil)
		// Its plugin, or one of them, may have come to its end: which verb is the last is
		// not the same each time where the kernel takes its time.
		if at%2 == 0 || n.ready(p) || len(p.chain) > 1 {
			lab.EndNetNS(p.ns)
		}
		next := k.pod(n, p.id+"-next", 0x0200000000000200)
		n.mustAdd(next)
		n.inPod(next)
		n.mustDel(next)
		n.untouched(name)
		lab.EndNetNS(p.ns)
		lab.EndNetNS(next.ns)
	})
}

// ready reports whether an attachment's ADD is through, by its record.
func (n *node) ready(p *pod) bool {
	n.t.Helper()
	records, err := n.env.Store.Of(record.Key{ContainerID: p.id, IfName: p.ifname})
	if err != nil {
		n.t.Fatal(err)
	}
	return slices.ContainsFunc(records, func(r *record.Record) bool { return r.Ready })
}

var errInjected = errors.New("injected")

// FailedAdd is a kernel that refuses, once.
func FailedAdd(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	n.everywhere(n.addVerbs(k), func(at int, late bool, name string) {
		p := k.pod(n, fmt.Sprintf("c-%d-%t", at, late), 0x0200000000000100)
		n.strike(at, hostfake.Fault{Err: errInjected, Late: late})
		_, err := n.add(p)
		n.faults.Plan(nil)
		if err == nil {
			// A few verbs are tried again. Then ADD must have done its work.
			n.inPod(p)
			n.mustDel(p)
		} else if !errors.Is(err, errInjected) {
			t.Errorf("%s: the error hides its cause: %v", name, err)
		}
		if err != nil && len(p.chain) > 1 {
			n.mustDel(p) // a chain is the runtime's to undo
		}
		n.untouched(name)
		lab.EndNetNS(p.ns)
	})
}

// delVerbs are the verbs of a DEL that goes well.
func (n *node) delVerbs(k kind) []string {
	p := k.pod(n, "rehearsal", 0x0200000000000100)
	n.mustAdd(p)
	verbs := n.rehearse(func() { n.mustDel(p) })
	n.faults.Plan(nil)
	n.lab.EndNetNS(p.ns)
	return verbs
}

// KilledDel is the runtime that calls again.
func KilledDel(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	n.everywhere(n.delVerbs(k), func(at int, late bool, name string) {
		p := k.pod(n, fmt.Sprintf("c-%d-%t", at, late), 0x0200000000000100)
		n.mustAdd(p)
		n.strike(at, hostfake.Fault{Kill: true, Late: late})
		dead, err := hostfake.Survive(func() error { return n.del(p) })
		// Whether a netdev has its name again before DEL or by it is up to udev, on a slow node.
		if _, slow := lab.(Slow); !dead && (!slow || err != nil) {
			t.Fatalf("%s: it lived (%v)", name, err)
		}
		n.faults.Plan(nil)
		if at%2 == 0 {
			lab.EndNetNS(p.ns)
		}
		n.mustDel(p)
		n.untouched(name)
		lab.EndNetNS(p.ns)
	})
}

// FailedDel is the runtime that calls again after an error.
func FailedDel(t *testing.T, lab Lab, k kind) {
	n := k.node(t, lab)
	n.everywhere(n.delVerbs(k), func(at int, late bool, name string) {
		p := k.pod(n, fmt.Sprintf("c-%d-%t", at, late), 0x0200000000000100)
		n.mustAdd(p)
		n.strike(at, hostfake.Fault{Err: errInjected, Late: late})
		err := n.del(p)
		n.faults.Plan(nil)
		if err != nil {
			n.mustDel(p)
		}
		n.untouched(name)
		lab.EndNetNS(p.ns)
	})
}
