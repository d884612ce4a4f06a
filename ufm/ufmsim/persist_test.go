package ufmsim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/pkey"
)

func TestStateOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	first := newSim(t, Config{StateFile: path})
	mustSend(t, first, "POST", "/resources/pkeys", `{"pkey":"0x5","guids":["`+h(1)+`"],"membership":"limited","index0":true,"partition_name":"a \"b\"","ip_over_ib":false}`)
	mustSend(t, first, "POST", "/resources/pkeys/add", `{"pkey":"0x6","rate_limit":100}`)
	mustSend(t, first, "POST", "/resources/pkeys", addBody(7, 1, 2, 3))
	mustSend(t, first, "DELETE", "/resources/pkeys/0x7/guids/"+h(2), "")
	first.Close()
	second := newSim(t, Config{StateFile: path})
	if diff := cmp.Diff(first.Partitions(), second.Partitions()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(second.Partitions(), second.Applied()); diff != "" {
		t.Error(diff)
	}
	if !second.LastUpdated().Equal(first.LastUpdated()) {
		t.Errorf("last updated %s became %s", first.LastUpdated(), second.LastUpdated())
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(left) != 0 {
		t.Errorf("left beside the state file: %v", left)
	}
}

func TestABadStateFileIsAnErrorAndLeftAsItIs(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.json")
	s := newSim(t, Config{StateFile: whole})
	mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1))
	body, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":            "",
		"torn":             string(body[:len(body)/2]),
		"zeros":            string(make([]byte, 512)),
		"something else":   "hello\n",
		"behind the end":   string(body) + "{}",
		"other version":    `{"version":2,"last_updated":"0001-01-01T00:00:00Z","partitions":{}}`,
		"a bad guid":       `{"version":1,"partitions":{"0x5":{"guids":[{"guid":"0"}]}}}`,
		"a bad pkey":       `{"version":1,"partitions":{"5":{"guids":[]}}}`,
		"a bad membership": `{"version":1,"partitions":{"0x5":{"guids":[{"guid":"0200000000000001","membership":"x"}]}}}`,
	} {
		path := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{StateFile: path}); err == nil {
			t.Errorf("%s was taken", name)
		}
		if now, _ := os.ReadFile(path); string(now) != content {
			t.Errorf("%s was overwritten", name)
		}
	}
	if _, err := New(Config{StateFile: filepath.Join(t.TempDir(), "no", "state.json")}); err == nil {
		t.Error("a folder that is not there was taken")
	}
}

func TestAStateFileThatCannotBeWrittenIsNoSuccess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSim(t, Config{StateFile: filepath.Join(dir, "state.json")})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := send(s, "POST", "/resources/pkeys", addBody(5, 1)); status != 500 {
		t.Errorf("%d %s", status, answer)
	}
	if e := s.Journal()[0]; e.Outcome == "done" {
		t.Errorf("%+v", e)
	}
}

func TestPreloadIsNoChange(t *testing.T) {
	s := newSim(t, Config{})
	p := pkey.Partition{PKey: 5, Name: "storage", IPoIB: true, Members: []pkey.Member{member(2, pkey.Limited, false), member(1, pkey.Full, true)}}
	if err := s.Preload(p); err != nil {
		t.Fatal(err)
	}
	want := []pkey.Member{member(1, pkey.Full, true), member(2, pkey.Limited, false)}
	if diff := cmp.Diff(want, s.Members(5)); diff != "" || len(s.Journal()) != 0 || !s.LastUpdated().IsZero() {
		t.Error(diff, s.Journal(), s.LastUpdated())
	}
	if s.Preload(pkey.Partition{PKey: pkey.Default}) == nil || s.Preload(pkey.Partition{PKey: 5, Members: make([]pkey.Member, 1)}) == nil {
		t.Error("nonsense was taken")
	}
}
