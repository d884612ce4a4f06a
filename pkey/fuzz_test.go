package pkey

import (
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var hexKey = regexp.MustCompile(`^0[xX][0-9a-fA-F]+$`)

// byValue reads hex the slow way; 0 is what no PKey has.
func byValue(s string, last PKey) PKey {
	if !hexKey.MatchString(s) {
		return 0
	}
	v, _ := new(big.Int).SetString(s[2:], 16)
	if !v.IsUint64() || v.Uint64() > uint64(last) {
		return 0
	}
	return PKey(v.Uint64())
}

// wantFit wants an error that fits into a message: short, one line, nothing hidden.
func wantFit(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if len(text) > 400 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("unfit message of %d bytes: %.500q", len(text), text)
	}
}

func seedKeys() []string {
	return []string{
		"", "0x1000", "1000", "0x8001", "0X7ffe", "0x7fff", "0xffff", "0x8000", "0x0", "0x", "x0x5", "0x-1", "0x+1", "0x1_0", "0x00000005",
		"0x10000000000000005", " 0x5", "5", "٥", "0x٥", "0\u212a5", strings.Repeat("9", 1000), "0x" + strings.Repeat("0", 1000) + "5",
	}
}

func FuzzParseTakesTenantKeysInHexAndNothingElse(f *testing.F) {
	for _, s := range seedKeys() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := byValue(s, Max)
		got, err := Parse(s)
		if got != want || (err == nil) != (want != 0) {
			t.Fatalf("Parse(%q) = %s, %v; by value it is %s", s, got, err, want)
		}
		if err == nil {
			if back, err := Parse(got.String()); err != nil || back != got {
				t.Fatalf("%s came back as %s, %v", got, back, err)
			}
			return
		}
		wantFit(t, err)
		var pe *ParseError
		if mend := regexp.MustCompile(`write|use|did you mean`); !errors.As(err, &pe) || !mend.MatchString(err.Error()) {
			t.Fatalf("Parse(%q) names no mend: %v", s, err)
		}
	})
}

// What is guessed of a mistake must be right: whoever follows it must not be refused again.
func FuzzTheGuessOfAMistakeIsAKey(f *testing.F) {
	for _, s := range seedKeys() {
		f.Add(s)
	}
	guess := regexp.MustCompile(`did you mean (\S+?)[ ?](?:.* or (\S+)\?)?`)
	f.Fuzz(func(t *testing.T, s string) {
		_, err := Parse(s)
		if err == nil {
			return
		}
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Fatalf("%T: %v", err, err)
		}
		for _, g := range guess.FindStringSubmatch(pe.Why) {
			if strings.HasPrefix(g, "0x") {
				if _, err := Parse(g); err != nil {
					t.Fatalf("Parse(%q) guesses %q, which is refused: %v", s, g, err)
				}
			}
		}
	})
}

func FuzzParseJSONCountsANumberByItsValue(f *testing.F) {
	for _, s := range []string{
		``, `null`, `""`, `"0x1000"`, `1000`, `"1000"`, ` 4096 `, `"\u0030x5"`, `1.5`, `1e3`, `-1`, `-0`, `70000`, `0`, `32767`, `32769`, `05`,
		`true`, `{}`, `[]`, `["0x5"]`, `{"pkey":"0x5"}`, `99999999999999999999`, `"`, `"0x5" `, "\"\xff\"", `"0x5\u0000"`, `" "`,
	} {
		f.Add(s)
	}
	whole := regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	f.Fuzz(func(t *testing.T, raw string) {
		if raw != "" && !json.Valid([]byte(raw)) {
			return // it always comes out of valid JSON
		}
		got, err := ParseJSON(json.RawMessage(raw))
		if err != nil {
			wantFit(t, err)
		}
		var v any
		dec := json.NewDecoder(strings.NewReader(raw))
		dec.UseNumber()
		_ = dec.Decode(&v)
		want, none := PKey(0), v == nil
		switch v := v.(type) {
		case string:
			want, none = byValue(v, Max), v == ""
		case json.Number:
			if n, ok := new(big.Int).SetString(v.String(), 10); whole.MatchString(v.String()) && ok && n.IsUint64() && n.Uint64() <= uint64(Max) {
				want = PKey(n.Uint64())
			}
		}
		if got != want || (err == nil) != (none || want != 0) {
			t.Fatalf("ParseJSON(%s) = %s, %v; it means %s", raw, got, err, want)
		}
	})
}

func FuzzParseUFMTakesWhatUFMPrints(f *testing.F) {
	for _, s := range seedKeys() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseUFM(s)
		if want := byValue(s, Default); p != want || err != nil && want != 0 {
			t.Fatalf("ParseUFM(%q) = %s, %v; by value it is %s", s, p, err, want)
		}
		if err != nil {
			wantFit(t, err)
		}
		key := PKey(7)
		text, marshalErr := p.MarshalText()
		if unmarshalErr := key.UnmarshalText([]byte(s)); s != "" && (unmarshalErr == nil) != (err == nil) || err != nil && s != "" && key != 7 {
			t.Fatalf("UnmarshalText(%q) gives %s, %v", s, key, unmarshalErr)
		}
		if backErr := key.UnmarshalText(text); marshalErr != nil || backErr != nil || key != p {
			t.Fatalf("%q came back as %s, %v", text, key, backErr)
		}
	})
}

func FuzzParseMembership(f *testing.F) {
	for _, s := range []string{"", "full", "limited", "LIMITED", "both", " full", "full\n", "fu\u017fll", strings.Repeat("limited", 1000), "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMembership(s)
		if want := regexp.MustCompile(`^(?i:|full|limited)$`).MatchString(s); want != (err == nil) {
			t.Fatalf("ParseMembership(%q) = %s, %v", s, m, err)
		}
		kept := Limited
		unmarshalErr := kept.UnmarshalText([]byte(s))
		if err != nil {
			wantFit(t, err)
			if !strings.Contains(err.Error(), "write full or limited") || unmarshalErr == nil || kept != Limited {
				t.Fatalf("%.60q: %v, and %s in the place of limited", s, err, kept)
			}
			return
		}
		if back, err := ParseMembership(m.String()); err != nil || back != m || kept != m || (m == Limited) != strings.EqualFold(s, "limited") {
			t.Fatalf("%q is %s, which came back as %s, %v", s, m, back, err)
		}
	})
}

func FuzzScopeHoldsWhatItsTextSays(f *testing.F) {
	for _, s := range []string{
		"", " ", ",", " , ", "0x100-0x1ff,0x300", "0x5", "0x5,", "0x5-0x1", "0x1-", "-0x1", "0x1-0x2-0x3", "0x7fff", "1-5", "0x1-0x7ffe",
		"0x1 - 0x5", "0x5,0x5", "\n0x5", "0x" + strings.Repeat("0", 1000) + "5-0x1", strings.Repeat("0x5,", 100),
	} {
		f.Add(s, uint16(5))
	}
	f.Fuzz(func(t *testing.T, s string, probe uint16) {
		scope, err := ParseScope(s)
		if err != nil {
			wantFit(t, err)
			if scope != nil {
				t.Fatalf("%q: %s beside %v", s, scope, err)
			}
			return
		}
		if len(scope) == 0 && strings.TrimSpace(s) != "" {
			t.Fatalf("%q names nothing and was taken for everything", s)
		}
		for _, r := range scope {
			if !r.First.IsValid() || !r.Last.IsValid() || r.First > r.Last {
				t.Fatalf("%q holds %s-%s", s, r.First, r.Last)
			}
		}
		p := PKey(probe)
		back, err := ParseScope(scope.String())
		if err != nil || back.Contains(p) != scope.Contains(p) || back.String() != scope.String() {
			t.Fatalf("%q is %s, which came back as %s, %v", s, scope, back, err)
		}
		if scope.Contains(p) && !p.IsValid() {
			t.Fatalf("%q holds %s", s, p)
		}
	})
}
