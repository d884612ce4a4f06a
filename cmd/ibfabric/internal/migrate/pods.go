package migrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

// Pods is how many interfaces there are to take over, and which are not taken over.
type Pods struct {
	Configured int    `json:"configured"` // interfaces that say that they have their GUID
	TakenOver  int    `json:"takenOver"`  // of those, the ones that ibfabric's ledger has
	Waiting    int    `json:"waiting"`    // have none yet: whoever works then serves them
	Left       []Left `json:"left,omitempty"`
}

// Left is an interface that the controller will not take over, and why.
type Left struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Interface string `json:"interface,omitempty"`
	GUID      string `json:"guid,omitempty"`
	Why       string `json:"why"`
}

func read(nad nadv1.NetworkAttachmentDefinition) (attach.Network, error) {
	return attach.ParseNetwork(types.NamespacedName{Namespace: nad.Namespace, Name: nad.Name}, nad.Spec.Config, nad.Annotations)
}

// network is a network as the controller reads it.
type network struct {
	attach.Network
	err error
}

// takeover judges interfaces as the controller does when it begins: controller/adopt.go.
type takeover struct {
	networks map[types.NamespacedName]network
	ranges   []guid.Range
	ledger   map[guid.GUID]v1alpha1.LedgerRow
	owners   map[guid.GUID]string // pods that were here first
	pods     Pods
}

// judge looks at all pods, the older first: of two that name one GUID it is the older's.
func (f *Facts) judge(ranges []guid.Range) Pods {
	t := takeover{networks: map[types.NamespacedName]network{}, ranges: ranges, ledger: map[guid.GUID]v1alpha1.LedgerRow{}, owners: map[guid.GUID]string{}}
	for _, nad := range f.Networks.Value {
		net, err := read(nad)
		t.networks[net.Name] = network{net, err}
	}
	for _, r := range f.Ledger.Value {
		if g, err := guid.Parse(r.GUID); err == nil && r.State == v1alpha1.Assigned {
			t.ledger[g] = r
		}
	}
	all := slices.Clone(f.Pods.Value)
	slices.SortFunc(all, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	for i := range all {
		if p := &all[i]; !isOver(p) && p.Annotations[attach.NetworksAnnotation] != "" {
			t.pod(p)
		}
	}
	return t.pods
}

func (t *takeover) pod(p *corev1.Pod) {
	text := p.Annotations[attach.NetworksAnnotation]
	elements, err := attach.ParseAnnotation(p.Namespace, text)
	if err != nil {
		if strings.Contains(text, "mellanox.infiniband") {
			t.leave(p, attach.Element{}, err)
		}
		return
	}
	status := attach.StatusGUIDs(p.Annotations[attach.NetworkStatusAnnotation])
	for _, e := range elements {
		lost := p.Status.Phase == corev1.PodRunning && e.GUID == 0
		if lost {
			e.GUID = attach.GUIDOf(status, e)
		}
		t.element(p, e, lost && e.GUID != 0)
	}
}

// element judges one interface. What is not configured and names no network of ours is
// nobody's business here.
func (t *takeover) element(p *corev1.Pod, e attach.Element, lost bool) {
	net, there := t.networks[e.Network]
	ours := net.InfiniBand || net.err != nil
	switch {
	case !there && e.Configured:
		t.leave(p, e, fmt.Errorf("network %s does not exist any more: nobody can say which partition is meant; make it again, as it was", e.Network))
	case !there || !ours:
	case !e.Configured && !lost:
		t.pods.Waiting++
	case e.Err != nil:
		t.leave(p, e, e.Err)
	case net.err != nil:
		t.leave(p, e, net.err)
	case e.GUID == 0:
		t.leave(p, e, fmt.Errorf("it is called configured and has no guid: make the pod anew"))
	default:
		t.claim(p, e, net.Network)
	}
}

func (t *takeover) claim(p *corev1.Pod, e attach.Element, net attach.Network) {
	name := p.Namespace + "/" + p.Name
	if r, has := t.ledger[e.GUID]; has && r.PodUID == p.UID {
		t.owners[e.GUID] = name
		t.pods.Configured++
		t.pods.TakenOver++
		return
	} else if has {
		t.leave(p, e, fmt.Errorf("guid %s is pod %s/%s's by the ledger: delete this pod, and leave the guid out when it is made anew", e.GUID, r.Namespace, r.Pod))
		return
	}
	if owner, taken := t.owners[e.GUID]; taken {
		t.leave(p, e, fmt.Errorf("guid %s is pod %s's too, which is older: delete this pod, and leave the guid out when it is made anew", e.GUID, owner))
		return
	}
	if byName(net) {
		e.Recorded = nil // which PKey a Partition has is for the controller to say
	}
	if err := e.Adoptable(net, t.contains); err != nil {
		t.leave(p, e, err)
		return
	}
	t.owners[e.GUID] = name
	t.pods.Configured++
}

func byName(net attach.Network) bool {
	return slices.ContainsFunc(net.Claims, func(c attach.Claim) bool { return c.PKey == 0 })
}

func (t *takeover) contains(g guid.GUID) bool {
	return slices.ContainsFunc(t.ranges, func(r guid.Range) bool { return r.Contains(g) })
}

func (t *takeover) leave(p *corev1.Pod, e attach.Element, why error) {
	l := Left{Namespace: p.Namespace, Pod: p.Name, Interface: e.Interface, Why: why.Error()}
	if e.GUID != 0 {
		l.GUID = e.GUID.String()
	}
	t.pods.Left = append(t.pods.Left, l)
	t.pods.Configured++
}

// networks are rows for the networks that ibfabric refuses and ib-kubernetes takes.
func (f *Facts) networks() (rows []Row) {
	for _, nad := range f.Networks.Value {
		if _, err := read(nad); err != nil {
			rows = append(rows, row(Mend, "networks", err.Error(), fmt.Sprintf("kubectl -n %s edit network-attachment-definitions %s", nad.Namespace, nad.Name)))
		}
	}
	return rows
}

// pluginTypes counts the networks by the plugins that ibfabric takes the place of.
func (f *Facts) pluginTypes() string {
	count := map[string]int{}
	for _, nad := range f.Networks.Value {
		for _, kind := range typesOf(nad.Spec.Config) {
			count[kind]++
		}
	}
	var parts []string
	for _, kind := range []string{"ib-sriov", "sriov", "rdma", "ipoib"} {
		if count[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d of type %s", count[kind], kind))
		}
	}
	return strings.Join(parts, ", ")
}

func typesOf(config string) (kinds []string) {
	var c struct {
		Type    string `json:"type"`
		Plugins []struct {
			Type string `json:"type"`
		} `json:"plugins"`
	}
	if json.Unmarshal([]byte(config), &c) != nil {
		return nil
	}
	kinds = append(kinds, c.Type)
	for _, p := range c.Plugins {
		kinds = append(kinds, p.Type)
	}
	return kinds
}
