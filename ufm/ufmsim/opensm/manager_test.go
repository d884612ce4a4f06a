package opensm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// fake is an OpenSM that has a log. At each signal it writes what it is told to.
type fake struct {
	t       *testing.T
	log     string
	signals int
	answers []string // to the first signal, the second, …
	err     error    // of each signal
}

func newFake(t *testing.T, answers ...string) *fake {
	f := &fake{t: t, log: filepath.Join(t.TempDir(), "opensm.log"), answers: answers}
	f.write("-> SUBNET UP\n") // from its start, long ago
	return f
}

func (f *fake) write(text string) {
	f.t.Helper()
	file, err := os.OpenFile(f.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		f.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) signal(context.Context) error {
	if f.signals < len(f.answers) {
		f.write(f.answers[f.signals])
	}
	f.signals++
	return f.err
}

func newManager(t *testing.T, f *fake) *Manager {
	t.Helper()
	m, err := New(Config{Partitions: filepath.Join(t.TempDir(), "partitions.conf"), Log: f.log, Signal: f.signal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

const (
	begins = "****** INITIATING HEAVY SWEEP ******\n"
	ends   = "Nov 22 22:36:17 501590 [911E06C0] 0x02 -> SUBNET UP\n"
)

func TestASweepCountsWhenItBeganAfterTheSignal(t *testing.T) {
	for name, row := range map[string]struct {
		answers []string
		signals int // it takes
	}{
		"its beginning is in the log":    {[]string{begins + ends}, 1},
		"only ends are in the log":       {[]string{ends, ends}, 2},
		"one was under way":              {[]string{ends + begins + ends, ""}, 2},
		"one begins anew":                {[]string{begins + begins + ends}, 1},
		"a box says the same once more":  {[]string{"***** SUBNET UP *****\n" + begins + ends}, 1},
		"both are in the log after once": {[]string{ends + ends}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, row.answers...)
				if err := newManager(t, f).Apply(t.Context()); err != nil || f.signals != row.signals {
					t.Errorf("%d signals, %v", f.signals, err)
				}
			})
		})
	}
}

func TestWithoutASweepNothingIsApplied(t *testing.T) {
	for name, answers := range map[string][]string{
		"silence":              {""},
		"one end, no more":     {ends, ""},
		"a beginning, no end":  {begins, ""},
		"half of a line":       {begins + strings.TrimSpace(ends), ""},
		"sweeping is disabled": {begins + "-> SUBNET UP (sweep disabled)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, answers...)
				begun := time.Now()
				err := newManager(t, f).Apply(t.Context())
				if err == nil || !strings.Contains(err.Error(), "force_log_flush") || time.Since(begun) < DefaultTimeout {
					t.Errorf("%v after %s", err, time.Since(begun))
				}
			})
		})
	}
}

func TestTheLogMayBeRotatedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, rotate := range map[string]func(*fake){
			"renamed": func(f *fake) {
				if err := os.Rename(f.log, f.log+".1"); err != nil {
					t.Error(err)
				}
			},
			"emptied": func(f *fake) {
				if err := os.Truncate(f.log, 0); err != nil {
					t.Error(err)
				}
			},
		} {
			f := newFake(t, begins)
			f.write(strings.Repeat("it was long before\n", 100))
			done := make(chan error)
			m := newManager(t, f)
			go func() { done <- m.Apply(t.Context()) }()
			time.Sleep(10 * lookAgain) // of the bubble: Apply waits now
			rotate(f)
			f.write(ends)
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestAFileThatOpenSMRefusedIsNoDelay(t *testing.T) {
	f := newFake(t, begins+"osm_prtn_make_partitions: Partition configuration in error; retrying with default config\n"+ends)
	if err := newManager(t, f).Apply(t.Context()); !errors.Is(err, errOpen) {
		t.Error(err)
	}
}

func TestASignalThatFailsAndALogThatIsNotThereAreSaid(t *testing.T) {
	f := newFake(t)
	f.err = errors.New("no such process")
	m := newManager(t, f)
	if err := m.Apply(t.Context()); !errors.Is(err, f.err) {
		t.Error(err)
	}
	m.cfg.Log += "x"
	if err := m.Apply(t.Context()); err == nil || !strings.Contains(err.Error(), "log_file") {
		t.Error(err)
	}
}

func TestTheFileIsReadBackAndIsNobodyElses(t *testing.T) {
	m := newManager(t, newFake(t))
	if parts, err := m.Load(); err != nil || parts != nil {
		t.Fatal(parts, err)
	}
	if body, err := os.ReadFile(m.cfg.Partitions); err != nil || string(body) != header+defaultPartition {
		t.Errorf("a new file is %q, %v", body, err)
	}
	want := []ufmsim.Partition{partition(0x10, member(1, pkey.Full, true), member(2, pkey.Limited, false)), partition(0x20)}
	if err := m.Store(want); err != nil {
		t.Fatal(err)
	}
	got, err := m.Load()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := New(m.cfg); err == nil || !strings.Contains(err.Error(), "another ufm-sim") {
		t.Errorf("a second one: %v", err)
	}
	const others = "Default=0x7fff : ALL=full ;\n"
	if err := os.WriteFile(m.cfg.Partitions, []byte(others), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Load(); err == nil {
		t.Error("somebody else's file was taken")
	}
	if body, _ := os.ReadFile(m.cfg.Partitions); string(body) != others {
		t.Errorf("it became %s", body)
	}
}

func TestAPartitionThatCannotBeWrittenLeavesTheFileAsItIs(t *testing.T) {
	m := newManager(t, newFake(t))
	if err := m.Store([]ufmsim.Partition{partition(0x10)}); err != nil {
		t.Fatal(err)
	}
	bad := partition(0x20)
	bad.Name = "x ;"
	if err := m.Store([]ufmsim.Partition{bad}); !errors.Is(err, ufmsim.ErrUnfit) {
		t.Error(err)
	}
	if parts, err := m.Load(); err != nil || len(parts) != 1 || parts[0].PKey != 0x10 {
		t.Error(parts, err)
	}
}

// TestProofreadingFindsWhatARendererMightGetWrong stands between a mistake of Render's
// and the fabric.
func TestProofreadingFindsWhatARendererMightGetWrong(t *testing.T) {
	parts := []ufmsim.Partition{partition(0x10, member(1, pkey.Limited, false)), partition(0x20)}
	body, err := Render(parts)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{
		strings.Replace(string(body), "0001=limited", "0001=full", 1),
		strings.Replace(string(body), "0001=limited", "0003=limited", 1),
		strings.Replace(string(body), "0001=limited ;", "0001=limited", 1),
		strings.Replace(string(body), "mtu=4", "mtu=5", 1),
		strings.Replace(string(body), "=0x10, ipoib", "=0x10, indx0, ipoib", 1),
		strings.Replace(string(body), "=0x20", "=0x21", 1),
		strings.Replace(string(body), "api_pkey_0x20=0x20, ipoib, mtu=4, rate=2, sl=0 : ;\n", "", 1),
	} {
		if wrong == string(body) || proofread([]byte(wrong), parts) == nil {
			t.Errorf("it passes:\n%s", wrong)
		}
	}
}
