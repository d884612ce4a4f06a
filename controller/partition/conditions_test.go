package partition

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/grant"
)

func TestConditionsSayHowAPartitionStandsAndWhatToDo(t *testing.T) {
	granted := &v1alpha1.Partition{Spec: v1alpha1.PartitionSpec{Namespaces: &metav1.LabelSelector{}}}
	dying := granted.DeepCopy()
	dying.DeletionTimestamp = &metav1.Time{}
	dying.DeletionTimestamp.Time = metav1.Unix(1, 0).Time
	for name, tc := range map[string]struct {
		s                      state
		ready, inSync, clashes string // status and reason
		says                   string // one of the messages
	}{
		"all is well":        {state{part: granted, pkey: 5, tally: grant.Tally{Members: 3}}, "True Usable", "True AsWanted", "False None", "all members"},
		"granted to nobody":  {state{part: &v1alpha1.Partition{}, pkey: 5}, "True NobodyGranted", "True AsWanted", "False None", "set it to {}"},
		"no pkey":            {state{part: granted, why: &noPKeyError{"NoRange", "use --pkey-range"}}, "False NoRange", "False NoPKey", "False None", "use --pkey-range"},
		"the younger of two": {state{part: granted, pkey: 5, winner: "old"}, "False Conflict", "False Conflict", "True OlderWins", "Partition old has pkey 0x5 too"},
		"what it brings is missing": {
			state{part: granted, pkey: 5, why: fmt.Errorf("%w: create it", grant.ErrNotYet)}, "False Unusable", "True AsWanted", "False None", "create it",
		},
		"members on their way": {state{part: granted, pkey: 5, tally: grant.Tally{Members: 1, Pending: 2}}, "True Usable", "False Pending", "False None", "lacks 2 of 3"},
		"members that go":      {state{part: granted, pkey: 5, tally: grant.Tally{Leaving: 2}}, "True Usable", "False Leaving", "False None", "2 members go"},
		"a silent UFM":         {state{part: granted, pkey: 5, tally: grant.Tally{Pending: 2, Unknown: true}}, "True Usable", "Unknown UFMSilent", "False None", "pods keep what they have"},
		"no quality":           {state{part: granted, pkey: 5, tally: grant.Tally{QoS: errors.New("no such rate")}}, "True Usable", "False QoSRefused", "False None", "no such rate"},
		"going with members":   {state{part: dying, pkey: 5, tally: grant.Tally{Members: 1, Leaving: 1}}, "False Deleting", "False Leaving", "False None", "the 2 that are left"},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			var messages []string
			for _, c := range tc.s.conditions() {
				got[c.Type] = string(c.Status) + " " + c.Reason
				messages = append(messages, c.Message)
			}
			for kind, want := range map[string]string{v1alpha1.ConditionReady: tc.ready, v1alpha1.ConditionInSync: tc.inSync, v1alpha1.ConditionConflict: tc.clashes} {
				if got[kind] != want {
					t.Errorf("%s is %s, want %s", kind, got[kind], want)
				}
			}
			if all := strings.Join(messages, "\n"); !strings.Contains(all, tc.says) || strings.Contains(all, grant.ErrNotYet.Error()) {
				t.Errorf("they say:\n%s", all)
			}
		})
	}
}
