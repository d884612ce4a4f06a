package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Member is a GUID in a partition.
type Member struct {
	PKey pkey.PKey
	GUID guid.GUID
}

// Why a member is not reclaimed.
var (
	ErrNotUnclaimed = errors.New("UFM does not show it there, or a row of the ledger explains it, or it is not of this controller's GUID range: only unclaimed members are removed")
	ErrBusy         = errors.New("it is being removed already")
)

// reclaims are the members that people asked to have removed, until their partition's
// worker comes to it.
type reclaims struct {
	mu sync.Mutex // protects by
	by map[pkey.PKey][]*reclaim
}

type reclaim struct {
	guids  []guid.GUID
	user   string
	ctx    context.Context // of who waits
	answer chan map[guid.GUID]error
}

func newReclaims() *reclaims { return &reclaims{by: map[pkey.PKey][]*reclaim{}} }

func (r *reclaims) add(p pkey.PKey, one *reclaim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[p] = append(r.by[p], one)
}

func (r *reclaims) take(p pkey.PKey) []*reclaim {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.by[p]
	delete(r.by, p)
	return list
}

// MayReclaim says why this controller removes nothing by hand now, if so.
func (c *Controller) MayReclaim() error {
	switch {
	case c.cfg.Policy != Sync:
		return fmt.Errorf("the sync policy is %s, which removes nothing: start the controller with --sync-policy=sync", c.cfg.Policy)
	case c.reader == nil:
		return errors.New("this subnet manager plugin shows no members, so that none is known to be unclaimed")
	}
	if err := c.leading(); err != nil {
		return err
	}
	if wait := c.removeAfter().Sub(c.now()); wait > 0 {
		return fmt.Errorf("a former leader may still have a write under way: ask again in %s", wait.Round(1e9))
	}
	return nil
}

// IsUnclaimed reports whether a member stands in UFM, as far as known, is of our range, and
// no row of the ledger explains it.
func (c *Controller) IsUnclaimed(m Member) bool {
	return c.cfg.Scope.Contains(m.PKey) && c.pool.Contains(m.GUID) && c.view.shows(m.PKey, m.GUID) && !c.ledger.Claims(m.PKey, m.GUID)
}

// Reclaim has unclaimed members of one partition removed from UFM, as user asks, and says
// what became of those that are not out. Their partition's worker does it: it reads the
// partition, looks again whether each is unclaimed, and sees UFM without it.
func (c *Controller) Reclaim(ctx context.Context, p pkey.PKey, guids []guid.GUID, user string) (failed map[guid.GUID]error, err error) {
	if err := c.MayReclaim(); err != nil {
		return nil, err
	}
	if !c.cfg.Scope.Contains(p) {
		return nil, fmt.Errorf("pkey %s is outside what this controller may change (%s); widen --pkey-scope, or take it out in UFM", p, c.cfg.Scope)
	}
	one := &reclaim{guids: guids, user: user, ctx: ctx, answer: make(chan map[guid.GUID]error, 1)}
	c.reclaims.add(p, one)
	c.partitions.Add(p)
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the turn of pkey %s: %w; look whether it was done", p, ctx.Err())
	case failed := <-one.answer:
		return failed, nil
	}
}

// reclaim does what was asked for one partition.
func (c *Controller) reclaim(ctx context.Context, p pkey.PKey) error {
	var failed error
	for _, one := range c.reclaims.take(p) {
		if one.ctx.Err() != nil {
			continue // who asked has gone: nothing is removed behind their back
		}
		out, err := c.takeStrays(ctx, p, one)
		answer := map[guid.GUID]error{}
		for _, g := range one.guids {
			if e, known := out[g]; !known || e != nil {
				answer[g] = errors.Join(e, err)
			}
		}
		one.answer <- answer
		failed = errors.Join(failed, err)
	}
	return failed
}

// takeStrays removes what of a partition is unclaimed after another look. What it returns
// has nil for each GUID that is out.
func (c *Controller) takeStrays(ctx context.Context, p pkey.PKey, one *reclaim) (map[guid.GUID]error, error) {
	if err := c.read(ctx, p); err != nil {
		return nil, err
	}
	out := map[guid.GUID]error{}
	var strays []guid.GUID
	for _, g := range one.guids {
		if out[g] = ErrNotUnclaimed; c.IsUnclaimed(Member{p, g}) {
			strays = append(strays, g)
		}
	}
	taken := c.unclaimed.take(p, strays)
	for _, g := range without(strays, taken) {
		out[g] = ErrBusy // or the last full read did not show it yet
	}
	var gone []guid.GUID
	defer func() { c.unclaimed.left(p, taken, gone, c.now()) }()
	// A pod may have come by it since: from here on none can.
	clear := slices.DeleteFunc(slices.Clone(taken), func(g guid.GUID) bool { return c.ledger.Claims(p, g) })
	if len(clear) == 0 {
		return out, nil
	}
	err := c.inTurn(ctx, func() error { return c.removeStrays(ctx, p, clear, one.user) })
	if err != nil {
		for _, g := range clear {
			delete(out, g) // err says it
		}
		return out, err
	}
	for i, now := range c.view.some(p, clear) {
		if out[clear[i]] = nil; now.In {
			out[clear[i]] = errors.New("UFM answered, and shows it still: ask again")
			continue
		}
		gone = append(gone, clear[i])
	}
	c.view.forget(p, gone)
	return out, nil
}

// removeStrays is one call to UFM for members without a row, and the look behind it.
func (c *Controller) removeStrays(ctx context.Context, p pkey.PKey, guids []guid.GUID, user string) error {
	start, from := c.now(), ""
	err := c.write(ctx, p, func(call context.Context) (err error) {
		done := c.calls.begin(callRemove)
		from, err = c.fabric.Remove(call, p, guids)
		done(err)
		return err
	})
	c.journalReclaim(p, guids, user, change{verb: journal.Reclaim, from: from, start: start, err: err})
	if err != nil {
		return fmt.Errorf("remove %d unclaimed guids from pkey %s: %w", len(guids), p, err)
	}
	c.view.removed(p, guids, from)
	c.rec.Log(record.UFMReclaimed, record.Fields{PKeys: []pkey.PKey{p}, GUIDs: guids, Count: len(guids), Took: c.now().Sub(start), Detail: "by " + user})
	return c.read(ctx, p)
}

func (c *Controller) journalReclaim(p pkey.PKey, guids []guid.GUID, user string, ch change) {
	outcome, counts := outcomeOf(ch.err)
	if !counts {
		return
	}
	e := journal.Entry{Verb: journal.Reclaim, PKey: p, From: ch.from, Took: c.now().Sub(ch.start), Outcome: outcome, User: user, Why: "no row of the ledger explained them, and a person asked"}
	if ch.err != nil {
		e.Err = ch.err.Error()
	}
	e.Name(guids, nil)
	c.journal.Note(e)
}
