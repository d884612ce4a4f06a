package multus

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fields reads one map of an unstructured object. What it reads it takes out, so that
// what remains is what nobody knows. A null is as good as no field.
type fields struct {
	at    *field.Path
	left  map[string]any
	asked []string
	found *findings
}

// findings is what comes up while an object is read.
type findings struct {
	errs     field.ErrorList
	warnings []string
	unknown  map[string]any
}

func (f *findings) warn(at *field.Path, format string, args ...any) {
	f.warnings = append(f.warnings, at.String()+": "+fmt.Sprintf(format, args...))
}

// take gives the value of a field under any of its names: the generations of Spiderpool
// differ. Two names with two values are refused.
func (f *fields) take(names ...string) (value any, at *field.Path) {
	at = f.at.Child(names[0])
	for _, name := range names {
		v := f.left[name]
		delete(f.left, name)
		f.asked = append(f.asked, name)
		switch {
		case v == nil:
		case value == nil:
			value, at = v, f.at.Child(name)
		case !reflect.DeepEqual(value, v):
			f.refuse(f.at.Child(name), v, "it is an older name of "+at.String()+", which says otherwise; leave one of them")
		}
	}
	return value, at
}

func (f *fields) refuse(at *field.Path, value any, mend string) {
	f.found.errs = append(f.found.errs, field.Invalid(at, shown(value), mend))
}

func (f *fields) text(names ...string) string {
	v, at := f.take(names...)
	s, ok := v.(string)
	if v != nil && !ok {
		f.refuse(at, v, "write a text, in quotes")
	}
	return s
}

// truth is nil when nothing is said.
func (f *fields) truth(names ...string) *bool {
	v, at := f.take(names...)
	b, ok := v.(bool)
	switch {
	case v == nil:
		return nil
	case !ok:
		f.refuse(at, v, "write true or false, without quotes")
		return nil
	}
	return &b
}

// number reads a whole number between lowest and highest, nil when nothing is said.
func (f *fields) number(name string, lowest, highest int64) *int64 {
	v, at := f.take(name)
	if v == nil {
		return nil
	}
	n, ok := whole(v)
	if !ok || n < lowest || n > highest {
		f.refuse(at, v, fmt.Sprintf("write a whole number from %d to %d", lowest, highest))
		return nil
	}
	return &n
}

// whole is v as a number, in the forms that decoders of JSON and YAML give.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case float64:
		// The bounds keep the conversion defined.
		return int64(n), n >= -1<<53 && n <= 1<<53 && n == float64(int64(n))
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	}
	return 0, false
}

// texts reads a list of texts that are not empty.
func (f *fields) texts(name string) []string {
	v, at := f.take(name)
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		f.refuse(at, v, `write a list, as in ["`+strings.ReplaceAll(shown(v), `"`, "")+`"]`)
		return nil
	}
	var all []string
	for i, item := range list {
		s, ok := item.(string)
		if !ok || s == "" {
			f.refuse(at.Index(i), item, "write a text, in quotes")
			return nil
		}
		all = append(all, s)
	}
	return all
}

// block opens a map; said reports whether it is there.
func (f *fields) block(name string) (b *fields, said bool) {
	v, at := f.take(name)
	m, ok := v.(map[string]any)
	if v != nil && !ok {
		f.refuse(at, v, "write fields and values under it")
	}
	return open(at, m, f.found), ok
}

func open(at *field.Path, m map[string]any, found *findings) *fields {
	left := maps.Clone(m)
	if left == nil {
		left = map[string]any{}
	}
	return &fields{at: at, left: left, found: found}
}

// done keeps what nobody asked for, and says so. A name that differs from a known one in
// its case alone cannot have been meant otherwise: to pass over it would drop a PKey.
func (f *fields) done() {
	for _, name := range slices.Sorted(maps.Keys(f.left)) {
		at, v := f.at.Child(clip(name)), f.left[name]
		if i := slices.IndexFunc(f.asked, func(known string) bool { return strings.EqualFold(known, name) }); i >= 0 {
			f.refuse(at, v, "write the field's name as "+f.asked[i])
			continue
		}
		f.found.unknown[f.at.Child(name).String()] = v
		f.found.warn(at, "this field is not known and has no effect")
	}
}

// shown is a value as a message can hold it.
func shown(v any) string {
	if s, ok := v.(string); ok {
		return clip(s)
	}
	return clip(fmt.Sprint(v))
}

// clip cuts a foreign text and takes out what could break or hide a line.
func clip(s string) string {
	const most = 60 // runes
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			return b.String() + "…"
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
