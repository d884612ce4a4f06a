package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// writePod writes a pod from what it is to what has happened to it.
func (a *app) writePod(w io.Writer, p api.Pod) error {
	write := func(f *show.Fields, title string) error {
		if title != "" {
			if _, err := fmt.Fprintf(w, "\n%s\n", show.Clean(title)); err != nil {
				return err
			}
		}
		return f.Write(w)
	}
	if err := write(a.podFields(p), ""); err != nil {
		return err
	}
	for _, i := range p.Attached {
		if err := write(a.interfaceFields(i), fmt.Sprintf("Interface %s on %s", i.Interface, i.Network)); err != nil {
			return err
		}
	}
	if len(p.Missing) > 0 {
		f := show.NewFields("  ")
		for i, text := range p.Missing {
			f.Add(fmt.Sprint(i+1), text)
		}
		if err := write(f, "Missing"); err != nil {
			return err
		}
	}
	if len(p.Timeline) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	t := show.NewTable("WHEN", "AGO", "EVENT", "WHAT")
	for _, m := range p.Timeline {
		t.Row(m.At.UTC().Format("2006-01-02T15:04:05.000Z"), show.Age(m.At, a.Now()), m.Event, m.What)
	}
	return t.Write(w)
}

func (a *app) podFields(p api.Pod) *show.Fields {
	f := show.NewFields("")
	f.Add("Pod", p.PodName.String())
	f.Add("UID", p.UID)
	state := string(p.State)
	if !p.Since.IsZero() {
		state += ", for " + show.Age(p.Since, a.Now())
	}
	f.Add("State", state)
	f.Add("Why", p.Why)
	phase := p.Phase
	switch {
	case !p.Exists:
		phase = "the cluster does not have it any more"
	case p.Deleting:
		phase += ", being deleted"
	}
	f.Add("Phase", phase)
	f.Add("Created", show.When(p.Created, a.Now()))
	f.Add("Node", p.Node)
	gate := "open"
	if p.Gate.Closed {
		gate = "closed: the pod waits at " + p.Gate.Name
	}
	if len(p.Gate.Others) > 0 {
		gate += "; others' that stand: " + strings.Join(p.Gate.Others, ", ")
	}
	f.Add("Gate", gate)
	return f
}

func (a *app) interfaceFields(i api.PodInterface) *show.Fields {
	f := show.NewFields("  ")
	f.Add("Wanted", claims(i.Wanted))
	f.Add("Grant", strings.TrimSuffix(map[bool]string{true: "yes: ", false: "no: "}[i.Granted]+i.Grant, ": "))
	f.Add("Network", i.NetworkError)
	if i.GUID != 0 {
		f.Add("GUID", i.GUID.String())
	}
	f.Add("Ledger", a.rowText(i.Ledger))
	f.Add("Annotation", saysText(i.Says))
	var standing []string
	for _, s := range i.UFM {
		standing = append(standing, a.standingText(s))
	}
	f.Add("UFM", strings.Join(standing, "\n"))
	f.Add("VF", vfText(i.VF))
	f.Add("Missing", i.Missing)
	return f
}

func claims(list []api.Claim) string {
	var all []string
	for _, c := range list {
		text := c.PKey.String()
		if c.Partition != "" {
			text += " (Partition " + c.Partition + ")"
		}
		text += " " + c.Membership
		if c.Index0 {
			text += ", index 0"
		}
		if c.IPoIB {
			text += ", IPoIB"
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return "a GUID, and no partition"
	}
	return strings.Join(all, "\n")
}

func (a *app) rowText(r *api.LedgerRow) string {
	if r == nil {
		return "no row"
	}
	text := fmt.Sprintf("%s for %s", r.State, show.Age(r.Since, a.Now()))
	if len(r.Claims) > 0 {
		text += ", PKeys " + claimPKeys(r.Claims)
	}
	if r.Node != "" {
		text += ", node " + r.Node
	}
	if !r.Stored {
		text += "; not stored yet"
	}
	if !r.FreeAt.IsZero() {
		text += "; free " + show.When(r.FreeAt, a.Now())
	}
	if r.Waits != "" {
		text += "; waits: " + r.Waits
	}
	return text
}

func saysText(n *api.Annotation) string {
	if n == nil {
		return "says nothing yet"
	}
	text := "not configured"
	if n.Configured {
		text = "configured"
	}
	if n.GUID != 0 {
		text += ", GUID " + n.GUID.String()
	}
	if n.PKeys != "" {
		text += ", PKeys " + n.PKeys
	}
	if !n.Agrees {
		text += "; it differs from the ledger, which counts"
	}
	return text
}

func (a *app) standingText(s api.Standing) string {
	shown := s.Shown
	if shown == "" {
		shown = "not a member"
	}
	text := fmt.Sprintf("%s %s", s.PKey, shown)
	if s.Wanted != "" && s.Wanted != s.Shown {
		text += ", wanted " + s.Wanted
	}
	if !s.Since.IsZero() {
		text += ", since " + show.When(s.Since, a.Now())
	}
	if s.From != "" {
		text += ", by " + s.From
	}
	if !s.Known {
		text += "; UFM's word of this partition cannot be relied upon now"
	}
	return text
}

func vfText(v *api.VF) string {
	if v == nil {
		return "Multus has reported none"
	}
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	add("node", v.Node)
	add("interface", v.Interface)
	add("PCI", v.PCI)
	add("RDMA device", v.RDMA)
	if v.GUID != 0 {
		add("GUID", v.GUID.String())
	}
	text := strings.Join(parts, ", ")
	if !v.Agrees {
		text += "; that is not the GUID it should have: run ibfabric-cni doctor on the node"
	}
	return text
}
