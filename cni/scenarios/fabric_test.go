package scenarios

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host/hostfake"
)

// slowly runs a story on a node whose subnet manager takes 20 s for each change.
func slowly(t *testing.T, story func(*testing.T, *node)) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFakeLab(hostfake.Options{SMDelay: 20 * time.Second})
		time.Sleep(time.Minute)
		story(t, newNode(t, lab))
	})
}

// TestEightRailsAt20SecondsEachComeUpAtTheSecondTry: 160 s of waiting, of which a try has 90.
func TestEightRailsAt20SecondsEachComeUpAtTheSecondTry(t *testing.T) {
	for _, generation := range hostfake.Generations() {
		synctest.Test(t, func(t *testing.T) {
			lab := newFakeLab(hostfake.Options{Generation: generation, SMDelay: 20 * time.Second, BindTime: 300 * time.Millisecond, ReturnDelay: 5 * time.Second})
			time.Sleep(time.Minute)
			start := time.Now()
			EightRails(t, lab)
			if took := time.Since(start); took < 160*time.Second || took > 4*time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestEightRailsShareOneDeadline(t *testing.T) {
	slowly(t, func(t *testing.T, n *node) {
		start := time.Now()
		for i := range 4 {
			n.mustAdd(n.rail("c1", i))
		}
		if took := time.Since(start); took < 80*time.Second || took > 85*time.Second {
			t.Errorf("four rails took %v", took)
		}
		_, err := n.add(n.rail("c1", 4))
		if !isCode(err, types.ErrTryAgainLater) {
			t.Errorf("the fifth got %v", err)
		}
		if took := time.Since(start); took != 90*time.Second {
			t.Errorf("the container waited %v in all, want 90 s", took)
		}
		for i := range 5 {
			n.mustDel(n.rail("c1", i))
		}
		n.untouched("after DEL")
	})
}

func TestEightRailsComeUpWhenTheyMayTakeLonger(t *testing.T) {
	slowly(t, func(t *testing.T, n *node) {
		start := time.Now()
		for i := range 8 {
			p := n.rail("c1", i).with("fabricTimeout", "4m")
			n.mustAdd(p)
			n.inPod(p)
		}
		if took := time.Since(start); took < 160*time.Second || took > 170*time.Second {
			t.Errorf("eight rails took %v", took)
		}
	})
}

func TestRailsThatHaveTheirGUIDsDoNotWait(t *testing.T) {
	slowly(t, func(t *testing.T, n *node) {
		var pods []*pod
		for i := range 8 {
			pods = append(pods, n.pod("c1", i, n.before[n.lab.VFs()[i]].Port))
			pods[i].ifname = fmt.Sprint("net", i+1)
		}
		time.Sleep(time.Minute)
		start := time.Now()
		for _, p := range pods {
			n.mustAdd(p)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("eight rails took %v", took)
		}
	})
}

func TestTheErrorSaysWhatTheFabricLacks(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*node, *pod)
		says  []string
		not   string
	}{
		"the port": {func(_ *node, p *pod) { p.with("fabricTimeout", "10s") }, []string{"port is INIT", "LID is 0", "0x1000 (full, index 0) is not"}, "port's GUID"},
		"the PKey": {func(n *node, p *pod) { n.lab.Program(p.guid, 0xffff) }, []string{"pkey 0x1000 (full, index 0) is not in the port's table [0xffff]"}, "want ACTIVE"},
		"index 0":  {func(n *node, p *pod) { n.lab.Program(p.guid, 0xffff, 0x9000) }, []string{"0x1000 (full, index 0) is at index 1"}, "want ACTIVE"},
		"full membership": {func(n *node, p *pod) { n.lab.Program(p.guid, 0x1000) },
			[]string{"with the other membership (0x1000)"}, "want ACTIVE"},
		"one of two": {func(n *node, p *pod) {
			n.lab.Program(p.guid, 0x9000)
			p.arg("ibfabric.io/pkeys", "0x1000:full:index0,0x20:limited")
		}, []string{"pkey 0x20 (limited) is not"}, "0x1000 (full"},
		"who and how long": {func(n *node, p *pod) { n.lab.Program(p.guid) }, []string{"0000:17:00.1", "1m30s", "fabricTimeout", "fabricPolicy"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			slowly(t, func(t *testing.T, n *node) {
				p := n.pod("c1", 0, 0x0200000000000100)
				c.spoil(n, p)
				_, err := n.add(p)
				if err == nil {
					t.Fatal("ADD went through")
				}
				for _, says := range c.says {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%q is missing in: %v", says, err)
					}
				}
				if c.not != "" && strings.Contains(err.Error(), c.not) {
					t.Errorf("%q is not so, but in: %v", c.not, err)
				}
				n.untouched("after the failed ADD")
			})
		})
	}
}

func TestAFabricThatIsNotReadyCanBeAWarning(t *testing.T) {
	slowly(t, func(t *testing.T, n *node) {
		start := time.Now()
		p := n.pod("c1", 0, 0x0200000000000100).with("fabricPolicy", "warn").with("fabricTimeout", "5s")
		n.mustAdd(p)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestTheFabricIsNotWaitedForWhenNobodyAsks(t *testing.T) {
	for name, change := range map[string]func(*pod){
		"fabricTimeout 0":    func(p *pod) { p.with("fabricTimeout", "0") },
		"link_state disable": func(p *pod) { p.with("link_state", "disable") },
		"no GUID, no PKey": func(p *pod) {
			p.with("ibKubernetesEnabled", nil).with("pkey", nil).arg("pkey", "").arg("guid", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			slowly(t, func(t *testing.T, n *node) {
				p := n.pod("c1", 0, 0x0200000000000100)
				change(p)
				start := time.Now()
				n.mustAdd(p)
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
				n.mustDel(p)
				n.untouched("after DEL")
			})
		})
	}
}

func TestTheNetworksOwnPKeyAsksForNoIndex(t *testing.T) {
	slowly(t, func(t *testing.T, n *node) {
		p := n.pod("c1", 0, 0x0200000000000100).arg("pkey", "")
		n.lab.Program(p.guid, 0xffff, 0x9000)
		n.mustAdd(p)
	})
}
