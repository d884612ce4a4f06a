package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// toAPI is the row as it is stored.
func (r Row) toAPI() v1alpha1.LedgerRow {
	out := v1alpha1.LedgerRow{
		GUID: r.GUID.String(), PodUID: r.UID, Namespace: r.Pod.Namespace, Pod: r.Pod.Name,
		Interface: r.Interface, Network: r.Network.String(), Node: r.Node, BootID: r.BootID,
		State: v1alpha1.Assigned, Since: r.Since.UTC().Format(time.RFC3339),
	}
	if r.State == Held {
		out.State = v1alpha1.Held
	}
	for _, c := range r.Claims {
		out.PKeys = append(out.PKeys, v1alpha1.LedgerClaim{
			PKey: c.PKey.String(), Membership: c.Membership.String(), Index0: c.Index0, IPoIB: c.IPoIB,
		})
	}
	return out
}

// fromAPI reads a stored row. Somebody may have spoilt it by hand: what it returns can be
// worked with and stored again, and everything else is an error.
func fromAPI(in v1alpha1.LedgerRow) (Row, error) {
	if in.Spoilt != "" {
		return Row{}, fmt.Errorf("row %.200q has not the form of one; write it as %q", textOf(in), exampleRow())
	}
	g, err := guid.Parse(in.GUID)
	if err != nil {
		return Row{}, err
	}
	if !isName(in.Namespace) || !isName(in.Pod) || in.PodUID == "" || in.Interface == "" {
		return Row{}, fmt.Errorf("row of guid %s: %.60q in namespace %.60q with uid %.60q is no pod with an interface (%.60q)", g, in.Pod, in.Namespace, in.PodUID, in.Interface)
	}
	since, err := time.Parse(time.RFC3339, in.Since)
	if err != nil {
		return Row{}, fmt.Errorf("row of guid %s: since %.60q is no time; write it as 2026-01-02T03:04:05Z", g, in.Since)
	}
	r := Row{
		GUID: g, Pod: types.NamespacedName{Namespace: shared(in.Namespace), Name: in.Pod}, UID: in.PodUID,
		Interface: shared(in.Interface), Node: shared(in.Node), BootID: shared(in.BootID), Since: since, Sent: true, Told: true,
	}
	namespace, name, _ := strings.Cut(in.Network, string(types.Separator))
	r.Network = types.NamespacedName{Namespace: shared(namespace), Name: shared(name)}
	switch dated := r.Since.After(time.Time{}) && r.Since.UTC().Year() < lastYear; {
	case !dated:
		// No such time can be stored again. A hold of which nobody knows since when is none:
		// the GUID is seen out of its partitions anew, and held anew.
		r.Since = time.Unix(0, 0)
	case in.State == v1alpha1.Held:
		r.State = Held
		r.Since = r.Since.Add(time.Second) // stored in whole seconds: never shorter
	}
	for _, c := range in.PKeys {
		if err := r.addClaim(c); err != nil {
			return Row{}, fmt.Errorf("row of guid %s: %w", g, err)
		}
	}
	return r, nil
}

// textOf is a row that cannot be read as kubectl shows it: without JSON's quotes.
func textOf(in v1alpha1.LedgerRow) string {
	text := in.Spoilt
	if err := json.Unmarshal([]byte(in.Spoilt), &text); err != nil {
		return in.Spoilt // no string: an object, a number
	}
	return text
}

// exampleRow shows a person each part of a row.
func exampleRow() string {
	return v1alpha1.LedgerRow{
		GUID: "02:00:00:00:00:00:00:07", State: v1alpha1.Assigned, Since: "2026-01-02T03:04:05Z",
		PKeys:     []v1alpha1.LedgerClaim{{PKey: "0x1000", Membership: "full", Index0: true, IPoIB: true}, {PKey: "0x20", Membership: "limited"}},
		Namespace: "namespace", Pod: "pod", PodUID: "pod-uid", Interface: "net1", Network: "namespace/network", Node: "node",
	}.String()
}

// guidOf is the GUID of a row that cannot be read, as far as it can be told: the first
// that stands in it.
func guidOf(in v1alpha1.LedgerRow) (guid.GUID, bool) {
	words := strings.FieldsFunc(in.Spoilt, func(c rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEFx:", c) })
	for _, word := range append(words, in.GUID) {
		if g, err := guid.Parse(word); err == nil {
			return g, true
		}
	}
	return 0, false
}

// shared is s, kept once for all rows that say the same.
func shared(s string) string { return unique.Make(s).Value() }

// lastYear is the last one that RFC 3339 can write.
const lastYear = 9999

// isName reports whether s can stand in the path of a request, so that the API server
// can be asked whether there is such an object.
func isName(s string) bool { return s != "" && len(content.IsPathSegmentName(s)) == 0 }

func (r *Row) addClaim(in v1alpha1.LedgerClaim) error {
	p, err := pkey.Parse(in.PKey)
	if err != nil {
		return err
	}
	if _, twice := r.Claim(p); twice {
		return fmt.Errorf("pkey %s stands there twice; name it once", p)
	}
	m, err := pkey.ParseMembership(in.Membership)
	if err != nil {
		return err
	}
	r.Claims = append(r.Claims, attach.Claim{PKey: p, Mode: pkey.Mode{Membership: m, Index0: in.Index0}, IPoIB: in.IPoIB})
	return nil
}
