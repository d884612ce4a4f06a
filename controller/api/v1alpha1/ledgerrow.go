package v1alpha1

import (
	"encoding/json"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// LedgerRow says whose a GUID is, or was until lately. It is stored as one string, ten
// words that one space separates:
//
//	02:00:00:00:00:00:00:07 Assigned 2026-01-02T03:04:05Z 0x1000:full:index0:ipoib,0x20:limited ns/pod uid net1 ns/rail1 node1 -
//
// GUID, state, since, PKeys, pod, UID, interface, network, node and boot ID; "-" is none.
// What would not fit into a word stands as in a URL: %20.
//
// All is text, whatever it should be: what somebody spoilt by hand must neither be lost
// nor make the other rows unreadable.
type LedgerRow struct {
	GUID      string // as in 02:00:00:00:00:00:00:07
	State     RowState
	Since     string // when the row came into its state, as in 2026-01-02T03:04:05Z
	PKeys     []LedgerClaim
	Namespace string
	Pod       string
	PodUID    types.UID
	Interface string
	Network   string // namespace/name of the NAD
	// Node is where the pod ran, as far as known, and BootID what that node showed as
	// status.nodeInfo.bootID when the pod was seen to be gone.
	Node   string
	BootID string

	// Spoilt is the JSON of a row that has not this form, and is stored again as it is.
	// All else is empty then. In an object that the API server holds it is a string,
	// unless the CRD was another when the object was written.
	Spoilt string
}

// LedgerClaim is a partition that a GUID is put into.
type LedgerClaim struct {
	PKey       string // as in 0x1000
	Membership string // full or limited
	Index0     bool
	IPoIB      bool
}

// RowState says whether a row's owner lives.
type RowState string

const (
	// Assigned rows belong to a live pod.
	Assigned RowState = "Assigned"
	// Held rows belonged to one: UFM was seen without the GUID at Since, by the clock of
	// who wrote it, and nobody else gets it until the hold is over. A new leader counts
	// that anew.
	Held RowState = "Held"
)

const (
	none  = "-"
	words = 10
	// What follows a claim's PKey and membership.
	index0 = ":index0"
	ipoib  = ":ipoib"
)

// String is the row as it is stored.
func (r LedgerRow) String() string {
	if r.Spoilt != "" {
		return r.Spoilt
	}
	return strings.Join([]string{
		escape(r.GUID, ""), escape(string(r.State), ""), escape(r.Since, ""), formatClaims(r.PKeys),
		escape(r.Namespace, "/") + "/" + escape(r.Pod, "/"), escape(string(r.PodUID), ""),
		escape(r.Interface, ""), escape(r.Network, ""), escape(r.Node, ""), escape(r.BootID, ""),
	}, " ")
}

// MarshalJSON implements json.Marshaler.
func (r LedgerRow) MarshalJSON() ([]byte, error) {
	if r.Spoilt != "" {
		return []byte(r.Spoilt), nil
	}
	return json.Marshal(r.String())
}

// UnmarshalJSON implements json.Unmarshaler. It takes any JSON: see Spoilt.
func (r *LedgerRow) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		if row, ok := parseRow(text); ok {
			*r = row
			return nil
		}
	}
	*r = LedgerRow{Spoilt: string(data)}
	return nil
}

// parseRow reads what String writes. That it would write the very same text is what
// makes it sure that nothing of it is lost, so no part needs a check of its own.
func parseRow(text string) (LedgerRow, bool) {
	w := strings.Split(text, " ")
	if len(w) != words {
		return LedgerRow{}, false
	}
	namespace, pod, _ := strings.Cut(w[4], "/")
	r := LedgerRow{
		GUID: unescape(w[0]), State: RowState(unescape(w[1])), Since: unescape(w[2]), PKeys: parseClaims(w[3]),
		Namespace: unescape(namespace), Pod: unescape(pod), PodUID: types.UID(unescape(w[5])),
		Interface: unescape(w[6]), Network: unescape(w[7]), Node: unescape(w[8]), BootID: unescape(w[9]),
	}
	return r, r.String() == text
}

func formatClaims(claims []LedgerClaim) string {
	if len(claims) == 0 {
		return none
	}
	parts := make([]string, len(claims))
	for i, c := range claims {
		parts[i] = escape(c.PKey, ":,") + ":" + escape(c.Membership, ":,")
		if c.Index0 {
			parts[i] += index0
		}
		if c.IPoIB {
			parts[i] += ipoib
		}
	}
	return strings.Join(parts, ",")
}

func parseClaims(text string) []LedgerClaim {
	if text == none {
		return nil
	}
	var claims []LedgerClaim
	for part := range strings.SplitSeq(text, ",") {
		key, mode, _ := strings.Cut(part, ":")
		c := LedgerClaim{PKey: unescape(key)}
		mode, c.IPoIB = strings.CutSuffix(mode, ipoib)
		mode, c.Index0 = strings.CutSuffix(mode, index0)
		c.Membership = unescape(mode)
		claims = append(claims, c)
	}
	return claims
}

// escape makes one word of s: the bytes that are no printable ASCII, or would be taken
// for something else there, stand as %20. Names of Kubernetes stay as they are.
func escape(s, separators string) string {
	const hex = "0123456789ABCDEF"
	switch s {
	case "":
		return none
	case none:
		return "%2D"
	}
	odd := func(c rune) bool { return c <= ' ' || c > '~' || c == '%' || strings.ContainsRune(separators, c) }
	if !strings.ContainsFunc(s, odd) {
		return s
	}
	var b []byte
	for i := range len(s) {
		if c := s[i]; odd(rune(c)) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// unescape reads what escape writes, and makes something else of all that it does not.
func unescape(word string) string {
	if word == none {
		return ""
	}
	s, err := url.PathUnescape(word)
	if err != nil {
		return ""
	}
	return s
}
