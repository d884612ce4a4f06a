package ufm

import (
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// badAnswer is one way in which an answer to a read of partition 0x1000 can be odd, and
// what comes of it: the members that are read, or an error of that kind that says that.
type badAnswer struct {
	handler http.HandlerFunc
	members []guid.GUID
	warns   bool // that something was left out
	fails   bool
	kind    Kind
	says    string
}

func read(handler http.HandlerFunc, members ...guid.GUID) badAnswer {
	return badAnswer{handler: handler, members: members}
}

func said(body string, members ...guid.GUID) badAnswer { return read(answer(200, body), members...) }

// partly is for an answer of which something is left out.
func partly(body string, members ...guid.GUID) badAnswer {
	return badAnswer{handler: answer(200, body), members: members, warns: true}
}

func refused(handler http.HandlerFunc, kind Kind, says string) badAnswer {
	return badAnswer{handler: handler, fails: true, kind: kind, says: says}
}

func spoilt(body, says string) badAnswer { return refused(answer(200, body), BadAnswer, says) }

func zipped(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, body)
		_ = z.Close()
	}
}

// short promises more bytes than it sends.
func short(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, `{"guids":[`)
}

const (
	one  = `{"guid":"0200000000000001","index0":true,"membership":"full"}`
	part = `{"ip_over_ib":true,"partition":"api_pkey_0x1000","guids":[` + one + `]}`
)

func badAnswers() map[string]badAnswer {
	return map[string]badAnswer{
		"sound":                                  said(part, g1),
		"truncated JSON":                         spoilt(part[:len(part)-2], "unexpected end of JSON"),
		"cut off on the way":                     refused(short, Unavailable, "EOF"),
		"JSON with something behind":             spoilt(part+"x", "after top-level value"),
		"guids as a string":                      spoilt(`{"guids":"0200000000000001"}`, "guids are no list"),
		"guids as a map":                         spoilt(`{"guids":{"0200000000000001":{}}}`, "guids are no list"),
		"guids as numbers":                       spoilt(`{"guids":[144115188075855873]}`, "not one of its 1 guids can be read"),
		"guids in a form that nobody knows":      spoilt(`{"guids":[{"guid":"GUID_0200000000000001"}]}`, "not one of its 1 guids can be read"),
		"one guid among others":                  partly(`{"guids":[`+one+`,7]}`, g1),
		"no guids where they were asked for":     spoilt(`{"ip_over_ib":true,"partition":"api_pkey_0x1000"}`, "does a proxy drop ?guids_data=true?"),
		"HTML with 200":                          spoilt(`<html><title>Log in</title></html>`, "is this a UFM"),
		"HTML with 502":                          refused(answer(502, `<html><body>Bad <b>Gateway</b></body></html>`), Unavailable, "Bad Gateway"),
		"10 MB of blanks behind":                 said(part+strings.Repeat(" ", 10<<20), g1),
		"10 MB of text":                          spoilt(`"`+strings.Repeat("y", 10<<20)+`"`, "not a JSON object"),
		"upper-case guids":                       said(`{"guids":[{"guid":"02000000000000AB","membership":"FULL"}]}`, g2),
		"guids with 0x":                          said(`{"guids":["0x0200000000000001"]}`, g1),
		"guids with colons":                      said(`{"guids":[{"guid":"02:00:00:00:00:00:00:ab"}]}`, g2),
		"unknown partition":                      said(`{}`),
		"null":                                   spoilt(`null`, "not a JSON object"),
		"null fields":                            said(`{"guids":null,"partition":null,"ip_over_ib":null,"membership":null}`),
		"null guid":                              partly(`{"guids":[`+one+`,{"guid":null},null]}`, g1),
		"only a null guid":                       spoilt(`{"guids":[null]}`, "can be read"),
		"a guid that is no port's":               partly(`{"guids":["0000000000000000"]}`),
		"unknown membership":                     partly(`{"guids":[{"guid":"0200000000000001","membership":"both"}]}`, g1),
		"membership as a number":                 partly(`{"guids":[{"guid":"0200000000000001","membership":1}]}`, g1),
		"empty body":                             spoilt(``, "not a JSON object"),
		"empty body, 204":                        refused(answer(204, ``), BadAnswer, "204"),
		"200 with an error text":                 spoilt(`UFM is starting up`, "UFM is starting up"),
		"200 with an error object":               spoilt(`{"error":"busy"}`, "not a partition"),
		"a list":                                 spoilt(`[`+part+`]`, "not a JSON object"),
		"another partition":                      spoilt(`{"pkey":"0x2000","guids":[]}`, "it is pkey 0x2000, and 0x1000 was asked for"),
		"another partition as key":               spoilt(`{"0x2000":`+part+`}`, "not a partition"),
		"under its key, padded":                  said(`{"0x01000":`+part+`}`, g1),
		"gzip":                                   read(zipped(part), g1),
		"gzip that is none":                      refused(falselyZipped, Unavailable, "gzip"),
		"404 of a UFM":                           read(notFound(`{"ufm_release_version":"6.19"}`)),
		"404 of what is no UFM":                  refused(answer(404, `404 page not found`), NotFound, "version"),
		"404, and a version that cannot be read": refused(notFound(`<html>`), BadAnswer, "is this a UFM"),
	}
}

// notFound says 404 to all but the question for the version.
func notFound(version string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/app/ufm_version") {
			answer(200, version)(w, r)
			return
		}
		answer(404, "no such pkey")(w, r)
	}
}

func falselyZipped(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	answer(200, part)(w, r)
}

func TestAnOddAnswerIsReadRightOrRefused(t *testing.T) {
	for name, tc := range badAnswers() {
		t.Run(name, func(t *testing.T) {
			log, seen := logs()
			cfg := config(newFake(t, tc.handler).address())
			cfg.Log = log
			got, err := newClient(t, cfg).Partition(t.Context(), tenant)
			if tc.fails {
				wantKind(t, err, tc.kind, tc.says)
				return
			}
			if err != nil || !slices.Equal(guidsOf(got), tc.members) || got.PKey != tenant {
				t.Fatalf("read %+v, %v", got, err)
			}
			if warned := seen.FilterMessageSnippet("left out").Len(); tc.warns != (warned == 1) {
				t.Errorf("it warned %d times", warned)
			}
		})
	}
}

func guidsOf(p pkey.Partition) []guid.GUID {
	var list []guid.GUID
	for _, m := range p.Members {
		list = append(list, m.GUID)
	}
	return list
}

func wantKind(t *testing.T, err error, kind Kind, says string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("%v\nwant %s that says %q", err, kind, says)
	}
}

func TestAnOddListIsReadRightOrRefused(t *testing.T) {
	type lists map[pkey.PKey][]guid.GUID
	for name, tc := range map[string]struct {
		body   string
		want   lists
		unread pkey.PKey // its members stay unknown
		warns  bool
		says   string // the error, of the whole or of the one that is unread
	}{
		"a guid in several partitions":   {body: `{"0x5":{"guids":[` + one + `]},"0x6":{"guids":[` + one + `]}}`, want: lists{5: {g1}, 6: {g1}}},
		"one partition in two spellings": {body: `{"0x5":{"guids":[` + one + `]},"0X0005":{"guids":["02000000000000ab"]}}`, want: lists{5: {g1, g2}}},
		// 5 may be decimal or hex: whose members they are is no guess to take.
		"a pkey without 0x":            {body: `{"0x6":{"guids":[` + one + `]},"5":{"guids":[` + one + `]}}`, want: lists{6: {g1}}, warns: true},
		"no pkey with 0x":              {body: `{"5":{"guids":[` + one + `]}}`, says: "not one of its names is a pkey"},
		"a pkey of 16 bits":            {body: `{"0x8005":{"guids":[` + one + `]},"0x6":{"guids":[]}}`, want: lists{6: nil}, warns: true},
		"an error in the place of all": {body: `{"error":"UFM is starting"}`, says: "not one of its names is a pkey"},
		"truncated":                    {body: `{"0x5":{"guids":[` + one, says: "unexpected end"},
		"null":                         {body: `null`, says: "neither a JSON object nor a JSON list"},
		"empty body":                   {body: ``, says: "neither a JSON object nor a JSON list"},
		"HTML":                         {body: `<html></html>`, says: "is this a UFM"},
		// The partition is asked for by itself, and its answer is no better.
		"guids of one as a string":   {body: `{"0x5":{"guids":"x"},"0x6":{"guids":[` + one + `]}}`, want: lists{6: {g1}}, unread: 5, says: "read pkey 0x5"},
		"guids of one left out":      {body: `{"0x5":{"partition":"a"},"0x6":{"guids":[` + one + `]}}`, want: lists{6: {g1}}, unread: 5, says: "read pkey 0x5"},
		"guids of one as numbers":    {body: `{"0x5":{"guids":[1,2]},"0x6":{"guids":[` + one + `]}}`, want: lists{6: {g1}}, unread: 5, says: "read pkey 0x5"},
		"a partition that is a list": {body: `{"0x5":[` + one + `],"0x6":{"guids":[]}}`, want: lists{6: nil}, unread: 5, says: "read pkey 0x5"},
		// What nothing can be read of is no list, whoever sent it.
		"guids of all as a string": {body: `{"0x5":{"guids":"x"},"0x6":{"guids":"y"}}`, says: "read pkey 0x5"},
		// The management partition holds all ports, whether UFM lists none of them or nothing.
		"only management, without guids":            {body: `{"0x7fff":{"partition":"management","ip_over_ib":true}}`, want: lists{pkey.Default: nil}},
		"one and management, both of them left out": {body: `{"0x5":{"partition":"a"},"0x7fff":{"partition":"management"}}`, want: lists{pkey.Default: nil}, unread: 5, says: "read pkey 0x5"},
	} {
		t.Run(name, func(t *testing.T) {
			log, seen := logs()
			cfg := config(newFake(t, answer(200, tc.body)).address())
			cfg.Log = log
			parts, err := newClient(t, cfg).Partitions(t.Context())
			if tc.says != "" && tc.unread == 0 {
				wantKind(t, err, BadAnswer, tc.says)
				return
			}
			have := lists{}
			for _, p := range parts {
				if p.PKey == tc.unread {
					wantKind(t, p.Err, BadAnswer, tc.says)
					continue
				}
				if have[p.PKey] = guidsOf(p); p.Err != nil {
					t.Errorf("pkey %s: %v", p.PKey, p.Err)
				}
			}
			if tc.unread != 0 && len(parts) != len(tc.want)+1 {
				t.Errorf("pkey %s is not among %+v", tc.unread, parts)
			}
			if diff := cmp.Diff(tc.want, have); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if warned := seen.FilterMessageSnippet("left out").Len(); tc.warns != (warned == 1) {
				t.Errorf("it warned %d times", warned)
			}
		})
	}
}

// What is wrong with one partition stays with it. What would meet the next one too, a UFM
// that is gone or refuses us, is no answer about one, and asking on would cost a timeout each.
func TestOfPartitionsThatAreOnlyNamedOneThatFailsHidesNoOther(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		whole  bool
	}{
		"an error of UFM":           {500, "KeyError: 'guids'", false},
		"not a partition":           {200, `{"error":"busy"}`, false},
		"a refusal":                 {400, "no such thing", false},
		"a gateway before a UFM":    {502, "Bad Gateway", true},
		"credentials that ran out":  {401, "log in", true},
		"no right to look into any": {403, "forbidden", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/resources/pkeys"):
					answer(200, `["0x5","0x1000"]`)(w, r)
				case strings.HasSuffix(r.URL.Path, "/0x5"):
					answer(tc.status, tc.body)(w, r)
				default:
					answer(200, part)(w, r)
				}
			})
			parts, err := newClient(t, config(f.address())).Partitions(t.Context())
			if tc.whole {
				if err == nil || !strings.Contains(err.Error(), "read pkey 0x5") {
					t.Errorf("%+v, %v", parts, err)
				}
				return
			}
			if err != nil || len(parts) != 2 {
				t.Fatalf("%+v, %v", parts, err)
			}
			if bad := parts[0]; bad.PKey != 0x5 || bad.Err == nil || len(bad.Members) != 0 || bad.From != f.address() {
				t.Errorf("the one that fails: %+v", bad)
			}
			if good := parts[1]; good.PKey != tenant || good.Err != nil || !slices.Equal(guidsOf(good), []guid.GUID{g1}) {
				t.Errorf("the other: %+v", good)
			}
		})
	}
}

func TestAnOddLastUpdatedOrVersionIsRefused(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "null": "null", "a list": "[]", "text": "Thu Sep 13", "truncated": `{"last_updated":"x","ufm_release_version":"6`,
		"HTML": "<html>", "an error": `{"error":"busy"}`, "other fields": `{"opensm":"5.20"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, config(newFake(t, answer(200, body)).address()))
			text, err := c.LastUpdated(t.Context())
			wantKind(t, err, BadAnswer, "read when partitions were last updated")
			version, err := c.Version(t.Context())
			wantKind(t, err, BadAnswer, "read ufm's version")
			if text != "" || version != "" {
				t.Errorf("and yet %q, %q", text, version)
			}
		})
	}
}

// A redirect would carry the password to wherever it points.
func TestCredentialsDoNotFollowARedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			elsewhere := newFake(t, nil)
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), status)
			})
			c := newClient(t, config(f.address()))
			_, err := c.Partitions(t.Context())
			wantKind(t, err, Unavailable, "UFM sends us elsewhere: check UFM_HTTP_SCHEMA")
			_, err = c.Partition(t.Context(), tenant)
			wantKind(t, err, Unavailable, "elsewhere")
			_, err = c.Add(t.Context(), tenant, batch(g1))
			wantKind(t, err, Unavailable, "elsewhere")
			_, err = c.Remove(t.Context(), tenant, []guid.GUID{g1})
			wantKind(t, err, Unavailable, "elsewhere")
			if asked := elsewhere.asked(); len(asked) != 0 {
				t.Errorf("elsewhere was asked %v, with %q", asked, elsewhere.header(0, "Authorization"))
			}
		})
	}
}

// endless sends chunks for as long as somebody listens, each after a pause.
func endless(pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat(" ", 64<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(pause):
			}
		}
	}
}

func TestAnAnswerWithoutEndIsGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		pause time.Duration
		limit int64
		kind  Kind
		says  string
	}{
		"slow, by the timeout": {time.Minute, maxAnswer, Unavailable, "deadline exceeded"},
		"fast, by its length":  {0, 1 << 20, BadAnswer, "too large: more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, config(newFake(t, endless(tc.pause)).address()))
			c.maxAnswer = tc.limit
			if tc.limit == maxAnswer {
				c.timeout = 100 * time.Millisecond
			}
			_, err := c.Partitions(t.Context())
			wantKind(t, err, tc.kind, tc.says)
		})
	}
}

// What unpacks to gigabytes is measured unpacked.
func TestAZippedAnswerThatIsTooLargeIsGivenUp(t *testing.T) {
	c := newClient(t, config(newFake(t, zipped(strings.Repeat(" ", 8<<20))).address()))
	c.maxAnswer = 1 << 20
	_, err := c.Partitions(t.Context())
	wantKind(t, err, BadAnswer, "too large")
}

func TestASettingThatCannotWorkIsRefusedAtTheStart(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*Config)
		says string
	}{
		"a control character in the address": {func(c *Config) { c.Addresses = []string{"ufm\x00"} }, "write a host or host:port"},
		"a character that no host has":       {func(c *Config) { c.Addresses = []string{"ufm|spare"} }, "write a host or host:port"},
		"half a bracket":                     {func(c *Config) { c.Addresses = []string{"[::1"} }, "write a host or host:port"},
		"a port with a sign":                 {func(c *Config) { c.Addresses = []string{"ufm:+443"} }, "the port is 1 to 65535"},
		"a colon in the user's name":         {func(c *Config) { c.Credentials = Static(Credentials{Username: "a:b", Password: NewSecret(password)}) }, "UFM_USERNAME holds a colon"},
		"a control character in the token":   {func(c *Config) { c.Credentials = Static(Credentials{Token: NewSecret("tok\x00en")}) }, "UFM_TOKEN holds blanks, several lines or what no token has"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config("ufm")
			tc.edit(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v\nwant it to say %q", err, tc.says)
			}
		})
	}
}
