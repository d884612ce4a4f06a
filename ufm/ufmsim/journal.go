package ufmsim

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

// Op is what a call does.
type Op string

// The first group changes partitions and is journalled; the second reads.
const (
	OpCreate  Op = "create" // pkeys/add: an empty partition
	OpAdd     Op = "add"
	OpRemove  Op = "remove"
	OpPut     Op = "put"
	OpDelete  Op = "delete"
	OpQoS     Op = "qos"
	OpWipe    Op = "wipe"
	OpRestart Op = "restart"
	OpApply   Op = "apply" // the subnet manager took what was changed, or did not

	OpList         Op = "list"
	OpGet          Op = "get" // one partition
	OpLastUpdated  Op = "last_updated"
	OpOther        Op = "other" // version, ports, tokens, …
	OpUnauthorized Op = "unauthorized"
)

// Changes reports whether op is one that changes partitions.
func (op Op) Changes() bool {
	switch op {
	case OpCreate, OpAdd, OpRemove, OpPut, OpDelete, OpQoS, OpWipe:
		return true
	}
	return false
}

// Entry is one change, also one that was refused or lost.
type Entry struct {
	Seq      uint64
	Received time.Time
	Changed  time.Time // when the model changed; zero: it did not
	Applied  time.Time // when the fabric had it; zero: not yet, or never
	Op       Op
	PKey     pkey.PKey
	// Members are the GUIDs of the change with their modes: those that a remove or a
	// delete took out, those that an add or a put asked for.
	Members []pkey.Member
	User    string
	Remote  string
	Status  int    // the answer; 0: there was none
	Outcome string // "done", or what happened instead
}

// MarshalJSON writes times that never came as null and GUIDs as UFM does.
func (e Entry) MarshalJSON() ([]byte, error) {
	members := encoder{}
	members.members(e.Members)
	return json.Marshal(struct {
		Seq      uint64          `json:"seq"`
		Received time.Time       `json:"received"`
		Changed  *time.Time      `json:"changed"`
		Applied  *time.Time      `json:"applied"`
		Op       Op              `json:"op"`
		PKey     pkey.PKey       `json:"pkey,omitempty"`
		Members  json.RawMessage `json:"members"`
		User     string          `json:"user,omitempty"`
		Remote   string          `json:"remote,omitempty"`
		Status   int             `json:"status,omitempty"`
		Outcome  string          `json:"outcome"`
	}{
		e.Seq, e.Received, unlessZero(e.Changed), unlessZero(e.Applied), e.Op, e.PKey,
		members.buf, e.User, e.Remote, e.Status, e.Outcome,
	})
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// journal remembers entries, the last limit of them when limit is above zero.
type journal struct {
	mu      sync.Mutex // protects what follows
	limit   int
	next    uint64
	entries []Entry
	readers map[*reader]bool
}

// reader is one who watches. Its queue is unbounded: a slow one must not hold up UFM.
type reader struct {
	queue []Entry
	wake  chan struct{}
}

// record gives e its number and keeps it.
func (j *journal) record(e Entry) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	e.Seq = j.next
	j.entries = append(j.entries, e)
	// Trimmed at twice the limit, so that a full journal is not copied at every entry.
	if j.limit > 0 && len(j.entries) >= 2*j.limit {
		j.entries = slices.Clone(j.entries[len(j.entries)-j.limit:])
	}
	j.publish(e)
	return e.Seq
}

// edit changes an entry that is still remembered and shows it to the readers again.
func (j *journal) edit(seq uint64, change func(*Entry)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := len(j.entries) - 1 - int(j.next-seq)
	if i < 0 || i >= len(j.entries) {
		return
	}
	change(&j.entries[i])
	j.publish(j.entries[i])
}

func (j *journal) publish(e Entry) {
	for r := range j.readers {
		r.queue = append(r.queue, e)
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// since returns the remembered entries behind seq.
func (j *journal) since(seq uint64) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := j.entries
	if j.limit > 0 && len(entries) > j.limit {
		entries = entries[len(entries)-j.limit:]
	}
	for len(entries) > 0 && entries[0].Seq <= seq {
		entries = entries[1:]
	}
	return slices.Clone(entries)
}

func (j *journal) subscribe() *reader {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &reader{wake: make(chan struct{}, 1)}
	if j.readers == nil {
		j.readers = map[*reader]bool{}
	}
	j.readers[r] = true
	return r
}

func (j *journal) unsubscribe(r *reader) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.readers, r)
}

func (j *journal) take(r *reader) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	queue := r.queue
	r.queue = nil
	return queue
}

// Journal is every change so far, or the last Config.JournalLimit of them.
func (s *Sim) Journal() []Entry { return s.journal.since(0) }

// Watch delivers every change from now on, until ctx ends; then the channel is closed.
// After Close it is closed as soon as all was delivered. An entry comes when its call
// is decided, and a second time with the same Seq when the fabric has it, if later.
func (s *Sim) Watch(ctx context.Context) <-chan Entry {
	out := make(chan Entry)
	r := s.journal.subscribe()
	// Not one of those that Close waits for: who watches may read the rest after it.
	go func() {
		defer close(out)
		defer s.journal.unsubscribe(r)
		for s.feed(ctx, r, out) {
		}
	}()
	return out
}

// feed delivers what is queued and waits for more; false is the end.
func (s *Sim) feed(ctx context.Context, r *reader, out chan<- Entry) bool {
	last := false
	select {
	case <-r.wake:
	case <-ctx.Done():
		return false
	case <-s.finished:
		last = true
	}
	for _, e := range s.journal.take(r) {
		select {
		case out <- e:
		case <-ctx.Done():
			return false
		}
	}
	return !last
}
