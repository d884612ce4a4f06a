package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/record"
)

// health knows whether UFM answers, and says so when that changes.
type health struct {
	mu        sync.Mutex // protects what follows
	down      bool
	since     time.Time
	rec       *record.Recorder
	now       func() time.Time
	recovered func() // lets the work go on that failed meanwhile
}

// note hears of every call's outcome. A refusal is an answer.
func (h *health) note(err error) {
	answers := err == nil || isRejected(err)
	if errors.Is(err, context.Canceled) {
		return
	}
	h.mu.Lock()
	was, since := h.down, h.since
	h.down = !answers
	if h.down && !was {
		h.since = h.now()
	}
	h.mu.Unlock()
	switch {
	case answers && was:
		h.rec.Log(record.UFMRecovered, record.Fields{Took: h.now().Sub(since)})
		h.recovered()
	case !answers && !was:
		h.rec.Log(record.UFMUnavailable, record.Fields{Err: err})
	}
}

// isDown reports whether UFM did not answer last.
func (h *health) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// appliedPoll is how often LastUpdated is asked while a change is on its way.
const appliedPoll = 250 * time.Millisecond

// beforeChange is what LastUpdated says before a change; "" when nobody asks.
func (c *Controller) beforeChange(ctx context.Context) (string, error) {
	if !c.cfg.WaitApplied || c.applier == nil {
		return "", nil
	}
	// LastUpdated counts in seconds: two changes within one could not be told apart.
	if err := c.sleep(ctx, time.Second-c.now().Sub(c.lastApplied.load())); err != nil {
		return "", err
	}
	text, err := c.applier.LastUpdated(ctx)
	if err != nil {
		return "", fmt.Errorf("ask UFM when it last changed: %w", err)
	}
	return text, nil
}

// untilApplied waits for LastUpdated to move, and fails when it does not in time.
func (c *Controller) untilApplied(ctx context.Context, before string) error {
	if !c.cfg.WaitApplied || c.applier == nil {
		return nil
	}
	for end := c.now().Add(c.cfg.FabricTimeout); c.now().Before(end); {
		text, err := c.applier.LastUpdated(ctx)
		if err != nil {
			return fmt.Errorf("ask UFM whether the change is applied: %w", err)
		}
		if text != before {
			c.lastApplied.store(c.now())
			return nil
		}
		if err := c.sleep(ctx, appliedPoll); err != nil {
			return err
		}
	}
	return fmt.Errorf("UFM took the change and did not apply it within %s", c.cfg.FabricTimeout)
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
