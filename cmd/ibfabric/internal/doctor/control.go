package doctor

import (
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

// incumbent looks at Deployments and leases as the controller does.
func incumbent(f Facts, now time.Time) []Row {
	if f.Incumbents.Err != nil {
		return unreadable("Deployments", "deployments.apps", f.Incumbents.Err)
	}
	found := Incumbent(f.Incumbents.Value, f.IncLeases.Value, now)
	if o := f.Overview; o.Err == nil && o.Value.Leader.Adopted && o.Value.Leader.Blocked == "" && !o.Value.DryRun {
		// Anybody can give it that name. The controller asks what its account may do.
		for i := range found {
			found[i].State, found[i].Mend = Info, []string{fmt.Sprintf("kubectl -n %s logs deployment/ibfabric-controller | grep -e namesake.found -e incumbent.found", o.Value.Namespace)}
			found[i].Seen += "; but ibfabric works, and does not take it for ib-kubernetes, or has not seen it yet"
		}
	}
	return allOr(found, "none works here")
}

// Incumbent has a row for each sign that ib-kubernetes works: its Deployments have pods, or
// somebody holds its leader's lease.
func Incumbent(deployments []appsv1.Deployment, leases []coordinationv1.Lease, now time.Time) (found []Row) {
	for _, d := range deployments {
		running := d.Status.ReadyReplicas
		if d.Status.TerminatingReplicas != nil { // one that ends may have a change of UFM under way
			running += *d.Status.TerminatingReplicas
		}
		if running > 0 {
			found = append(found, row(Mend, fmt.Sprintf("%s/%s runs %d pods: the two would give one GUID to two pods, and ibfabric waits", d.Namespace, d.Name, running),
				fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=0", d.Namespace, d.Name), "# or take it out of the NicClusterPolicy that runs it"))
		}
	}
	for _, l := range leases {
		s := l.Spec
		if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
			continue
		}
		if now.Sub(s.RenewTime.Time) < time.Duration(*s.LeaseDurationSeconds)*time.Second {
			found = append(found, row(Mend, fmt.Sprintf("%s holds the lease %s/%s", *s.HolderIdentity, l.Namespace, l.Name), "kubectl get pods -A | grep ib-kubernetes"))
		}
	}
	return found
}

// leader judges who leads by the console's own word.
func leader(f Facts, now time.Time) []Row {
	if err := f.Overview.Err; err != nil {
		mend := fault.MendOf(err)
		if len(mend) == 0 {
			mend = []string{"kubectl get pods -A | grep ibfabric-controller"}
		}
		return one(Mend, err.Error(), mend...)
	}
	o := f.Overview.Value
	logs := fmt.Sprintf("kubectl -n %s logs deployment/ibfabric-controller", o.Namespace)
	switch {
	case o.Leader.Blocked != "":
		return one(Mend, fmt.Sprintf("%s leads and does not begin: %s", o.Leader.Identity, o.Leader.Blocked), logs)
	case !o.Leader.Adopted:
		return one(Mend, o.Leader.Identity+" leads, and has not read ledger, pods and UFM yet", logs)
	case o.DryRun:
		return one(Info, o.Leader.Identity+" leads, and changes nothing: its sync policy is "+o.Policy, "# start it with --sync-policy=sync when its plan is right: ibfabric plan")
	}
	return one(OK, fmt.Sprintf("%s leads since %s", o.Leader.Identity, o.Leader.Since.UTC().Format(time.RFC3339)))
}

// admission finds webhooks by their own names: those of the objects are a fabric's.
func admission(f Facts, _ time.Time) []Row {
	for _, err := range []error{f.Validating.Err, f.Mutating.Err, f.Admission.Err, f.Bindings.Err} {
		if err != nil {
			return unreadable("webhooks and policies", "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings", err)
		}
	}
	have := map[string]bool{}
	var found []Row
	hook := func(name, config string, client admissionv1.WebhookClientConfig) {
		if name != networksHook && name != podsHook {
			return
		}
		have[name] = true
		if len(client.CABundle) == 0 {
			found = append(found, row(Mend, fmt.Sprintf("webhook %s of %s has no caBundle: the API server trusts nobody there", name, config),
				"# start the controller with --admission, which writes it; with --webhook-cert-dir it is yours to write"))
		}
	}
	for _, c := range f.Validating.Value {
		for _, w := range c.Webhooks {
			hook(w.Name, c.Name, w.ClientConfig)
		}
	}
	for _, c := range f.Mutating.Value {
		for _, w := range c.Webhooks {
			hook(w.Name, c.Name, w.ClientConfig)
		}
	}
	for _, p := range f.Admission.Value {
		have["policy "+p.Name] = true
	}
	for _, b := range f.Bindings.Value {
		have["binding of "+b.Spec.PolicyName] = true
	}
	want := []string{networksHook, podsHook, "policy ibfabric-pods", "binding of ibfabric-pods", "policy ibfabric-bindings", "binding of ibfabric-bindings"}
	var missing []string
	for _, name := range want {
		if !have[name] {
			missing = append(missing, name)
		}
	}
	const mend = "kubectl apply --server-side -f deploy/admission     # and --admission for the controller: docs/tenancy.md"
	switch {
	case len(missing) == len(want):
		return one(Info, "none are installed: who may edit pods can write into them what only the controller should, and no pod is held at a gate", mend)
	case len(missing) > 0:
		found = append(found, row(Mend, "missing: "+strings.Join(missing, ", "), mend))
	}
	return allOr(found, "the webhooks and both policies are there")
}

// The names of webhooks in deploy/admission.
const (
	networksHook = "networks.ibfabric.io"
	podsHook     = "pods.ibfabric.io"
)
