package ufm

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestMembersComeAndGo(t *testing.T) {
	f := newFake(t, nil)
	c := newClient(t, config(f.address()))
	ctx := t.Context()

	from, err := c.Add(ctx, tenant, pkey.Batch{Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}, IPoIB: true, GUIDs: []guid.GUID{g1, g2}})
	if err != nil || from != f.address() {
		t.Fatalf("add: %q, %v", from, err)
	}
	want := `{"pkey":"0x1000","index0":true,"ip_over_ib":true,"membership":"limited","guids":["0200000000000001","02000000000000ab"]}`
	if diff := cmp.Diff(want, f.bodies[0]); diff != "" {
		t.Errorf("body of the add (-want +got):\n%s", diff)
	}
	member := func(g guid.GUID) pkey.Member {
		return pkey.Member{GUID: g, Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}}
	}
	part := pkey.Partition{PKey: tenant, Name: "api_pkey_0x1000", IPoIB: true, Members: []pkey.Member{member(g1), member(g2)}, From: f.address()}
	management := pkey.Partition{PKey: pkey.Default, Name: "management", IPoIB: true, From: f.address()}

	got, err := c.Partition(ctx, tenant)
	if diff := cmp.Diff(part, got); diff != "" || err != nil {
		t.Errorf("partition: %v (-want +got):\n%s", err, diff)
	}
	list, err := c.Partitions(ctx)
	if diff := cmp.Diff([]pkey.Partition{part, management}, list); diff != "" || err != nil {
		t.Errorf("partitions: %v (-want +got):\n%s", err, diff)
	}
	if from, err = c.Remove(ctx, tenant, []guid.GUID{g1, g2}); err != nil || from != f.address() {
		t.Fatalf("remove: %q, %v", from, err)
	}
	got, err = c.Partition(ctx, tenant)
	if diff := cmp.Diff(pkey.Partition{PKey: tenant, IPoIB: true, From: f.address()}, got); diff != "" || err != nil {
		t.Errorf("partition without members: %v (-want +got):\n%s", err, diff)
	}
	wantAsked := []string{
		"POST /ufmRest/resources/pkeys",
		"GET /ufmRest/resources/pkeys/0x1000?guids_data=true",
		"GET /ufmRest/resources/pkeys?guids_data=true",
		"DELETE /ufmRest/resources/pkeys/0x1000/guids/0200000000000001,02000000000000ab",
		"GET /ufmRest/resources/pkeys/0x1000?guids_data=true",
	}
	if diff := cmp.Diff(wantAsked, f.asked()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestLongRemovalGoesByPost(t *testing.T) {
	f := newFake(t, nil)
	c := newClient(t, config(f.address()))
	var many []guid.GUID
	for i := range 500 {
		many = append(many, g1+guid.GUID(i))
	}
	if _, err := c.Add(t.Context(), tenant, batch(many...)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(t.Context(), tenant, many[:200]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(t.Context(), tenant, many[200:]); err != nil {
		t.Fatal(err)
	}
	asked := f.asked()
	if !strings.HasPrefix(asked[1], "DELETE ") || len(asked[1]) > urlLimit {
		t.Errorf("200 guids: %.60s, %d bytes", asked[1], len(asked[1]))
	}
	if asked[2] != "POST /ufmRest/actions/remove_guids_from_pkey" {
		t.Errorf("300 guids: %.60s", asked[2])
	}
	if len(f.members) != 0 {
		t.Errorf("%d members are left", len(f.members["0x1000"]))
	}
}

func TestNothingToDoAsksNobody(t *testing.T) {
	f := newFake(t, nil)
	c := newClient(t, config(f.address()))
	if from, err := c.Add(t.Context(), tenant, batch()); from != "" || err != nil {
		t.Errorf("add: %q, %v", from, err)
	}
	if from, err := c.Remove(t.Context(), tenant, nil); from != "" || err != nil {
		t.Errorf("remove: %q, %v", from, err)
	}
	if asked := f.asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestRemovingWhatIsNotThereSucceeds(t *testing.T) {
	for name, status := range map[string]int{"unknown pkey": 404, "refused, and not shown": 400} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					answer(200, `{"guids":[{"guid":"0200000000000099"}]}`)(w, r)
					return
				}
				answer(status, `{"error":"no such guid"}`)(w, r)
			})
			c := newClient(t, config(f.address()))
			if from, err := c.Remove(t.Context(), tenant, []guid.GUID{g1}); err != nil || from != f.address() {
				t.Errorf("remove: %q, %v", from, err)
			}
			_, err := c.Remove(t.Context(), tenant, []guid.GUID{0x0200000000000099})
			if stillIn := status == 400; stillIn != (err != nil) {
				t.Errorf("remove of a member: %v", err)
			}
		})
	}
}

func TestPartitionThatUFMDoesNotKnow(t *testing.T) {
	ufm404 := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/app/ufm_version") {
			answer(200, `{"ufm_release_version":"6.19.3"}`)(w, r)
			return
		}
		answer(404, "<html>no</html>")(w, r)
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		ok      bool
	}{
		"200 and {}":                     {answer(200, `{}`), true},
		"404 of a UFM":                   {ufm404, true},
		"404 of something else":          {answer(404, "not found"), false},
		"an error with status 200":       {answer(200, `{"error":"busy"}`), false},
		"members that are no list":       {answer(200, `{"guids":"none"}`), false},
		"a list":                         {answer(200, `[]`), false},
		"null":                           {answer(200, `null`), false},
		"nothing":                        {answer(200, ``), false},
		"a log-in page with status 200":  {answer(200, `<!DOCTYPE html><title>Log in</title>`), false},
		"an answer that was cut":         {answer(200, `{"guids":[{"guid":"02000000000`), false},
		"204, which no read is answered": {answer(204, ``), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, config(newFake(t, tc.handler).address()))
			p, err := c.Partition(t.Context(), tenant)
			if (err == nil) != tc.ok || len(p.Members) != 0 {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

func TestAuthenticationChoosesThePrefix(t *testing.T) {
	for name, tc := range map[string]struct {
		creds          Credentials
		prefix, header string
	}{
		"user":  {basicCredentials(), "/ufmRest/", "Basic YWRtaW46cGE1NS13b3Jk"},
		"token": {Credentials{Username: "admin", Password: NewSecret(password), Token: NewSecret("tok3n")}, "/ufmRestV3/", "Basic tok3n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, nil)
			cfg := config(f.address())
			cfg.Credentials = Static(tc.creds)
			c := newClient(t, cfg)
			if v, err := c.Version(t.Context()); err != nil || v != "6.18.0-5" {
				t.Fatalf("version: %q, %v", v, err)
			}
			if got := f.asked()[0]; got != "GET "+tc.prefix+"app/ufm_version" {
				t.Errorf("asked %s", got)
			}
			if got := f.header(0, "Authorization"); got != tc.header {
				t.Errorf("authorization %q, want %q", got, tc.header)
			}
		})
	}
}

func TestNewNamesTheSettingThatIsWrong(t *testing.T) {
	with := func(change func(*Config)) Config {
		cfg := config("ufm1")
		change(&cfg)
		return cfg
	}
	creds := func(c Credentials) Config { return with(func(cfg *Config) { cfg.Credentials = Static(c) }) }
	for want, cfg := range map[string]Config{
		"UFM_ADDRESS":                              with(func(c *Config) { c.Addresses = nil }),
		"UFM_USERNAME and UFM_PASSWORD":            with(func(c *Config) { c.Credentials = nil }),
		"UFM_TOKEN":                                creds(Credentials{}),
		"UFM_PASSWORD go together":                 creds(Credentials{Username: "admin"}),
		"UFM_CLIENT_KEY go together":               creds(Credentials{ClientCertificate: "-----BEGIN"}),
		"UFM_HTTP_SCHEMA":                          with(func(c *Config) { c.Scheme = "gopher" }),
		"UFM_PORT":                                 with(func(c *Config) { c.Port = 70000 }),
		"UFM_CERTIFICATE: its last PEM block":      creds(Credentials{Token: NewSecret("t"), Certificate: "# -----BEGIN nothing"}),
		"UFM_CERTIFICATE is neither PEM nor the p": creds(Credentials{Token: NewSecret("t"), Certificate: "/nowhere/ca.crt"}),
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestParseAddresses(t *testing.T) {
	got, err := ParseAddresses(" ufm1, ufm2:8443,,fe80::1,[fe80::2]:444 ,ufm1")
	want := []string{"ufm1", "ufm2:8443", "fe80::1", "[fe80::2]:444"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"", ",", "https://ufm1", "ufm1/path", "ufm1:99999", "ufm1:x", ":443", "a b"} {
		if got, err := ParseAddresses(bad); err == nil {
			t.Errorf("%q gave %q", bad, got)
		}
	}
	if _, err := ParseAddresses("admin:" + password + "@ufm1"); err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("a password in the address: %v", err)
	}
	endpoints, err := parseEndpoints(Config{Addresses: want, Scheme: "https"})
	if err != nil {
		t.Fatal(err)
	}
	var bases []string
	for _, e := range endpoints {
		if _, err := url.Parse(e.base); err != nil {
			t.Error(err)
		}
		bases = append(bases, e.base)
	}
	wantBases := []string{"https://ufm1:443", "https://ufm2:8443", "https://[fe80::1]:443", "https://[fe80::2]:444"}
	if diff := cmp.Diff(wantBases, bases); diff != "" {
		t.Error(diff)
	}
}
