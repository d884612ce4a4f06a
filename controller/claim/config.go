package claim

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// errNoPlugin says that a config has no place for a PKey.
var errNoPlugin = errors.New("it has no " + attach.CNIType + " plugin, and so no place for a pkey; name an InfiniBand network")

// setPKey is a NAD's config with p as the PKey of its ib-sriov plugin. All other bytes stay
// as they are: two readers of a text that is written anew may see two things.
//
// It takes the first of what could be meant, and leaves it to attach.ParseNetwork to refuse
// a config that can be read in two ways.
func setPKey(config string, p pkey.PKey) (string, error) {
	if !json.Valid([]byte(config)) {
		return "", errNoPlugin
	}
	for _, plugin := range plugins(config) {
		members := members(config, plugin)
		kind, ok := find(members, "type")
		if !ok || decoded(config, kind) != attach.CNIType {
			continue
		}
		value := `"` + p.String() + `"`
		if at, ok := find(members, "pkey"); ok {
			return config[:at.from] + value + config[at.to:], nil
		}
		return config[:kind.to] + `,"pkey":` + value + config[kind.to:], nil
	}
	return "", errNoPlugin
}

// span is a part of a text, in bytes.
type span struct{ from, to int }

// member is one of an object, with the place of its value.
type member struct {
	key string
	span
}

// plugins are the places of what may be a plugin: the config itself, and those of its chain.
func plugins(config string) []span {
	all := []span{{0, len(config)}}
	if chain, ok := find(members(config, all[0]), "plugins"); ok {
		all = append(all, elements(config, chain)...)
	}
	return all
}

// members are those of the object at a place of valid JSON; none of anything else.
func members(text string, at span) (list []member) {
	dec := json.NewDecoder(strings.NewReader(text[at.from:at.to]))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil
		}
		value, ok := next(dec, at.from)
		if !ok {
			return nil
		}
		list = append(list, member{key.(string), value})
	}
	return list
}

// elements are those of the list at a place of valid JSON; none of anything else.
func elements(text string, at span) (list []span) {
	dec := json.NewDecoder(strings.NewReader(text[at.from:at.to]))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return nil
	}
	for dec.More() {
		value, ok := next(dec, at.from)
		if !ok {
			return nil
		}
		list = append(list, value)
	}
	return list
}

// next is the place of the decoder's next value, whose text begins at base.
func next(dec *json.Decoder, base int) (span, bool) {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return span{}, false
	}
	to := base + int(dec.InputOffset())
	return span{to - len(raw), to}, true
}

// find is the value that encoding/json would put into a field of that name.
func find(list []member, key string) (span, bool) {
	for _, m := range list {
		if strings.EqualFold(m.key, key) {
			return m.span, true
		}
	}
	return span{}, false
}

// decoded is the string at a place; "" where there is none.
func decoded(text string, at span) (s string) {
	_ = json.Unmarshal([]byte(text[at.from:at.to]), &s) // then s stays ""
	return s
}
