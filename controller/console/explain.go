package console

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Pod explains one pod: what it wants, what it has, and what is missing.
func (a *Answers) Pod(ctx context.Context, name types.NamespacedName) (out api.Pod, err error) {
	if err := a.leads(); err != nil {
		return out, err
	}
	pod, all := a.c.Pod(name), a.c.Rows().OfName(name)
	rows := all
	if pod != nil {
		rows = slices.DeleteFunc(slices.Clone(all), func(r ledger.Row) bool { return r.UID != pod.UID })
	}
	switch summaries := a.summaries(name); {
	case len(summaries) > 0:
		out.PodSummary = summaries[len(summaries)-1]
	case pod == nil:
		return out, notFound("pod %s: the cluster does not have it, and no GUID was its", name)
	default:
		out.PodName = api.PodName{Namespace: name.Namespace, Name: name.Name, UID: string(pod.UID)}
		out.State, out.Why = api.PodIgnored, "it names no network of this fabric"
	}
	out.Gate.Name = a.c.Config().Gate()
	wanted := map[string]attach.Element{}
	if pod != nil {
		a.describe(&out, pod)
		elements, _ := attach.ParseAnnotation(pod.Namespace, out.Annotation)
		for _, e := range elements {
			wanted[e.Interface] = e
		}
	}
	out.Attached = a.interfaces(ctx, name.Namespace, pod, wanted, rows)
	out.Missing = missing(&out)
	out.Timeline = a.timeline(name, pod, rows)
	return out, nil
}

func (a *Answers) describe(out *api.Pod, pod *corev1.Pod) {
	out.Exists, out.Phase, out.Deleting = true, string(pod.Status.Phase), pod.DeletionTimestamp != nil
	out.Created, out.Annotation = utc(pod.CreationTimestamp.Time), pod.Annotations[attach.NetworksAnnotation]
	for _, g := range pod.Spec.SchedulingGates {
		if g.Name == out.Gate.Name {
			out.Gate.Closed = true
		} else {
			out.Gate.Others = append(out.Gate.Others, g.Name)
		}
	}
}

// interfaces are those that a pod names on our networks, and those that it has rows for.
func (a *Answers) interfaces(ctx context.Context, namespace string, pod *corev1.Pod, wanted map[string]attach.Element, rows []ledger.Row) []api.PodInterface {
	list := []api.PodInterface{}
	for _, r := range rows {
		e, named := wanted[r.Interface]
		i := a.withRow(pod, r, e, named)
		if named && r.State == ledger.Assigned {
			delete(wanted, r.Interface)
			a.wants(ctx, &i, namespace, e)
		}
		list = append(list, i)
	}
	for _, e := range wanted {
		i := api.PodInterface{Interface: e.Interface, Network: e.Network.String()}
		if a.wants(ctx, &i, namespace, e) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(x, y api.PodInterface) int { return cmp.Compare(x.Interface, y.Interface) })
	return list
}

// wants fills in what an interface would get that came now, and reports whether it is of
// this fabric.
func (a *Answers) wants(ctx context.Context, i *api.PodInterface, namespace string, e attach.Element) bool {
	claims, ours, err := a.c.GrantedTo(ctx, namespace, e.Network)
	i.Wanted, i.Granted = claimsOf(claims), err == nil
	switch {
	case e.Err != nil:
		i.NetworkError = e.Err.Error()
	case err == nil && len(claims) > 0:
		i.Grant = "namespace " + namespace + " may use it"
	case err != nil && controller.Denied(err):
		i.Grant = err.Error()
	case err != nil:
		i.NetworkError = err.Error()
	}
	if i.GUID == 0 && (err != nil || ours) {
		i.Missing = cmp.Or(i.NetworkError, i.Grant)
		if i.Granted && e.Err == nil {
			i.Missing = "it has no GUID yet"
		}
	}
	return ours || err != nil
}

// withRow is an interface that has a row.
func (a *Answers) withRow(pod *corev1.Pod, r ledger.Row, e attach.Element, named bool) api.PodInterface {
	row := a.row(r)
	i := api.PodInterface{Interface: r.Interface, Network: r.Network.String(), GUID: r.GUID, Ledger: &row, UFM: a.standings(r)}
	for _, s := range a.verdicts(r) {
		i.Missing = cmp.Or(i.Missing, s)
	}
	if pod == nil {
		return i
	}
	if named {
		i.Says = &api.Annotation{Configured: e.Configured, GUID: e.GUID, PKeys: attach.FormatClaims(e.Recorded)}
		i.Says.Agrees = e.Configured && e.GUID == r.GUID
		if i.Missing == "" && !i.Says.Agrees && r.State == ledger.Assigned {
			i.Missing = "the pod's annotation has yet to say that it is configured"
		}
	}
	i.VF = vfOf(pod, r)
	return i
}

// verdicts are what each partition of a row lacks.
func (a *Answers) verdicts(r ledger.Row) (list []string) {
	if !r.Told && len(r.Claims) == 0 {
		return []string{"its row has yet to be stored in the ledger"}
	}
	for _, claim := range r.Claims {
		if v := judge(a.c, claim.PKey, r, a.c.Shown(claim.PKey, []guid.GUID{r.GUID})[0]); v.missing != "" {
			list = append(list, fmt.Sprintf("pkey %s: %s", claim.PKey, v.missing))
		}
	}
	return list
}

// standings are how a row's GUID stands in the partitions that it claims.
func (a *Answers) standings(r ledger.Row) (list []api.Standing) {
	for _, claim := range r.Claims {
		s := a.standing(claim.PKey, r.GUID)
		if r.State == ledger.Assigned {
			s.Wanted = claim.Mode.String()
		}
		list = append(list, s)
	}
	return list
}

func (a *Answers) standing(p pkey.PKey, g guid.GUID) api.Standing {
	shows := a.c.Showing(p)
	s := api.Standing{PKey: p, Known: shows.Known, From: shows.From}
	if shown := a.c.Shown(p, []guid.GUID{g})[0]; shown.In {
		s.Shown, s.Since = shown.Mode.String(), a.addedAt(p, g)
	}
	return s
}

func hasStanding(list []api.Standing, p pkey.PKey) bool {
	return slices.ContainsFunc(list, func(s api.Standing) bool { return s.PKey == p })
}

// vfOf is what Multus reported of an interface: the CNI is done with it then.
func vfOf(pod *corev1.Pod, r ledger.Row) *api.VF {
	var list []struct {
		Name, Interface, MAC string
		Device               struct {
			PCI struct {
				Address string `json:"pci-address"`
				RDMA    string `json:"rdma-device"`
			} `json:"pci"`
		} `json:"device-info"`
	}
	text := pod.Annotations[attach.NetworkStatusAnnotation]
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	for _, s := range list {
		if s.Interface != r.Interface || s.Name != r.Network.String() && s.Name != r.Network.Name {
			continue
		}
		vf := &api.VF{Node: pod.Spec.NodeName, Interface: s.Interface, PCI: s.Device.PCI.Address, RDMA: s.Device.PCI.RDMA, Agrees: true}
		for _, of := range attach.StatusGUIDs(text) {
			if of.Interface == s.Interface {
				vf.GUID, vf.Agrees = of.GUID, of.GUID == r.GUID
			}
		}
		return vf
	}
	return nil
}

// missing is what must happen yet before a pod can go on.
func missing(p *api.Pod) (list []string) {
	if p.State != api.PodWaiting && p.State != api.PodRefused {
		return nil
	}
	for _, i := range p.Attached {
		if i.Missing != "" {
			list = append(list, i.Interface+": "+i.Missing)
		}
	}
	if len(p.Gate.Others) > 0 {
		list = append(list, "others must lift their scheduling gates: "+strings.Join(p.Gate.Others, ", "))
	}
	if p.Gate.Closed && len(list) == 0 {
		list = append(list, "the scheduling gate "+p.Gate.Name+" has yet to be lifted")
	}
	if p.Why != "" && !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, p.Why) }) {
		list = append(list, p.Why)
	}
	return list
}
