package chaos

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// A judge that never finds anything would pass every run: here each rule is broken.

const (
	someGUID guid.GUID = 0x0200000000000007
	somePKey pkey.PKey = 0x5
)

func configuredPod(uid string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: uid, UID: types.UID(uid),
		Annotations: map[string]string{attach.NetworksAnnotation: `[{"name":"rail","cni-args":{"guid":"` + someGUID.String() +
			`","mellanox.infiniband.app":"configured","pkey":"` + somePKey.String() + `"}}]`},
	}}
}

// trial is a judge over one UFM, which did what the entries say.
func trial(h *history, start time.Time, entries ...ufmsim.Entry) *judge {
	u := &ufm{name: "ufm-0"}
	p := &presence{of: u, stays: map[place][]stay{}}
	for i, e := range entries {
		e.Seq, e.PKey, e.Received = uint64(i+1), somePKey, e.Changed
		e.Members = []pkey.Member{{GUID: someGUID, Mode: pkey.Mode{Index0: true}}}
		p.enter(place{foreignGUID, somePKey}, pkey.Mode{}, time.Time{})
		p.play(e)
	}
	said := &networks{said: map[types.NamespacedName][]saying{{Namespace: "ns", Name: "rail"}: {{start, []attach.Claim{{PKey: somePKey, Mode: pkey.Mode{Index0: true}}}}}}}
	j := &judge{history: h, said: said, spells: []spell{{of: u, from: start}}, past: map[*ufm]*presence{u: p},
		puts: map[guid.GUID][]move{}, takes: map[guid.GUID][]move{}}
	index(j.puts, p.puts)
	index(j.takes, p.takes)
	return j
}

func TestTheJudgeFindsWhatIsBroken(t *testing.T) {
	now := time.Now()
	start, later := now.Add(-time.Minute), now.Add(time.Minute)
	add := ufmsim.Entry{Op: ufmsim.OpAdd, Changed: now.Add(-second)}
	for _, test := range []struct {
		name    string
		pods    func(*history)
		entries []ufmsim.Entry
		want    string // "": all is well
	}{
		{"all is well", func(h *history) { h.see(configuredPod("a"), false) }, []ufmsim.Entry{add}, ""},
		{"two owners", func(h *history) {
			h.see(configuredPod("a"), false)
			h.see(configuredPod("b"), false)
		}, []ufmsim.Entry{add}, "rule 1"},
		{"a removal of what nobody put in", func(*history) {}, []ufmsim.Entry{{Op: ufmsim.OpPut, Changed: now}}, "rule 2"},
		{"released before it was in", func(h *history) { h.see(configuredPod("a"), false) },
			[]ufmsim.Entry{{Op: ufmsim.OpAdd, Changed: later}}, "rule 3"},
		{"given again too soon after a removal", func(h *history) { h.see(configuredPod("a"), false) },
			[]ufmsim.Entry{{Op: ufmsim.OpAdd, Changed: start}, {Op: ufmsim.OpRemove, Changed: now.Add(-3 * second)}, add}, "rule 4"},
		{"given again too soon after its pod's end", func(h *history) {
			h.see(configuredPod("a"), false)
			h.mayEnd("a", time.Now())
			h.see(configuredPod("a"), true)
			h.see(configuredPod("b"), false)
		}, []ufmsim.Entry{add}, "rule 4"},
		{"taken from a live pod", func(h *history) { h.see(configuredPod("a"), false) },
			[]ufmsim.Entry{add, {Op: ufmsim.OpRemove, Changed: later}}, "rule 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory("gate")
			test.pods(h)
			for _, l := range h.lives {
				l.created = start
			}
			found := strings.Join(trial(h, start, test.entries...).rules(), "\n")
			if test.want == "" && found != "" || !strings.Contains(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}
