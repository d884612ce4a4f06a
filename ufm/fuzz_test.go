package ufm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func answerSeeds() []string {
	return []string{
		``, `null`, `{}`, `[]`, `7`, `"x"`, `{`, "\xff", `<html>502</html>`, `{"error":"busy"}`,
		`{"0x1000":{"guids":[{"guid":"0200000000000001","index0":true,"membership":"limited"}],"ip_over_ib":true,"partition":"a"}}`,
		`{"guids":["02:00:00:00:00:00:00:AB","0x0200000000000001",7,null,{}],"ip_over_ib":"no","pkey":"0x1000"}`,
		`{"guids":[],"pkey":"0x5"}`, `{"guids":"0200000000000001"}`, `{"guids":{"a":1}}`, `{"guids":[1,2]}`, `{"guids":["0x0000000000000000"]}`,
		`{"ip_over_ib":true,"partition":"a"}`, `{"qos_conf":{"mtu_limit":"4","rate_limit":2.5,"service_level":3}}`, `{"qos_conf":{"mtu_limit":1e99}}`,
		`{"ufm_release_version":"6.18.0-5","last_updated":"19-01-2026, 20:34:50","m_key":"0x5ec4e7","subnet_prefix":1}`,
		`{"last_updated":null,"ufm_release_version":null}`, `["0x1000","5"]`, `[{"pkey":"0x1000"},{"guids":[]}]`, `{"0x5":{"guids":[]},"0x0005":{"guids":["0200000000000001"]}}`,
		`{"x":"` + strings.Repeat("y", 1000) + `"}`, strings.Repeat("[", 20000),
	}
}

// plainMembers is how a plain reader sees the GUIDs of one partition.
func plainMembers(body string) (guids []guid.GUID, ok bool) {
	var plain struct {
		GUIDs []struct {
			GUID       string `json:"guid"`
			Membership string `json:"membership"`
		} `json:"guids"`
		PKey string `json:"pkey"`
	}
	if json.Unmarshal([]byte(body), &plain) != nil || plain.PKey != "" {
		return nil, false
	}
	for _, m := range plain.GUIDs {
		g, err := guid.Parse(m.GUID)
		if err != nil {
			return nil, false
		}
		guids = append(guids, g)
	}
	slices.Sort(guids)
	return slices.Compact(guids), len(guids) > 0
}

func FuzzDecodeOnePartition(f *testing.F) {
	for _, s := range answerSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		part, odd, err := decodeOne(tenant, []byte(body))
		if err != nil {
			return
		}
		have := slices.Collect(func(yield func(guid.GUID) bool) {
			for _, m := range part.Members {
				if !m.GUID.IsValid() || !yield(m.GUID) {
					return
				}
			}
		})
		if part.PKey != tenant || len(have) != len(part.Members) || !slices.IsSorted(have) || len(slices.Compact(slices.Clone(have))) != len(have) {
			t.Fatalf("%s gave %+v", body, part)
		}
		// What decides over GUIDs: an answer that is taken for a partition without
		// members must have said so.
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &object); err != nil {
			t.Fatalf("%s is no object and was taken for %+v", body, part)
		}
		if len(have) == 0 && len(object) > 1 && !strings.Contains(strings.ToLower(body), `guids`) && !strings.Contains(body, `\u`) {
			t.Fatalf("%s says nothing of members, and was taken for a partition without", body)
		}
		if plain, ok := plainMembers(body); ok && odd.guids == 0 && !slices.Equal(plain, have) && strings.Count(strings.ToLower(body), "guid\"") == len(plain) {
			t.Fatalf("%s has %v, a plain reader sees %v", body, have, plain)
		}
	})
}

// A list is its partitions one by one: asking for all must not say otherwise than asking
// for one.
func FuzzAListSaysWhatItsPartitionsSay(f *testing.F) {
	for _, s := range answerSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		list, err := decodeList([]byte(body))
		if err != nil {
			return
		}
		var object map[string]json.RawMessage
		if first([]byte(body)) != '{' || json.Unmarshal([]byte(body), &object) != nil {
			return
		}
		byKey := map[pkey.PKey]json.RawMessage{}
		for name, raw := range object {
			if p, err := pkey.ParseUFM(name); err == nil {
				if _, twice := byKey[p]; twice {
					return
				}
				byKey[p] = raw
			}
		}
		if len(list.partitions) != len(byKey) {
			t.Fatalf("%s has %d partitions, read %d", body, len(byKey), len(list.partitions))
		}
		for _, part := range list.partitions {
			one, _, err := decodeOne(part.PKey, byKey[part.PKey])
			if (err != nil) != list.bare[part.PKey] || err == nil && !slices.Equal(one.Members, part.Members) {
				t.Fatalf("%s: in the list %+v (bare %t), alone %+v, %v", body, part, list.bare[part.PKey], one, err)
			}
		}
	})
}

// Any status with any body: every method ends with an *Error that fits into a message,
// and shows no secret that the answer echoes.
func FuzzAnyAnswerEndsWellOrWithATypedError(f *testing.F) {
	for i, s := range answerSeeds() {
		f.Add([]int{200, 200, 200, 502, 404, 401, 302, 500, 503, 400, 204}[i%11], s)
		f.Add(200, s)
	}
	f.Add(400, "password="+password+"\x1b[31m\nYWRtaW46cGE1NS13b3Jk")
	f.Add(200, `{"`+password+`":`)
	status, body := 0, ""
	fake := unstartedFake(func(w http.ResponseWriter, _ *http.Request) { answer(status, body)(w, nil) })
	fake.Start()
	f.Cleanup(fake.Close)
	cfg := config(fake.address())
	cfg.RetryWait = 1
	c, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, s int, b string) {
		if s < 200 || s > 599 {
			return
		}
		status, body = s, b
		fake.mu.Lock()
		fake.requests, fake.headers, fake.bodies = nil, nil, nil
		fake.mu.Unlock()
		ctx := t.Context()
		wantTyped(t, "version", func() error { _, err := c.Version(ctx); return err })
		wantTyped(t, "last updated", func() error { _, err := c.LastUpdated(ctx); return err })
		wantTyped(t, "smconf", func() error { _, err := c.SMConf(ctx); return err })
		wantTyped(t, "qos", func() error { _, _, err := c.QoS(ctx, tenant); return err })
		wantTyped(t, "partition", func() error { _, err := c.Partition(ctx, tenant); return err })
		wantTyped(t, "add", func() error { _, err := c.Add(ctx, tenant, batch(g1)); return err })
		wantTyped(t, "remove", func() error { _, err := c.Remove(ctx, tenant, []guid.GUID{g1}); return err })
		if s == 200 && len(b) < 1<<10 { // a list of bare names costs a request each
			wantTyped(t, "partitions", func() error { _, err := c.Partitions(ctx); return err })
		}
	})
}

func wantTyped(t *testing.T, what string, call func() error) {
	t.Helper()
	err := call()
	if err == nil {
		return
	}
	var e *Error
	if !isError(err, &e) || e.Op == "" || e.Address == "" {
		t.Fatalf("%s: %T %v", what, err, err)
	}
	text := err.Error()
	if len(text) > 2000 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("%s: unfit message of %d bytes: %.2000q", what, len(text), text)
	}
	refute(t, what, fmt.Sprintf("%v %+v", text, e))
}

func isError(err error, e **Error) bool {
	found, ok := err.(*Error)
	*e = found
	return ok
}

// hostPort is the form of one address, slowly: a name or an IP address, and a port.
var hostPort = regexp.MustCompile(`^(\[?[^\s\[\]]+\]?)(:([0-9]+))?$`)

func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{
		"", ",", "ufm", "ufm.example:8443, 10.0.0.1", "[::1]:443", "::1", "[::1]", "a:0", "a:65536", "a:+80", "a:080", ":443", "a b", "user:pw@ufm",
		"https://ufm", "ufm/x", "a,a", "\x00", "a\x7f", "[", "]::1[", "fe80::1%eth0", "a:b:c", "ü", "a<b", "a^b", "a|b", "{a}", "a`b", "a;b", "a\u2028b", "\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseAddresses(s)
		if err != nil {
			if text := err.Error(); len(text) > 400 || !strings.Contains(text, "UFM_ADDRESS") || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("unfit message of %d bytes: %.500q", len(text), text)
			}
			return
		}
		if len(list) == 0 || len(list) > strings.Count(s, ",")+1 {
			t.Fatalf("%q is %q", s, list)
		}
		if again, err := ParseAddresses(strings.Join(list, " , ")); err != nil || !slices.Equal(again, list) {
			t.Fatalf("%q came back as %q, %v", list, again, err)
		}
		endpoints, err := parseEndpoints(Config{Addresses: list, Scheme: "https"})
		if err != nil || len(endpoints) != len(list) {
			t.Fatalf("%q: %v", list, err)
		}
		for _, e := range endpoints {
			u, err := url.Parse(e.base + "/ufmRest/resources/pkeys")
			if err != nil || !strings.EqualFold(u.Hostname(), e.host) || u.Port() == "" || u.User != nil || u.Path != "/ufmRest/resources/pkeys" || !hostPort.MatchString(e.name) {
				t.Fatalf("%q is called as %q: %v", e.name, e.base, err)
			}
			if _, err := http.NewRequest(http.MethodGet, u.String(), nil); err != nil {
				t.Fatalf("%q cannot be called: %v", e.name, err)
			}
		}
	})
}

// Credentials come from files that people write. What is taken makes a header that HTTP
// carries and UFM reads as it was meant; what is refused does not show the secret.
func FuzzCredentialsFromFiles(f *testing.F) {
	f.Add("admin\n", "s3cret-pw\n", "", "", "")
	f.Add("", "", "to-ken", "", "")
	f.Add("", "", "to ken", "", "")
	f.Add("", "", "tok\x00en-x", "", "")
	f.Add("", "", "tökën-x", "", "")
	f.Add("a:b", "s3cret-pw", "", "", "")
	f.Add("admin", "pass\nword-2", "", "-----BEGIN CERTIFICATE-----\nMIIB", "")
	f.Add("admin", "", "", "", "-----BEGIN PRIVATE KEY-----")
	f.Add("\x00", "\xff\xfe\xfd\xfc\xfb\xfa", "", "junk", "junk-key")
	f.Fuzz(func(t *testing.T, user, pass, token, certificate, key string) {
		files := map[string]string{envUsername: user, envPassword: pass, envToken: token, envCertificate: certificate, envClientCert: certificate, envClientKey: key}
		c := CredentialsFrom(func(name string) string { return files[name] })
		s, err := newSession(c, Config{Scheme: "https", Timeout: 1, RetryWait: 1}, []endpoint{{name: "ufm", host: "ufm", base: "https://ufm:443"}})
		if err != nil {
			text := err.Error()
			for _, secret := range []string{c.Password.reveal(), c.Token.reveal(), c.ClientKey.reveal()} {
				if len(secret) > 5 && strings.Contains(text, secret) && !strings.Contains("UFM_CLIENT_CERTIFICATE UFM_USERNAME UFM_PASSWORD UFM_TOKEN", secret) {
					t.Fatalf("the error shows %q: %v", secret, err)
				}
			}
			if len(text) > 600 {
				t.Fatalf("a message of %d bytes: %.600s", len(text), text)
			}
			return
		}
		req, err := newRequest(t.Context(), s, endpoint{base: "https://ufm:443"}, call{method: http.MethodGet, path: "/app/ufm_version"})
		if err != nil {
			t.Fatal(err)
		}
		value := req.Header.Get("Authorization")
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("HTTP does not carry the header %q", value)
		}
		if !c.Token.IsSet() && s.authorization.IsSet() {
			if u, p, ok := req.BasicAuth(); !ok || u != c.Username || p != c.Password.reveal() {
				t.Fatalf("%q and %q arrive as %q and %q", c.Username, c.Password.reveal(), u, p)
			}
		}
	})
}

// A bundle of certificates is trusted whole or not at all.
func FuzzACertificateBundle(f *testing.F) {
	const cut = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
	for _, s := range []string{"", "junk", cut, "-----BEGIN CERTIFICATE-----", "-----BEGIN X-----\n-----END X-----\n", cut + cut, "\x00", strings.Repeat("-----BEGIN ", 1000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, bundle string) {
		trusted, err := newTrust(bundle, false)
		switch {
		case err != nil && !strings.Contains(err.Error(), envCertificate):
			t.Fatalf("the message does not say which setting: %v", err)
		case err == nil && bundle != "" && trusted.roots == nil:
			t.Fatalf("%q was taken, and the system's CAs are trusted instead", bundle)
		case err == nil && bundle != "" && len(trusted.pins) == 0 && !strings.Contains(bundle, "BEGIN CERTIFICATE"):
			t.Fatalf("%q was taken for a certificate", bundle)
		}
	})
}
