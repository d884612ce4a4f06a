package chaos

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestAStandbyKnowsSinceWhenItsMembersAreIn(t *testing.T) {
	sim, err := ufmsim.New(ufmsim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	all := &ufms{}
	first := all.add(sim, nil, "")
	body := `{"pkey":"` + somePKey.String() + `","guids":["` + someGUID.Hex() + `"],"membership":"full","index0":true}`
	req, err := http.NewRequest(http.MethodPost, "http://ufm/ufmRest/resources/pkeys", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", "123456")
	req.Header.Set("Content-Type", "application/json")
	res, err := sim.Transport().RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	second := all.add(sim.Fork(), first, "")
	third := all.add(second.sim.Fork(), second, "")
	past := replayAll(all.all)
	put := sim.Journal()[0].Changed
	for _, u := range all.all {
		stays := past[u].stays[place{someGUID, somePKey}]
		if len(stays) != 1 || !stays[0].put.Equal(put) || stays[0].from.IsZero() != (u != first) {
			t.Errorf("%s: %+v, put in at %s", u.name, stays, put)
		}
		u.sim.Close()
	}
	if n := len(past[third].puts) + len(past[second].puts); n != 0 {
		t.Errorf("what was copied counts as %d calls", n)
	}
}
