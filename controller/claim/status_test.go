package claim

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
)

func part(status metav1.ConditionStatus, says string, edit ...func(*v1alpha1.Partition)) *v1alpha1.Partition {
	p := &v1alpha1.Partition{ObjectMeta: metav1.ObjectMeta{Name: "claim-8d3c"}}
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Message: says}}
	for _, e := range edit {
		e(p)
	}
	return p
}

func TestAClaimIsReadyOnlyWhenItsPartitionAndAllItsNetworksAre(t *testing.T) {
	now := metav1.Now()
	ending := func(p *v1alpha1.Partition) { p.DeletionTimestamp = &now }
	claim := train()
	claim.Spec.Networks = make([]v1alpha1.ClaimNetwork, 2)
	both := []string{"a", "b"}
	for _, tc := range []struct {
		s            state
		reason, says string
	}{
		{state{part: &v1alpha1.Partition{}}, "NoPKey", "it is being made"},
		{state{part: part("False", "widen --pkey-range")}, "NoPKey", "widen --pkey-range"},
		{state{part: part("True", ""), pkey: 0x1000, networks: both[:1], why: errors.Join(errors.New("one"), errors.New("two"))}, "NetworkRefused", "one; two"},
		{state{part: part("False", "outside the scope"), pkey: 0x1000, networks: both}, "PartitionNotReady", "outside the scope"},
		{state{part: part("True", ""), pkey: 0x1000, networks: both[:1]}, "NetworksPending", ""},
		{state{part: part("True", "", ending), pkey: 0x1000, networks: both}, "PartitionDeleted", "delete the pods"},
		{state{part: part("True", ""), pkey: 0x1000, networks: both}, "Usable", "a, b"},
	} {
		c := tc.s.ready(claim)
		if c.Reason != tc.reason || !strings.Contains(c.Message, tc.says) || (c.Status == metav1.ConditionTrue) != (tc.reason == "Usable") {
			t.Errorf("%+v, want %s with %q", c, tc.reason, tc.says)
		}
	}
	claim.DeletionTimestamp = &now
	if c := (state{part: part("False", "3 left", ending), pkey: 0x1000, networks: both}).ready(claim); c.Reason != "Deleting" || !strings.Contains(c.Message, "3 left") {
		t.Errorf("%+v", c)
	}
}

func TestOnlyWhatMayEndByItselfIsTriedAgain(t *testing.T) {
	away, denied := errors.New("the API server is away"), apierrors.NewForbidden(schema.GroupResource{}, "rail", errors.New("by a webhook"))
	person := refused("delete it")
	for _, tc := range []struct {
		err   error
		again bool
	}{
		{nil, false}, {person, false}, {errors.Join(person, fmt.Errorf("%w; it stays", person)), false},
		{away, true}, {errors.Join(person, away), true}, {errors.Join(person, refused("make it: %w", denied)), true},
	} {
		if again := unlessForAPerson(tc.err) != nil; again != tc.again {
			t.Errorf("%v: tried again: %t", tc.err, again)
		}
	}
}

func TestTheLabelsOfAClaimsPartitionAreThoseThatAFabricIsChosenBy(t *testing.T) {
	mine, err := labels.Parse("fabric in (a,b),tier!=test")
	if err != nil {
		t.Fatal(err)
	}
	claim := train()
	claim.Labels = map[string]string{"fabric": "a", "tier": "x", "app.kubernetes.io/instance": "argo"}
	p := New(Config{Mine: mine}, Deps{}).newPartition(claim)
	if !mine.Matches(labels.Set(p.Labels)) || len(p.Labels) != 4 || p.Labels["app.kubernetes.io/instance"] != "" {
		t.Errorf("labels %v", p.Labels)
	}
	if key := claimKeys(p); len(key) != 1 || key[0] != "team/train" {
		t.Errorf("it is the Partition of %v", key)
	}
	p.Name = "blue" // an administrator's, whatever its labels say
	if key := claimKeys(p); key != nil {
		t.Errorf("it is taken for the Partition of %v", key)
	}
}
