package journal

import (
	"slices"
	"sync"
	"time"
)

// maxEntries bounds the book: at a change a second, more than an hour of a busy fabric, or
// weeks of one whose jobs run for hours.
const maxEntries = 5000

// Book is the journal in memory, in order of ID. It is safe for concurrent use.
type Book struct {
	leader string
	now    func() time.Time
	signal chan struct{} // has one when there is something to write

	mu      sync.Mutex // protects what follows
	entries []*Entry
	next    uint64
	written uint64 // the last ID that is stored
}

// NewBook makes an empty Book. leader is who notes in it.
func NewBook(leader string, now func() time.Time) *Book {
	return &Book{leader: leader, now: now, next: 1, signal: make(chan struct{}, 1)}
}

// Note takes down a change that has just been answered, or was not. It sets the entry's ID,
// time and leader. What goes wrong in the same way again and again is one entry.
func (b *Book) Note(e Entry) {
	e.At, e.Leader = b.now(), b.leader
	e.Err, e.Why = clip(e.Err), clip(e.Why)
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.again(&e); at >= 0 {
		was := b.entries[at]
		e.Times, e.ID = max(was.Times, 1)+1, was.ID
		b.entries[at] = &e // how often is known here alone: it is not worth a write
		return
	}
	e.ID = b.next
	b.next++
	b.entries = append(b.entries, &e)
	b.trim()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// lookBack is how many entries behind it an entry is compared with, to find it said before.
const lookBack = 32

// again finds the last entry that says the same, -1 is none. A partition's turn may come
// between two that do.
func (b *Book) again(e *Entry) int {
	for i := len(b.entries) - 1; i >= max(0, len(b.entries)-lookBack); i-- {
		if e.same(b.entries[i]) {
			return i
		}
	}
	return -1
}

func (b *Book) trim() {
	if over := len(b.entries) - maxEntries; over > 0 {
		b.entries = slices.Delete(b.entries, 0, over)
	}
}

// Before returns entries that pass, newest first, at most so many: those with an ID below
// before, or all where before is 0.
func (b *Book) Before(before uint64, most int, pass func(*Entry) bool) []*Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*Entry
	for i := len(b.entries) - 1; i >= 0 && len(list) < most; i-- {
		if e := b.entries[i]; (before == 0 || e.ID < before) && pass(e) {
			list = append(list, e)
		}
	}
	return list
}

// Count is how many entries there are, since when, and how many are not stored yet.
func (b *Book) Count() (entries int, oldest time.Time, unwritten int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.entries) - 1; i >= 0 && b.entries[i].ID > b.written; i-- {
		unwritten++
	}
	if len(b.entries) > 0 {
		oldest = b.entries[0].At
	}
	return len(b.entries), oldest, unwritten
}

// adopt puts what former leaders stored before what this one noted meanwhile.
func (b *Book) adopt(former []*Entry) {
	slices.SortFunc(former, func(x, y *Entry) int {
		switch {
		case x.ID < y.ID:
			return -1
		case x.ID > y.ID:
			return 1
		}
		return 0
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(former); n > 0 {
		b.written = former[n-1].ID
	}
	for _, e := range b.entries {
		renamed := *e
		renamed.ID += b.written
		former = append(former, &renamed)
	}
	b.next += b.written
	b.entries = former
	b.trim()
}

// unwritten are the entries that are not stored, oldest first.
func (b *Book) unwritten() []*Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := len(b.entries)
	for i > 0 && b.entries[i-1].ID > b.written {
		i--
	}
	return slices.Clone(b.entries[i:])
}

func (b *Book) wrote(id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written = max(b.written, id)
}
