package ufmsim

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/pkey"
)

func TestJournalTellsWhatWasAndWhatCameOfIt(t *testing.T) {
	s := newSim(t, Config{})
	mustSend(t, s, "POST", "/resources/pkeys", `{"pkey":"0x5","guids":["`+h(1)+`","`+h(2)+`"],"membership":"limited","index0":true}`)
	mustSend(t, s, "DELETE", "/resources/pkeys/0x5/guids/"+h(2)+","+h(9), "")
	if status, _, _ := send(s, "PUT", "/resources/pkeys/qos_conf", `{"pkey":"0x6"}`); status != 404 {
		t.Error(status)
	}
	mustSend(t, s, "DELETE", "/resources/pkeys/0x5", "")
	type row struct {
		Op      Op
		PKey    pkey.PKey
		Members []pkey.Member
		Status  int
		Outcome string
	}
	var got []row
	for i, e := range s.Journal() {
		if e.Seq != uint64(i+1) || e.User != "admin" || e.Remote == "" || e.Received.IsZero() || e.Changed.IsZero() != (e.Status >= 400) {
			t.Errorf("entry %d: %+v", i, e)
		}
		got = append(got, row{e.Op, e.PKey, e.Members, e.Status, e.Outcome})
	}
	want := []row{
		{OpAdd, 5, []pkey.Member{member(1, pkey.Limited, true), member(2, pkey.Limited, true)}, 200, "done"},
		{OpRemove, 5, []pkey.Member{member(2, pkey.Limited, true)}, 200, "done"},
		{OpQoS, 6, nil, 404, "refused: Partition 0x6 does not exist"},
		{OpDelete, 5, []pkey.Member{member(1, pkey.Limited, true)}, 200, "done"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[Op]int{OpAdd: 1, OpRemove: 1, OpQoS: 1, OpDelete: 1}, s.Calls()); diff != "" {
		t.Error(diff)
	}
}

func TestTheFabricFollowsAfterTheApplyDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Config{Timing: Timing{Change: time.Second, Apply: time.Minute}})
		seen := s.Watch(t.Context())
		start := time.Now()
		mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1))
		if len(s.Members(5)) != 1 || len(s.Applied()) != 1 || s.Settled() || !s.LastUpdated().IsZero() {
			t.Errorf("at the answer: %v, %v, %v", s.Members(5), s.Applied(), s.LastUpdated())
		}
		if e := <-seen; e.Seq != 1 || e.Changed.Sub(start) != time.Second || !e.Applied.IsZero() {
			t.Errorf("first %+v", e)
		}
		if e := <-seen; e.Seq != 1 || e.Applied.Sub(start) != 61*time.Second {
			t.Errorf("then %+v", e)
		}
		if diff := cmp.Diff(s.Partitions(), s.Applied()); diff != "" || !s.Settled() || s.LastUpdated().Sub(start) != 61*time.Second {
			t.Errorf("settled %v at %s: %s", s.Settled(), s.LastUpdated().Sub(start), diff)
		}
	})
}

func TestChangesRunOneAtATimeOrFailOrNot(t *testing.T) {
	for concurrent, want := range map[string]struct {
		took time.Duration
		done int
	}{
		"serial": {5 * time.Second, 5}, "parallel": {time.Second, 5}, "fail": {time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, Config{Timing: Timing{Change: time.Second}, Quirks: Quirks{Concurrent: concurrent}})
			start, done := time.Now(), make(chan int)
			for n := range 5 {
				go func() {
					status, _, _ := send(s, "POST", "/resources/pkeys", addBody(5, n+1))
					done <- status
				}()
			}
			ok := 0
			for range 5 {
				if <-done == 200 {
					ok++
				}
			}
			if took := time.Since(start); took != want.took || ok != want.done || len(s.Members(5)) != want.done {
				t.Errorf("%s: %d of 5 done in %s, members %v", concurrent, ok, took, s.Members(5))
			}
		})
	}
}

func TestAChangeGoesOnWhenItsClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Config{Timing: Timing{Change: time.Minute}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := newRequest(ctx, t, addBody(5, 1))
		if _, err := s.Transport().RoundTrip(req); err == nil {
			t.Error("it was answered")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.Members(5)) != 1 {
			t.Error("the change was dropped")
		}
	})
}

func TestJournalIsBounded(t *testing.T) {
	s := newSim(t, Config{JournalLimit: 3, Control: true})
	for n := range 20 {
		mustSend(t, s, "POST", "/resources/pkeys", addBody(5, n+1))
		if got := len(s.Journal()); got > 3 {
			t.Fatalf("%d entries", got)
		}
	}
	lines := strings.Split(mustSend(t, s, "GET", "/ufm-sim/journal?since=18", ""), "\n")
	var e struct {
		Seq     int
		Members []struct{ GUID string }
	}
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || len(lines) != 2 || e.Seq != 19 || e.Members[0].GUID != h(19) {
		t.Errorf("%v: %v", err, lines)
	}
}

func TestWatchEndsWithItsContextAndWithTheSim(t *testing.T) {
	s := newSim(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := s.Watch(ctx), s.Watch(t.Context())
	cancel()
	if _, open := <-first; open {
		t.Error("an entry came from nowhere")
	}
	s.Close()
	if _, open := <-second; open {
		t.Error("an entry came from nowhere")
	}
	if _, open := <-s.Watch(t.Context()); open {
		t.Error("an entry of a closed sim")
	}
}
