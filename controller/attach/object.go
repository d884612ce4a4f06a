package attach

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// object is a JSON object with its members in order and as they were written. It is
// there because encoding/json alone hides what matters here: {"pkey":"0x1","PKEY":"0x2"}
// fills one field of a struct and two keys of a map, so two readers of one text can
// each see another PKey.
type object []member

type member struct {
	key   string // decoded, as encoding/json compares it
	name  []byte // as written, quotes and escapes included
	value json.RawMessage
}

// parseJSON takes one JSON value, the whole of text.
func parseJSON(s site, text string) (json.RawMessage, error) {
	var raw json.RawMessage
	err := json.Unmarshal([]byte(text), &raw)
	if err == nil {
		return raw, nil
	}
	what := "not JSON: " + err.Error()
	if bad := (*json.SyntaxError)(nil); errors.As(err, &bad) {
		what = fmt.Sprintf("not JSON at byte %d: %v", bad.Offset, bad)
	}
	return nil, s.problem(what, "mend the text near "+quote(near(text, err)))
}

// near is the start of the part of text that err is about.
func near(text string, err error) string {
	bad := (*json.SyntaxError)(nil)
	if !errors.As(err, &bad) {
		return text
	}
	// Offset counts the bytes read, the offending one included.
	from := min(max(int(bad.Offset)-20, 0), len(text))
	return text[from:min(from+40, len(text))]
}

// parseObject splits a valid JSON value into its members. It reports false when the
// value is none.
func parseObject(raw json.RawMessage) (object, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	o := object{}
	for dec.More() {
		before := dec.InputOffset()
		key, err := dec.Token()
		if err != nil {
			return nil, false
		}
		name := bytes.TrimLeft(raw[before:dec.InputOffset()], " \t\r\n,")
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, false
		}
		text, _ := key.(string)
		o = append(o, member{text, name, value})
	}
	return o, true
}

// get returns the value that encoding/json would put into a field named key; nil when
// there is none or it is null, which encoding/json takes for none.
func (o object) get(key string) json.RawMessage {
	for _, m := range o {
		if strings.EqualFold(m.key, key) && string(m.value) != "null" {
			return m.value
		}
	}
	return nil
}

// text reads a string; none and null are "".
func (o object) text(s site, key string) (string, error) {
	raw := o.get(key)
	if raw == nil {
		return "", nil
	}
	var v string
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", s.problem(fmt.Sprintf("%q is %s, not a string", key, clip(string(raw))), "put it in quotes")
	}
	return v, nil
}

// once refuses an object in which one of keys stands twice, in any spelling that
// encoding/json takes for the same.
func (o object) once(s site, keys ...string) error {
	for _, key := range keys {
		var seen []string
		for _, m := range o {
			if strings.EqualFold(m.key, key) {
				seen = append(seen, m.key)
			}
		}
		if len(seen) > 1 {
			return s.problem(fmt.Sprintf("%q stands there %d times", key, len(seen)), "leave one of them")
		}
	}
	return nil
}

// exactly is once for an object that its readers take for a map: there, a key in
// another case is seen by nobody, which its author cannot have meant.
func (o object) exactly(s site, keys ...string) error {
	if err := o.once(s, keys...); err != nil {
		return err
	}
	for _, key := range keys {
		for _, m := range o {
			if m.key != key && strings.EqualFold(m.key, key) {
				return s.problem(fmt.Sprintf("nobody reads the key %s", quote(m.key)), fmt.Sprintf("write it as %q", key))
			}
		}
	}
	return nil
}

// set puts value under key, in the place of what stood there, else at the end.
func (o object) set(key string, value json.RawMessage) object {
	m := member{key, marshal(key), value}
	for i := range o {
		if strings.EqualFold(o[i].key, key) {
			o[i] = m
			return o
		}
	}
	return append(o, m)
}

// without drops key in any spelling.
func (o object) without(key string) object {
	kept := o[:0]
	for _, m := range o {
		if !strings.EqualFold(m.key, key) {
			kept = append(kept, m)
		}
	}
	return kept
}

// bytes writes the members as they were, with nothing between them.
func (o object) bytes() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(m.name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// marshal writes a string; that cannot fail.
func marshal(s string) json.RawMessage {
	b, _ := json.Marshal(s)
	return b
}
