package guid

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseReadsEveryFormInUse(t *testing.T) {
	const want GUID = 0x0200_00ab_cdef_0001
	for _, s := range []string{
		"02:00:00:ab:cd:ef:00:01", "02:00:00:AB:CD:EF:00:01",
		"02-00-00-ab-cd-ef-00-01",
		"0200:00ab:cdef:0001",
		"020000abcdef0001", "020000ABCDEF0001",
		"0x020000abcdef0001", "0X020000ABCDEF0001",
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %s, %v; want %s", s, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":             "",
		"zeros":               "00:00:00:00:00:00:00:00",
		"ones":                "ff:ff:ff:ff:ff:ff:ff:ff",
		"six bytes":           "02:00:00:00:00:01",
		"twenty bytes":        strings.Repeat("02:", 19) + "02",
		"no hex":              "02:00:00:00:00:00:00:0g",
		"mixed separators":    "02:00-00:00-00:00-00:01",
		"dashes of sysfs":     "0200-0000-0000-0001",
		"a sign":              "+200000000000001",
		"underscores":         "0200_0000_000000",
		"space":               " 200000000000001",
		"octal-looking":       "0o20000000000000001",
		"x in the wrong case": "1x0200000000000001",
		"colons out of place": "020:0:00:00:00:00:00:01",
	} {
		if g, err := Parse(s); err == nil {
			t.Errorf("%s: Parse(%q) = %s, want an error", name, s, g)
		}
	}
}

func TestParseErrorNamesTheMendAndStaysShort(t *testing.T) {
	_, err := Parse(strings.Repeat("z", 1<<20))
	if err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), "write 16 hex digits") {
		t.Errorf("error is %d bytes: %.80v", len(err.Error()), err)
	}
}

func TestEveryFormComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := GUID(rapid.Uint64Range(1, math.MaxUint64-1).Draw(t, "guid"))
		forms := []string{g.String(), g.Hex(), g.Sysfs(), "0x" + g.Hex(), strings.ReplaceAll(g.String(), ":", "-"), strings.ToUpper(g.String())}
		for _, s := range forms {
			if got, err := Parse(s); err != nil || got != g {
				t.Fatalf("Parse(%q) = %s, %v; want %s", s, got, err, g)
			}
		}
		var back GUID
		if text, _ := g.MarshalText(); back.UnmarshalText(text) != nil || back != g {
			t.Fatalf("text %q came back as %s", text, back)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"02:00:00:00:00:00:00:01", "0x0200000000000001", "0200:0000:0000:0001", "", "ff:ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := Parse(s)
		if err != nil {
			return
		}
		if !g.IsValid() {
			t.Fatalf("Parse(%q) took %s", s, g)
		}
		if again, err := Parse(g.String()); err != nil || again != g {
			t.Fatalf("Parse(%q) = %s, which comes back as %s, %v", s, g, again, err)
		}
	})
}
