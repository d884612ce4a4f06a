package controller

import (
	"maps"
	"slices"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Showing is how UFM's word of a partition stands.
type Showing struct {
	Known  bool   // it can be relied upon now
	Unread bool   // the last full read could not tell its members
	From   string // who showed it
	Count  int    // of members
}

// Showing is how UFM's word of a partition stands.
func (c *Controller) Showing(p pkey.PKey) Showing { return c.view.showing(p) }

// Shown is a GUID in a partition as UFM is known to show it.
type Shown struct {
	pkey.Mode
	In    bool
	Waits bool // UFM took it, and it is not applied on the fabric yet
}

// Shown is how UFM is known to show GUIDs in a partition, in their order.
func (c *Controller) Shown(p pkey.PKey, guids []guid.GUID) []Shown { return c.view.some(p, guids) }

// ShownIn are the GUIDs that UFM is known to show in a partition, in no order.
func (c *Controller) ShownIn(p pkey.PKey) []guid.GUID { return c.view.keys(p) }

// StandsIn are the partitions that UFM is known to show a GUID in, in order.
func (c *Controller) StandsIn(g guid.GUID) []pkey.PKey { return c.view.of(g) }

// Who only looks must not make partitions in the view: what is in it is judged and swept.

func (v *view) showing(p pkey.PKey) Showing {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.parts[p]
	if s == nil {
		return Showing{Known: v.base != "" && v.base == v.current || v.blind, From: v.base}
	}
	return Showing{Known: v.counts(s) && (s.fresh || v.blind), Unread: s.unread, From: s.from, Count: len(s.members)}
}

func (v *view) some(p pkey.PKey, guids []guid.GUID) []Shown {
	out := make([]Shown, len(guids))
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.parts[p]
	if s == nil {
		return out
	}
	for i, g := range guids {
		out[i].Mode, out[i].In = s.members[g]
		_, out[i].Waits = s.unapplied[g]
	}
	return out
}

func (v *view) keys(p pkey.PKey) []guid.GUID {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.parts[p]
	if s == nil {
		return nil
	}
	return slices.AppendSeq(make([]guid.GUID, 0, len(s.members)), maps.Keys(s.members))
}

func (v *view) of(g guid.GUID) (in []pkey.PKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p, s := range v.parts {
		if _, ok := s.members[g]; ok {
			in = append(in, p)
		}
	}
	slices.Sort(in)
	return in
}

// answering is the address that answered last.
func (v *view) answering() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

func unreadOf(parts []pkey.Partition) (list []pkey.PKey) {
	for _, part := range parts {
		if part.Err != nil {
			list = append(list, part.PKey)
		}
	}
	return list
}
