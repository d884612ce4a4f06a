package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/preflight"
)

// resourceAnnotation names what the device plugin offers a network's VFs as.
const resourceAnnotation = "k8s.v1.cni.cncf.io/resourceName"

// networks reads each as the controller does.
func networks(f Facts, _ time.Time) []Row {
	switch {
	case facts.Absent(f.Networks.Err):
		return nil // crds says so
	case f.Networks.Err != nil:
		return unreadable("networks", nadCRD, f.Networks.Err)
	}
	var found []Row
	ours := 0
	for _, nad := range f.Networks.Value {
		net, err := read(nad)
		if net.InfiniBand {
			ours++
		}
		if err != nil { // which names the network, and says what to write
			found = append(found, row(Mend, err.Error(), fmt.Sprintf("kubectl -n %s edit network-attachment-definitions %s", nad.Namespace, nad.Name)))
		}
	}
	if ours == 0 && len(found) == 0 {
		return one(Info, "none of them is of the type "+attach.CNIType)
	}
	return allOr(found, fmt.Sprintf("%d of the type %s", ours, attach.CNIType))
}

func read(nad nadv1.NetworkAttachmentDefinition) (attach.Network, error) {
	return attach.ParseNetwork(types.NamespacedName{Namespace: nad.Namespace, Name: nad.Name}, nad.Spec.Config, nad.Annotations)
}

// others is what the controller looks at of other operators.
func others(f Facts, _ time.Time) []Row {
	if f.Policies.Err != nil && f.Pools.Err != nil {
		return nil // no such kinds here
	}
	c := preflight.Cluster{Networks: f.Networks.Value}
	if f.Pools.Err == nil {
		c.Pools = preflight.Pools{}
		for _, p := range f.Pools.Value {
			c.Pools[p.GetName()] = true
		}
	}
	for _, p := range f.Policies.Value {
		c.Policies = append(c.Policies, preflight.ReadPolicy(&p))
	}
	for _, n := range f.Nodes.Value {
		c.Nodes = append(c.Nodes, n.Labels)
	}
	var found []Row
	for _, finding := range preflight.Check(c) {
		about := finding.About
		namespace := ""
		if about.Namespace != "" {
			namespace = "-n " + about.Namespace + " "
		}
		found = append(found, row(Mend, fmt.Sprintf("%s %s: %s", about.Kind, about.Name, finding.Detail),
			fmt.Sprintf("kubectl %sedit %s %s", namespace, strings.ToLower(about.Kind), about.Name)))
	}
	return allOr(found, fmt.Sprintf("%d SriovNetworkNodePolicies, %d SpiderIPPools", len(c.Policies), len(c.Pools)))
}

// resources compares what networks name with what nodes have.
func resources(f Facts, _ time.Time) []Row {
	if f.Nodes.Err != nil {
		return unreadable("nodes", "nodes", f.Nodes.Err)
	}
	offered := offers(f)
	users := map[string][]string{} // networks, by resource
	var found []Row
	for _, nad := range f.Networks.Value {
		net, _ := read(nad) // networks says what is wrong
		name, resource := nad.Namespace+"/"+nad.Name, nad.Annotations[resourceAnnotation]
		switch {
		case resource != "":
			users[resource] = append(users[resource], name)
		case net.InfiniBand:
			found = append(found, row(Mend, fmt.Sprintf("network %s names no resource: its pods get no VF", name),
				fmt.Sprintf("kubectl -n %s annotate network-attachment-definitions %s %s=RESOURCE", nad.Namespace, nad.Name, resourceAnnotation), "# RESOURCE is "+choices(offered)))
		}
	}
	var seen []string
	for _, resource := range slices.Sorted(maps.Keys(users)) {
		if o, ok := offered[resource]; ok && o.units > 0 {
			seen = append(seen, fmt.Sprintf("%s: %d on %d nodes", resource, o.units, o.nodes))
			continue
		}
		found = append(found, row(Mend, fmt.Sprintf("no node has %s, which %s %s: pods on it stay Pending", resource, some(users[resource]), verb(users[resource], "names", "name")),
			"# name one that nodes have: "+choices(offered),
			"# or have the device plugin offer it: resourceName of a SriovNetworkNodePolicy, or its ConfigMap",
			`kubectl get nodes -o json | jq '.items[].status.allocatable'`))
	}
	if len(seen) > 0 {
		found = append(found, row(OK, strings.Join(seen, ", ")))
	}
	return found
}

type offer struct{ units, nodes int64 }

// offers are the extended resources of all nodes.
func offers(f Facts) map[string]offer {
	all := map[string]offer{}
	for _, n := range f.Nodes.Value {
		for name, quantity := range n.Status.Allocatable {
			domain, _, extended := strings.Cut(string(name), "/")
			if !extended || strings.HasSuffix(domain, "kubernetes.io") {
				continue
			}
			o := all[string(name)]
			o.units += quantity.Value()
			if quantity.Value() > 0 {
				o.nodes++
			}
			all[string(name)] = o
		}
	}
	return all
}

func choices(offered map[string]offer) string {
	if len(offered) == 0 {
		return "none that a node has: there is no extended resource in this cluster"
	}
	return some(slices.Sorted(maps.Keys(offered)))
}

func verb(list []string, single, several string) string {
	if len(list) == 1 {
		return single
	}
	return several
}

func some(list []string) string {
	const most = 6
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
