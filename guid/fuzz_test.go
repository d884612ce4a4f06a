package guid

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// forms are the five spellings that Parse promises, and nothing else is one.
var forms = regexp.MustCompile(`^(?i:([0-9a-f]{2}:){7}[0-9a-f]{2}|([0-9a-f]{2}-){7}[0-9a-f]{2}|([0-9a-f]{4}:){3}[0-9a-f]{4}|(0x)?[0-9a-f]{16})$`)

// byForms reads a GUID the slow way: a pattern and a big number.
func byForms(s string) (GUID, bool) {
	if !forms.MatchString(s) {
		return 0, false
	}
	digits := strings.NewReplacer(":", "", "-", "").Replace(s)
	if len(digits) == 18 {
		digits = digits[2:]
	}
	v, ok := new(big.Int).SetString(digits, 16)
	if g := GUID(v.Uint64()); ok && g != 0 && g != math.MaxUint64 {
		return g, true
	}
	return 0, false
}

func seedGUIDs() []string {
	return []string{
		"", "0", "02:00:00:00:00:00:00:01", "02-00-00-00-00-00-00-AB", "0200:0000:0000:0001", "0200000000000001", "0X020000000000000F",
		"00:00:00:00:00:00:00:00", "0xffffffffffffffff", "02:00:00:00:00:01", "+200000000000001", "0x+200000000000001", "02:00:00-00:00:00:00:01",
		"02:00:00:00:00:00:00:01 ", "02:00:00:00:00:00:00:0١", strings.Repeat("0", 15) + "é", strings.Repeat("ff:", 1000),
	}
}

func FuzzParseTakesTheFiveFormsAndNothingElse(f *testing.F) {
	for _, s := range seedGUIDs() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, ok := byForms(s)
		got, err := Parse(s)
		if ok != (err == nil) || got != want {
			t.Fatalf("Parse(%q) = %s, %v; the forms say %s, %t", s, got, err, want, ok)
		}
		if err != nil {
			wantFit(t, err)
			return
		}
		for _, form := range []string{got.String(), got.Hex(), got.Sysfs(), "0x" + got.Hex()} {
			if back, err := Parse(form); err != nil || back != got {
				t.Fatalf("%q came back from %q as %s, %v", s, form, back, err)
			}
		}
	})
}

// wantFit wants an error of a bad value that fits into a message: short, one line, and
// with the mend in it.
func wantFit(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	var pe *ParseError
	if !errors.As(err, &pe) || !strings.Contains(text, "write 16 hex digits") {
		t.Fatalf("%T does not name the mend: %v", err, err)
	}
	if len(text) > 400 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("unfit message of %d bytes: %.500q", len(text), text)
	}
}

func FuzzTextThatIsRefusedLeavesTheValueAlone(f *testing.F) {
	for _, s := range seedGUIDs() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const before GUID = 7
		g := before
		if err := g.UnmarshalText([]byte(s)); err != nil {
			if g != before {
				t.Fatalf("%q was refused and left %s behind", s, g)
			}
			return
		}
		text, err := g.MarshalText()
		if err != nil || (s == "") != (g == 0) {
			t.Fatalf("%q is %s, %v", s, g, err)
		}
		var back GUID = before
		if err := back.UnmarshalText(text); err != nil || back != g {
			t.Fatalf("%q came back as %s, %v", text, back, err)
		}
	})
}

func FuzzRangeIsWhatItsEndsSay(f *testing.F) {
	for _, s := range seedGUIDs() {
		f.Add(s, "02:00:00:00:00:00:00:FF", uint64(0x0200000000000001))
		f.Add("0000000000000001", s, uint64(0))
	}
	f.Add("0000000000000001", "fffffffffffffffe", uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, first, last string, probe uint64) {
		r, err := ParseRange(first, last)
		a, okA := byForms(first)
		b, okB := byForms(last)
		if (okA && okB && a <= b) != (err == nil) {
			t.Fatalf("ParseRange(%q, %q) = %s, %v", first, last, r, err)
		}
		if err != nil {
			if len(err.Error()) > 500 || r != (Range{}) {
				t.Fatalf("%s beside an error of %d bytes: %.500v", r, len(err.Error()), err)
			}
			return
		}
		g := GUID(probe)
		if r.Contains(g) != (a <= g && g <= b) || !r.Contains(a) || !r.Contains(b) || r.Contains(0) || r.Contains(math.MaxUint64) {
			t.Fatalf("%s contains %s: %t", r, g, r.Contains(g))
		}
		if r.Size() == 0 || r.Size() != uint64(b-a)+1 {
			t.Fatalf("%s has %d GUIDs", r, r.Size())
		}
	})
}

// Two ranges as an administrator may give them, also by mistake: a pool either refuses
// them or hands out each GUID of them once.
func FuzzPoolOfAnyTwoRanges(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3), uint64(4))
	f.Add(uint64(5), uint64(5), uint64(1), uint64(4))
	f.Add(uint64(1), uint64(9), uint64(9), uint64(12))
	f.Add(uint64(4), uint64(1), uint64(8), uint64(9))
	f.Add(uint64(0), uint64(1), uint64(8), uint64(9))
	f.Add(uint64(math.MaxUint64-3), uint64(math.MaxUint64-1), uint64(1), uint64(1))
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(1), uint64(math.MaxUint64-1))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64) {
		ranges := []Range{{GUID(a), GUID(b)}, {GUID(c), GUID(d)}}
		sound := func(r Range) bool { return r.First.IsValid() && r.Last.IsValid() && r.First <= r.Last }
		apart := ranges[0].Last < ranges[1].First || ranges[1].Last < ranges[0].First
		pool, err := NewPool(ranges...)
		if want := sound(ranges[0]) && sound(ranges[1]) && apart; want != (err == nil) {
			t.Fatalf("NewPool(%v): %v", ranges, err)
		}
		if err != nil {
			return
		}
		size := pool.Stats().Size
		seen := map[GUID]bool{}
		for i := range min(size, 64) + 1 {
			got, err := pool.Allocate(Owner{UID: string(rune('a' + i)), Interface: "net1"})
			if i == size {
				if !errors.Is(err, ErrExhausted) {
					t.Fatalf("GUID %d of %d: %s, %v", i+1, size, got, err)
				}
				return
			}
			if err != nil || len(got) != 1 || seen[got[0]] || !ranges[0].Contains(got[0]) && !ranges[1].Contains(got[0]) {
				t.Fatalf("GUID %d of %v: %s, %v", i+1, ranges, got, err)
			}
			seen[got[0]] = true
		}
	})
}
