package grant

import "github.com/ibfabric/ibfabric/controller/attach"

// Joined are the claims of a network as those have them who joined already. A grant that was
// withdrawn takes nothing from a live pod, nor does a Partition that takes no new members.
// What cannot be told, the PKey of a Partition that is not there, is left out; the claims
// given are not changed.
func (b *Book) Joined(claims []attach.Claim) []attach.Claim {
	var out []attach.Claim
	var named []*entry
	for i, claim := range claims {
		e, err := b.find(claim)
		if err != nil {
			continue
		}
		if e != nil {
			named = append(named, e)
			claim = e.join(claim, i == 0)
		}
		if claim.PKey != 0 && !joins(out, claim.PKey) {
			out = append(out, claim)
		}
	}
	for _, e := range named {
		for _, ref := range e.also {
			if other := b.byName[ref.Name]; other != nil && other.pkey != 0 && !joins(out, other.pkey) {
				out = append(out, other.accompany(ref.membership))
			}
		}
	}
	return out
}
