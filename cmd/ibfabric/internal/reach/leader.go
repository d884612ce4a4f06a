package reach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
)

// defaultNamespace is where a controller is that was told nothing else.
const defaultNamespace = "kube-system"

// Leader is who leads a fabric, or led last, and where its console is.
type Leader struct {
	Fabric    string
	Namespace string // of the controller
	Identity  string
	Console   v1alpha1.JournalConsole
}

// Leader reads the head of the fabric's journal.
func (c *Cluster) Leader(ctx context.Context, fabric, namespace string) (Leader, error) {
	heads, err := c.heads(ctx, fabric, namespace)
	if err != nil {
		return Leader{}, err
	}
	var fit []Leader
	var all []string
	for _, j := range heads {
		l := Leader{Fabric: strings.TrimSuffix(j.Name, v1alpha1.JournalHeadName("")), Namespace: j.Namespace, Identity: j.Spec.Leader}
		if j.Spec.Console != nil {
			l.Console = *j.Spec.Console
		}
		all = append(all, fmt.Sprintf("--fabric %s --controller-namespace %s", l.Fabric, l.Namespace))
		if fabric == "" || l.Fabric == fabric {
			fit = append(fit, l)
		}
	}
	slices.Sort(all)
	switch {
	case len(fit) == 1:
		return fit[0], check(fit[0])
	case len(fit) > 1:
		return Leader{}, fault.New(fault.Usage, "there are several fabrics; say which one is meant", nil, all...)
	case len(all) > 0:
		return Leader{}, fault.New(fault.Usage, fmt.Sprintf("there is no fabric %q; say which one is meant", fabric), nil, all...)
	}
	return Leader{}, fault.New(fault.Unreachable, "no controller has led here yet, as far as the journal says", nil,
		"kubectl get pods -A | grep ibfabric-controller     # does it run?",
		"kubectl get journals.ibfabric.io -A                # it writes this when it leads, if --console is on")
}

// check refuses a head that sends us elsewhere. Who may write a journal in some namespace
// is not to get at other namespaces' pods by us.
func check(l Leader) error {
	if l.Console.Pod != "" && l.Console.Namespace != l.Namespace {
		return fault.New(fault.Failed, fmt.Sprintf("the journal of fabric %s in namespace %s says that its console is in namespace %q: it was not written by a controller", l.Fabric, l.Namespace, l.Console.Namespace), nil,
			"kubectl -n "+l.Namespace+" get journals.ibfabric.io -o yaml")
	}
	return nil
}

// heads lists the heads of all journals: in the namespace that was named, else in all; who
// may not list all of them gets those of the namespace that is the controller's by default.
func (c *Cluster) heads(ctx context.Context, fabric, namespace string) ([]v1alpha1.Journal, error) {
	if namespace != "" && fabric != "" { // needs the least rights
		var j v1alpha1.Journal
		err := c.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.JournalHeadName(fabric)}, &j)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return []v1alpha1.Journal{j}, journalError(err, namespace)
	}
	list := func(namespace string) ([]v1alpha1.Journal, error) {
		var l v1alpha1.JournalList
		err := c.API.List(ctx, &l, client.MatchingLabels{v1alpha1.LabelJournal: v1alpha1.JournalHead}, client.InNamespace(namespace))
		return l.Items, err
	}
	found, err := list(namespace)
	if apierrors.IsForbidden(err) && namespace == "" {
		if own, ownErr := list(defaultNamespace); ownErr == nil {
			return own, nil
		}
	}
	return found, journalError(err, namespace)
}

func journalError(err error, namespace string) error {
	if namespace == "" {
		namespace = defaultNamespace
	}
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return fault.New(fault.Forbidden, "read where the console is", err,
			"# an administrator lets you, in the controller's namespace:",
			fmt.Sprintf("kubectl -n %s create role ibfabric-find --verb=get,list --resource=journals.ibfabric.io", namespace),
			fmt.Sprintf("kubectl -n %s create rolebinding ibfabric-find-me --role=ibfabric-find --user=\"$(kubectl auth whoami -o jsonpath={.status.userInfo.username})\"", namespace),
			"# and if the controller is elsewhere, say so: --controller-namespace")
	case apierrors.IsUnauthorized(err):
		return fault.New(fault.Forbidden, "the cluster does not know you", err, "kubectl auth whoami     # log in again as your cluster wants it")
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return fault.New(fault.Unreachable, "the cluster has no journals.ibfabric.io: ibfabric is not installed here, or is older than this program", nil,
			"kubectl get crd journals.ibfabric.io", "kubectl config current-context     # is this the cluster that you meant?")
	}
	return fault.New(fault.Unreachable, "ask the cluster where the console is", err, "kubectl get --raw /readyz     # does the cluster answer?")
}
