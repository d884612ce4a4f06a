package controller

import (
	"time"

	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/pkey"
)

// Tally counts a partition as it is known now. It takes time with the number of members.
func (c *Controller) Tally(p pkey.PKey) grant.Tally {
	var t grant.Tally
	for _, r := range c.ledger.OfPKey(p) {
		claim, _ := r.Claim(p)
		switch {
		case r.State == ledger.Leaving:
			t.Leaving++
		case r.State == ledger.Held:
		case c.view.holds(p, pkey.Member{GUID: r.GUID, Mode: claim.Mode}):
			t.Members++
		default:
			t.Pending++
		}
	}
	t.Unknown = c.health.isBlind() || c.view.isUnread(p)
	if want := c.wantedQoS(p); want != nil {
		if t.QoS = c.qualities.failed(p).err; c.qualifier == nil {
			t.QoS = errNoQoS
		}
	}
	return t
}

// isBlind reports whether UFM does not answer reads. Of a UFM that takes no changes it is
// known who is in which partition.
func (h *health) isBlind() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reads.on
}

// Taken are the PKeys that must not be given to anybody new: a row of the ledger has them,
// the held ones too, or UFM showed a partition of them, its members known or not.
func (c *Controller) Taken() map[pkey.PKey]bool {
	taken := map[pkey.PKey]bool{}
	for _, p := range c.ledger.PKeys() {
		taken[p] = true
	}
	for _, p := range c.view.pkeys() {
		if members, fresh := c.view.members(p); len(members) > 0 || !fresh && c.reader != nil {
			taken[p] = true
		}
	}
	if listed := c.listed.Load(); listed != nil {
		for p := range *listed {
			taken[p] = true
		}
	}
	return taken
}

// MayGive says for how long this leader gives nothing out yet: what a former one had under
// way has come in by then. It is an error where this replica does not lead.
func (c *Controller) MayGive() (wait time.Duration, err error) {
	return max(0, c.removeAfter().Sub(c.now())), c.leading()
}
