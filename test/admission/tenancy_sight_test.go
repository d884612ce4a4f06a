package admission

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// reached says how b's pod of that name got into a's partition; "" is not at all, at no time.
func (x *tenants) reached(pod string) string {
	x.t.Helper()
	for _, e := range x.sim.Journal() {
		for _, m := range e.Members {
			if e.PKey == keyOfA && e.Op != "remove" && !e.Changed.IsZero() && m.GUID != x.guidA && m.GUID != x.server {
				return fmt.Sprintf("UFM put %s into %s", m.GUID, keyOfA)
			}
		}
	}
	return x.seen.believed(x, pod)
}

// sightings are all that b's pods ever looked like to a kubelet, and what their networks say.
type sightings struct {
	mu   sync.Mutex // protects all
	all  []*corev1.Pod
	last map[types.UID]uint64 // the newest version of each
}

func (s *sightings) follow(x *tenants) {
	x.t.Helper()
	s.last = map[types.UID]uint64{}
	stream, err := x.bed.Client().CoreV1().Pods(x.b).Watch(x.ctx(), metav1.ListOptions{})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(stream.Stop)
	go func() { // until the test is over
		for event := range stream.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && event.Type != watch.Deleted {
				s.add(pod)
			}
		}
	}()
}

func (s *sightings) add(pod *corev1.Pod) {
	version, _ := strconv.ParseUint(pod.ResourceVersion, 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.last[pod.UID] = append(s.all, pod), version
}

// believed says whether a pod of b, past every gate of ours, was ever such that a CNI would
// have given it a's place.
func (s *sightings) believed(x *tenants, name string) string {
	x.t.Helper()
	testbed.Eventually(x.t, "the watch shows what there is", func() (bool, string) {
		list, err := x.bed.Client().CoreV1().Pods(x.b).List(x.ctx(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, pod := range list.Items {
			if version, _ := strconv.ParseUint(pod.ResourceVersion, 10, 64); s.last[pod.UID] < version {
				return false, pod.Name
			}
		}
		return true, ""
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pod := range s.all {
		if pod.Name != name {
			continue
		}
		gated := slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return strings.HasPrefix(g.Name, "ibfabric.io/") })
		for _, key := range []string{attach.NetworksAnnotation, mainNetwork} {
			if why := x.believes(pod.Annotations[key]); !gated && why != "" {
				return fmt.Sprintf("pod %s has %s: %s", pod.Name, why, pod.Annotations[key])
			}
		}
	}
	return ""
}

const mainNetwork = "v1.multus-cni.io/default-network"

// believes says what of a's a text gives its pod, read as Multus and a CNI that waits for
// nobody do.
func (x *tenants) believes(text string) string {
	var elements []struct {
		Name, Namespace string
		GUID            string         `json:"infiniband-guid"`
		Args            map[string]any `json:"cni-args"`
	}
	if json.Unmarshal([]byte(text), &elements) != nil {
		return x.config(text) // one name
	}
	for _, e := range elements {
		if why := x.config(e.Name); why != "" {
			return why
		}
		arg, _ := e.Args["guid"].(string)
		g, _ := guid.Parse(cmp.Or(e.GUID, arg))
		configured := e.Args["mellanox.infiniband.app"] == "configured"
		switch {
		case g == x.guidA, g == x.server:
			return "a GUID of a's partition"
		case configured && (e.Args["pkey"] == keyOfA.String() || e.Namespace == x.a):
			return "the word configured in a's partition"
		}
	}
	return ""
}

// config says whether a network of b's gives a's GUID to every pod on it.
func (x *tenants) config(name string) string {
	var nad nadv1.NetworkAttachmentDefinition
	if err := x.api.Get(x.ctx(), types.NamespacedName{Namespace: x.b, Name: name}, &nad); err != nil {
		return "" // nothing that a CNI could read
	}
	var conf any
	if json.Unmarshal([]byte(nad.Spec.Config), &conf) == nil && strings.Contains(fmt.Sprint(conf), x.guidA.String()) {
		return "a GUID of a's partition, by its network " + nad.Spec.Config
	}
	return ""
}
