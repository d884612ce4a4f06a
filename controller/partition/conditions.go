package partition

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/pkey"
)

// state is all that the conditions of a Partition come from.
type state struct {
	part   *v1alpha1.Partition
	stored v1alpha1.PartitionStatus // as the API server has it
	pkey   pkey.PKey                // 0: none
	winner string                   // the older Partition with the same PKey
	why    error                    // why it has no PKey, or cannot be used
	tally  grant.Tally
}

// left is how many GUIDs must go before the Partition may.
func (s state) left() int { return s.tally.Members + s.tally.Pending + s.tally.Leaving }

// conditions are what a person, or kubectl wait, is told. Their order is fixed.
func (s state) conditions() []metav1.Condition {
	return []metav1.Condition{s.ready(), s.inSync(), s.conflict()}
}

func (s state) ready() metav1.Condition {
	no := func(reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, fmt.Sprintf(format, args...))
	}
	var lacks *noPKeyError
	switch {
	case !s.part.DeletionTimestamp.IsZero() && s.left() > 0:
		return no("Deleting", "it takes no new members, and goes when the %d that are left are out of UFM: delete their pods", s.left())
	case !s.part.DeletionTimestamp.IsZero():
		return no("Deleting", "it takes no new members")
	case errors.As(s.why, &lacks):
		return no(lacks.reason, "%s", lacks.text)
	case s.winner != "":
		return no("Conflict", "%s", s.conflictText())
	case s.why != nil:
		return no("Unusable", "%s", strings.TrimPrefix(s.why.Error(), grant.ErrNotYet.Error()+": "))
	case s.part.Spec.Namespaces == nil:
		return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "NobodyGranted", "it can be used, and spec.namespaces grants it to nobody: set it to {} for all, or to a selector of namespaces")
	}
	return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Usable", "the namespaces that spec.namespaces selects can use it")
}

func (s state) inSync() metav1.Condition {
	as := func(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionInSync, status, reason, fmt.Sprintf(format, args...))
	}
	t := s.tally
	switch {
	case s.pkey == 0:
		return as(metav1.ConditionFalse, "NoPKey", "it has no pkey, which Ready tells more of")
	case s.winner != "":
		return as(metav1.ConditionFalse, "Conflict", "the members of pkey %s are those of Partition %s", s.pkey, s.winner)
	case t.Unknown:
		return as(metav1.ConditionUnknown, "UFMSilent", "UFM does not say who is in it: pods keep what they have, and new ones wait; the controller's log says more")
	case t.Pending > 0:
		return as(metav1.ConditionFalse, "Pending", "UFM lacks %d of %d members: they are on their way, or their pods' Events say what keeps them", t.Pending, t.Pending+t.Members)
	case t.Leaving > 0:
		return as(metav1.ConditionFalse, "Leaving", "UFM is to let %d members go whose pods are gone", t.Leaving)
	case t.QoS != nil:
		return as(metav1.ConditionFalse, "QoSRefused", "all members are in it, but not as spec.mtu, rateLimit and serviceLevel say: %v", t.QoS)
	}
	return as(metav1.ConditionTrue, "AsWanted", "UFM holds all members")
}

func (s state) conflict() metav1.Condition {
	if s.winner != "" {
		return condition(v1alpha1.ConditionConflict, metav1.ConditionTrue, "OlderWins", s.conflictText())
	}
	return condition(v1alpha1.ConditionConflict, metav1.ConditionFalse, "None", "no older Partition has its pkey")
}

func (s state) conflictText() string {
	return fmt.Sprintf("the older Partition %s has pkey %s too, and counts; this one grants nothing: delete one of them", s.winner, s.pkey)
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// noPKeyError says why a Partition has no PKey yet, in a word for programs and in a text
// that names the mend.
type noPKeyError struct{ reason, text string }

func (e *noPKeyError) Error() string { return e.text }
