package attach

import (
	"fmt"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Adoptable says why what an element tells of itself is not believed by a controller that
// did not write it: nil where it is, as far as the pod and its network show. A tenant can
// have written it: a row made of it must not give the pod, or let it take away, anything
// that its network would not have given it. What UFM shows is for the controller to ask.
func (e Element) Adoptable(net Network, inRange func(guid.GUID) bool) error {
	if !inRange(e.GUID) {
		return fmt.Errorf("guid %s is outside this controller's range, and is not taken over: widen the range, or make the pod anew", e.GUID)
	}
	joins := map[pkey.PKey]bool{}
	for _, cl := range net.Claims {
		joins[cl.PKey] = true
	}
	for _, r := range e.Recorded {
		if !joins[r.PKey] {
			return fmt.Errorf("the pod says that it is in pkey %s, which network %s does not give: make the pod anew, or name that pkey in the network", r.PKey, net.Name)
		}
	}
	return nil
}

// GUIDOf finds an element's GUID in what Multus reported: KubeVirt takes our fields out of
// the annotation. It is zero where there is none.
func GUIDOf(status []StatusGUID, e Element) guid.GUID {
	for _, s := range status {
		if s.Interface == e.Interface {
			return s.GUID
		}
	}
	for _, s := range status {
		if s.Interface == "" && s.Network == e.Network {
			return s.GUID
		}
	}
	return 0
}
