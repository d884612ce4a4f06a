package pkey

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseTakesHexOnly(t *testing.T) {
	for s, want := range map[string]PKey{"0x1": 1, "0x1000": 0x1000, "0X7ffe": 0x7ffe, "0x00aB": 0xab, "0x7FFE": 0x7ffe} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %s, %v; want %s", s, got, err, want)
		}
	}
}

func TestParseRefusesAndSaysWhatToWrite(t *testing.T) {
	for s, mend := range map[string]string{
		"1000":        "did you mean 0x3e8 (that is decimal 1000) or 0x1000?",
		"7":           "did you mean 0x7?",
		"abc":         "did you mean 0xabc?",
		"32766":       "did you mean 0x7ffe (that is decimal 32766)?",
		"":            "write it in hex",
		"x0x5":        "write it in hex",
		" 0x1":        "write it in hex",
		"10x5":        "write it in hex",
		"0x":          "no hex digits",
		"0x-1":        "no hex digits",
		"0x1g":        "not hex",
		"0x1_0":       "not hex",
		"0x0":         "use 0x1 to 0x7ffe",
		"0x8000":      "use 0x1 to 0x7ffe",
		"0x7fff":      "management partition",
		"0xffff":      "management partition",
		"0x8001":      "write 0x1 and say the membership apart",
		"0x10000":     "15 bits",
		"0xfffffffff": "15 bits",
	} {
		_, err := Parse(s)
		var pe *ParseError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), mend) {
			t.Errorf("Parse(%q): %v; want it to say %q", s, err, mend)
		}
	}
}

func TestParseJSONTakesANumberByItsValue(t *testing.T) {
	for raw, want := range map[string]PKey{
		`"0x1000"`: 0x1000, `1000`: 1000, ` 4096 `: 0x1000, `"\u0030x5"`: 5,
		``: 0, `null`: 0, `""`: 0,
	} {
		if got, err := ParseJSON(json.RawMessage(raw)); err != nil || got != want {
			t.Errorf("ParseJSON(%s) = %s, %v; want %s", raw, got, err, want)
		}
	}
	for _, raw := range []string{`1.5`, `1e3`, `-1`, `true`, `{}`, `[1]`, `"1000"`, `0`, `32767`, `32769`, `99999999999999999999`, `"`} {
		if got, err := ParseJSON(json.RawMessage(raw)); err == nil {
			t.Errorf("ParseJSON(%s) = %s, want an error", raw, got)
		}
	}
}

func TestUFMFormsAreTheSameKey(t *testing.T) {
	for _, s := range []string{"0xab", "0x00AB", "0X00ab"} {
		if got, err := ParseUFM(s); err != nil || got != 0xab {
			t.Errorf("ParseUFM(%q) = %s, %v", s, got, err)
		}
	}
	if got, err := ParseUFM("0x7fff"); err != nil || got != Default {
		t.Errorf("the management partition reads as %s, %v", got, err)
	}
	if _, err := ParseUFM("0x8001"); err == nil {
		t.Error("16 bits were taken for a PKey")
	}
}

func TestTextComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := PKey(rapid.Uint16Range(uint16(Min), uint16(Max)).Draw(t, "pkey"))
		if back, err := Parse(p.String()); err != nil || back != p {
			t.Fatalf("%s came back as %s, %v", p, back, err)
		}
	})
}

func TestTableEntryCarriesMembership(t *testing.T) {
	if got := PKey(0x1000).TableEntry(Full); got != 0x9000 {
		t.Errorf("full: %#x", got)
	}
	if got := PKey(0x1000).TableEntry(Limited); got != 0x1000 {
		t.Errorf("limited: %#x", got)
	}
}

func TestScope(t *testing.T) {
	s, err := ParseScope("0x100-0x1ff, 0x300")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[PKey]bool{0xff: false, 0x100: true, 0x1ff: true, 0x200: false, 0x300: true} {
		if s.Contains(p) != want {
			t.Errorf("%s contains %s: %v", s, p, !want)
		}
	}
	if all := (Scope)(nil); !all.Contains(Min) || !all.Contains(Max) || all.Contains(Default) || all.Contains(0) {
		t.Errorf("the zero scope is %s", all)
	}
	for _, bad := range []string{"0x7fff", "0x5-0x1", "1-5", "0x1-"} {
		if _, err := ParseScope(bad); err == nil {
			t.Errorf("scope %q was taken", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0x1000", "1000", "0x8001", "0x7fff", "x0x5", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err == nil && !p.IsValid() {
			t.Fatalf("Parse(%q) took %s", s, p)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Fatalf("the error is %d bytes long", len(err.Error()))
		}
		_, _ = ParseJSON(json.RawMessage(s))
	})
}
