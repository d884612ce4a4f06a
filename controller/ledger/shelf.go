package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// shardWeight bounds a shard. Each write carries a whole shard through the API server's
// validation: a small one costs little, and UFM's calls bring about a hundred rows each.
// A row weighs as many as it has partitions.
const shardWeight = 128

// shard is one Ledger object: where it stands in the API server, and which rows are in
// it. It is dirty while changed differs from saved.
type shard struct {
	name           string
	pkey           string // the label's value
	version        string // resourceVersion; "" while it is not in the API server
	guids          guids
	weight         int
	changed, saved uint64
	unreadable     []v1alpha1.LedgerRow // rows that were spoilt by hand: kept as they are
	unclaimed      []string             // of the one shard that has no rows
	dropped        map[guid.GUID]uint64 // held rows that went, with the generation that lacks them
	empty          time.Time            // since when it was seen to be; zero while it was not
}

// isEmpty reports whether nothing is in a shard or has yet to be stored of it.
func (sh *shard) isEmpty() bool {
	return len(sh.guids)+len(sh.unreadable)+len(sh.unclaimed)+len(sh.dropped) == 0 && sh.changed == sh.saved
}

// shelf keeps the shards. It belongs to the Ledger and is under its lock.
type shelf struct {
	fabric string
	of     map[guid.GUID]*shard
	named  map[string]*shard
	byPKey map[string][]*shard
}

func newShelf() shelf {
	return shelf{of: map[guid.GUID]*shard{}, named: map[string]*shard{}, byPKey: map[string][]*shard{}}
}

// label is a partition as names and labels write it.
func label(p pkey.PKey) string {
	if p == 0 {
		return "none"
	}
	return p.String()
}

func weight(r Row) int { return max(1, len(r.Claims)) }

// roomFor finds or opens a shard with room for a row.
func (s *shelf) roomFor(r Row) *shard {
	key := label(r.primary())
	for _, sh := range s.byPKey[key] {
		if sh.weight+weight(r) <= shardWeight {
			return sh
		}
	}
	for n := len(s.byPKey[key]); ; n++ {
		if name := fmt.Sprintf("%s-%s-%d", s.fabric, key, n); s.named[name] == nil {
			return s.open(name, key)
		}
	}
}

func (s *shelf) open(name, pkeyLabel string) *shard {
	sh := &shard{name: name, pkey: pkeyLabel, guids: guids{}, dropped: map[guid.GUID]uint64{}}
	s.named[name] = sh
	s.byPKey[pkeyLabel] = append(s.byPKey[pkeyLabel], sh)
	return sh
}

func (s *shelf) close(sh *shard) {
	delete(s.named, sh.name)
	s.byPKey[sh.pkey] = slices.DeleteFunc(s.byPKey[sh.pkey], func(have *shard) bool { return have == sh })
	if len(s.byPKey[sh.pkey]) == 0 {
		delete(s.byPKey, sh.pkey)
	}
}

func (s *shelf) add(sh *shard, r Row) {
	sh.guids[r.GUID] = struct{}{}
	sh.weight += weight(r)
	sh.changed++
	s.of[r.GUID] = sh
}

func (s *shelf) remove(r Row) {
	sh := s.of[r.GUID]
	delete(s.of, r.GUID)
	delete(sh.guids, r.GUID)
	sh.weight -= weight(r)
	sh.changed++
	if r.State == Held {
		sh.dropped[r.GUID] = sh.changed
	}
}

// Unreadable returns the GUIDs, as far as they can be told, of stored rows that cannot be
// read: whose they are nobody knows, but they are somebody's.
func (l *Ledger) Unreadable() []guid.GUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var guids []guid.GUID
	for _, sh := range l.shards.named {
		for _, row := range sh.unreadable {
			if g, ok := guidOf(row); ok {
				guids = append(guids, g)
			}
		}
	}
	return guids
}

func (s *shelf) dirty(r Row) { s.of[r.GUID].changed++ }

// pkeyOf reads the label of a stored shard, out of its name when the label is lost. What
// it returns can be stored as a label, whatever somebody wrote there by hand: a shard
// that cannot be stored keeps a new leader from its work.
func pkeyOf(l *v1alpha1.Ledger) string {
	parts := strings.Split(l.Name, "-")
	for _, text := range []string{l.Labels[v1alpha1.LabelPKey], parts[max(0, len(parts)-2)]} {
		if text == label(0) {
			return text
		}
		if p, err := pkey.Parse(text); err == nil {
			return label(p)
		}
	}
	return label(0)
}
