package api

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Query is what a request asks for. Which fields count depends on its path; the zero Query
// asks for the first page of everything.
type Query struct {
	Limit     int    // 0 is DefaultLimit
	Continue  string // of the page before
	Text      string
	Kind      MemberKind
	State     string // a PodState or a RowState
	Namespace string
	PKey      pkey.PKey
	GUID      guid.GUID
	Pod       PodName
}

// Values is q as a URL has it.
func (q Query) Values() url.Values {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	if q.Limit > 0 {
		set(QueryLimit, strconv.Itoa(q.Limit))
	}
	set(QueryContinue, q.Continue)
	set(QueryText, q.Text)
	set(QueryKind, string(q.Kind))
	set(QueryState, q.State)
	set(QueryNamespace, q.Namespace)
	if q.PKey != 0 {
		set(QueryPKey, q.PKey.String())
	}
	if q.GUID != 0 {
		set(QueryGUID, q.GUID.String())
	}
	if q.Pod.Name != "" {
		set(QueryPod, q.Pod.String())
	}
	return v
}

// ParseQuery reads what Values writes. An error says what to write instead.
func ParseQuery(v url.Values) (Query, error) {
	q := Query{
		Limit: DefaultLimit, Continue: v.Get(QueryContinue), Text: strings.TrimSpace(v.Get(QueryText)),
		Kind: MemberKind(v.Get(QueryKind)), State: v.Get(QueryState), Namespace: v.Get(QueryNamespace),
	}
	if text := v.Get(QueryLimit); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, fmt.Errorf("%s=%.20q: write a number from 1 to %d", QueryLimit, text, MaxLimit)
		}
		q.Limit = min(n, MaxLimit)
	}
	switch q.Kind {
	case "", Ours, Unclaimed, Foreign:
	default:
		return q, fmt.Errorf("%s=%.20q: write %s, %s or %s", QueryKind, q.Kind, Ours, Unclaimed, Foreign)
	}
	var err error
	if text := v.Get(QueryPKey); text != "" {
		if q.PKey, err = pkey.Parse(text); err != nil {
			return q, err
		}
	}
	if text := v.Get(QueryGUID); text != "" {
		if q.GUID, err = guid.Parse(text); err != nil {
			return q, err
		}
	}
	if text := v.Get(QueryPod); text != "" {
		namespace, name, ok := strings.Cut(text, "/")
		if !ok || namespace == "" || name == "" {
			return q, fmt.Errorf("%s=%.60q: write namespace/name", QueryPod, text)
		}
		q.Pod = PodName{Namespace: namespace, Name: name}
	}
	return q, nil
}
