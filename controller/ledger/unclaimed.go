package ledger

import (
	"slices"

	"github.com/ibfabric/ibfabric/guid"
)

// unclaimedShard names the shard of GUIDs without a row.
const unclaimedShard = "unclaimed"

// maxUnclaimed bounds what is kept of them: an object of the API server holds a megabyte
// and a half.
const maxUnclaimed = 20_000

// SetUnclaimed notes the GUIDs that stand in UFM, or did until lately, and have no row. A
// next leader could not know of those that UFM does not show any more. They are stored
// with the next CommitAll.
func (l *Ledger) SetUnclaimed(guids []guid.GUID) {
	slices.Sort(guids)
	texts := make([]string, 0, min(len(guids), maxUnclaimed))
	for _, g := range guids[:min(len(guids), maxUnclaimed)] {
		texts = append(texts, g.String())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name := l.shards.fabric + "-" + unclaimedShard
	sh := l.shards.named[name]
	switch {
	case sh == nil && len(texts) == 0:
		return
	case sh == nil:
		sh = l.shards.open(name, unclaimedShard)
	case slices.Equal(sh.unclaimed, texts):
		return
	}
	sh.unclaimed = texts
	sh.changed++
}

// Unclaimed are the GUIDs that the last leader noted as such.
func (l *Ledger) Unclaimed() (guids []guid.GUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sh := range l.shards.named {
		for _, text := range sh.unclaimed {
			if g, err := guid.Parse(text); err == nil { // else somebody spoilt it by hand, and nothing is lost but a hold
				guids = append(guids, g)
			}
		}
	}
	return guids
}
