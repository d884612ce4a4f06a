package ufmsim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

func inject(t *testing.T, s *Sim, f Fault) {
	t.Helper()
	if _, err := s.Inject(f); err != nil {
		t.Fatal(err)
	}
}

// plainServer is a Sim on a real port, and a transport that keeps no connection.
func plainServer(t *testing.T, cfg Config) (*Sim, *Server, *http.Transport) {
	t.Helper()
	cfg.PlainHTTP = true
	s := newSim(t, cfg)
	srv, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return s, srv, &http.Transport{DisableKeepAlives: true}
}

// What a fault does must be seen alike over a port and in process.
func TestFaultsInTheAnswer(t *testing.T) {
	for _, row := range []struct {
		kind FaultKind
		seen func(status int, body string, err error) bool
		done bool
	}{
		{FaultStatus, func(status int, body string, err error) bool {
			return status == 503 && strings.Contains(body, "injected") && err == nil
		}, false},
		{FaultLost, func(_ int, _ string, err error) bool {
			return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		}, true},
		{FaultTruncate, func(status int, body string, err error) bool {
			return status == 200 && body == "{" && errors.Is(err, io.ErrUnexpectedEOF)
		}, true},
		{FaultHTML, func(status int, body string, err error) bool {
			return status == 200 && strings.HasPrefix(body, "<!DOCTYPE") && err == nil
		}, true},
		{FaultTypes, func(status int, body string, err error) bool {
			return status == 200 && json.Valid([]byte(body)) && strings.Contains(body, `"guids":"none"`)
		}, true},
		{FaultHuge, func(status int, body string, err error) bool { return status == 200 && body == "{}" && err == nil }, true},
	} {
		t.Run(string(row.kind), func(t *testing.T) {
			s, srv, tr := plainServer(t, Config{})
			for i, rt := range []http.RoundTripper{tr, s.Transport()} {
				inject(t, s, Fault{Kind: row.kind, Op: OpAdd, Count: 1, Status: 503})
				status, body, err := sendOver(rt, srv.URL(), "POST", "/resources/pkeys", addBody(pkey.PKey(5+i), 1))
				if !row.seen(status, body, err) {
					t.Errorf("transport %d: %d %.60q %v", i, status, body, err)
				}
				if got := len(s.Members(pkey.PKey(5+i))) == 1; got != row.done {
					t.Errorf("transport %d: done: %v, want %v", i, got, row.done)
				}
			}
			if left := s.Faults(); len(left) != 0 {
				t.Errorf("the count is used up, and left is %v", left)
			}
		})
	}
}

func TestAHugeAnswerIsHuge(t *testing.T) {
	s := newSim(t, Config{})
	inject(t, s, Fault{Kind: FaultHuge})
	req, _ := http.NewRequest(http.MethodGet, "http://ufm/ufmRest/resources/pkeys", nil)
	req.Header.Set("Authorization", adminBasic)
	res, err := s.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := io.Copy(io.Discard, res.Body); n < 10<<20 {
		t.Errorf("%d bytes", n)
	}
}

func TestHangLastsUntilTheClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Config{})
		inject(t, s, Fault{Kind: FaultHang, Method: http.MethodPost})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://ufm/ufmRest/resources/pkeys", strings.NewReader(addBody(5, 1)))
		req.Header.Set("Authorization", adminBasic)
		if _, err := s.Transport().RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if entries := s.Journal(); len(entries) != 1 || entries[0].Outcome != "cut off, not done" || s.Members(5) != nil {
			t.Errorf("%+v", entries)
		}
	})
}

func TestALateChangeComesAfterItsClientWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Config{Timing: Timing{Change: time.Second}})
		inject(t, s, Fault{Kind: FaultLate, PKey: 5, Count: 1, Delay: time.Minute})
		start := time.Now()
		if _, _, err := send(s, "POST", "/resources/pkeys", addBody(5, 1)); err == nil || time.Since(start) != 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		// Another takes its place meanwhile.
		mustSend(t, s, "POST", "/resources/pkeys", addBody(6, 1))
		if s.Members(5) != nil {
			t.Error("it was done at once")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.Members(5)) != 1 {
			t.Error("it was never done")
		}
		if e := s.Journal()[1]; e.Outcome != "done, late" || e.Changed.Sub(start) != 61*time.Second {
			t.Errorf("%+v, after %s", e, e.Changed.Sub(start))
		}
	})
}

func TestLatencyIsOfTheMatchingCallsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Config{Timing: Timing{Change: 200 * time.Millisecond}})
		inject(t, s, Fault{Kind: FaultLatency, Op: OpAnyChange, PKey: 5, Delay: time.Second})
		for _, c := range []struct {
			method, path, body string
			want               time.Duration
		}{
			{"POST", "/resources/pkeys", addBody(5, 1), 1200 * time.Millisecond},
			{"POST", "/resources/pkeys", addBody(6, 1), 200 * time.Millisecond},
			{"GET", "/resources/pkeys/0x5", "", 0},
		} {
			start := time.Now()
			mustSend(t, s, c.method, c.path, c.body)
			if took := time.Since(start); took != c.want {
				t.Errorf("%s %s took %s, want %s", c.method, c.body, took, c.want)
			}
		}
	})
}

func TestProbabilityIsTheSameForTheSameSeed(t *testing.T) {
	hits := func() (n int) {
		s := newSim(t, Config{Seed: 7})
		inject(t, s, Fault{Kind: FaultStatus, Status: 500, Probability: 0.3})
		for range 1000 {
			if status, _, _ := send(s, "GET", "/resources/pkeys", ""); status == 500 {
				n++
			}
		}
		return n
	}
	first := hits()
	if again := hits(); first != again || first < 200 || first > 400 {
		t.Errorf("%d hits, then %d, of 1000 at 0.3", first, again)
	}
}

func TestFaultsThatCannotBe(t *testing.T) {
	s := newSim(t, Config{})
	for _, f := range []Fault{
		{}, {Kind: "boom"}, {Kind: FaultStatus}, {Kind: FaultStatus, Status: 200}, {Kind: FaultLatency},
		{Kind: FaultLost, Op: "ad"}, {Kind: FaultLost, Probability: 2}, {Kind: FaultLost, Count: -1},
	} {
		if _, err := s.Inject(f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestRestartCutsAndForgetsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Config{Timing: Timing{Change: 10 * time.Second}})
		cut := make(chan error)
		for n := range 2 { // one at work, one in the queue
			go func() {
				_, _, err := send(s, "POST", "/resources/pkeys", addBody(5, n+1))
				cut <- err
			}()
		}
		time.Sleep(time.Second)
		s.Restart(5 * time.Second)
		if a, b := <-cut, <-cut; a == nil || b == nil {
			t.Errorf("the calls ended with %v, %v", a, b)
		}
		if _, _, err := send(s, "GET", "/resources/pkeys", ""); err == nil {
			t.Error("it answers while it is down")
		}
		time.Sleep(5 * time.Second)
		if got := mustSend(t, s, "GET", "/resources/pkeys/0x5", ""); got != "{}" {
			t.Errorf("a change outlived the restart: %s", got)
		}
	})
}

func TestWipeAndFork(t *testing.T) {
	s := newSim(t, Config{})
	mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1, 2))
	standby := s.Fork()
	defer standby.Close()
	mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 3))
	mustSend(t, standby, "DELETE", "/resources/pkeys/0x5/guids/"+h(1), "")
	if len(s.Members(5)) != 3 || len(standby.Members(5)) != 1 {
		t.Errorf("first has %v, standby %v", s.Members(5), standby.Members(5))
	}
	if err := s.Wipe(); err != nil || len(s.Partitions()) != 1 || len(standby.Members(5)) != 1 {
		t.Errorf("%v: first has %v, standby %v", err, s.Partitions(), standby.Partitions())
	}
}
