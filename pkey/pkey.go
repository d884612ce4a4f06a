// Package pkey holds what a partition of an InfiniBand fabric is: the PKey that names
// it, membership of it, the Partition as UFM knows it, and Diff, which says what must
// change for a partition to be as the cluster wants it.
package pkey

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// PKey is the 15-bit key of a partition (InfiniBand Architecture Specification vol. 1,
// 10.9). The 16th bit of the key that a port's table shows is membership, not part of
// the key: see TableEntry. The zero value means "none".
type PKey uint16

const (
	// Min and Max bound the PKeys that can be given to a tenant.
	Min PKey = 0x1
	Max PKey = 0x7ffe
	// Default is the management partition, which every port belongs to.
	Default PKey = 0x7fff

	membershipBit = 0x8000
)

// ParseError says why a text is no PKey that a network may name, and what to write.
type ParseError struct{ Text, Why string }

func (e *ParseError) Error() string { return fmt.Sprintf("pkey %s: %s", clip(e.Text), e.Why) }

func clip(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.Quote(s)
}

// Parse reads a PKey that a person wrote: 0x and hex digits, zeros before them allowed,
// from 0x1 to 0x7ffe. Whatever else could be meant is refused with a guess of what was.
func Parse(s string) (PKey, error) {
	v, err := parseHex(s)
	if err != nil {
		return 0, err
	}
	p, err := fromInt(v)
	if err != nil {
		return 0, &ParseError{Text: s, Why: err.Error()}
	}
	return p, nil
}

// ParseJSON reads the value of a "pkey" field: a string as Parse takes it, or a number,
// which counts by its value. An absent field, null and "" are none (zero).
func ParseJSON(raw json.RawMessage) (PKey, error) {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" || text == `""` {
		return 0, nil
	}
	if text[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return 0, &ParseError{Text: text, Why: "not a JSON string"}
		}
		return Parse(s)
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &ParseError{Text: text, Why: `write it as a string of hex, as in "0x1000"`}
	}
	p, err := fromInt(v)
	if err != nil {
		return 0, &ParseError{Text: text, Why: err.Error()}
	}
	return p, nil
}

// ParseUFM reads a PKey as UFM and OpenSM print it: hex with any padding and either
// case, the management partition among them. It is for answers, not for input.
func ParseUFM(s string) (PKey, error) {
	v, err := parseHex(s)
	if err != nil {
		return 0, err
	}
	if v > uint64(Default) {
		return 0, &ParseError{Text: s, Why: "a PKey has 15 bits"}
	}
	return PKey(v), nil
}

func parseHex(s string) (uint64, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "0x")
	if !ok {
		return 0, &ParseError{Text: s, Why: whyNotHex(s)}
	}
	if len(digits) == 0 || strings.HasPrefix(digits, "+") || strings.HasPrefix(digits, "-") {
		return 0, &ParseError{Text: s, Why: "no hex digits behind 0x; write it as 0x1000"}
	}
	v, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, &ParseError{Text: s, Why: "not hex; write it as 0x1000"}
	}
	return v, nil
}

// whyNotHex guesses what somebody meant who left out the 0x.
func whyNotHex(s string) string {
	const write = "write it in hex, as in 0x1000"
	asHex, hexErr := strconv.ParseUint(s, 16, 16)
	asDecimal, decErr := strconv.ParseUint(s, 10, 16)
	ok := func(v uint64) bool { return PKey(v) >= Min && PKey(v) <= Max }
	switch {
	case decErr == nil && ok(asDecimal) && hexErr == nil && ok(asHex) && asHex != asDecimal:
		return fmt.Sprintf("a PKey is written in hex: did you mean %#x (that is decimal %d) or %#x?", asDecimal, asDecimal, asHex)
	case hexErr == nil && ok(asHex):
		return fmt.Sprintf("a PKey is written in hex with 0x before it: did you mean %#x?", asHex)
	case decErr == nil && ok(asDecimal):
		return fmt.Sprintf("a PKey is written in hex: did you mean %#x (that is decimal %d)?", asDecimal, asDecimal)
	default:
		return write
	}
}

func fromInt(v uint64) (PKey, error) {
	switch {
	case v == 0:
		return 0, fmt.Errorf("0 is no partition; use 0x1 to 0x7ffe")
	case v == uint64(Default), v == 0xffff:
		return 0, fmt.Errorf("0x7fff is the management partition, which every port is in; use 0x1 to 0x7ffe")
	case v > 0xffff:
		return 0, fmt.Errorf("a PKey has 15 bits; use 0x1 to 0x7ffe")
	case v&membershipBit != 0 && v&^membershipBit == 0:
		return 0, fmt.Errorf("0 is no partition; use 0x1 to 0x7ffe")
	case v&membershipBit != 0:
		return 0, fmt.Errorf("the top bit says full membership and is not part of the key; write %#x and say the membership apart (full unless told)", v&^membershipBit)
	}
	return PKey(v), nil
}

// IsValid reports whether p can be given to a tenant.
func (p PKey) IsValid() bool { return Min <= p && p <= Max }

// String is the form that UFM answers with: 0x2fb.
func (p PKey) String() string { return "0x" + strconv.FormatUint(uint64(p), 16) }

// TableEntry is p as a port's PKey table shows it to members of kind m
// (/sys/class/infiniband/<dev>/ports/1/pkeys/<i>): the top bit is set for a full one.
func (p PKey) TableEntry(m Membership) uint16 {
	if m == Full {
		return uint16(p) | membershipBit
	}
	return uint16(p)
}

// MarshalText writes the form of String; none is the empty text.
func (p PKey) MarshalText() ([]byte, error) {
	if p == 0 {
		return nil, nil
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads the form of ParseUFM; the empty text is none.
func (p *PKey) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = 0
		return nil
	}
	v, err := ParseUFM(string(text))
	if err != nil {
		return err
	}
	*p = v
	return nil
}
