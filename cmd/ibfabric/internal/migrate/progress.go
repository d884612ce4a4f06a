package migrate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/doctor"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// resourceAnnotation names what the device plugin offers a network's VFs as.
const resourceAnnotation = "k8s.v1.cni.cncf.io/resourceName"

// progress is how far the move has come.
type progress struct {
	Facts
	report Report
	policy string // the NicClusterPolicy that runs ib-kubernetes
	works  []Row  // signs that ib-kubernetes works, by Deployment and lease
	ending int    // pods of ib-kubernetes that are there, ready or not
	// controller is ibfabric's, nil where it is not installed.
	controller *appsv1.Deployment
	overview   *api.Overview      // nil where nobody said
	nodes      *appsv1.DaemonSet  // of ibfabric, nil where it is not installed
	moved      []string           // nodes that have ibfabric's plugins
	tomove     []string           // nodes that need them and have not
	installers []appsv1.DaemonSet // of other plugins with the same names
}

func (f *Facts) progress(r Report, now time.Time) progress {
	p := progress{Facts: *f, report: r, works: doctor.Incumbent(f.Incumbents.Value, f.Leases.Value, now)}
	p.policy, _ = f.policy()
	for i := range f.Pods.Value {
		if pod := &f.Pods.Value[i]; isTheirs(pod) && !isOver(pod) {
			p.ending++
		}
	}
	if len(f.Controllers.Value) > 0 {
		p.controller = &f.Controllers.Value[0]
	}
	if f.Overview != nil && f.Overview.Err == nil {
		p.overview = &f.Overview.Value
	}
	for i := range f.DaemonSets.Value {
		d := &f.DaemonSets.Value[i]
		switch {
		case d.Labels[nameLabel] == ourNodes:
			p.nodes = d
		case installs(d):
			p.installers = append(p.installers, *d)
		}
	}
	p.sortNodes()
	return p
}

// installs reports whether a DaemonSet puts ib-sriov, sriov or rdma on nodes.
func installs(d *appsv1.DaemonSet) bool {
	spec := d.Spec.Template.Spec
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		name := c.Image[strings.LastIndex(c.Image, "/")+1:]
		for _, program := range []string{"ib-sriov-cni", "sriov-cni", "rdma-cni"} {
			if strings.HasPrefix(name, program) {
				return true
			}
		}
	}
	return false
}

// sortNodes finds the nodes that serve InfiniBand, by the VFs that they offer or by the
// pods that they run, and those among them that have ibfabric's plugins.
func (p *progress) sortNodes() {
	resources := map[string]bool{}
	for _, nad := range p.Networks.Value {
		if net, _ := read(nad); net.InfiniBand && nad.Annotations[resourceAnnotation] != "" {
			resources[nad.Annotations[resourceAnnotation]] = true
		}
	}
	need := map[string]bool{}
	for _, n := range p.Nodes.Value {
		for name, quantity := range n.Status.Allocatable {
			if resources[string(name)] && quantity.Value() > 0 {
				need[n.Name] = true
			}
		}
	}
	have := map[string]bool{}
	for i := range p.Pods.Value {
		pod := &p.Pods.Value[i]
		switch {
		case isOver(pod) || pod.Spec.NodeName == "":
		case pod.Labels[nameLabel] == ourNodes:
			have[pod.Spec.NodeName] = have[pod.Spec.NodeName] || pod.Status.Phase == corev1.PodRunning // its init container is through
		case isConfigured(pod):
			need[pod.Spec.NodeName] = true
		}
	}
	for _, name := range sortedKeys(need) {
		if have[name] {
			p.moved = append(p.moved, name)
		} else {
			p.tomove = append(p.tomove, name)
		}
	}
}

func isConfigured(pod *corev1.Pod) bool {
	elements, _ := attach.ParseAnnotation(pod.Namespace, pod.Annotations[attach.NetworksAnnotation])
	return slices.ContainsFunc(elements, func(e attach.Element) bool { return e.Configured })
}

// isStopped reports whether ib-kubernetes neither works nor comes back.
func (p *progress) isStopped() bool {
	return len(p.works) == 0 && p.ending == 0 && p.policy == "" && !slices.ContainsFunc(p.Incumbents.Value, wanted)
}

// wanted reports whether a Deployment is to have pods.
func wanted(d appsv1.Deployment) bool { return d.Spec.Replicas == nil || *d.Spec.Replicas > 0 }

// syncPolicy is what ibfabric's controller was told.
func (p *progress) syncPolicy() string {
	for _, c := range p.controller.Spec.Template.Spec.Containers {
		for _, arg := range c.Args {
			if policy, ok := strings.CutPrefix(arg, "--sync-policy="); ok {
				return policy
			}
		}
	}
	return "sync"
}

// hasTakenOver reports whether ibfabric works, and its ledger has what can be taken over. A
// console that cannot be asked is no reason to call that undone.
func (p *progress) hasTakenOver() bool {
	if p.controller == nil || p.syncPolicy() == dryRun || !p.isStopped() {
		return false
	}
	if o := p.overview; o != nil && (!o.Leader.Adopted || o.Leader.Blocked != "" || o.DryRun) {
		return false
	}
	n := p.report.Pods
	return (p.overview != nil || n.TakenOver > 0) && n.TakenOver+len(n.Left) == n.Configured
}

const dryRun = "dry-run"

// found are the parts of both that are there.
func (p *progress) found() (all []Found) {
	add := func(what, where, seen string) { all = append(all, Found{what, where, seen}) }
	for _, d := range p.Incumbents.Value {
		add("ib-kubernetes", "deployment "+d.Namespace+"/"+d.Name, deploymentSeen(d))
	}
	for _, l := range p.Leases.Value {
		if l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != "" {
			add("its leader", "lease "+l.Namespace+"/"+l.Name, "held by "+*l.Spec.HolderIdentity)
		}
	}
	if p.policy != "" {
		add("network-operator", "nicclusterpolicy "+p.policy, "runs ib-kubernetes, and would start it again")
	}
	configMaps, secrets := p.named()
	for _, key := range configMaps {
		if m := p.ConfigMaps[key]; m.Err == nil {
			add("its settings", "configmap "+key.String(), strings.Join(sortedKeys(m.Value), ", "))
		}
	}
	for _, key := range secrets {
		if s := p.Secrets[key]; s.Err == nil {
			add("UFM's Secret", "secret "+key.String(), "keys "+strings.Join(s.Value.Keys, ", "))
		}
	}
	if text := p.pluginTypes(); text != "" {
		add("networks", "all namespaces", text)
	}
	if n := p.report.Pods; n.Configured+n.Waiting+len(n.Left) > 0 {
		add("interfaces", "all namespaces", fmt.Sprintf("%d configured, %d of them in ibfabric's ledger; %d wait", n.Configured, n.TakenOver, n.Waiting))
	}
	for _, d := range p.installers {
		add("CNI plugins", "daemonset "+d.Namespace+"/"+d.Name, fmt.Sprintf("on %d nodes", d.Status.NumberReady))
	}
	if p.controller != nil {
		add("ibfabric", "deployment "+p.controller.Namespace+"/"+p.controller.Name, fmt.Sprintf("sync policy %s, %s", p.syncPolicy(), deploymentSeen(*p.controller)))
	}
	if p.overview != nil {
		add("its leader", "fabric "+p.overview.Fabric, leaderSeen(p.overview))
	}
	if p.nodes != nil {
		add("its CNI plugins", "daemonset "+p.nodes.Namespace+"/"+p.nodes.Name, fmt.Sprintf("on %d of %d nodes with InfiniBand", len(p.moved), len(p.moved)+len(p.tomove)))
	}
	return all
}

func deploymentSeen(d appsv1.Deployment) string {
	if !wanted(d) && d.Status.Replicas == 0 {
		return "scaled to 0"
	}
	return fmt.Sprintf("%d pods ready", d.Status.ReadyReplicas)
}

func leaderSeen(o *api.Overview) string {
	switch {
	case o.Leader.Blocked != "":
		return "waits for ib-kubernetes to go"
	case !o.Leader.Adopted:
		return "reads ledger, pods and UFM"
	case o.DryRun:
		return "changes nothing"
	}
	return fmt.Sprintf("works; %d of %d members in UFM", o.Members.Actual, o.Members.Desired)
}
