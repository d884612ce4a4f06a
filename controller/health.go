package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// health knows whether UFM answers reads and whether it takes changes, and says so when
// that turns. One says nothing of the other: an account may read and not write.
type health struct {
	mu        sync.Mutex // protects what follows
	reads     outage
	writes    outage
	rec       *record.Recorder
	now       func() time.Time
	recovered func() // lets the work go on that failed meanwhile
}

// outage is a time in which something does not work.
type outage struct {
	on    bool
	since time.Time
	err   error // what it began with
}

// read hears of the outcome of a read.
func (h *health) read(err error) { h.note(&h.reads, "reads", err) }

// wrote hears of the outcome of a change. A refusal is an answer.
func (h *health) wrote(err error) { h.note(&h.writes, "changes", err) }

func (h *health) note(o *outage, what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	works := err == nil || isRejected(err)
	h.mu.Lock()
	was := *o
	switch {
	case works:
		*o = outage{}
	case !was.on:
		*o = outage{true, h.now(), err}
	}
	down := h.reads.on || h.writes.on
	h.mu.Unlock()
	switch {
	case works && was.on:
		h.rec.Log(record.UFMRecovered, record.Fields{Detail: what, Took: h.now().Sub(was.since)})
		if !down {
			h.recovered()
		}
	case !works && !was.on:
		h.rec.Log(record.UFMUnavailable, record.Fields{Detail: what, Err: err})
	}
}

// isDown reports whether UFM does not answer, or takes no changes.
func (h *health) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reads.on || h.writes.on
}

// appliedPoll is how often LastUpdated is asked while a change is on its way.
const appliedPoll = 250 * time.Millisecond

// waitsApplied reports whether changes count only when LastUpdated has moved.
func (c *Controller) waitsApplied() bool { return c.cfg.WaitApplied && c.applier != nil }

// beforeChange is what LastUpdated says before a change; "" when nobody asks.
func (c *Controller) beforeChange(ctx context.Context) (string, error) {
	if !c.waitsApplied() {
		return "", nil
	}
	// LastUpdated counts in seconds: two changes within one could not be told apart.
	if err := c.sleep(ctx, time.Second-c.now().Sub(c.lastApplied.load())); err != nil {
		return "", err
	}
	text, err := c.askApplied(ctx)
	if err != nil {
		return "", fmt.Errorf("ask UFM when it last changed: %w", err)
	}
	return c.view.updated(text), nil
}

func (c *Controller) askApplied(ctx context.Context) (string, error) {
	done := c.calls.begin(callLastUpdated)
	text, err := c.applier.LastUpdated(ctx)
	done(err)
	return text, err
}

// catchUp waits for what a wait that failed left over. No other change runs meanwhile:
// LastUpdated would move for that one.
func (c *Controller) catchUp(ctx context.Context, p pkey.PKey) error {
	if _, waits := c.view.awaited(p); !waits || !c.waitsApplied() {
		return nil
	}
	err := c.inTurn(ctx, func() error { return c.untilApplied(ctx, p) })
	if err != nil && ctx.Err() == nil {
		c.tellWaiting(p, err)
	}
	return err
}

// untilApplied waits until all members of a partition count that UFM took.
func (c *Controller) untilApplied(ctx context.Context, p pkey.PKey) error {
	if !c.waitsApplied() {
		return nil
	}
	for before, waits := c.view.awaited(p); waits; before, waits = c.view.awaited(p) {
		if err := c.untilMoved(ctx, p, before); err != nil {
			return err
		}
	}
	return nil
}

// untilMoved waits for LastUpdated to say something else than before, and fails when it
// does not in time.
func (c *Controller) untilMoved(ctx context.Context, p pkey.PKey, before string) error {
	for end := c.now().Add(c.cfg.FabricTimeout); c.now().Before(end); {
		text, err := c.askApplied(ctx)
		if err != nil {
			return fmt.Errorf("ask UFM whether the change is applied: %w", err)
		}
		if text = c.view.updated(text); text != before {
			c.lastApplied.store(c.now())
			c.view.applied(p, text)
			return nil
		}
		if err := c.sleep(ctx, appliedPoll); err != nil {
			return err
		}
	}
	return fmt.Errorf("UFM took a change of pkey %s and did not apply it within %s", p, c.cfg.FabricTimeout)
}

// sleep waits, unless the leader's time ends.
func (c *Controller) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.after(d):
		return nil
	}
}

// moment is a time that several goroutines read and write.
type moment struct {
	mu sync.Mutex // protects t
	t  time.Time
}

func (m *moment) load() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.t
}

func (m *moment) store(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.t = t
}
