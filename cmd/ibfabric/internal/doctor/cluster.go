package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
)

const nadCRD = "network-attachment-definitions.k8s.cni.cncf.io"

func crds(f Facts, _ time.Time) []Row {
	if f.CRDs.Err != nil {
		return unreadable("the definitions of kinds", "customresourcedefinitions", f.CRDs.Err)
	}
	served := map[string]bool{}
	for _, c := range f.CRDs.Value {
		served[c.Name] = slices.ContainsFunc(c.Status.Conditions, func(cond apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return cond.Type == apiextensionsv1.Established && cond.Status == apiextensionsv1.ConditionTrue
		})
	}
	var found []Row
	for _, name := range []string{"ledgers.ibfabric.io", "journals.ibfabric.io", "partitions.ibfabric.io", "partitionclaims.ibfabric.io"} {
		if ok, there := served[name]; !there {
			found = append(found, row(Mend, name+" is not there", "kubectl apply --server-side -f deploy/crds/"+name+".yaml"))
		} else if !ok {
			found = append(found, row(Mend, name+" is not served", "kubectl describe crd "+name))
		}
	}
	if !served[nadCRD] {
		found = append(found, row(Mend, nadCRD+" is not there: Multus is not installed", "# install Multus, which brings it"))
	}
	return allOr(found, "ledgers, journals, partitions, partitionclaims, network-attachment-definitions")
}

// multus knows it by its image: its DaemonSet has many names.
func multus(f Facts, _ time.Time) []Row {
	if f.DaemonSets.Err != nil {
		return unreadable("DaemonSets", "daemonsets.apps", f.DaemonSets.Err)
	}
	rows := daemons(f.DaemonSets.Value, "multus")
	if len(rows) == 0 {
		return one(Mend, "no DaemonSet runs it: pods get their first interface alone",
			"# install Multus; if your distribution runs it in some other way, this row is wrong")
	}
	return rows
}

func devicePlugin(f Facts, _ time.Time) []Row {
	if f.DaemonSets.Err != nil {
		return nil // multus says so
	}
	return daemons(f.DaemonSets.Value, "sriov-network-device-plugin", "sriov-device-plugin")
}

// daemons judges the DaemonSets whose name or image has one of some texts in it.
func daemons(all []appsv1.DaemonSet, texts ...string) (rows []Row) {
	for _, d := range all {
		if !runs(d, texts) {
			continue
		}
		name, s := d.Namespace+"/"+d.Name, d.Status
		switch {
		case s.DesiredNumberScheduled == 0:
			rows = append(rows, row(Info, name+": no node is for it", fmt.Sprintf("kubectl -n %s get daemonset %s -o wide", d.Namespace, d.Name)))
		case s.NumberReady < s.DesiredNumberScheduled:
			rows = append(rows, row(Mend, fmt.Sprintf("%s: ready on %d of %d nodes", name, s.NumberReady, s.DesiredNumberScheduled),
				fmt.Sprintf("kubectl -n %s get pods -o wide | grep %s", d.Namespace, d.Name)))
		default:
			rows = append(rows, row(OK, fmt.Sprintf("%s: ready on %d nodes", name, s.NumberReady)))
		}
	}
	return rows
}

func runs(d appsv1.DaemonSet, texts []string) bool {
	for _, text := range texts {
		if strings.Contains(d.Name, text) {
			return true
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			if strings.Contains(c.Image, text) {
				return true
			}
		}
	}
	return false
}

// operator judges what sriov-network-operator says of each node.
func operator(f Facts, _ time.Time) []Row {
	switch {
	case facts.Absent(f.States.Err):
		return nil // VFs may be made in some other way
	case f.States.Err != nil:
		return unreadable("sriov-network-operator's nodes", "sriovnetworknodestates.sriovnetwork.openshift.io", f.States.Err)
	case len(f.States.Value) == 0 && len(f.Policies.Value) > 0:
		return one(Mend, "there are SriovNetworkNodePolicies and no SriovNetworkNodeStates: the operator does not work",
			"kubectl get pods -A | grep sriov-network")
	}
	var found []Row
	for _, s := range f.States.Value {
		status, _, _ := unstructured.NestedString(s.Object, "status", "syncStatus")
		last, _, _ := unstructured.NestedString(s.Object, "status", "lastSyncError")
		seen := fmt.Sprintf("node %s: %s", s.GetName(), status)
		look := fmt.Sprintf("kubectl -n %s get sriovnetworknodestates %s -o yaml", s.GetNamespace(), s.GetName())
		switch status {
		case "Succeeded":
		case "InProgress":
			found = append(found, row(Info, seen+": its cards are being set up, and pods are drained from it", look))
		default:
			if last != "" {
				seen += ": " + last
			}
			found = append(found, row(Mend, seen, look, fmt.Sprintf("kubectl -n %s logs -l app=sriov-network-config-daemon --tail=50", s.GetNamespace())))
		}
	}
	return allOr(found, fmt.Sprintf("%d nodes are set up", len(f.States.Value)))
}
