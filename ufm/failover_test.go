package ufm

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadIsRepeatedAtTheOnlyAddress(t *testing.T) {
	f := newFake(t, nil)
	f.before = func(w http.ResponseWriter, r *http.Request) {
		if len(f.asked()) < 3 {
			answer(503, "")(w, r)
			return
		}
		answer(200, `{"ufm_release_version":"6.19.3"}`)(w, r)
	}
	c := newClient(t, config(f.address()))
	if v, err := c.Version(t.Context()); err != nil || v != "6.19.3" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestFailoverIsStickyAndBounded(t *testing.T) {
	dead, away, good := deadAddress(t), newFake(t, answer(503, "standby")), newFake(t, nil)
	c := newClient(t, config(dead, away.address(), good.address()))
	if c.Address() != dead {
		t.Errorf("begins at %s", c.Address())
	}
	from, err := c.Add(t.Context(), tenant, batch(g1))
	if err != nil || from != good.address() || c.Address() != from {
		t.Fatalf("add: from %q, now at %s, %v", from, c.Address(), err)
	}
	if _, err := c.Partition(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	if n := len(away.asked()); n != 1 {
		t.Errorf("the standby was asked %d times", n)
	}
	good.before = answer(500, "")
	_, err = c.Version(t.Context())
	if n := len(away.asked()); err == nil || n != 2 {
		t.Errorf("the standby was asked %d times: %v", n, err)
	}
	for _, address := range []string{dead, away.address(), good.address()} {
		if !strings.Contains(err.Error(), address) {
			t.Errorf("no word of %s: %v", address, err)
		}
	}
}

func TestReadGoesOnFromAStandbyThatServesAPage(t *testing.T) {
	page, good := newFake(t, answer(200, "<html>standby</html>")), newFake(t, nil)
	c := newClient(t, config(page.address(), good.address()))
	if v, err := c.Version(t.Context()); err != nil || v != "6.18.0-5" || c.Address() != good.address() {
		t.Errorf("%q at %s, %v", v, c.Address(), err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	other := newFake(t, nil)
	f := httptest.NewServer(http.RedirectHandler("http://"+other.address()+"/ufmRest/app/ufm_version", http.StatusFound))
	t.Cleanup(f.Close)
	c := newClient(t, config(f.Listener.Addr().String()))
	if _, err := c.Add(t.Context(), tenant, batch(g1)); err == nil || len(other.asked()) != 0 {
		t.Errorf("%v; asked %v", err, other.asked())
	}
}
