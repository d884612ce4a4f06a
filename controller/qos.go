package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// Qualifier is what a Fabric can do that gives partitions a quality of service. It belongs
// to a partition that has members, and goes with the last of them.
type Qualifier interface {
	QoS(ctx context.Context, p pkey.PKey) (q pkey.QoS, known bool, err error)
	SetQoS(ctx context.Context, p pkey.PKey, q pkey.QoS) error
}

// errNoQoS is for the owner of a Partition where nobody can do what it asks.
var errNoQoS = errors.New("this subnet manager plugin sets no mtu, rateLimit and serviceLevel: take them out of the spec, or use the plugin ufm")

// qualities are what partitions are known to have been given since UFM last made them.
type qualities struct {
	mu   sync.Mutex // protects both
	has  map[pkey.PKey]pkey.QoS
	fail map[pkey.PKey]failure
}

// failure is why UFM would not have what it was asked for, and until when it is left alone.
type failure struct {
	asked pkey.QoS
	err   error
	until time.Time
}

func newQualities() *qualities {
	return &qualities{has: map[pkey.PKey]pkey.QoS{}, fail: map[pkey.PKey]failure{}}
}

func (q *qualities) known(p pkey.PKey) (pkey.QoS, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	has, ok := q.has[p]
	return has, ok
}

func (q *qualities) set(p pkey.PKey, has pkey.QoS) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.has[p] = has
	delete(q.fail, p)
}

func (q *qualities) refused(p pkey.PKey, f failure) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail[p] = f
}

// failed is why a partition has not what it should.
func (q *qualities) failed(p pkey.PKey) failure {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fail[p]
}

// forget is for a partition that UFM dropped with its last member.
func (q *qualities) forget(p pkey.PKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.has, p)
	delete(q.fail, p)
}

// forgetAll is for a UFM whose partitions may have been made without us.
func (q *qualities) forgetAll() (of []pkey.PKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p := range q.has {
		of = append(of, p)
	}
	clear(q.has)
	return of
}

// wantedQoS is what the Partition of a PKey asks for; nil is nothing.
func (c *Controller) wantedQoS(p pkey.PKey) *pkey.QoS {
	terms, _ := c.grants.Terms(p)
	return terms.QoS
}

// makes reports whether an Add is the one that makes a partition, as far as is known.
func (c *Controller) makes(p pkey.PKey) bool {
	members, _ := c.view.members(p)
	return len(members) == 0
}

// qualify gives a partition that has just been made its quality of service, before its
// members count. When UFM will not have it they are members all the same, and syncQoS
// tries again and tells.
func (c *Controller) qualify(call context.Context, p pkey.PKey) {
	want := c.wantedQoS(p)
	if want == nil || c.qualifier == nil {
		return
	}
	if err := c.tellQoS(call, p, *want, "the partition was made"); err != nil {
		c.qualities.forget(p)
		return
	}
	c.qualities.set(p, *want)
}

// syncQoS sees to it that a partition with members has the quality of service that its
// Partition asks for, after an edit, or under a new leader, who reads what there is: a
// change costs UFM a sweep of the fabric.
func (c *Controller) syncQoS(ctx context.Context, p pkey.PKey) (again time.Duration, err error) {
	if members, fresh := c.view.members(p); len(members) == 0 {
		if fresh || c.reader == nil {
			c.qualities.forget(p)
		}
		return 0, nil
	}
	want := c.wantedQoS(p)
	if want == nil || c.qualifier == nil || c.cfg.Policy == DryRun || len(c.ledger.Want(p).Members) == 0 {
		return 0, nil
	}
	has, known := c.qualities.known(p)
	if last := c.qualities.failed(p); last.asked == *want && c.now().Before(last.until) {
		return last.until.Sub(c.now()), nil
	}
	if !known {
		done := c.calls.begin(callQoS)
		has, known, err = c.qualifier.QoS(ctx, p)
		if done(err); err != nil {
			return 0, fmt.Errorf("read the quality of service of pkey %s: %w", p, err)
		}
	}
	if known && has == *want {
		c.qualities.set(p, *want)
		return 0, nil
	}
	return c.setQoS(ctx, p, *want)
}

func (c *Controller) setQoS(ctx context.Context, p pkey.PKey, want pkey.QoS) (again time.Duration, err error) {
	err = c.inTurn(ctx, func() error {
		return c.send(ctx, func(call context.Context) error {
			return c.tellQoS(call, p, want, "the Partition asks for it")
		})
	})
	switch {
	case err == nil:
		c.qualities.set(p, want)
		c.rec.Log(record.UFMQualified, record.Fields{PKeys: []pkey.PKey{p}, Detail: describeQoS(want)})
		return 0, nil
	case isRejected(err):
		c.qualities.refused(p, failure{want, err, c.now().Add(refusedFor)})
		if c.notes.once("qos "+p.String(), err.Error()) {
			c.rec.Log(record.UFMRejected, record.Fields{PKeys: []pkey.PKey{p}, Err: err})
		}
		return refusedFor, nil
	}
	c.qualities.refused(p, failure{asked: want, err: err}) // for the Partition to say; it is tried again soon
	return 0, fmt.Errorf("set the quality of service of pkey %s: %w", p, err)
}

// tellQoS is one call to UFM.
func (c *Controller) tellQoS(call context.Context, p pkey.PKey, want pkey.QoS, why string) error {
	start, done := c.now(), c.calls.begin(callSetQoS)
	err := c.qualifier.SetQoS(call, p, want)
	done(err)
	c.journalMembers(change{journal.Qualify, p, "", nil, why + ": " + describeQoS(want), "", start, err})
	return err
}

func describeQoS(q pkey.QoS) string {
	return fmt.Sprintf("mtu limit %d, rate limit %v Gb/s, service level %d", q.MTULimit, q.RateLimit, q.ServiceLevel)
}
