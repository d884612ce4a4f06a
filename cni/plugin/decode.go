package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Decode reads a configuration into a struct, each of whose fields has its name in a tag.
func Decode(text []byte, into any) error {
	err := json.Unmarshal(exact(text, into), into)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return Invalid(mismatch.Field, "is a JSON %s, want a %s", mismatch.Value, mismatch.Type.Kind())
	}
	return &Error{Code: types.ErrDecodingFailure, Err: fmt.Errorf("reading the configuration: %w", err)}
}

// exact leaves out keys that are a field's name in other letters. Package json takes them for
// it, and the last of several: with "deviceId" a network would get past the deviceID that
// Multus fills in, to a device which is not the pod's.
func exact(text []byte, into any) []byte {
	var keys map[string]json.RawMessage
	if json.Unmarshal(text, &keys) != nil {
		return text // the caller says what is wrong with it
	}
	fields, dropped := reflect.TypeOf(into).Elem(), false
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		for key := range keys {
			if key != name && strings.EqualFold(key, name) {
				delete(keys, key)
				dropped = true
			}
		}
	}
	if !dropped {
		return text
	}
	less, err := json.Marshal(keys)
	if err != nil {
		return text
	}
	return less
}
