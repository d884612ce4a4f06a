package ufmsim

import (
	"strings"
	"testing"
	"time"
)

func TestControl(t *testing.T) {
	s := newSim(t, Config{Control: true})
	for _, c := range []struct {
		call step
		want string // a prefix
	}{
		{"GET /ufm-sim/", "200 ufm-sim control"},
		{`PUT /ufm-sim/quirks {"list-both":"full","keep-empty":"true"}`, `200 {"accept-extra-fields":"false"`},
		{`PUT /ufm-sim/quirks {"keep-empty":"false","nope":""}`, `400 quirk "nope"`},
		{`PUT /ufm-sim/timing {"apply":"3s"}`, `200 {"change":"0s","read":"0s","apply":"3s"}`},
		{`PUT /ufm-sim/timing {"apply":"-3s"}`, "400"},
		{`PUT /ufm-sim/timing {"aply":"3s"}`, "400"},
		{`PUT /ufm-sim/timing {"apply":"0s"}`, "200"},
		{`POST /ufm-sim/faults {"kind":"latency","op":"add","pkey":"0x5","delay":"1ms"}`, `201 {"id":1,"kind":"latency","pkey":"0x5","op":"add","delay":"1ms"}`},
		{`POST /ufm-sim/faults {"kind":"status","count":1}`, `201 {"id":2,"kind":"status","count":1,"status":500}`},
		{`POST /ufm-sim/faults {"kind":"boom"}`, "400 fault kind"},
		{`POST /ufm-sim/faults {"knd":"status"}`, "400"},
		{"GET /ufm-sim/faults", `200 [{"id":1,`},
		{"GET /app/smconf", "500 Internal"},
		{"GET /app/smconf", "200 "},
		{"DELETE /ufm-sim/faults/x", "400"},
		{"DELETE /ufm-sim/faults/1", "200 []"},
		{"DELETE /ufm-sim/faults", "200 []"},
		{post1, "200 {}"},
		{"GET /ufm-sim/state", `200 {"shown":{"0x5":{"guids":[{"guid":"0200000000000001"`},
		{"GET /ufm-sim/calls", `200 {"add":1,"other":2}`},
		{"DELETE /ufm-sim/calls", `200 {}`},
		{"GET /ufm-sim/journal", `200 {"seq":1,`},
		{"GET /ufm-sim/journal?since=x", "400"},
		{"POST /ufm-sim/wipe", "200 {}"},
		{get5, "200 {}"},
		{"POST /ufm-sim/restart?for=x", "400 for:"},
		{"POST /ufm-sim/restart?for=1h", "200 {}"},
		{get5, "unexpected EOF"},
		{"GET /ufm-sim/calls", `200 {"get":1}`},
	} {
		if got := c.call.send(s); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.call, got, c.want)
		}
	}
	if q := s.Quirks(); !q.KeepEmpty || q.ListBoth != "full" || s.Timing() != (Timing{}) {
		t.Errorf("%+v, %+v", q, s.Timing())
	}
	s.SetTiming(Timing{Change: time.Second})
	if s.Timing().Change != time.Second {
		t.Error("SetTiming")
	}
}

// Every quirk is named once, shown in the help, and can be set and read back.
func TestQuirkTable(t *testing.T) {
	help := QuirkHelp()
	var q Quirks
	for _, e := range q.table() {
		value := "true"
		if e.choice != nil {
			value = e.values[len(e.values)-1]
		}
		if err := q.Set(e.name, value); err != nil || q.Values()[e.name] != value {
			t.Errorf("%s=%s: %v, reads %q", e.name, value, err, q.Values()[e.name])
		}
		if strings.Count(help, "  "+e.name) < 1 || len(e.help) < 10 {
			t.Errorf("no help for %s", e.name)
		}
	}
	if len(q.Values()) != len(q.table()) {
		t.Error("two quirks share a name")
	}
}
