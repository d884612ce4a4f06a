package grant

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

type spec = v1alpha1.PartitionSpec

// part is a Partition; those made later are younger.
func part(name string, s spec, edit ...func(*v1alpha1.Partition)) *v1alpha1.Partition {
	p := &v1alpha1.Partition{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(1000, 0)}, Spec: s}
	for _, e := range edit {
		e(p)
	}
	return p
}

func age(seconds int64) func(*v1alpha1.Partition) {
	return func(p *v1alpha1.Partition) { p.CreationTimestamp = metav1.Unix(1000-seconds, 0) }
}

func chosen(p string) func(*v1alpha1.Partition) {
	return func(part *v1alpha1.Partition) { part.Status.PKey = p }
}

func dying(p *v1alpha1.Partition) {
	p.DeletionTimestamp = &metav1.Time{Time: time.Unix(2000, 0)}
}

func everybody() *metav1.LabelSelector { return &metav1.LabelSelector{} }

func team(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"team": name}}
}

// full is a network's claim that says nothing of its own.
func full(p pkey.PKey, partition string) attach.Claim {
	return attach.Claim{PKey: p, Partition: partition, Mode: pkey.Mode{Index0: true}, IPoIB: true}
}

// beside is a network's further claim.
func beside(p pkey.PKey, partition string, m pkey.Membership) attach.Claim {
	return attach.Claim{PKey: p, Partition: partition, Mode: pkey.Mode{Membership: m}, IPoIB: true}
}

func spaces() map[string]labels.Set {
	return map[string]labels.Set{"blue": {"team": "blue"}, "red": {"team": "red"}, "bare": nil}
}

func TestResolve(t *testing.T) {
	no, yes := false, true
	storage := part("storage", spec{PKey: "0x20", IPOverIB: &no})
	blue := part("blue", spec{PKey: "0x5", Namespaces: team("blue"), Also: []v1alpha1.PartitionRef{{Name: "storage"}}})
	for name, tc := range map[string]struct {
		parts   []*v1alpha1.Partition
		require bool
		ns      string
		claims  []attach.Claim
		want    []attach.Claim
		says    string // of the error; "" is none
		denied  bool
	}{
		"no claims": {ns: "red"},
		"a pkey without a Partition is open": {
			parts: []*v1alpha1.Partition{blue}, ns: "red", claims: []attach.Claim{full(6, "")}, want: []attach.Claim{full(6, "")},
		},
		"unless one is required": {
			parts: []*v1alpha1.Partition{blue}, require: true, ns: "red", claims: []attach.Claim{full(6, "")}, says: "grants namespace red", denied: true,
		},
		"a granted namespace joins, and what comes along": {
			parts: []*v1alpha1.Partition{blue, storage}, ns: "blue", claims: []attach.Claim{full(0, "blue")},
			want: []attach.Claim{full(5, "blue"), {PKey: 0x20, Partition: "storage", Mode: pkey.Mode{Membership: pkey.Limited}}},
		},
		"by number as by name": {
			parts: []*v1alpha1.Partition{blue, storage}, ns: "blue", claims: []attach.Claim{full(5, "")},
			want: []attach.Claim{full(5, ""), {PKey: 0x20, Partition: "storage", Mode: pkey.Mode{Membership: pkey.Limited}}},
		},
		"another namespace does not": {
			parts: []*v1alpha1.Partition{blue, storage}, ns: "red", claims: []attach.Claim{full(5, "")}, says: "Partition blue does not grant it", denied: true,
		},
		"nor one without labels": {
			parts: []*v1alpha1.Partition{blue, storage}, ns: "bare", claims: []attach.Claim{full(0, "blue")}, says: "does not grant", denied: true,
		},
		"one that is not known yet waits": {
			parts: []*v1alpha1.Partition{blue, storage}, ns: "new", claims: []attach.Claim{full(5, "")}, says: "labels of namespace new are not known",
		},
		"without a selector nobody": {
			parts: []*v1alpha1.Partition{storage}, ns: "blue", claims: []attach.Claim{full(0, "storage")}, says: "does not grant", denied: true,
		},
		"with an empty one everybody, known or not": {
			parts: []*v1alpha1.Partition{part("open", spec{PKey: "0x6", Namespaces: everybody()})}, ns: "new", claims: []attach.Claim{full(0, "open")}, want: []attach.Claim{full(6, "open")},
		},
		"the Partition's word counts before the network's": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x6", Namespaces: everybody(), Membership: "limited", Index0: &no, IPOverIB: &no})},
			ns:    "red", claims: []attach.Claim{full(6, "")}, want: []attach.Claim{{PKey: 6, Mode: pkey.Mode{Membership: pkey.Limited}}},
		},
		"where it says nothing the network's does": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x6", Namespaces: everybody()})},
			ns:    "red", claims: []attach.Claim{beside(6, "", pkey.Limited)}, want: []attach.Claim{beside(6, "", pkey.Limited)},
		},
		"index 0 is for the first partition": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x6", Namespaces: everybody(), Index0: &yes})},
			ns:    "red", claims: []attach.Claim{full(7, ""), beside(6, "", pkey.Full)}, want: []attach.Claim{full(7, ""), beside(6, "", pkey.Full)},
		},
		"what the network names besides needs a grant, though it would come along": {
			parts: []*v1alpha1.Partition{blue, storage}, ns: "blue", claims: []attach.Claim{full(5, ""), beside(0x20, "", pkey.Full)}, says: "Partition storage does not grant", denied: true,
		},
		"and with one it is as the network says": {
			parts: []*v1alpha1.Partition{blue, part("storage", spec{PKey: "0x20", Namespaces: everybody()})}, ns: "blue",
			claims: []attach.Claim{full(5, ""), beside(0, "storage", pkey.Full)}, want: []attach.Claim{full(5, ""), beside(0x20, "storage", pkey.Full)},
		},
		"what comes along brings nothing itself, nor itself": {
			parts: []*v1alpha1.Partition{
				part("a", spec{PKey: "0x1", Namespaces: everybody(), Also: []v1alpha1.PartitionRef{{Name: "b", Membership: "full"}, {Name: "a"}}}),
				part("b", spec{PKey: "0x2", Also: []v1alpha1.PartitionRef{{Name: "a"}, {Name: "c"}}}), part("c", spec{PKey: "0x3"}),
			},
			ns: "red", claims: []attach.Claim{full(0, "a")}, want: []attach.Claim{full(1, "a"), beside(2, "b", pkey.Full)},
		},
		"what should come along must exist": {
			parts: []*v1alpha1.Partition{blue}, ns: "blue", claims: []attach.Claim{full(5, "")}, says: `Partition "storage" as well, which does not exist`,
		},
		"and have a pkey": {
			parts: []*v1alpha1.Partition{blue, part("storage", spec{})}, ns: "blue", claims: []attach.Claim{full(5, "")}, says: "Partition storage has no pkey yet",
		},
		"a name that is not there": {ns: "blue", claims: []attach.Claim{full(0, "blue")}, says: `no Partition "blue"`},
		"one without a pkey":       {parts: []*v1alpha1.Partition{part("p", spec{Namespaces: everybody()})}, ns: "blue", claims: []attach.Claim{full(0, "p")}, says: "has no pkey yet"},
		"one that was given a pkey": {
			parts: []*v1alpha1.Partition{part("p", spec{Namespaces: everybody()}, chosen("0x9"))}, ns: "blue", claims: []attach.Claim{full(0, "p")}, want: []attach.Claim{full(9, "p")},
		},
		"the one given stays, whatever the spec says": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x8", Namespaces: everybody()}, chosen("0x9"))}, ns: "blue", claims: []attach.Claim{full(0, "p"), beside(8, "", pkey.Full)},
			want: []attach.Claim{full(9, "p"), beside(8, "", pkey.Full)},
		},
		"one that goes takes nobody in, and guards its pkey": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x8", Namespaces: everybody()}, dying)}, ns: "blue", claims: []attach.Claim{full(8, "")}, says: "is being deleted",
		},
		"of two the older counts": {
			parts: []*v1alpha1.Partition{part("a", spec{PKey: "0x8", Namespaces: everybody()}), part("z", spec{PKey: "0x8", Namespaces: team("blue")}, age(9))},
			ns:    "red", claims: []attach.Claim{full(8, "")}, says: "Partition z does not grant", denied: true,
		},
		"and the younger grants nothing": {
			parts: []*v1alpha1.Partition{part("b", spec{PKey: "0x8", Namespaces: everybody()}), part("a", spec{PKey: "0x008"})},
			ns:    "red", claims: []attach.Claim{full(0, "b")}, says: "which the older Partition a has",
		},
		"a name and a number that are one pkey": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x8", Namespaces: everybody()})},
			ns:    "red", claims: []attach.Claim{full(0, "p"), beside(8, "", pkey.Full)}, says: "named twice",
		},
		"a spec that the CRD would not let through": {
			parts: []*v1alpha1.Partition{part("p", spec{PKey: "0x8", Namespaces: everybody(), MTU: 1500})}, ns: "red", claims: []attach.Claim{full(8, "")}, says: "write 2048 or 4096",
		},
	} {
		t.Run(name, func(t *testing.T) {
			given := append([]attach.Claim(nil), tc.claims...)
			got, err := NewBook(tc.parts, spaces(), Policy{Require: tc.require}).Resolve(tc.ns, tc.claims)
			var denied *DeniedError
			switch {
			case (err == nil) != (tc.says == ""), err != nil && !strings.Contains(err.Error(), tc.says):
				t.Errorf("it says %v, want %q", err, tc.says)
			case errors.As(err, &denied) != tc.denied:
				t.Errorf("denied: %t, in %v", !tc.denied, err)
			case err != nil && !tc.denied && !errors.Is(err, ErrNotYet) && tc.says != "named twice":
				t.Errorf("nobody asks again after %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(given, tc.claims); diff != "" {
				t.Errorf("the network's own claims were changed:\n%s", diff)
			}
		})
	}
}

func TestNoNamespaceJoinsWhatNobodyGrantsItOrBrings(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		selectors := []*metav1.LabelSelector{nil, everybody(), team("blue"), team("red")}
		var parts []*v1alpha1.Partition
		grants, brings := map[string]bool{}, map[pkey.PKey]map[pkey.PKey]bool{}
		for i, name := range names {
			s := spec{PKey: pkey.PKey(i + 1).String(), Namespaces: rapid.SampledFrom(selectors).Draw(t, "selector")}
			brings[pkey.PKey(i+1)] = map[pkey.PKey]bool{}
			for j, other := range names {
				if rapid.Bool().Draw(t, "also") {
					s.Also = append(s.Also, v1alpha1.PartitionRef{Name: other})
					brings[pkey.PKey(i+1)][pkey.PKey(j+1)] = true
				}
			}
			grants[name] = s.Namespaces != nil && (len(s.Namespaces.MatchLabels) == 0 || s.Namespaces.MatchLabels["team"] == "blue")
			parts = append(parts, part(name, s))
		}
		i := rapid.IntRange(0, len(names)-1).Draw(t, "first")
		first := pkey.PKey(i + 1)
		got, err := NewBook(parts, spaces(), Policy{}).Resolve("blue", []attach.Claim{full(first, "")})
		if (err == nil) != grants[names[i]] {
			t.Fatalf("granted %t, and it says %v", grants[names[i]], err)
		}
		if err == nil && attach.CheckClaims(got) != nil {
			t.Fatalf("the claims contradict each other: %v", got)
		}
		for n, c := range got {
			if c.PKey != first && !brings[first][c.PKey] || (c.Index0 && n > 0) {
				t.Fatalf("it joins %+v", c)
			}
		}
	})
}

func TestAPKeyOfTheRangeIsNobodysWithoutAPartition(t *testing.T) {
	b := NewBook([]*v1alpha1.Partition{part("a", spec{Namespaces: &metav1.LabelSelector{}}, chosen("0x1001"))}, spaces(), Policy{Range: pkey.Scope{{First: 0x1000, Last: 0x1fff}}})
	for p, want := range map[pkey.PKey]bool{0x1000: false, 0x1001: true, 0x1fff: false, 0xfff: true, 0x2000: true} {
		_, err := b.Resolve("blue", []attach.Claim{full(p, "")})
		var denied *DeniedError
		if err == nil != want || !want && !errors.As(err, &denied) {
			t.Errorf("pkey %s: %v", p, err)
		}
	}
}

func TestTerms(t *testing.T) {
	most, level := int32(7), int32(2)
	b := NewBook([]*v1alpha1.Partition{
		part("a", spec{PKey: "0x5", MaxMembers: &most, RateLimit: "200", ServiceLevel: &level}), part("b", spec{PKey: "0x5"}), part("c", spec{PKey: "0x6"}),
	}, nil, Policy{})
	terms, ok := b.Terms(5)
	want := Terms{Partition: "a", MaxMembers: 7, QoS: &pkey.QoS{MTULimit: 2, RateLimit: 200, ServiceLevel: 2}}
	if diff := cmp.Diff(want, terms); diff != "" || !ok {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
	if terms, ok := b.Terms(6); !ok || terms.QoS != nil || terms.MaxMembers != 0 {
		t.Errorf("a Partition that asks for nothing: %+v, %t", terms, ok)
	}
	if _, ok := b.Terms(7); ok {
		t.Error("a pkey without a Partition has terms")
	}
}

func TestJudgeKnowsAPartitionThatTheBookDoesNot(t *testing.T) {
	b := NewBook([]*v1alpha1.Partition{part("a", spec{PKey: "0x5"}), part("new", spec{})}, nil, Policy{})
	if winner, err := b.Judge(part("new", spec{}, chosen("0x6"))); winner != "" || err != nil {
		t.Errorf("with a pkey that was just chosen: %q, %v", winner, err)
	}
	if winner, err := b.Judge(part("b", spec{PKey: "0x5"})); winner != "a" || !errors.Is(err, ErrNotYet) {
		t.Errorf("with the older one's pkey: %q, %v", winner, err)
	}
	if winner, err := b.Judge(part("b", spec{PKey: "0x5"}, age(5))); winner != "" || err != nil {
		t.Errorf("older than the other: %q, %v", winner, err)
	}
}

func TestOnlyWhatMattersIsAChange(t *testing.T) {
	old := NewBook([]*v1alpha1.Partition{part("a", spec{PKey: "0x5"}), part("b", spec{PKey: "0x5"}), part("c", spec{})}, spaces(), Policy{})
	counted := part("a", spec{PKey: "0x5"})
	counted.Status.Members, counted.ResourceVersion = 9, "2"
	same := NewBook([]*v1alpha1.Partition{counted, part("b", spec{PKey: "0x5"}), part("c", spec{})}, spaces(), Policy{})
	if c := compare(old, same, true); len(c.Partitions)+len(c.PKeys)+len(c.Namespaces) != 0 {
		t.Errorf("members that were counted are a change: %+v", c)
	}
	moved := spaces()
	moved["red"] = labels.Set{"team": "blue"}
	next := NewBook([]*v1alpha1.Partition{part("b", spec{PKey: "0x5"}), part("c", spec{}, chosen("0x9"))}, moved, Policy{})
	want := Change{
		Partitions: map[string]bool{"a": true, "b": true, "c": true}, // b is the one that counts now
		PKeys:      map[pkey.PKey]bool{5: true, 9: true}, Namespaces: map[string]bool{"red": true},
	}
	if diff := cmp.Diff(want, compare(old, next, true)); diff != "" {
		t.Errorf("the change (-want +got):\n%s", diff)
	}
}

func TestASelectorOfWhatLabelsAreNotWaitsForTheLabels(t *testing.T) {
	others := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"red"}}}}
	b := NewBook([]*v1alpha1.Partition{part("p", spec{PKey: "0x6", Namespaces: others})}, spaces(), Policy{})
	if _, err := b.Resolve("seen-before-its-labels", []attach.Claim{full(6, "")}); !errors.Is(err, ErrNotYet) {
		t.Errorf("a namespace that may be red gets in: %v", err)
	}
	if _, err := b.Resolve("bare", []attach.Claim{full(6, "")}); err != nil {
		t.Errorf("one without labels does not: %v", err)
	}
}

func TestWhoJoinedKeepsWhatTheNetworkGaveThoughNobodyIsGrantedIt(t *testing.T) {
	b := NewBook([]*v1alpha1.Partition{
		part("blue", spec{PKey: "0x5", Also: []v1alpha1.PartitionRef{{Name: "storage"}, {Name: "lost"}, {Name: "waits"}}}, dying),
		part("storage", spec{PKey: "0x20"}), part("waits", spec{}),
	}, spaces(), Policy{Require: true})
	claims := []attach.Claim{full(0, "blue"), beside(5, "", pkey.Full), beside(7, "", pkey.Full), beside(0, "lost", pkey.Full), beside(0, "waits", pkey.Full)}
	want := []attach.Claim{full(5, "blue"), beside(7, "", pkey.Full), {PKey: 0x20, Partition: "storage", Mode: pkey.Mode{Membership: pkey.Limited}, IPoIB: true}}
	if diff := cmp.Diff(want, b.Joined(claims)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if claims[0].PKey != 0 {
		t.Error("the network's own claims were changed")
	}
}
