package attach

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
)

// StatusGUID is a GUID that the network status of a pod shows.
type StatusGUID struct {
	Network   types.NamespacedName // without a namespace for the cluster's default network
	Interface string
	GUID      guid.GUID
}

// StatusGUIDs reads the GUIDs out of the network-status annotation, in its order: the
// hardware address of an IPoIB interface has 20 bytes, the last 8 of which are the port
// GUID (RFC 4391, 9.1.1). KubeVirt writes its pods' networks annotation anew and loses
// what stood in cni-args; the status is then the one place in the pod that still knows.
//
// It is a hint, not a claim: tenants can write it. Whatever cannot be read is left out.
func StatusGUIDs(text string) []StatusGUID {
	var list []json.RawMessage
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	var found []StatusGUID
	for _, raw := range list {
		var status struct{ Name, Interface, MAC string }
		if json.Unmarshal(raw, &status) != nil {
			continue
		}
		if g, ok := guidOfHardwareAddr(status.MAC); ok {
			found = append(found, StatusGUID{splitName(status.Name), status.Interface, g})
		}
	}
	return found
}

func guidOfHardwareAddr(text string) (guid.GUID, bool) {
	const ipoibLen = 20
	addr, err := net.ParseMAC(text)
	if err != nil || len(addr) != ipoibLen {
		return 0, false
	}
	g := guid.GUID(binary.BigEndian.Uint64(addr[ipoibLen-8:]))
	return g, g.IsValid()
}

// splitName reads namespace/name; a name alone has no namespace.
func splitName(s string) types.NamespacedName {
	namespace, name, found := strings.Cut(s, "/")
	if !found {
		return types.NamespacedName{Name: s}
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}
