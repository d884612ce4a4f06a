package controller

import (
	"context"
	"sync/atomic"
	"time"
)

func (c *Controller) leadDetail() string {
	if former := c.former(); former != "" {
		return "after " + former + ", who may still have a write under way"
	}
	return "the lease was free"
}

func (c *Controller) former() string {
	if c.lease == nil {
		return ""
	}
	return c.lease.Former()
}

// removeAfter is when this leader may take away or give anew: what a former one still
// had under way has come in by then, or was cut off.
func (c *Controller) removeAfter() time.Time {
	if c.former() == "" {
		return c.ledSince.load()
	}
	return c.ledSince.load().Add(c.cfg.LeaseDuration + c.cfg.FabricTimeout)
}

func (c *Controller) leading() error {
	if c.lease == nil {
		return nil
	}
	return c.lease.Leading()
}

func (c *Controller) stillLeading(ctx context.Context) error {
	if c.lease == nil {
		return nil
	}
	return c.lease.StillLeading(ctx)
}

// drain is how long a write to UFM may go on when the process is told to stop.
const drain = 4 * time.Second

// writeContext is the context of one write to UFM; done must be called when it is
// answered. A write that is cut off leaves an outcome that nobody knows, so a clean stop
// lets it finish; a lost lease does not. While one is under way the lease is not let go.
func (c *Controller) writeContext(ctx context.Context) (call context.Context, done func()) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.FabricTimeout)
	settled := func(bool) {}
	if c.lease != nil {
		settled = c.lease.Write()
	}
	var cut atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		if c.leading() != nil {
			cut.Store(true)
			return
		}
		select {
		case <-call.Done():
		case <-c.after(drain):
			cut.Store(true)
		}
	})
	return call, func() { stop(); settled(!cut.Load()); cancel() }
}
