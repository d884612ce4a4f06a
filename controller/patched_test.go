package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// TestAPodThatMayHaveGoneOnKeepsWhatItHas: whose GUIDs may be in use is answered by what
// is known for certain, and nothing else.
func TestAPodThatMayHaveGoneOnKeepsWhatItHas(t *testing.T) {
	const uid = types.UID("u")
	begun := func(p *patchedPods) { p.begin(uid) }
	sent := func(p *patchedPods) { p.begin(uid); p.sending(uid) }
	for name, tc := range map[string]struct {
		did      func(*patchedPods)
		node     string
		phase    corev1.PodPhase
		deleting bool
		gated    bool
		never    bool
	}{
		"it waits":                              {did: begun, node: "n", never: true},
		"it runs":                               {did: begun, node: "n", phase: corev1.PodRunning},
		"it is being deleted":                   {did: begun, node: "n", deleting: true},
		"a former leader began":                 {did: func(*patchedPods) {}},
		"a former leader began, and it is held": {did: func(*patchedPods) {}, gated: true, never: true},
		"nobody knows, and it has a node":       {did: sent, node: "n"},
		"nobody knows, and it has none":         {did: sent, never: true},
		"the patch was refused":                 {did: func(p *patchedPods) { sent(p); p.refused(uid) }, node: "n", never: true},
		"it went on":                            {did: func(p *patchedPods) { sent(p); p.set(uid, "7") }},
		"it went on, and is sent another":       {did: func(p *patchedPods) { p.set(uid, "7"); p.sending(uid); p.refused(uid) }, gated: true},
		"it is forgotten":                       {did: func(p *patchedPods) { sent(p); p.forget(uid) }},
	} {
		p := newPatchedPods()
		tc.did(p)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}, Status: corev1.PodStatus{Phase: tc.phase}}
		pod.Spec.NodeName = tc.node
		if tc.deleting {
			pod.DeletionTimestamp = &metav1.Time{}
		}
		if got := p.neverWentOn(pod, tc.gated); got != tc.never {
			t.Errorf("%s: it never went on: %v", name, got)
		}
	}
}

func TestACacheThatIsBehindAPatchIsSeen(t *testing.T) {
	p := newPatchedPods()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: "5"}}
	if p.sending("u"); p.isAhead(pod) {
		t.Error("a patch without an answer holds its pod up")
	}
	if p.set("u", "7"); !p.isAhead(pod) {
		t.Error("version 5 is taken for 7")
	}
	if pod.ResourceVersion = "7"; p.isAhead(pod) {
		t.Error("version 7 is taken for an older one")
	}
}

func TestWhatAnElementRecordsOfItsPartitions(t *testing.T) {
	at0, limited := pkey.Mode{Index0: true}, pkey.Mode{Membership: pkey.Limited}
	plain, other := attach.Claim{PKey: 0x5, Mode: at0}, attach.Claim{PKey: 0x20, Mode: limited}
	for name, tc := range map[string]struct {
		said, claims []attach.Claim
		agree        bool
	}{
		"a GUID alone":               {nil, nil, true},
		"as ib-kubernetes v1.1.1":    {nil, []attach.Claim{plain}, true},
		"as it is written here":      {[]attach.Claim{plain}, []attach.Claim{plain}, true},
		"another partition":          {[]attach.Claim{plain}, []attach.Claim{other}, false},
		"none, of a limited member":  {nil, []attach.Claim{other}, false},
		"none, not at index 0":       {nil, []attach.Claim{{PKey: 0x5}}, false},
		"none, of two":               {nil, []attach.Claim{plain, other}, false},
		"one where none is to be":    {[]attach.Claim{plain}, nil, false},
		"the first of two":           {[]attach.Claim{plain}, []attach.Claim{plain, other}, false},
		"the same in another manner": {[]attach.Claim{{PKey: 0x5}}, []attach.Claim{plain}, false},
	} {
		if got := recorded(tc.said, tc.claims); got != tc.agree {
			t.Errorf("%s: they agree: %v", name, got)
		}
	}
}
