package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrNotLeading says that a write was not sent, since this replica may no longer lead.
var ErrNotLeading = errors.New("this replica no longer leads")

// Lease is the lock of the leader election, and knows how long it still counts. Every
// write to UFM, the ledger and pods asks it first: a process that was stopped and goes
// on must not write under a lease that has passed on.
type Lease struct {
	resourcelock.Interface
	// Valid is how long a renewal counts, from the moment it was sent: the renew deadline,
	// which is shorter than the lease.
	Valid time.Duration
	Now   func() time.Time
	// Holder asks the API server who has the lease. It is a lock of its own: the one
	// above is the elector's, and not to be used beside it.
	Holder func(context.Context) (string, error)

	mu        sync.Mutex // protects what follows
	renewed   time.Time
	former    string    // who held the lease before us; "" when it was let go cleanly, or nobody
	writing   int       // writes to UFM that are not answered
	unsettled bool      // one was given up
	until     time.Time // not to be let go before
	seen      string    // who held it when it was read last
	missing   time.Time // since when it is not there, although another held it
	made      bool      // by us
}

// Get implements resourcelock.Interface. Whoever reads that another has the lease writes
// nothing more. A lease that somebody deleted is not to be had at once: its holder goes on
// for as long as the last renewal counts, and makes it anew if it lives.
func (l *Lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	r, raw, err := l.Interface.Get(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.seen, l.missing = r.HolderIdentity, time.Time{}
		if r.HolderIdentity == l.Identity() {
			break
		}
		l.former, l.renewed = r.HolderIdentity, time.Time{}
	case apierrors.IsNotFound(err) && l.seen != "" && l.seen != l.Identity():
		if l.missing.IsZero() {
			l.missing = l.Now()
		}
		if wait := l.Outlasts() - l.Now().Sub(l.missing); wait > 0 {
			return nil, nil, fmt.Errorf("the lease was deleted, and %s may lead for %s yet", l.seen, wait)
		}
	}
	return r, raw, err
}

// Outlasts is how long to wait for a holder who can renew no more: as long as its last
// renewal counts, and half as long for what is under way then.
func (l *Lease) Outlasts() time.Duration { return l.Valid * 3 / 2 }

// Create implements resourcelock.Interface.
func (l *Lease) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	waited := !l.missing.IsZero() // for its holder, in Get
	l.mu.Unlock()
	err := l.renew(func() error { return l.Interface.Create(ctx, r) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = l.made || err == nil && !waited
	return err
}

// Made reports whether this process made the lease without having waited for anybody: it does
// not say who led before.
func (l *Lease) Made() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

// Update implements resourcelock.Interface. The lease is not let go while a write to UFM
// is unanswered: the next leader then waits until it can no longer come in.
func (l *Lease) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if r.HolderIdentity == l.Identity() {
		return l.renew(func() error { return l.Interface.Update(ctx, r) })
	}
	l.mu.Lock()
	l.renewed = time.Time{}
	unsettled := l.unsettled || l.writing > 0 || l.Now().Before(l.until)
	l.mu.Unlock()
	if unsettled {
		return errors.New("a write to UFM may be under way: the lease is left to run out")
	}
	return l.Interface.Update(ctx, r)
}

func (l *Lease) renew(write func() error) error {
	sent := l.Now()
	if err := write(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed, l.seen, l.missing = sent, l.Identity(), time.Time{}
	return nil
}

// Leading returns ErrNotLeading unless the lease counts at this moment.
func (l *Lease) Leading() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.renewed.IsZero() || l.Now().Sub(l.renewed) >= l.Valid {
		return ErrNotLeading
	}
	return nil
}

// StillLeading asks the API server who leads.
func (l *Lease) StillLeading(ctx context.Context) error {
	holder, err := l.Holder(ctx)
	if err != nil {
		return fmt.Errorf("read the lease: %w", err)
	}
	if holder != l.Identity() {
		return fmt.Errorf("%w: %s does", ErrNotLeading, holder)
	}
	return nil
}

// KeepUntil makes the lease run out rather than be let go before a time: as long as a
// former leader's write may come in, the next one must know of it as well.
func (l *Lease) KeepUntil(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = t
}

// Former is who held the lease before, unless it was let go cleanly.
func (l *Lease) Former() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.former
}

// Seen is who held the lease when it was read last; "" is nobody.
func (l *Lease) Seen() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// Write notes that a write to UFM begins. What it returns is called when it ended, with
// whether it was answered in time or given up.
func (l *Lease) Write() (ended func(settled bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing++
	return func(settled bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.writing--
		l.unsettled = l.unsettled || !settled
	}
}
