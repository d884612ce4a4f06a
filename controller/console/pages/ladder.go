package pages

import (
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// ladder is an interface's way from what its pod asked for to what its VF has, a rung each.
// The first rung that does not hold is where to look.
type ladder struct {
	api.PodInterface
	Rungs []rung
	Open  bool // it is shown without being asked for
}

// rung is one station of that way.
type rung struct {
	Name  string
	State string // in one word, as badge takes it
	PKey  pkey.PKey
	GUID  guid.GUID
	Text  string
	Since time.Time
}

// Mark is ok, or the first rung that does not hold.
func (l ladder) Mark() mark {
	for _, r := range l.Rungs {
		if m := badge(r.State); m.Shape == wait || m.Shape == bad {
			return mark{Shape: m.Shape, Word: r.Name + " " + m.Word}
		}
	}
	return badge("ok")
}

func newLadder(i *api.PodInterface) ladder {
	l := ladder{PodInterface: *i}
	l.Network = strings.Trim(l.Network, "/") // of an element that names none
	l.network()
	l.grant()
	l.ledger()
	l.ufm()
	l.annotation()
	l.vf()
	return l
}

func (l *ladder) add(r rung) { l.Rungs = append(l.Rungs, r) }

func (l *ladder) network() {
	if l.NetworkError != "" {
		text := l.NetworkError
		if l.Network != "" {
			text = l.Network + ": " + text
		}
		l.add(rung{Name: "Network", State: "no", Text: text})
		return
	}
	l.add(rung{Name: "Network", State: "yes", Text: l.Network})
	for _, c := range l.Wanted {
		l.add(rung{Name: "Wants", State: "yes", PKey: c.PKey, Text: claimText(c)})
	}
	if len(l.Wanted) == 0 {
		l.add(rung{Name: "Wants", State: "yes", Text: "a GUID, and no partition"})
	}
}

// claimText is how a partition is joined.
func claimText(c api.Claim) string {
	parts := []string{c.Membership}
	if c.Index0 {
		parts = append(parts, "index 0")
	}
	if c.IPoIB {
		parts = append(parts, "IPoIB")
	}
	if c.Partition != "" {
		parts = append(parts, "by Partition "+c.Partition)
	}
	return strings.Join(parts, ", ")
}

func (l *ladder) grant() {
	if l.NetworkError != "" {
		return // nobody knows what to ask for
	}
	r := rung{Name: "Grant", State: "no", Text: l.Grant}
	if l.Granted {
		r.State = "yes"
	}
	l.add(r)
}

func (l *ladder) ledger() {
	row := l.Ledger
	if row == nil {
		l.add(rung{Name: "Ledger", State: "missing", Text: "it has no GUID yet"})
		return
	}
	text := "stored"
	if !row.Stored {
		text = "not stored yet: UFM is told after that"
	}
	if row.Waits != "" {
		text += "; " + row.Waits
	}
	l.add(rung{Name: "Ledger", State: string(row.State), GUID: l.GUID, Text: text, Since: row.Since})
}

func (l *ladder) ufm() {
	for _, s := range l.UFM {
		l.add(ufmRung(s))
	}
}

func ufmRung(s api.Standing) rung {
	r := rung{Name: "UFM", State: "yes", PKey: s.PKey, Text: s.Shown, Since: s.Since}
	switch {
	case !s.Known:
		r.State, r.Text = "not known", "UFM could not be read for this partition"
	case s.Shown == "" && s.Wanted == "":
		r.Text = "not a member, as it should be"
	case s.Shown == "":
		r.State, r.Text = "missing", "not a member yet; "+s.Wanted+" is wanted"
	case s.Shown != s.Wanted && s.Wanted == "":
		r.State, r.Text = "differs", s.Shown+", and must go"
	case s.Shown != s.Wanted:
		r.State, r.Text = "differs", s.Shown+"; "+s.Wanted+" is wanted"
	}
	return r
}

func (l *ladder) annotation() {
	says := l.Says
	switch {
	case says == nil || says.GUID == 0 && !says.Configured:
		l.add(rung{Name: "Annotation", State: "missing", Text: "the pod says nothing of it yet"})
	case !says.Agrees:
		l.add(rung{Name: "Annotation", State: "differs", GUID: says.GUID, Text: "not what the ledger has"})
	case !says.Configured:
		l.add(rung{Name: "Annotation", State: "missing", GUID: says.GUID, Text: "not marked as configured yet"})
	default:
		l.add(rung{Name: "Annotation", State: "yes", GUID: says.GUID, Text: strings.TrimSpace("configured " + says.PKeys)})
	}
}

func (l *ladder) vf() {
	if l.VF == nil {
		l.add(rung{Name: "VF", State: "not reported", Text: "Multus has not reported it"})
		return
	}
	r := rung{Name: "VF", State: "yes", GUID: l.VF.GUID}
	if !l.VF.Agrees {
		r.State = "differs"
	}
	var parts []string
	for _, part := range []string{l.VF.Node, l.VF.PCI, l.VF.RDMA, l.VF.Interface} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	r.Text = strings.Join(parts, ", ")
	l.add(r)
}
