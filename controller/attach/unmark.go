package attach

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Unmark returns the networks annotation text without the word that lets the CNI go on
// in some of its elements, by their Index. All else of them stays as it was written, a
// GUID too: to ask for one is anybody's right.
//
// It takes elements that are in error as well: the CNI goes by their word all the same.
func Unmark(podNamespace, text string, elements []int) (string, error) {
	if len(elements) == 0 {
		return text, nil
	}
	entries, err := split(podNamespace, text)
	if err != nil {
		return "", err
	}
	for _, i := range elements {
		if i < 0 || i >= len(entries) {
			return "", fmt.Errorf("take back a word of the networks annotation: there is no element %d among %d", i+1, len(entries))
		}
		entries[i].raw = unmarked(entries[i].raw)
	}
	return join(entries)
}

// unmarked looks into every cni-args there is: encoding/json makes one map of all.
func unmarked(raw json.RawMessage) json.RawMessage {
	o, ok := parseObject(raw)
	if !ok {
		return raw
	}
	for i := range o {
		if args, ok := parseObject(o[i].value); ok && strings.EqualFold(o[i].key, cniArgs) {
			o[i].value = args.without(argState).bytes()
		}
	}
	return o.bytes()
}
