package chaos

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// A judge that never finds anything would pass every run: here each rule is broken, by
// hand, and beside it stands what looks alike and is no fault.

func TestTheJudgeFindsWhatIsBroken(t *testing.T) {
	hold := holdTime.Seconds()
	for name, test := range map[string]struct {
		tell func(*trial)
		want string // "": all is well
	}{
		"nobody is harmed": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			x.ended(a, 10)
			x.remove(11)
			b := x.made("b", 11)
			x.add(11.1 + hold)
			x.configured(b, 11.2+hold)
		}, ""},
		"two live owners": {func(x *trial) {
			a, b := x.made("a", 0), x.made("b", 0)
			x.add(1)
			x.configured(a, 2)
			x.configured(b, 3)
		}, "rule 1"},
		"two interfaces of one pod share a guid": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			element := `{"name":"rail","cni-args":{"guid":"` + someGUID.String() + `","mellanox.infiniband.app":"configured","pkey":"` + somePKey.String() + `"}}`
			a.Annotations[attach.NetworksAnnotation] = "[" + element + "," + element + "]"
			x.history.take(a, x.at(2))
		}, "rule 1"},
		"a removal of what nobody put in": {func(x *trial) {
			x.call(x.first, ufmsim.OpPut, somePKey, 5)
		}, "rule 2"},
		"a removal from a partition that it was never put into": {func(x *trial) {
			x.past[x.first].stays[place{someGUID, otherPKey}] = []stay{{mode: someMode()}}
			x.add(1)
			x.call(x.first, ufmsim.OpRemove, otherPKey, 2)
		}, "rule 2"},
		"configured before it was in": {func(x *trial) {
			a := x.made("a", 0)
			x.configured(a, 2)
			x.add(3)
		}, "rule 3"},
		"configured after it was out again": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.remove(2)
			x.configured(a, 3+hold)
		}, "rule 3"},
		"configured with what the former owner had": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			b := x.made("b", 3)
			x.ended(a, 4)
			x.remove(5)
			x.configured(b, 6+hold)
		}, "rule 3"},
		"configured with what the former owner had until a wipe": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			b := x.made("b", 3)
			x.ended(a, 4)
			x.call(x.first, ufmsim.OpWipe, 0, 5)
			x.wipes = []time.Time{x.at(5)}
			x.configured(b, 6+hold)
		}, "rule 3"},
		"never in both of its partitions at once": {func(x *trial) {
			x.said.said[types.NamespacedName{Namespace: "ns", Name: "rail"}][0].claims = []attach.Claim{{PKey: somePKey, Mode: someMode()}, {PKey: otherPKey}}
			a := x.made("a", 0)
			x.add(1)
			x.past[x.first].play(ufmsim.Entry{Op: ufmsim.OpAdd, PKey: somePKey, Received: x.at(2), Changed: x.at(2), Members: []pkey.Member{{GUID: someGUID}}}) // without index 0
			x.past[x.first].play(ufmsim.Entry{Op: ufmsim.OpAdd, PKey: otherPKey, Received: x.at(3), Changed: x.at(3), Members: []pkey.Member{{GUID: someGUID}}})
			a.Annotations[attach.NetworksAnnotation] = `[{"name":"rail","cni-args":{"guid":"` + someGUID.String() +
				`","mellanox.infiniband.app":"configured","pkey":"` + somePKey.String() + `","ibfabric.io/pkeys":"0x5:full:index0,0x6:full"}}]`
			x.history.take(a, x.at(4))
		}, "at once"},
		"configured with what only the standby has": {func(x *trial) {
			a := x.made("a", 0)
			x.call(x.standby, ufmsim.OpAdd, somePKey, 1)
			x.configured(a, 2)
		}, "rule 3"},
		"configured before the standby that has it came forward": {func(x *trial) {
			a := x.made("a", 0)
			x.configured(a, 2)
			x.failOver(somePKey, 3)
		}, "rule 3"},
		"wiped between being in and being configured": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.call(x.first, ufmsim.OpWipe, 0, 1.5)
			x.wipes = []time.Time{x.at(1.5)}
			x.configured(a, 2)
		}, ""},
		"a gate lifted too early": {func(x *trial) {
			a := x.made("a", 0)
			x.history.lives["a"].gated = true
			x.history.take(a, x.at(1))
		}, "rule 3"},
		"half of a pod configured": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			a.Annotations[attach.NetworksAnnotation] = `[{"name":"rail","cni-args":{"guid":"` + someGUID.String() +
				`","mellanox.infiniband.app":"configured","pkey":"` + somePKey.String() + `"}},{"name":"rail"}]`
			x.history.take(a, x.at(2))
		}, "rule 3"},
		"given again too soon after its pod's end": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			b := x.made("b", 9)
			x.ended(a, 10)
			x.call(x.first, ufmsim.OpWipe, 0, 4) // no removal tells of it
			x.add(9.9 + hold)
			x.configured(b, 10.5+hold)
		}, "after its pod's end"},
		"given again too soon after a removal": {func(x *trial) {
			x.add(1) // for a pod that ended before it was configured
			x.remove(2)
			a := x.made("a", 0)
			x.add(1.9 + hold)
			x.configured(a, 3+hold)
		}, "rule 4"},
		"given again too soon after it was seen": {func(x *trial) {
			x.add(1)
			x.call(x.first, ufmsim.OpWipe, 0, 4)
			x.wipes = []time.Time{x.at(4)}
			a := x.made("a", 5)
			x.add(3.9 + hold)
			x.configured(a, 4.5+hold)
		}, "for somebody else"},
		"given while it stands in another partition": {func(x *trial) {
			x.past[x.first].stays[place{someGUID, otherPKey}] = []stay{{mode: someMode()}}
			a := x.made("a", 5)
			x.add(6)
			x.configured(a, 7)
		}, "for somebody else"},
		"put into a partition that its owner does not join": {func(x *trial) {
			a := x.made("a", 0)
			x.call(x.first, ufmsim.OpAdd, otherPKey, 1)
			x.add(2)
			x.configured(a, 3)
		}, "for somebody else"},
		"given long after a failover brought it back": {func(x *trial) {
			x.failOver(otherPKey, 50)
			a := x.made("a", 100)
			x.call(x.standby, ufmsim.OpAdd, somePKey, 101)
			x.configured(a, 102)
		}, "for somebody else"},
		"given just when a failover brought it back": {func(x *trial) {
			a := x.made("a", 49)
			x.failOver(otherPKey, 50)
			x.call(x.standby, ufmsim.OpAdd, somePKey, 51)
			x.configured(a, 52)
		}, ""},
		"given just when a failover brought back what was held": {func(x *trial) {
			x.call(x.first, ufmsim.OpAdd, otherPKey, 1)
			a := x.made("a", 48)
			x.call(x.first, ufmsim.OpRemove, otherPKey, 49)
			x.failOver(otherPKey, 50)
			x.call(x.standby, ufmsim.OpAdd, somePKey, 49.5+hold)
			x.configured(a, 50+hold)
		}, "for somebody else"},
		"given after a standby had it too briefly to be read": {func(x *trial) {
			x.call(x.first, ufmsim.OpAdd, otherPKey, 1)
			x.call(x.first, ufmsim.OpRemove, otherPKey, 49)
			x.failOver(otherPKey, 50)
			x.failBack(52)
			a := x.made("a", 51)
			x.add(52.5 + hold/2)
			x.configured(a, 53+hold/2)
		}, ""},
		"given after a standby had it for long": {func(x *trial) {
			x.call(x.first, ufmsim.OpAdd, otherPKey, 1)
			x.call(x.first, ufmsim.OpRemove, otherPKey, 30)
			x.failOver(otherPKey, 31)
			x.failBack(52)
			a := x.made("a", 51)
			x.add(52.5 + hold/2)
			x.configured(a, 53+hold/2)
		}, "for somebody else"},
		"given after a stranger's went with a failover": {func(x *trial) {
			x.past[x.first].stays[place{someGUID, otherPKey}] = []stay{{mode: someMode()}}
			x.spells[0].to = x.at(50)
			x.spells = append(x.spells, spell{of: x.standby, from: x.at(50)})
			a := x.made("a", 49)
			x.call(x.standby, ufmsim.OpAdd, somePKey, 51)
			x.configured(a, 52)
		}, ""},
		"given after a late call had put it in too briefly to be read": {func(x *trial) {
			x.late(1, 6)
			x.call(x.first, ufmsim.OpWipe, 0, 6.5)
			a := x.made("a", 7)
			x.add(3.5 + hold)
			x.configured(a, 4+hold)
		}, ""},
		"given after a late call had put it in for long": {func(x *trial) {
			x.late(1, 6)
			x.call(x.first, ufmsim.OpWipe, 0, 20)
			a := x.made("a", 21)
			x.add(22)
			x.configured(a, 23)
		}, "for somebody else"},
		"given after it was in for a moment, by two late calls": {func(x *trial) {
			x.delayed(ufmsim.OpAdd, 1, 5)
			x.delayed(ufmsim.OpRemove, 1.1, 5.2)
			a := x.made("a", 5.3)
			x.add(1.2 + hold)
			x.configured(a, 1.3+hold)
		}, ""},
		"given soon after a late call took it out": {func(x *trial) {
			x.add(1)
			x.delayed(ufmsim.OpRemove, 1.1, 5.2)
			a := x.made("a", 5.3)
			x.add(1.2 + hold)
			x.configured(a, 1.3+hold)
		}, "taken out of"},
		"given after a failover brought it for a moment, until a wipe": {func(x *trial) {
			x.brought(50)
			x.call(x.standby, ufmsim.OpWipe, 0, 54)
			x.given(x.standby, 55)
		}, ""},
		"given after a failover brought it for long, until a wipe": {func(x *trial) {
			x.brought(50)
			x.call(x.standby, ufmsim.OpWipe, 0, 70)
			x.given(x.standby, 71)
		}, "for somebody else"},
		"given after a failover brought it for a moment, until somebody took it out": {func(x *trial) {
			x.brought(50)
			x.call(x.standby, ufmsim.OpRemove, somePKey, 54)
			x.given(x.standby, 55)
		}, "for somebody else"},
		"given soon after a call that nothing had overtaken": {func(x *trial) {
			x.add(1)
			x.remove(2)
			x.add(10)
			x.call(x.first, ufmsim.OpWipe, 0, 12)
			a := x.made("a", 13)
			x.add(14)
			x.configured(a, 15)
		}, "for somebody else"},
		"given soon after it was in and out": {func(x *trial) {
			x.add(10)
			x.remove(11)
			a := x.made("a", 12)
			x.add(13)
			x.configured(a, 14)
		}, "for somebody else"},
		"put in by a leader that knew no better, and wiped": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			x.ended(a, 10)
			x.remove(11)
			x.add(12)
			x.call(x.first, ufmsim.OpWipe, 0, 13)
			x.wipes = []time.Time{x.at(13)}
			b := x.made("b", 14)
			x.add(14 + hold)
			x.configured(b, 15+hold)
		}, ""},
		"put in again after a wipe, for the same owner": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.call(x.first, ufmsim.OpWipe, 0, 1.5)
			x.add(2)
			x.configured(a, 3)
		}, ""},
		"taken from a live pod": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			x.remove(3)
		}, "rule 5"},
		"taken from a pod that is about to end": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			x.ended(a, 2.9)
			x.remove(3)
		}, ""},
		"another guid for a live pod": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			x.configured(a, 2)
			x.configuredWith(a, 3, someGUID+1, somePKey)
		}, "rule 5"},
		"a partition that its network never named": {func(x *trial) {
			a := x.made("a", 0)
			x.call(x.first, ufmsim.OpAdd, otherPKey, 1)
			x.configuredWith(a, 2, someGUID, otherPKey)
		}, "contract"},
		"given while the former pod's node is lost": {func(x *trial) {
			x.onLostNode(20+2*hold, false)
			b := x.made("b", 11)
			x.add(10 + 2*hold)
			x.configured(b, 10+2*hold)
		}, "rule 5"},
		"given when the lost node was back for too short a time": {func(x *trial) {
			x.onLostNode(12, false)
			b := x.made("b", 11)
			x.add(12 + hold - 2)
			x.configured(b, 12+hold-2)
		}, "rule 5"},
		"given when the lost node was back for the hold time": {func(x *trial) {
			x.onLostNode(12, false)
			b := x.made("b", 13)
			x.add(12 + hold)
			x.configured(b, 12.1+hold)
		}, ""},
		"given when the lost node had booted": {func(x *trial) {
			x.onLostNode(11+hold, true)
			b := x.made("b", 13)
			x.add(11.5 + hold)
			x.configured(b, 12+hold)
		}, ""},
		"an element that cannot be read any more": {func(x *trial) {
			a := x.made("a", 0)
			x.add(1)
			a.Annotations[attach.NetworksAnnotation] = `[{"name":"rail","cni-args":{"guid":"` + someGUID.String() +
				`","mellanox.infiniband.app":"configured","pkey":"5000"}}]`
			x.history.take(a, x.at(2))
		}, "net1 cannot be read"},
		"an annotation that cannot be read any more": {func(x *trial) {
			a := x.made("a", 0)
			a.Annotations[attach.NetworksAnnotation] = "[{"
			x.history.take(a, x.at(1))
		}, "contract"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTrial()
			test.tell(x)
			found := x.found()
			if test.want == "" && found != "" || !strings.Contains(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}
