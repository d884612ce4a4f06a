package attach

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ibfabric/ibfabric/guid"
)

// Write is what one element of the networks annotation is given.
type Write struct {
	Index  int // of the element
	GUID   guid.GUID
	Field  GUIDField
	Claims []Claim // by PKey; none: GUID only
}

// Edit returns the networks annotation text with writes in it: the GUID in its one
// field, the partitions, and the word that lets the CNI go on.
//
// The other elements stay byte for byte, and so do the other fields of those written.
// What we wrote before, and a GUID in the field where it does not belong, is replaced;
// doing it twice changes nothing more. The result is a JSON list, of a comma list too,
// unless there is nothing to write.
func Edit(podNamespace, text string, writes []Write) (string, error) {
	if len(writes) == 0 {
		return text, nil
	}
	entries, err := split(podNamespace, text)
	if err != nil {
		return "", err
	}
	written := make(map[int]bool, len(writes))
	for _, w := range writes {
		if err := w.check(len(entries), written); err != nil {
			return "", fmt.Errorf("write to the networks annotation: %w", err)
		}
		written[w.Index] = true
		entry := &entries[w.Index]
		if entry.raw, err = w.apply(podNamespace, *entry); err != nil {
			return "", err
		}
	}
	return join(entries)
}

// check refuses a write that no reading of the annotation can have led to.
func (w Write) check(elements int, written map[int]bool) error {
	switch {
	case w.Index < 0 || w.Index >= elements:
		return fmt.Errorf("there is no element %d among %d", w.Index+1, elements)
	case written[w.Index]:
		return fmt.Errorf("element %d is written twice", w.Index+1)
	case !w.GUID.IsValid():
		return fmt.Errorf("element %d is given no GUID", w.Index+1)
	}
	for _, c := range w.Claims {
		if !c.PKey.IsValid() {
			return fmt.Errorf("element %d: partition %s has no PKey yet", w.Index+1, quote(c.Partition))
		}
	}
	if err := CheckClaims(w.Claims); err != nil {
		return fmt.Errorf("element %d: %w", w.Index+1, err)
	}
	return nil
}

// apply writes into one element. A bad value in a field of ours is no hindrance: it is
// what gets replaced.
func (w Write) apply(podNamespace string, from entry) (json.RawMessage, error) {
	if from.err != nil {
		return nil, from.err
	}
	o, args, err := new(Element).readObject(elementSite(w.Index), podNamespace, from)
	if err != nil {
		return nil, err
	}
	id := marshal(w.GUID.String())
	if w.Field == InTopLevel {
		o, args = o.set(topLevelGUID, id), args.without(argGUID)
	} else {
		o, args = o.without(topLevelGUID), args.set(argGUID, id)
	}
	return o.set(cniArgs, w.record(args).bytes()).bytes(), nil
}

// record writes the partitions and the state. The order of new keys is that of
// ib-kubernetes, whose result for a plain network is the same to the byte.
func (w Write) record(args object) object {
	primary := ""
	if len(w.Claims) > 0 {
		primary = w.Claims[0].PKey.String()
	}
	args = args.set(argState, marshal(configured)).set(argPKey, marshal(primary))
	if len(w.Claims) == 0 || len(w.Claims) == 1 && w.Claims[0].plain() {
		return args.without(argPKeys)
	}
	return args.set(argPKeys, marshal(FormatClaims(w.Claims)))
}

func join(entries []entry) (string, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, entry := range entries {
		if entry.err != nil {
			// A part of a comma list that is no element has no JSON form either.
			return "", entry.err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(entry.raw)
	}
	b.WriteByte(']')
	return b.String(), nil
}
