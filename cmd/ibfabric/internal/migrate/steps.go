package migrate

import "fmt"

// StepState is whether a step is done, is to be done now, or waits for those before it.
type StepState string

// The states of a step.
const (
	StepDone  StepState = "done"
	StepNext  StepState = "next"
	StepLater StepState = "later"
)

// Step is a part of the move. Whether it is done is seen in the cluster, and nowhere noted.
type Step struct {
	Name  string    `json:"name"`
	State StepState `json:"state"`
	What  string    `json:"what"`
	// Do is what to type. Lines that begin with # are for the person who types.
	Do []string `json:"do,omitempty"`
}

const (
	chart   = "deploy/chart/ibfabric"
	valuesF = "values.yaml"
	saved   = "ib-kubernetes.json"
)

// steps are those of the whole move; the first that is not done is next.
func (p *progress) steps() []Step {
	if p.controller == nil && p.policy == "" && len(p.Incumbents.Value) == 0 && len(p.works) == 0 {
		return []Step{}
	}
	list := []struct {
		Step
		done bool
	}{
		{p.mend(), p.report.OK || p.hasTakenOver()},
		{p.install(), p.controller != nil},
		{p.stop(), p.isStopped()},
		{p.takeOver(), p.hasTakenOver()},
		{p.moveNodes(), p.nodes != nil && len(p.tomove) == 0},
		{p.verify(), p.isInSync()},
	}
	var all []Step
	next := false
	for _, s := range list {
		switch {
		case !next && s.done:
			s.State, s.Do = StepDone, nil
		case !next:
			s.State, next = StepNext, true
		default:
			s.State = StepLater
		}
		all = append(all, s.Step)
	}
	return all
}

func (p *progress) mend() Step {
	s := Step{Name: "mend", What: "what ibfabric would refuse, or read in another way"}
	for _, r := range p.report.Rows {
		if r.State == Mend {
			s.Do = append(s.Do, r.Mend...)
			break // one after the other
		}
	}
	return s
}

func (p *progress) install() Step {
	return Step{Name: "install", What: "install ibfabric where it changes nothing", Do: []string{
		"ibfabric migrate --values > " + valuesF,
		fmt.Sprintf("helm install ibfabric %s --namespace %s -f %s --set syncPolicy=dry-run,admission.enabled=false,node.enabled=false", chart, p.report.Namespace, valuesF),
	}}
}

func (p *progress) stop() Step {
	s := Step{Name: "stop", What: "stop ib-kubernetes: running pods keep all they have, new ones wait"}
	if p.policy != "" {
		s.Do = append(s.Do,
			fmt.Sprintf("kubectl get nicclusterpolicies.mellanox.com %s -o json | jq '{spec: {ibKubernetes: .spec.ibKubernetes}}' > %s     # for the way back", p.policy, saved),
			fmt.Sprintf(`kubectl patch nicclusterpolicies.mellanox.com %s --type=json -p '[{"op":"remove","path":"/spec/ibKubernetes"}]'`, p.policy),
			"# scaling the Deployment would not last: network-operator writes it anew")
	} else {
		for _, d := range p.Incumbents.Value {
			if wanted(d) {
				s.Do = append(s.Do, fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=0", d.Namespace, d.Name))
			}
		}
	}
	switch {
	case p.ending > 0 || len(s.Do) > 0:
		s.Do = append(s.Do, fmt.Sprintf("kubectl -n %s wait --for=delete pod -l name=%s --timeout=3m", p.report.Namespace, theirName))
	case len(p.works) > 0:
		s.Do = append(s.Do, "# its lease has not run out yet: a minute at most", "kubectl get leases -A | grep "+theirLease)
	}
	return s
}

func (p *progress) upgrade(more string) string {
	return fmt.Sprintf("helm upgrade ibfabric %s --namespace %s -f %s%s", chart, p.report.Namespace, valuesF, more)
}

func (p *progress) takeOver() Step {
	s := Step{Name: "take over", What: "let ibfabric work: it takes over what is configured, and changes no GUID"}
	switch {
	case p.controller == nil, p.syncPolicy() == dryRun:
		s.Do = []string{"ibfabric plan     # what it would change: additions for pods that wait, and nothing else", p.upgrade("")}
	default:
		s.Do = []string{fmt.Sprintf("kubectl -n %s logs deployment/%s     # it works as soon as it can: leader.adopted", p.controller.Namespace, p.controller.Name)}
	}
	return s
}

func (p *progress) moveNodes() Step {
	s := Step{Name: "nodes", What: fmt.Sprintf("move the nodes' CNI plugins one by one: %d of %d are moved", len(p.moved), len(p.moved)+len(p.tomove))}
	if p.nodes == nil {
		s.Do = append(s.Do, p.upgrade("     # with node.enabled, as the chart has it"))
	}
	for _, d := range p.installers {
		s.Do = append(s.Do, fmt.Sprintf("# daemonset %s/%s writes its plugins again when its pod starts on a node: keep it off the nodes that are moved", d.Namespace, d.Name))
	}
	if len(p.tomove) > 0 {
		node := p.tomove[0]
		s.Do = append(s.Do,
			fmt.Sprintf("kubectl label node %s %s=yes", node, NodeLabel),
			fmt.Sprintf("kubectl -n %s get pods -l %s=%s --field-selector spec.nodeName=%s     # ready: the node lacks nothing", p.report.Namespace, nameLabel, ourNodes, node))
	}
	return s
}

func (p *progress) verify() Step {
	return Step{Name: "verify", What: "see that UFM is as the cluster wants it", Do: []string{"ibfabric status", "ibfabric doctor"}}
}

// isInSync reports whether whoever leads says that all is as it should be.
func (p *progress) isInSync() bool {
	o := p.overview
	return o != nil && o.InSync && o.Drift == 0 && p.report.OK
}

// back are the commands from here to ib-kubernetes: first the nodes, then who works.
func (p *progress) back() (do []string) {
	if p.controller == nil {
		return nil
	}
	namespace := p.report.Namespace
	if len(p.moved) > 0 {
		node := p.moved[len(p.moved)-1]
		do = append(do, fmt.Sprintf("# each node that is moved (%d), without its pods: what ibfabric's plugins began only they end", len(p.moved)),
			fmt.Sprintf("kubectl drain %s --ignore-daemonsets --delete-emptydir-data", node),
			fmt.Sprintf("kubectl label node %s %s-", node, NodeLabel),
			fmt.Sprintf("kubectl debug node/%s -it --image=busybox --profile=sysadmin -- chroot /host /opt/cni/bin/ibfabric-cni install --restore", node),
			"kubectl uncordon "+node)
	}
	if p.syncPolicy() != dryRun {
		do = append(do, p.upgrade(" --set admission.enabled=false     # no pod comes to the gate any more, and ib-kubernetes may write"),
			"ibfabric pods --state waiting     # until none waits")
	}
	do = append(do, fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=0", p.controller.Namespace, p.controller.Name))
	switch {
	case !p.isStopped():
	case len(p.Incumbents.Value) > 0:
		do = append(do, fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=1", p.Incumbents.Value[0].Namespace, theirName))
	case len(p.Policies.Value) > 0:
		do = append(do, fmt.Sprintf("kubectl patch nicclusterpolicies.mellanox.com %s --type=merge --patch-file %s", p.Policies.Value[0].GetName(), saved))
	default:
		do = append(do, "# apply the manifests of ib-kubernetes")
	}
	if p.syncPolicy() == dryRun {
		do = append(do, "helm uninstall ibfabric --namespace "+namespace)
	}
	return do
}
