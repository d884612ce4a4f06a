package console

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
)

func parseHex16(digits string) (uint16, error) {
	v, err := strconv.ParseUint(digits, 16, 16)
	return uint16(v), err
}

// guidsIn is the GUID that a text is, in any spelling: UFM, OpenSM, ip link and inventories
// all have their own, some without leading zeros.
func guidsIn(text string) []guid.GUID {
	if g, err := guid.Parse(text); err == nil {
		return []guid.GUID{g}
	}
	digits := strings.NewReplacer(":", "", "-", "", ".", "", " ", "").Replace(strings.TrimPrefix(strings.ToLower(text), "0x"))
	const shortest, longest = 9, 40 // a PKey is shorter; a GID has the GUID in its last half
	if len(digits) < shortest || len(digits) > longest {
		return nil
	}
	v, ok := new(big.Int).SetString(digits, 16)
	if !ok {
		return nil
	}
	g := guid.GUID(new(big.Int).And(v, new(big.Int).SetUint64(^uint64(0))).Uint64())
	if !g.IsValid() {
		return nil
	}
	return []guid.GUID{g}
}

// journalShown is how many entries a whois shows.
const journalShown = 20

// Whois says what is known of q.Text, a GUID or a PKey in any spelling.
func (a *Answers) Whois(q api.Query) (api.Whois, error) {
	w := api.Whois{Query: q.Text}
	if err := a.leads(); err != nil {
		return w, err
	}
	if guids := guidsIn(q.Text); len(guids) > 0 {
		g := a.whoisGUID(guids[0])
		w.GUID, w.Answer = &g, a.aboutGUID(g)
		w.Journal = a.entries(0, journalShown, func(e *journal.Entry) bool { return e.Has(g.GUID) })
		return w, nil
	}
	p, ok := pkeyIn(q.Text)
	if !ok {
		return w, badRequest("%.60q is neither a GUID nor a PKey: write 02:00:00:00:00:00:00:07, 0x0200000000000007 or 0x1000", q.Text)
	}
	part, err := a.Partition(p)
	if err != nil {
		return w, err
	}
	w.PKey, w.Answer = &part, []string{"pkey " + p.String() + ": " + aboutPartition(part)}
	w.Journal = a.entries(0, journalShown, func(e *journal.Entry) bool { return e.PKey == p })
	return w, nil
}

func (a *Answers) whoisGUID(g guid.GUID) api.WhoisGUID {
	w := api.WhoisGUID{GUID: g, Range: a.c.InRange(g)}
	if r, ok := a.c.Rows().Get(g); ok {
		row := a.guid(r)
		w.Row, w.Kind, w.UFM = &row, api.Ours, row.UFM
	}
	for _, p := range a.c.StandsIn(g) {
		if w.Row != nil && hasStanding(w.UFM, p) {
			continue
		}
		w.UFM = append(w.UFM, a.standing(p, g))
		switch {
		case w.Kind != "":
		case w.Range:
			w.Kind = api.Unclaimed
		default:
			w.Kind = api.Foreign
		}
	}
	return w
}

// aboutGUID is what is known of a GUID in a few sentences.
func (a *Answers) aboutGUID(w api.WhoisGUID) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case w.Row != nil && w.Row.State == api.Assigned:
		say("guid %s is interface %s of pod %s, since %s.", w.GUID, w.Row.Interface, w.Row.Pod, stamp(w.Row.Since))
	case w.Row != nil && w.Row.State == api.Leaving:
		say("guid %s was interface %s of pod %s, which ended: it is on its way out of UFM since %s.", w.GUID, w.Row.Interface, w.Row.Pod, stamp(w.Row.Since))
	case w.Row != nil:
		say("guid %s was interface %s of pod %s, which ended: UFM was seen without it, and nobody gets it before %s.", w.GUID, w.Row.Interface, w.Row.Pod, stamp(w.Row.FreeAt))
	case w.Kind == api.Unclaimed:
		say("guid %s is of this controller's range and belongs to no pod that it knows. If it is no other cluster's, have it removed: ibfabric reclaim.", w.GUID)
	case w.Kind == api.Foreign:
		say("guid %s is not of this controller's range: it is somebody else's, and left alone.", w.GUID)
	case w.Range:
		say("guid %s is of this controller's range; no pod has it, and UFM does not show it.", w.GUID)
	default:
		say("guid %s is not of this controller's range, and UFM does not show it.", w.GUID)
	}
	if w.Row != nil && w.Row.Waits != "" {
		say("It waits: %s.", w.Row.Waits)
	}
	for _, s := range w.UFM {
		switch {
		case s.Shown != "" && s.Wanted == "" && (w.Row == nil || w.Row.State == api.Assigned):
			say("UFM has it in pkey %s as %s.", s.PKey, s.Shown)
		case s.Shown == s.Wanted && s.Shown != "":
			say("UFM has it in pkey %s as %s, as it should be.", s.PKey, s.Shown)
		case s.Shown == "" && s.Wanted != "":
			say("It should be in pkey %s as %s, and UFM does not show it there.", s.PKey, s.Wanted)
		case s.Shown != "" && s.Wanted != "":
			say("UFM has it in pkey %s as %s; it should be %s.", s.PKey, s.Shown, s.Wanted)
		case s.Shown != "":
			say("UFM has it in pkey %s as %s still.", s.PKey, s.Shown)
		}
	}
	return list
}

func aboutPartition(p api.Partition) string {
	var b strings.Builder
	if p.Name != "" {
		fmt.Fprintf(&b, "Partition %s; ", p.Name)
	}
	fmt.Fprintf(&b, "%d members of pods, %d of them in UFM as they should be", p.Members.Desired, p.Members.Actual)
	for _, n := range []struct {
		n    int
		what string
	}{{p.Members.Leaving, "leaving"}, {p.Members.Held, "held"}, {p.Members.Unclaimed, "unclaimed"}, {p.Members.Foreign, "of others"}} {
		if n.n > 0 {
			fmt.Fprintf(&b, ", %d %s", n.n, n.what)
		}
	}
	if !p.InUFM {
		b.WriteString("; UFM does not list it")
	}
	return b.String()
}

func (a *Answers) guidHit(g guid.GUID) api.Hit {
	h := api.Hit{Kind: api.HitGUID, Name: g.String(), GUID: g}
	w := a.whoisGUID(g)
	h.About = strings.TrimSuffix(strings.TrimPrefix(a.aboutGUID(w)[0], "guid "+g.String()+" "), ".")
	if w.Row != nil {
		h.Pod = &w.Row.Pod
	}
	return h
}

// row is a row of the ledger; of a held one, when it is free and what it waits for.
func (a *Answers) row(r ledger.Row) api.LedgerRow {
	out := api.LedgerRow{State: stateOf(r.State), Since: r.Since.UTC(), Stored: r.Told, Claims: claimsOf(r.Claims), Node: r.Node, BootID: r.BootID}
	if r.State == ledger.Held {
		freeAt, waits := a.c.HoldOf(r, nodesOf(r, a.index.allNodes()))
		out.FreeAt, out.Waits = freeAt.UTC(), waits
	}
	return out
}
