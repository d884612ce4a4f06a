package console

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// history are the last things that the log said of pods, for their timelines.
type history struct {
	mu   sync.Mutex // protects both
	ring []happening
	next int
}

type happening struct {
	at     time.Time
	event  record.Event
	fields record.Fields
}

// kept happenings: a pod's life is some five of them.
const historyLength = 4096

func (h *history) add(at time.Time, e record.Event, f record.Fields) {
	if f.Pod.Name == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) < historyLength {
		h.ring = append(h.ring, happening{at, e, f})
		return
	}
	h.ring[h.next] = happening{at, e, f}
	h.next = (h.next + 1) % historyLength
}

func (h *history) of(pod types.NamespacedName) (list []happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.ring {
		if one.fields.Pod == pod {
			list = append(list, one)
		}
	}
	return list
}

// timeline is what is known to have happened to a pod, oldest first: what the log said, and
// what the journal has of its GUIDs.
func (a *Answers) timeline(name types.NamespacedName, pod *corev1.Pod, rows []ledger.Row) []api.Moment {
	list := []api.Moment{}
	var uid types.UID
	var from time.Time
	if pod != nil {
		uid, from = pod.UID, pod.CreationTimestamp.Time
		list = append(list, api.Moment{At: utc(from), Event: "pod.created", What: "the pod was created"})
	} else if len(rows) > 0 {
		uid = rows[0].UID
	}
	said := a.history.of(name)
	for _, h := range said {
		if uid == "" || h.fields.UID == "" || h.fields.UID == uid {
			list = append(list, api.Moment{At: h.at.UTC(), Event: string(h.event), What: h.text()})
		}
	}
	for _, r := range rows {
		if r.State == ledger.Assigned && !slices.ContainsFunc(said, func(h happening) bool { return h.event == record.PodAssigned }) {
			list = append(list, api.Moment{At: r.Since.UTC(), Event: string(record.PodAssigned), What: fmt.Sprintf("interface %s got guid %s", r.Interface, r.GUID)})
		}
	}
	for _, e := range a.entries(0, api.DefaultLimit, func(e *journal.Entry) bool { return !e.At.Before(from) && concerns(e, name, rows) }) {
		list = append(list, api.Moment{At: e.At, Event: "ufm." + string(e.Verb), What: aboutEntry(e)})
	}
	slices.SortStableFunc(list, func(x, y api.Moment) int { return x.At.Compare(y.At) })
	return list
}

// concerns reports whether an entry is about a pod: by its name, or where there was no room
// for all names, by one of its GUIDs.
func concerns(e *journal.Entry, name types.NamespacedName, rows []ledger.Row) bool {
	return slices.Contains(e.Pods, name) || len(e.Pods) > 1 && slices.ContainsFunc(rows, func(r ledger.Row) bool { return e.Has(r.GUID) && !e.At.Before(r.Since) })
}

func aboutEntry(e api.Entry) string {
	text := fmt.Sprintf("%s %d guids", e.Verb, e.Count)
	if e.PKey != 0 {
		text += " in pkey " + e.PKey.String()
	}
	if e.Outcome != api.Done {
		return text + ": " + string(e.Outcome) + ": " + e.Error
	}
	return text + ": UFM answered within " + e.Took.String()
}

func (h happening) text() string {
	f := h.fields
	switch {
	case f.Err != nil:
		return f.Err.Error()
	case f.Detail != "":
		return f.Detail
	}
	text := fmt.Sprintf("guid %s", joined(f.GUIDs))
	if len(f.PKeys) > 0 {
		text += fmt.Sprintf(" in pkey %s", joined(f.PKeys))
	}
	return text
}

func joined[T fmt.Stringer](items []T) (text string) {
	for i, item := range items {
		if i > 0 {
			text += ","
		}
		text += item.String()
	}
	return text
}

// Journal is a page of the journal, newest first; q.PKey, q.GUID and q.Pod say of what.
func (a *Answers) Journal(q api.Query) (list api.List[api.Entry], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	var before uint64
	if q.Continue != "" {
		if before, err = strconv.ParseUint(q.Continue, 10, 64); err != nil {
			return list, badRequest("continue=%.20q is none of this list", q.Continue)
		}
	}
	name := types.NamespacedName{Namespace: q.Pod.Namespace, Name: q.Pod.Name}
	var rows []ledger.Row
	if name.Name != "" {
		rows = a.c.Rows().OfName(name)
	}
	pass := func(e *journal.Entry) bool {
		return (q.PKey == 0 || e.PKey == q.PKey) && (q.GUID == 0 || e.Has(q.GUID)) && (name.Name == "" || concerns(e, name, rows))
	}
	most := limit(q)
	entries := a.entries(before, most+1, pass)
	list = api.List[api.Entry]{Items: entries[:min(len(entries), most)], Total: -1, AsOf: a.now()}
	if q.PKey == 0 && q.GUID == 0 && name.Name == "" {
		list.Total, _, _ = a.journal.Count()
	}
	if len(entries) > most {
		list.Continue = strconv.FormatUint(entries[most-1].ID, 10)
	}
	return list, nil
}

func (a *Answers) entries(before uint64, most int, pass func(*journal.Entry) bool) []api.Entry {
	list := []api.Entry{}
	for _, e := range a.journal.Before(before, most, pass) {
		out := api.Entry{
			ID: e.ID, At: e.At.UTC(), Verb: api.Verb(e.Verb), PKey: e.PKey, Membership: e.Membership, Count: e.Count, GUIDs: e.Listed(api.MaxListed),
			From: e.From, Took: rounded(e.Took), Outcome: api.Outcome(e.Outcome), Error: e.Err, Why: e.Why, Times: e.Times, Leader: e.Leader, User: e.User,
		}
		out.More = max(0, e.Count-len(out.GUIDs))
		for _, p := range e.Pods {
			out.Pods = append(out.Pods, api.PodName{Namespace: p.Namespace, Name: p.Name})
		}
		list = append(list, out)
	}
	return list
}

// addedAt is when UFM took a GUID into a partition, if the journal has it.
func (a *Answers) addedAt(p pkey.PKey, g guid.GUID) time.Time {
	for _, e := range a.journal.Before(0, 1, func(e *journal.Entry) bool {
		return e.Verb == journal.Add && e.PKey == p && e.Outcome == journal.Done && e.Has(g)
	}) {
		return cmp.Or(e.At.UTC(), time.Time{})
	}
	return time.Time{}
}
