package controller

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Journal takes down what was changed in UFM and why. It must not block.
type Journal interface{ Note(journal.Entry) }

type noJournal struct{}

func (noJournal) Note(journal.Entry) {}

// change is a call to UFM and how it went.
type change struct {
	verb       journal.Verb
	p          pkey.PKey
	membership string
	guids      []guid.GUID
	why        string
	from       string
	start      time.Time
	err        error
}

// journalMembers notes a change of a partition, unless it is certain that nothing came of
// it but another attempt.
func (c *Controller) journalMembers(ch change) {
	outcome, counts := outcomeOf(ch.err)
	if !counts {
		return
	}
	e := journal.Entry{
		Verb: ch.verb, PKey: ch.p, Membership: ch.membership, From: ch.from, Took: c.now().Sub(ch.start), Outcome: outcome, Why: ch.why,
	}
	if ch.err != nil {
		e.Err = ch.err.Error()
	}
	e.Name(ch.guids, c.ownersOf(ch.guids))
	c.journal.Note(e)
}

// outcomeOf is how a call went, as far as a journal has it.
func outcomeOf(err error) (o journal.Outcome, counts bool) {
	var e interface{ OutcomeUnknown() bool }
	switch {
	case err == nil:
		return journal.Done, true
	case isRejected(err):
		return journal.Refused, true
	case errors.As(err, &e) && e.OutcomeUnknown():
		return journal.Unknown, true
	}
	return "", false
}

func (c *Controller) ownersOf(guids []guid.GUID) []types.NamespacedName {
	rows := c.ledger.Some(guids)
	pods := make([]types.NamespacedName, 0, len(rows))
	for _, r := range rows {
		pods = append(pods, r.Pod)
	}
	return pods
}

// wentOn counts the GUIDs of pods that were let go on: UFM had them, and has lost them.
func (c *Controller) wentOn(guids []guid.GUID) (n int) {
	for _, r := range c.ledger.Some(guids) {
		if c.patched.known(r.UID) {
			n++
		}
	}
	return n
}

func whyAdded(again, all int) string {
	switch again {
	case 0:
		return "their pods wait for it"
	case all:
		return "drift: their pods run, and UFM showed them no longer or in another way"
	}
	return fmt.Sprintf("%d for pods that wait for it; %d were drift: their pods run, and UFM showed them no longer or in another way", all-again, again)
}

// driftCounts are how many members were found missing and put back, since this process began.
type driftCounts struct {
	mu              sync.Mutex // protects both
	found, repaired int
}

func (d *driftCounts) find(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found += n
}

func (d *driftCounts) repair(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.repaired += n
}

func (d *driftCounts) get() (found, repaired int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found, d.repaired
}

// noteDrift says that members of a partition are missing, once until there are more: what
// cannot be repaired is found again with every full read.
func (c *Controller) noteDrift(p pkey.PKey, n int) {
	if news := n - c.drifts[p]; news > 0 {
		c.drifted.find(news)
		c.rec.Log(record.DriftFound, record.Fields{PKeys: []pkey.PKey{p}, Count: n})
	}
	if c.drifts[p] = n; n == 0 {
		delete(c.drifts, p)
	}
}
