package ufm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// How UFM spells partitions differs by version and by query, and nothing says how it will
// next time. The rule: one name or GUID that cannot be read is left out and counted, so
// that it does not hide the rest. A whole that cannot be read is an error, never an empty
// answer: empty means that GUIDs may be given to somebody else.

// oddities counts what was left out, or in the case of memberships taken for full.
type oddities struct{ pkeys, guids, memberships int }

// listing is an answer to the question for all partitions.
type listing struct {
	partitions []pkey.Partition   // in order of PKey
	bare       map[pkey.PKey]bool // named, but without members that can be read
	odd        oddities
}

// fields is a JSON object whose values are read one at a time, so that one of a wrong type
// spoils nothing but itself.
type fields map[string]json.RawMessage

// entry is one partition of a list, still in JSON.
type entry struct {
	name string
	body json.RawMessage // nil: only the name was given
}

// decodeList reads a list in each of the shapes seen: an object with PKeys for keys, a
// list of PKeys, a list of objects with a pkey in each.
func decodeList(body []byte) (listing, error) {
	entries, err := listEntries(body)
	if err != nil {
		return listing{}, err
	}
	list := listing{bare: map[pkey.PKey]bool{}}
	byKey := map[pkey.PKey]pkey.Partition{}
	for _, e := range entries {
		p, err := pkey.ParseUFM(e.name)
		if err != nil {
			list.odd.pkeys++
			continue
		}
		part, odd, err := decodeOne(p, e.body)
		if err != nil {
			part, list.bare[p] = pkey.Partition{PKey: p}, true
		}
		list.odd.add(odd)
		if twin, ok := byKey[p]; ok { // 0x5 and 0x0005
			part.Members = uniqueMembers(append(twin.Members, part.Members...))
		}
		byKey[p] = part
	}
	if len(entries) > 0 && len(byKey) == 0 {
		return listing{}, errors.New("not one of its names is a pkey")
	}
	for _, p := range slices.Sorted(maps.Keys(byKey)) {
		list.partitions = append(list.partitions, byKey[p])
	}
	return list, nil
}

func listEntries(body []byte) ([]entry, error) {
	var entries []entry
	switch first(body) {
	case '{':
		var object fields
		if err := json.Unmarshal(body, &object); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			entries = append(entries, entry{name, object[name]})
		}
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, err
		}
		for _, item := range items {
			entries = append(entries, listItem(item))
		}
	default:
		return nil, errors.New("neither a JSON object nor a JSON list")
	}
	return entries, nil
}

// listItem is an item of a list: a PKey, or an object that has one. Without guids, the
// object is no more than a name.
func listItem(item json.RawMessage) entry {
	var object fields
	if first(item) != '{' || json.Unmarshal(item, &object) != nil {
		return entry{name: text(item)}
	}
	if _, ok := object["guids"]; !ok {
		item = nil
	}
	return entry{text(object["pkey"]), item}
}

// decodeOne reads one partition. {} is one that UFM does not know.
func decodeOne(p pkey.PKey, body json.RawMessage) (pkey.Partition, oddities, error) {
	part := pkey.Partition{PKey: p, IPoIB: true}
	object, err := unwrap(p, body)
	if err != nil || len(object) == 0 {
		return part, oddities{}, err
	}
	part.Name = text(object["partition"])
	part.IPoIB = truth(object["ip_over_ib"], true)
	raw, told := object["guids"]
	switch {
	case !told && p == pkey.Default:
		// It holds every port without naming one, and is nobody's to change: guids or
		// none, there are no members to miss.
		return part, oddities{}, nil
	case !told:
		// So UFM answers for a full partition when guids_data=true got lost on the way, and
		// an empty one is seen with "guids":[]. Nothing else in the answer counts members,
		// so that the two cannot be told apart: it is not taken for empty, in a list or alone.
		return part, oddities{}, errors.New("it has no guids; does a proxy drop ?guids_data=true?")
	}
	var guids []json.RawMessage
	if err := json.Unmarshal(raw, &guids); err != nil {
		return part, oddities{}, fmt.Errorf("its guids are no list: %w", err)
	}
	var odd oddities
	for _, raw := range guids {
		if m, ok := decodeMember(raw, &odd); ok {
			part.Members = append(part.Members, m)
		}
	}
	if len(guids) > 0 && odd.guids == len(guids) && !slices.ContainsFunc(guids, isNobody) {
		return part, oddities{}, fmt.Errorf("not one of its %d guids can be read", len(guids))
	}
	part.Members = uniqueMembers(part.Members)
	return part, odd, nil
}

// unwrap opens the object of one partition; some versions put it under its PKey once more.
// An object with nothing in it that a partition has is something else: an error that
// somebody sends with status 200, for one.
func unwrap(p pkey.PKey, body json.RawMessage) (fields, error) {
	var object fields
	if first(body) != '{' {
		return nil, errors.New("not a JSON object")
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, err
	}
	for name, inner := range object {
		if key, err := pkey.ParseUFM(name); err == nil && key == p && len(object) == 1 {
			object = nil
			if err := json.Unmarshal(inner, &object); err != nil {
				return nil, err
			}
		}
	}
	if other, err := pkey.ParseUFM(text(object["pkey"])); err == nil && other != p {
		return nil, fmt.Errorf("it is pkey %s, and %s was asked for", other, p)
	}
	for _, known := range []string{"guids", "partition", "ip_over_ib", "qos_conf", "pkey", "membership", "index0"} {
		if _, ok := object[known]; ok {
			return object, nil
		}
	}
	if len(object) > 0 {
		return nil, errors.New("a JSON object, but not a partition")
	}
	return nil, nil
}

// isNobody reports whether raw is readable and no port's GUID: all zeros or all ones. UFM
// takes such a member, and a partition that has no other is a sound one.
func isNobody(raw json.RawMessage) bool {
	s := strings.ToLower(text(openMember(raw)["guid"]))
	digits := strings.NewReplacer("0x", "", ":", "", "-", "").Replace(s)
	return len(digits) == 16 && (strings.Trim(digits, "0") == "" || strings.Trim(digits, "f") == "")
}

// openMember opens a member of a partition: a bare GUID, unless it is an object.
func openMember(raw json.RawMessage) fields {
	if first(raw) != '{' {
		return fields{"guid": raw}
	}
	var object fields
	if json.Unmarshal(raw, &object) != nil {
		return nil
	}
	return object
}

func decodeMember(raw json.RawMessage, odd *oddities) (pkey.Member, bool) {
	object := openMember(raw)
	g, err := guid.Parse(text(object["guid"]))
	if err != nil {
		odd.guids++
		return pkey.Member{}, false
	}
	m, err := pkey.ParseMembership(text(object["membership"]))
	if err != nil {
		odd.memberships++ // the GUID stays: that it is in there is what matters most
		m = pkey.Full
	}
	return pkey.Member{GUID: g, Mode: pkey.Mode{Membership: m, Index0: truth(object["index0"], false)}}, true
}

// uniqueMembers sorts by GUID; of several with one GUID the last stays.
func uniqueMembers(members []pkey.Member) []pkey.Member {
	last := make(map[guid.GUID]pkey.Member, len(members))
	for _, m := range members {
		last[m.GUID] = m
	}
	if len(last) == 0 {
		return nil
	}
	unique := make([]pkey.Member, 0, len(last))
	for _, g := range slices.Sorted(maps.Keys(last)) {
		unique = append(unique, last[g])
	}
	return unique
}

func (o *oddities) add(more oddities) {
	o.pkeys += more.pkeys
	o.guids += more.guids
	o.memberships += more.memberships
}

// first is the byte that says what kind of JSON raw is; 0 when there is none.
func first(raw []byte) byte {
	if raw = bytes.TrimLeft(raw, " \t\r\n"); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// text is a JSON string, "" for null and nothing, and the bare text of anything else.
func text(raw json.RawMessage) string {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	if s == nil {
		return ""
	}
	return *s
}

func truth(raw json.RawMessage, absent bool) bool {
	switch strings.ToLower(text(raw)) {
	case "":
		return absent
	case "true", "1", "yes":
		return true
	}
	return false
}
