package record

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

var update = flag.Bool("update", false, "write the golden file anew")

func everything() Fields {
	return Fields{
		Pod: types.NamespacedName{Namespace: "team-a", Name: "train-0"}, UID: "3c1e", Interfaces: []string{"net1", "net2"},
		GUIDs: []guid.GUID{0x0200000000000001, 0x0200000000000002}, PKeys: []pkey.PKey{0x1000}, Membership: "full, index 0",
		Node: "node-1", Attempt: 2, Took: 1234567 * time.Microsecond, Count: 2, Config: types.NamespacedName{Namespace: "team-a", Name: "rail1"}, Detail: "detail", Err: errors.New("why"),
	}
}

// TestLogContract holds every event's line: its name, its level, the fields and their
// order. Whoever greps the log relies on it; a change of the golden file is a change of
// the contract and belongs into the CHANGELOG.
func TestLogContract(t *testing.T) {
	var out bytes.Buffer
	log, _, err := NewLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	r := New(log, nil)
	for _, e := range Catalogue() {
		r.Log(e.Event, everything())
	}
	r.Log(Summary, Fields{Detail: "fields without a value are left out"})
	got := regexp.MustCompile(`"time":"[^"]+"`).ReplaceAllString(out.String(), `"time":"T"`)
	const golden = "testdata/log.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the log contract changed (-want +got); if it is meant to, run with -update:\n%s", diff)
	}
}

func TestTheSetOfEventsIsClosed(t *testing.T) {
	seen := map[Event]bool{}
	for _, e := range Catalogue() {
		if seen[e.Event] || e.Means == "" {
			t.Errorf("%s: twice, or without a meaning", e.Event)
		}
		seen[e.Event] = true
	}
	source, err := os.ReadFile("catalogue.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`Event = "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(declared) != len(seen) {
		t.Errorf("%d events are declared, %d are in the catalogue", len(declared), len(seen))
	}
}

type sink struct{ notes, actions []string }

func (s *sink) Eventf(_, _ runtime.Object, kind, reason, action, _ string, args ...any) {
	s.actions = append(s.actions, action)
	s.notes = append(s.notes, kind+" "+reason+" "+args[0].(string))
}

func TestOnlyEventsWithAReasonReachThePod(t *testing.T) {
	var out bytes.Buffer
	log, _, err := NewLogger(&out, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{}
	r := New(log, s)
	r.Tell(&corev1.Pod{}, PodRefused, Fields{Err: errors.New(strings.Repeat("x", 5000))})
	r.Tell(&corev1.Pod{}, PodConfigured, Fields{})
	if len(s.notes) != 1 || !strings.HasPrefix(s.notes[0], "Warning FabricRefused x") || len(s.notes[0]) > 1100 {
		t.Errorf("the pod was told %d times: %.80q", len(s.notes), s.notes)
	}
}

// client-go merges Events that differ in nothing but their text, and keeps the first one's.
func TestAnotherTextIsAnotherEvent(t *testing.T) {
	s := &sink{}
	r := New(zap.NewNop(), s)
	for _, why := range []string{"network rail1 does not exist", "partition rail has 4 of 4 members", "network rail1 does not exist"} {
		r.Tell(&corev1.Pod{}, PodWaiting, Fields{Err: errors.New(why)})
	}
	if a := s.actions; len(a) != 3 || a[0] == a[1] || a[0] != a[2] {
		t.Errorf("three Events have the actions %v, want the first one's in the last alone", a)
	}
}

func TestEveryEventIsCounted(t *testing.T) {
	r := New(zap.NewNop(), nil)
	r.Log(PodWaiting, Fields{})
	r.Log(PodWaiting, Fields{})
	reg := prometheus.NewRegistry()
	if err := reg.Register(r); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	if len(counted) != len(Catalogue()) || counted["pod.waiting"] != 2 || counted["pod.refused"] != 0 {
		t.Errorf("counted %v", counted)
	}
}

func TestManyGUIDsAreCountedNotListed(t *testing.T) {
	many := make([]guid.GUID, 500)
	for i := range many {
		many[i] = guid.GUID(i + 1)
	}
	if got := list(many); len(got) > 500 || !strings.HasSuffix(got, ",+484 more") {
		t.Errorf("500 GUIDs are %d bytes, ending %q", len(got), got[len(got)-12:])
	}
}
