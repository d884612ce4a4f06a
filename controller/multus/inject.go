package multus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// Pod is what of a pod and its namespace says which networks it wants.
type Pod struct {
	Namespace            string
	Annotations          map[string]string
	NamespaceAnnotations map[string]string
	NamespaceLabels      map[string]string
}

// Namespaces says by name whose pods are served: those of Include, or all where it is
// empty, and of them none of Exclude.
type Namespaces struct{ Include, Exclude []string }

// Serves reports whether pods of that namespace are served.
func (n Namespaces) Serves(namespace string) bool {
	return (len(n.Include) == 0 || slices.Contains(n.Include, namespace)) && !slices.Contains(n.Exclude, namespace)
}

// mostGroups is how many groups a pod can ask for: each is looked for in all configs.
const mostGroups = 64

// Candidate is a config of the cluster and why no NAD comes of it, if so.
type Candidate struct {
	Config Config
	Err    error
}

// Injection is what a pod is given. The zero value is nothing.
type Injection struct {
	// Networks is the pod's networks annotation as it is to be: a JSON list. "" leaves it.
	Networks string
	// Resources are what the group's networks take, one for each time the pod is on one.
	// Where a container asks for more already, that stands: raise, never lower.
	Resources []Resource
	// InfiniBand are the labels of the NADs, one for each InfiniBand network of the group. The
	// pod may be there before its networks are made, and is to wait for its fabric all the same.
	InfiniBand []map[string]string
	// Warning is for whoever made the pod.
	Warning string
}

// Resource is an extended resource and how many of it.
type Resource struct {
	Name  string
	Count int64
}

// Inject says what a pod is given that asks, itself or by its namespace, for the networks
// of a group. Doing it again with its own result changes nothing more, so a webhook may be
// called twice. Networks that the pod names already stay as they are, in front.
//
// A wish that cannot be met is an error, to refuse the pod with: it would start without
// the networks that its job needs.
func Inject(pod Pod, served Namespaces, all []Candidate) (Injection, error) {
	key, groups, own, err := pod.wish()
	switch {
	case err != nil || len(groups) == 0:
		return Injection{}, err
	case !served.Serves(pod.Namespace) && own:
		return Injection{Warning: fmt.Sprintf("%s has no effect: namespace %s is not among those that networks are injected into", key, clip(pod.Namespace))}, nil
	case !served.Serves(pod.Namespace):
		return Injection{}, nil
	}
	if len(groups) > mostGroups {
		return Injection{}, fmt.Errorf("%s names %d groups; name at most %d", key, len(groups), mostGroups)
	}
	members, err := choose(key, groups, all)
	if err != nil {
		return Injection{}, err
	}
	return pod.join(members)
}

// Says reports whether the pod itself says something, so that its namespace is not asked.
func (p Pod) Says() bool {
	_, rdma := p.Annotations[RDMAInject]
	_, network := p.Annotations[NetworkInject]
	return rdma || network
}

// Asks reports whether the pod or its namespace asks for networks, or says what must be
// refused.
func (p Pod) Asks() bool {
	_, groups, _, err := p.wish()
	return err != nil || len(groups) > 0
}

// wish is the first that is said of: the pod, its namespace's annotations, its labels.
// Whoever says nothing in so many words ("") wants nothing, whatever the namespace says.
func (p Pod) wish() (key string, groups []string, own bool, err error) {
	for i, from := range []map[string]string{p.Annotations, p.NamespaceAnnotations, p.NamespaceLabels} {
		rdma, saysRDMA := from[RDMAInject]
		network, saysNetwork := from[NetworkInject]
		switch {
		case saysRDMA && saysNetwork:
			return "", nil, false, fmt.Errorf("both %s and %s are set; leave the first for networks with RDMA devices, the second for others", RDMAInject, NetworkInject)
		case saysRDMA:
			return RDMAInject, names(rdma), i == 0, nil
		case saysNetwork:
			return NetworkInject, names(network), i == 0, nil
		}
	}
	return "", nil, false, nil
}

// names splits a list with commas; a label cannot hold one, so no group has one in it.
func names(list string) []string {
	var all []string
	seen := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" && !seen[name] {
			all, seen[name] = append(all, name), true
		}
	}
	return all
}

// join adds the networks that the pod does not name itself, and counts what all take.
func (p Pod) join(members []Config) (Injection, error) {
	text := p.Annotations[attach.NetworksAnnotation]
	elements, err := attach.ParseAnnotation(p.Namespace, text)
	if err != nil {
		return Injection{}, fmt.Errorf("add networks to the pod's own: %w", err)
	}
	on := map[types.NamespacedName]int64{}
	for _, e := range elements {
		if e.Err != nil {
			return Injection{}, fmt.Errorf("add networks to the pod's own: %w", e.Err)
		}
		on[e.Network]++
	}
	var inj Injection
	var add []string
	for _, c := range members {
		name := c.NADName()
		if on[name] == 0 {
			add, on[name] = append(add, element(name, "")), 1
		}
		inj.count(c.Resource(), on[name])
		if c.CNIType == IBSRIOV {
			inj.InfiniBand = append(inj.InfiniBand, c.nadLabels())
		}
	}
	if len(add) > 0 {
		inj.Networks, err = p.extend(text, elements, add)
	}
	return inj, err
}

// extend puts elements behind those of a networks annotation, which stay byte for byte; a
// comma list becomes JSON.
func (p Pod) extend(text string, elements []attach.Element, add []string) (string, error) {
	old := strings.TrimSpace(text)
	if strings.HasPrefix(old, "[") {
		old = old[1 : len(old)-1]
	} else {
		old = strings.Join(asJSON(old, elements), ",")
	}
	if len(elements) > 0 {
		old += ","
	}
	text = "[" + old + strings.Join(add, ",") + "]"
	// An element of the pod may ask for the interface that a new one gets by its place.
	all, err := attach.ParseAnnotation(p.Namespace, text)
	for _, e := range all {
		if err == nil {
			err = e.Err
		}
	}
	if err != nil {
		return "", fmt.Errorf("add networks to the pod's own: %w", err)
	}
	return text, nil
}

// asJSON turns the parts of a comma list into elements. An interface that goes unsaid
// stays so: Multus gives it by place.
func asJSON(list string, elements []attach.Element) []string {
	var all []string
	for i, part := range strings.Split(list, ",")[:len(elements)] {
		_, ifname, _ := strings.Cut(part, "@")
		all = append(all, element(elements[i].Network, strings.TrimSpace(ifname)))
	}
	return all
}

// count keeps the order of the networks, so that equal pods get equal texts.
func (i *Injection) count(resource string, n int64) {
	if resource == "" {
		return
	}
	for k := range i.Resources {
		if i.Resources[k].Name == resource {
			i.Resources[k].Count += n
			return
		}
	}
	i.Resources = append(i.Resources, Resource{resource, n})
}

func element(name types.NamespacedName, ifname string) string {
	text, _ := json.Marshal(struct { // texts alone: that cannot fail
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		Interface string `json:"interface,omitempty"`
	}{name.Name, name.Namespace, ifname})
	return string(text)
}
