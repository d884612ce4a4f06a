package admission

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// givenFields are the places in a CNI config where the plugin takes what a controller or
// Multus puts there for one pod. Written into the network itself they would hold for every
// pod on it, without grant and without a row in the ledger.
func givenFields() [][]string {
	return [][]string{
		{"guid"},
		{"runtimeConfig", "infinibandGUID"},
		{"args", "cni", "guid"},
		{"args", "cni", "mellanox.infiniband.app"},
		{"args", "cni", "pkey"},
		{"args", "cni", "ibfabric.io/pkeys"},
	}
}

// checkGiven refuses a network whose config sets such a place.
func checkGiven(name types.NamespacedName, config string) error {
	if field := givenField(config); field != "" {
		return fmt.Errorf("network %s: its config sets %s, which is each pod's own; remove it, and pin a GUID in the pod's networks annotation", name, field)
	}
	return nil
}

// givenField is the first such place that a config sets, "" for none. It goes through the
// text key by key: of keys that stand there twice a decoder would show the last alone, and
// the plugin reads them all into one struct. The config is JSON, as was seen before.
func givenField(config string) string {
	w := walker{dec: json.NewDecoder(strings.NewReader(config))}
	w.value(nil)
	return w.found
}

type walker struct {
	dec   *json.Decoder
	found string
}

// value reads one value at a path of keys. Places in a list do not count.
func (w *walker) value(path []string) {
	token, err := w.dec.Token()
	if err != nil {
		return
	}
	switch token {
	case json.Delim('{'):
		for w.dec.More() {
			key, _ := w.dec.Token()
			name, ok := key.(string)
			if !ok {
				return
			}
			w.member(append(path[:len(path):len(path)], name))
		}
	case json.Delim('['):
		for w.dec.More() {
			w.value(path)
		}
	default:
		if token != nil && token != "" {
			w.note(path)
		}
		return
	}
	_, _ = w.dec.Token() // the closing one
}

// deepest is the longest path that can be one of ours, "plugins" in front.
const deepest = 4

// member reads the value of a key, or skips it where nothing of ours can be: a text may be
// nested ten thousand times.
func (w *walker) member(path []string) {
	if len(path) > deepest {
		var skipped json.RawMessage
		_ = w.dec.Decode(&skipped)
		return
	}
	w.value(path)
}

// note compares a path as encoding/json does, which folds the case of keys.
func (w *walker) note(path []string) {
	if len(path) > 0 && strings.EqualFold(path[0], "plugins") {
		path = path[1:]
	}
	for _, field := range givenFields() {
		if w.found == "" && len(path) == len(field) && strings.EqualFold(strings.Join(path, "\x00"), strings.Join(field, "\x00")) {
			w.found = strings.Join(field, ".")
		}
	}
}
