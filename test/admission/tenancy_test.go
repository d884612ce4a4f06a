package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// path is a way in which b tries to get into a's partition. What it makes has the name that
// it is given: a network, a pod and whatever else.
type path struct {
	try func(x *tenants, name string) error
	// With admission, b is told what to do by the API server's answer, or by an Event.
	refused, told string
	// Without admission it is as open as docs/tenancy.md says, or b is told by an Event.
	open     bool
	toldToo  string // without admission, where it is another word than told
	isServed bool   // the pod gets what is its own, and nothing else
}

func paths() map[string]path {
	all := map[string]path{}
	for _, some := range []map[string]path{networkPaths(), podPaths(), editPaths(), otherPaths()} {
		maps.Copy(all, some)
	}
	return all
}

func TestWithAdmissionATenantWithoutAGrantReachesAPKeyByNoPath(t *testing.T) {
	x := newTenants(t, true)
	for _, what := range slices.Sorted(maps.Keys(paths())) {
		p := paths()[what]
		t.Run(what, func(t *testing.T) {
			x, name := x.in(t), nameOf(what)
			err := p.try(x, name)
			switch {
			case p.refused != "":
				refused(t, err, p.refused)
			case err != nil:
				t.Errorf("b was refused: %v", err)
			}
			p.await(x, t, name, p.told)
			if why := x.reached(name); why != "" {
				t.Errorf("b is in a's partition: %s", why)
			}
			x.unharmed()
		})
	}
	x.stayedOut(func(path) bool { return true })
}

// The other half of what docs/tenancy.md promises: which paths are shut without admission,
// and which are open then.
func TestWithoutAdmissionThePathsHoldThatTheDocsName(t *testing.T) {
	x := newTenants(t, false)
	for _, what := range slices.Sorted(maps.Keys(paths())) {
		p := paths()[what]
		t.Run(what, func(t *testing.T) {
			x, name := x.in(t), nameOf(what)
			err := p.try(x, name)
			if err != nil && !strings.Contains(err.Error(), p.refused) {
				t.Errorf("b was refused: %v", err)
			}
			if p.open {
				testbed.Eventually(t, "the path is open, as the docs say", func() (bool, string) {
					return x.reached(name) != "", fmt.Sprint(err)
				})
				x.unharmed()
				return
			}
			says := p.told
			if p.toldToo != "" {
				says = p.toldToo
			}
			p.await(x, t, name, says)
			if why := x.reached(name); why != "" {
				t.Errorf("b is in a's partition: %s", why)
			}
			x.unharmed()
		})
	}
	x.stayedOut(func(p path) bool { return !p.open })
}

// stayedOut looks once more at paths that hold, when whatever was under way is over.
func (x *tenants) stayedOut(holds func(path) bool) {
	x.t.Helper()
	for what, p := range paths() {
		if why := x.reached(nameOf(what)); holds(p) && why != "" {
			x.t.Errorf("%s: in the end b is in a's partition: %s", what, why)
		}
	}
}

// await waits until all has come of a path that will come of it.
func (p path) await(x *tenants, t *testing.T, name, says string) {
	t.Helper()
	if says != "" {
		x.told(t, name, says)
	}
	if p.isServed {
		testbed.Eventually(t, "the pod gets what is its own", func() (bool, string) {
			text := x.networksOf(x.b, name)
			return strings.Contains(text, `"configured"`) && strings.Contains(text, `"0x50"`), text
		})
	}
}

// nameOf makes a name of words.
func nameOf(what string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(what)), "-")
}
