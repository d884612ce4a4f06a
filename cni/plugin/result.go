package plugin

import (
	"encoding/json"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// Previous is the answer of ADD, or of the plugin before this one in a chain.
func Previous(config []byte) (*types100.Result, error) {
	var conf types.PluginConf
	if err := json.Unmarshal(config, &conf); err != nil {
		return nil, &Error{Code: types.ErrDecodingFailure, Err: fmt.Errorf("reading the configuration: %w", err)}
	}
	if conf.RawPrevResult == nil {
		return nil, Invalid("prevResult", "is missing; the runtime gives the answer of ADD here")
	}
	if err := version.ParsePrevResult(&conf); err != nil {
		return nil, Invalid("prevResult", "%w", err)
	}
	result, err := current(conf.PrevResult)
	if err != nil {
		return nil, Invalid("prevResult", "%w", err)
	}
	return result, nil
}

// current is an answer in the newest form, with something in each entry of its lists. An
// entry that is null would be a nil pointer, which the conversion itself does not expect.
func current(answer types.Result) (*types100.Result, error) {
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for name, field := range fields {
		var list []json.RawMessage
		_ = json.Unmarshal(field, &list) // what is no list has no entries
		for i, entry := range list {
			if string(entry) == "null" {
				return nil, fmt.Errorf("entry %d of %s is null", i, name)
			}
		}
	}
	return types100.NewResultFromResult(answer)
}
