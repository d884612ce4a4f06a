package control

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// The HCAs of ten nodes have room for three PKeys each beside the default one, and the pods
// need ten: the scheduler, which knows nothing of that, would spread them over all nodes.
func TestNoNodeGetsMorePKeysThanItsTableHolds(t *testing.T) {
	const nodes, pkeys, pods, room = 10, 10, 200, 3
	bed := testbed.Start(t, testbed.WithScheduler(), testbed.WithNodes(nodes))
	if err := rig.InstallKinds(t.Context(), bed); err != nil {
		t.Fatal(err)
	}
	come := func(w *world) {
		for k := range pkeys {
			w.network(fmt.Sprint("tenant", k), fmt.Sprintf("0x%x", 0x10+k))
		}
		for i := range pods {
			w.pod(fmt.Sprint("p", i), fmt.Sprint("tenant", i%pkeys), gated("ibfabric.io/"+w.ns))
		}
	}

	t.Run("without a budget", func(t *testing.T) {
		w := worldOn(t, bed)
		w.start("--pkey-table-entries=0")
		come(w)
		testbed.Eventually(t, "all pods have a node", func() (bool, string) {
			at, pending := w.nodePKeys()
			return len(pending) == 0, fmt.Sprint(at, len(pending), " wait")
		})
		if most := w.most(); most <= room {
			t.Errorf("no node needs more than %d PKeys: the test shows nothing", most)
		}
	})

	t.Run("with one", func(t *testing.T) {
		w := worldOn(t, bed)
		c := w.start(fmt.Sprint("--pkey-table-entries=", room+1))
		come(w)
		served := func() {
			t.Helper()
			testbed.Eventually(t, "the pods whose PKey a node has are let go, the others wait and are told", func() (bool, string) {
				if most := w.most(); most > room {
					t.Fatalf("a node needs %d PKeys and has room for %d", most, room)
				}
				at, pending := w.nodePKeys()
				has := map[string]bool{}
				for _, list := range at {
					for _, tenant := range list {
						has[tenant] = true
					}
				}
				for _, p := range pending {
					if has[p.Annotations["tenant"]] || len(w.saidOf(p.Name, "pod.waiting")) == 0 {
						return false, fmt.Sprintf("%s of %s waits; %v", p.Name, p.Annotations["tenant"], at)
					}
				}
				return true, ""
			})
		}
		served()
		// Tenants leave, and with them their PKeys: whoever waited comes in their place.
		at, _ := w.nodePKeys()
		for _, tenant := range at[sortedKeys(at)[0]] {
			w.deleteTenant(tenant)
		}
		served()
		// The next leader counts what is there before it lets anybody go.
		c.stop()
		w.start(fmt.Sprint("--pkey-table-entries=", room+1))
		for i := range pkeys {
			w.pod(fmt.Sprint("late", i), fmt.Sprint("tenant", i), gated("ibfabric.io/"+w.ns))
		}
		served()
	})
}

// tenantOf is the one network that a pod names.
func tenantOf(p *corev1.Pod) string {
	elements, err := attach.ParseAnnotation(p.Namespace, p.Annotations[attach.NetworksAnnotation])
	if err != nil || len(elements) == 0 {
		return ""
	}
	return elements[0].Network.Name
}

// nodePKeys are the networks by node that its pods name, and the pods without a node, with
// theirs in an annotation.
func (w *world) nodePKeys() (at map[string][]string, pending []corev1.Pod) {
	w.t.Helper()
	var list corev1.PodList
	if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	at = map[string][]string{}
	for _, p := range list.Items {
		tenant := tenantOf(&p)
		p.Annotations["tenant"] = tenant
		switch node := p.Spec.NodeName; {
		case node == "":
			pending = append(pending, p)
		case !slices.Contains(at[node], tenant):
			at[node] = append(at[node], tenant)
		}
	}
	return at, pending
}

// most is how many PKeys the pods of one node need at the most.
func (w *world) most() (n int) {
	at, _ := w.nodePKeys()
	for _, tenants := range at {
		n = max(n, len(tenants))
	}
	return n
}

func (w *world) deleteTenant(tenant string) {
	w.t.Helper()
	var list corev1.PodList
	if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range list.Items {
		if tenantOf(&p) == tenant {
			w.deletePod(p.Name)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
