package ufmsim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Quirks are the ways in which one UFM differs from another, or from what is known of
// them. The zero value is the behaviour seen most. Fields of type string take one of
// the values that QuirkHelp lists; "" is the first of them.
type Quirks struct {
	UnknownPKey404    bool   // GET of an unknown PKey: 404, not 200 {}
	KeepEmpty         bool   // a partition outlives its last GUID
	PostMissing404    bool   // POST makes no partition: 404
	HonourMemberships bool   // POST honours the plural "memberships"
	PutMissing404     bool   // PUT makes no partition: 404
	ListBoth          string // list with guids_data and qos_conf: guids, qos, full
	PlainList         string // list without a query: object, strings, list
	UnknownGUID       string // GUID of no configured port: accept, 404, 500
	Success201        bool   // writes answer 201
	AcceptExtraFields bool   // unknown JSON properties pass
	UTCLastUpdated    bool   // last_updated in UTC and C form
	Concurrent        string // two changes at a time: serial, fail, parallel
	DuplicateCreate   string // pkeys/add of what is there: 400, 409, accept
	CreateWipes       bool   // pkeys/add takes the whole UFM back to factory settings
	RemoveMissing404  bool   // removing what is not there: 404
	AnyAuthPrefix     bool   // every way to log in works under every prefix
	GUIDForm          string // GUIDs in answers: lower, upper, 0x
	PaddedPKeys       bool   // PKeys in answers as 0x00ab
	WrappedGet        bool   // GET of one partition answers {"0x5":{…}}
	VPorts            bool   // virtual ports are discovered
	LongURLs          bool   // request lines above 8,190 bytes pass
}

// quirk ties a field of Quirks to its name outside Go.
type quirk struct {
	name, help string
	flag       *bool
	choice     *string
	values     []string // of a choice; the first is the default
}

// table is the one list of quirks: flags, help and control endpoint come from it.
func (q *Quirks) table() []quirk {
	return []quirk{
		{name: "unknown-pkey-404", flag: &q.UnknownPKey404, help: "GET of an unknown PKey answers 404 instead of 200 {}"},
		{name: "keep-empty", flag: &q.KeepEmpty, help: "a partition outlives its last GUID instead of vanishing with it"},
		{name: "post-missing-404", flag: &q.PostMissing404, help: "POST to a missing partition answers 404 instead of making it"},
		{name: "honour-memberships", flag: &q.HonourMemberships, help: "POST honours \"memberships\" instead of making all full"},
		{name: "put-missing-404", flag: &q.PutMissing404, help: "PUT to a missing partition answers 404 instead of making it"},
		{name: "list-both", choice: &q.ListBoth, values: []string{"guids", "qos", "full"}, help: "what a list with guids_data and qos_conf shows"},
		{name: "plain-list", choice: &q.PlainList, values: []string{"object", "strings", "list"}, help: "shape of a list without a query"},
		{name: "unknown-guid", choice: &q.UnknownGUID, values: []string{"accept", "404", "500"}, help: "a GUID that is no configured port"},
		{name: "success-201", flag: &q.Success201, help: "writes answer 201 instead of 200"},
		{name: "accept-extra-fields", flag: &q.AcceptExtraFields, help: "unknown JSON properties pass instead of 400"},
		{name: "utc-last-updated", flag: &q.UTCLastUpdated, help: "last_updated as \"Thu Sep 13 11:42:39 UTC 2020\" instead of local \"13-09-2020, 11:42:39\""},
		{name: "concurrent", choice: &q.Concurrent, values: []string{"serial", "fail", "parallel"}, help: "a change that comes during another"},
		{name: "duplicate-create", choice: &q.DuplicateCreate, values: []string{"400", "409", "accept"}, help: "pkeys/add of a partition that is there"},
		{name: "create-wipes", flag: &q.CreateWipes, help: "pkeys/add takes the whole UFM back to factory settings"},
		{name: "remove-missing-404", flag: &q.RemoveMissing404, help: "removing a GUID from a missing partition answers 404 instead of 200"},
		{name: "any-auth-prefix", flag: &q.AnyAuthPrefix, help: "every way to log in works under every prefix"},
		{name: "guid-form", choice: &q.GUIDForm, values: []string{"lower", "upper", "0x"}, help: "how answers write GUIDs"},
		{name: "padded-pkeys", flag: &q.PaddedPKeys, help: "answers write PKeys as 0x00ab instead of 0xab"},
		{name: "wrapped-get", flag: &q.WrappedGet, help: "GET of one partition puts it under its PKey once more"},
		{name: "vports", flag: &q.VPorts, help: "resources/vports lists the members instead of nothing"},
		{name: "long-urls", flag: &q.LongURLs, help: "request lines above 8,190 bytes pass instead of 414"},
	}
}

// Set gives one quirk a value: "true", "false", or "" for true; one of its values
// where it has some.
func (q *Quirks) Set(name, value string) error {
	for _, entry := range q.table() {
		if entry.name == name {
			return entry.set(value)
		}
	}
	return fmt.Errorf("quirk %q: there is none of that name; known are %s", name, strings.Join(q.names(), ", "))
}

// set leaves the quirk as it was when the value is no good.
func (e quirk) set(value string) error {
	if e.choice != nil {
		if !slices.Contains(e.values, value) {
			return fmt.Errorf("quirk %s=%q: use one of %s", e.name, value, strings.Join(e.values, ", "))
		}
		*e.choice = value
		return nil
	}
	on := true
	if value != "" {
		var err error
		if on, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("quirk %s=%q: use true or false", e.name, value)
		}
	}
	*e.flag = on
	return nil
}

// Values are all quirks by name.
func (q Quirks) Values() map[string]string {
	values := map[string]string{}
	for _, e := range q.table() {
		switch {
		case e.flag != nil:
			values[e.name] = strconv.FormatBool(*e.flag)
		case *e.choice == "":
			values[e.name] = e.values[0]
		default:
			values[e.name] = *e.choice
		}
	}
	return values
}

// validate catches a misspelt choice, which would otherwise mean the default in silence.
func (q Quirks) validate() error {
	for _, e := range q.table() {
		if e.choice != nil && *e.choice != "" {
			if err := e.set(*e.choice); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *Quirks) names() []string {
	var names []string
	for _, e := range q.table() {
		names = append(names, e.name)
	}
	return names
}

// QuirkHelp is one line a quirk: name, values, meaning.
func QuirkHelp() string {
	var b strings.Builder
	for _, e := range new(Quirks).table() {
		name := e.name
		if e.choice != nil {
			name += "=" + strings.Join(e.values, "|")
		}
		fmt.Fprintf(&b, "  %-37s %s\n", name, e.help)
	}
	return b.String()
}
