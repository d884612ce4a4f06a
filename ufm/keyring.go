package ufm

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"
)

// recheck is how old credentials may be before a request looks for newer ones.
const recheck = 3 * time.Second

// keyring hands out the session that fits the newest good credentials. It looks for new
// ones only when somebody makes a request.
type keyring struct {
	cfg       Config
	endpoints []endpoint
	now       func() time.Time

	// mu is held while files are read, so that one request reads for all that wait. They
	// are small, and in memory when the kubelet mounts them.
	mu      sync.Mutex
	session *session
	looked  time.Time
	trouble string // the complaint already logged
}

func newKeyring(cfg Config, endpoints []endpoint) (*keyring, error) {
	k := &keyring{cfg: cfg, endpoints: endpoints, now: time.Now}
	c, err := cfg.Credentials.Load()
	if err != nil {
		return nil, err
	}
	k.session, err = newSession(c, cfg, endpoints)
	k.looked = k.now()
	return k, err
}

// get is the session for the next request.
func (k *keyring) get() *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Sub(k.looked) >= recheck {
		k.look()
	}
	return k.session
}

// after is the session to use when UFM refused old, and whether it is another one.
func (k *keyring) after(old *session) (*session, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session == old {
		k.look()
	}
	return k.session, k.session != old
}

// look takes new credentials if there are any. What cannot be used (a Secret that is half
// written, a key that does not fit its certificate) leaves the old ones in force: they may
// well work until the rest arrives.
func (k *keyring) look() {
	k.looked = k.now()
	c, err := k.cfg.Credentials.Load()
	if err == nil && c.equal(k.session.creds) {
		k.trouble = ""
		return
	}
	var fresh *session
	if err == nil {
		fresh, err = newSession(c, k.cfg, k.endpoints)
	}
	if err != nil {
		if k.trouble != err.Error() { // once per trouble, not once per look
			k.trouble = err.Error()
			k.cfg.Log.Warn("new ufm credentials cannot be used; the old ones stay", zap.Error(err))
		}
		return
	}
	k.trouble = ""
	k.session.close()
	k.session = fresh
}

func (k *keyring) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.session.close()
}

// session is one set of credentials and the connections made with them: a connection with
// a client certificate, or to a server that is trusted no more, must not be used on.
type session struct {
	creds         Credentials
	prefix        string
	authorization Secret // value of the header; not set with a client certificate
	settings      string // what a person checks when UFM refuses us
	clients       []*retryablehttp.Client
	redact        func(string) string
}

func newSession(c Credentials, cfg Config, endpoints []endpoint) (*session, error) {
	s := &session{creds: c, redact: redactor(c)}
	if err := s.chooseScheme(cfg.Scheme); err != nil {
		return nil, err
	}
	trust, err := newTrust(c.Certificate, cfg.SkipVerify)
	if err != nil {
		return nil, err
	}
	if s.settings == envClientCert {
		if err := trust.present(c.ClientCertificate, c.ClientKey); err != nil {
			return nil, err
		}
	}
	for _, e := range endpoints {
		s.clients = append(s.clients, newHTTPClient(cfg, trust.config(e.host), len(endpoints) == 1))
	}
	return s, nil
}

// chooseScheme follows UFM's manual, "Authentication Methods": the prefix of the URL
// says how the caller proves itself.
func (s *session) chooseScheme(scheme string) error {
	c := s.creds
	switch {
	case c.Token.IsSet():
		// UFM wants the token as it is behind the word Basic, not in base64.
		s.prefix, s.settings = "/ufmRestV3", envToken
		s.authorization = NewSecret("Basic " + c.Token.reveal())
		if strings.ContainsFunc(c.Token.reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%s holds blanks, several lines or what no token has: copy it again", envToken)
		}
	case c.ClientCertificate != "" && c.ClientKey.IsSet():
		s.prefix, s.settings = "/ufmRest", envClientCert
		if scheme != "https" {
			return fmt.Errorf("%s needs https: set UFM_HTTP_SCHEMA to https", envClientCert)
		}
	case c.ClientCertificate != "" || c.ClientKey.IsSet():
		return fmt.Errorf("%s and %s go together: one of them is not set", envClientCert, envClientKey)
	case strings.Contains(c.Username, ":"):
		// Basic auth ends the name there, and UFM would take the rest for the password.
		return fmt.Errorf("%s holds a colon: write the name alone, and the password into %s", envUsername, envPassword)
	case c.Username != "" && c.Password.IsSet():
		s.prefix, s.settings = "/ufmRest", envUsername+" and "+envPassword
		s.authorization = NewSecret("Basic " + basic(c))
	case c.Username != "" || c.Password.IsSet():
		return fmt.Errorf("%s and %s go together: one of them is not set", envUsername, envPassword)
	default:
		return errNoCredentials
	}
	return nil
}

func basic(c Credentials) string {
	return base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password.reveal()))
}

// redactor takes the secrets out of what UFM or a proxy echoes, in every coating that
// a web page or JSON may give them. It is a function because fmt opens a Replacer.
func redactor(c Credentials) func(string) string {
	var pairs []string
	hide := func(s string) {
		if s != "" {
			pairs = append(pairs, s, redacted)
		}
	}
	if c.Password.IsSet() {
		hide(basic(c))
	}
	for _, s := range []string{c.ClientKey.reveal(), c.Token.reveal(), c.Password.reveal()} {
		hide(inJSON(s, true))
		hide(inJSON(s, false))
		hide(html.EscapeString(s))
		hide(url.QueryEscape(s))
		hide(url.PathEscape(s))
		hide(s)
	}
	return strings.NewReplacer(pairs...).Replace
}

// inJSON is s as it stands in a JSON string; web is Go's way, which spares HTML.
func inJSON(s string, web bool) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(web)
	if err := enc.Encode(s); err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

func (s *session) close() {
	for _, c := range s.clients {
		c.HTTPClient.CloseIdleConnections()
	}
}
