package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/controller/record"
)

// incumbentPoll is how often a waiting leader looks whether ib-kubernetes is gone.
const incumbentPoll = 2 * time.Second

// outwait returns when ib-kubernetes does not work here, or with ctx. The lease is held
// meanwhile: one replica looks, the others stand by, and where it is seen to be gone
// work begins at once. That it waits is seen in the log, which has no leader.elected, and
// at /readyz.
func (c *Controller) outwait(ctx context.Context) error {
	for {
		err := c.incumbent.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.namesakes.Say(c.incumbent.passed)
		c.waiting.Store(&err)
		if err == nil {
			c.notes.forget("incumbent")
			return nil
		}
		c.sayIncumbent(err, "this replica changes nothing, and goes on by itself when that is gone")
		if err := c.sleep(ctx, incumbentPoll); err != nil {
			return err
		}
	}
}

// Waiting is why this replica leads and does nothing: ib-kubernetes works, or whether it
// does cannot be known. It is nil when this replica works, or does not lead.
func (c *Controller) Waiting() error {
	if err := c.waiting.Load(); err != nil {
		return *err
	}
	return nil
}

// stepAside returns an error when ib-kubernetes has come while this replica leads. Its
// process ends with that, and Kubernetes starts one that waits: all that this one has in
// memory is from before the other began to change pods and UFM, and must be read anew.
// Whoever cannot be asked has not come: the API server may be away, and work goes on.
func (c *Controller) stepAside(ctx context.Context) error {
	err := c.incumbent.look(ctx)
	if ctx.Err() != nil {
		return nil
	}
	c.namesakes.Say(c.incumbent.passed)
	var works *incumbentError
	switch {
	case errors.As(err, &works):
		c.sayIncumbent(err, "it came while this replica led, which ends, and waits when it is started again")
		return fmt.Errorf("stop leading: %w", err)
	case err != nil:
		c.sayIncumbent(err, "this replica goes on")
	default:
		c.notes.forget("incumbent")
	}
	return nil
}

// sayIncumbent says once that ib-kubernetes works, or why that cannot be known.
func (c *Controller) sayIncumbent(err error, detail string) {
	if !c.notes.once("incumbent", err.Error()) {
		return
	}
	event := record.WorkFailed
	var works *incumbentError
	if errors.As(err, &works) {
		event = record.IncumbentFound
	}
	c.rec.Log(event, record.Fields{Detail: detail, Err: err})
}
