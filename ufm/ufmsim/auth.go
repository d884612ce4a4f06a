package ufmsim

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Every way to log in has its own prefix.
const (
	prefixBasic   = "/ufmRest"   // user and password, or a client certificate
	prefixSession = "/ufmRestV2" // cookie of /dologin
	prefixToken   = "/ufmRestV3" // Authorization: Basic <token>, the token as it is

	sessionCookie = "session"
	// maxSessions bounds what a client that logs in for every call can make us keep.
	maxSessions = 4096
	// tokenLife is ten years, in seconds: what UFM says of a new token.
	tokenLife = 315360000
)

// logins are those who may come in.
type logins struct {
	username, password string

	mu       sync.Mutex       // protects what follows
	tokens   map[string]token // by themselves
	sessions map[string]bool
}

// token is one as app/tokens shows it.
type token struct {
	AccessToken string `json:"access_token"`
	Revoked     bool   `json:"revoked"`
	IssuedAt    int64  `json:"issued_at"`
	ExpiresIn   int64  `json:"expires_in"`
	Username    string `json:"username"`
}

func newLogins(cfg Config) *logins {
	l := &logins{username: cfg.Username, password: cfg.Password, tokens: map[string]token{}, sessions: map[string]bool{}}
	if cfg.Token != "" {
		l.tokens[cfg.Token] = token{AccessToken: cfg.Token, IssuedAt: cfg.Clock.Now().Unix(), ExpiresIn: tokenLife, Username: cfg.Username}
	}
	return l
}

// clone copies who may come in, so that a token made at one is unknown to the other.
func (l *logins) clone() *logins {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &logins{username: l.username, password: l.password, tokens: maps.Clone(l.tokens), sessions: maps.Clone(l.sessions)}
}

// authenticate says who a request is from, if it may use prefix.
func (s *Sim) authenticate(r *http.Request, prefix string) (user string, ok bool) {
	all := s.Quirks().AnyAuthPrefix
	if all || prefix == prefixBasic {
		if name, password, given := r.BasicAuth(); given && s.logins.check(name, password) {
			return name, true
		}
		// Only a certificate that TLS has verified makes a chain.
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			return "certificate " + r.TLS.VerifiedChains[0][0].Subject.CommonName, true
		}
	}
	if all || prefix == prefixToken {
		if text, given := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); given && s.logins.hasToken(text) {
			return s.logins.username, true
		}
	}
	if all || prefix == prefixSession {
		if c, err := r.Cookie(sessionCookie); err == nil && s.logins.hasSession(c.Value) {
			return s.logins.username, true
		}
	}
	return "", false
}

// check compares in constant time, of hashes because the lengths are secret too.
func (l *logins) check(name, password string) bool {
	given := sha256.Sum256([]byte(name + "\x00" + password))
	want := sha256.Sum256([]byte(l.username + "\x00" + l.password))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1
}

func (l *logins) hasToken(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.tokens[text]
	return ok
}

func (l *logins) hasSession(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[text]
}

func (l *logins) newToken(now time.Time) token {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := token{AccessToken: rand.Text(), IssuedAt: now.Unix(), ExpiresIn: tokenLife, Username: l.username}
	l.tokens[t.AccessToken] = t
	return t
}

func (l *logins) newSession() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	// All at once: who is logged out logs in again, as after a restart of UFM.
	if len(l.sessions) >= maxSessions {
		clear(l.sessions)
	}
	text := rand.Text()
	l.sessions[text] = true
	return text
}

func (l *logins) listTokens() []token {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]token, 0, len(l.tokens))
	for _, t := range l.tokens {
		list = append(list, t)
	}
	return list
}

// login is /dologin: a form with user and password for a session cookie.
func (s *Sim) login(w http.ResponseWriter, r *http.Request) {
	if _, up := s.alive(); !up {
		s.write(w, r, answer{cut: true})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	if !s.logins.check(r.PostFormValue("httpd_username"), r.PostFormValue("httpd_password")) {
		s.count(OpUnauthorized)
		s.write(w, r, text(http.StatusUnauthorized, "Unauthorized"))
		return
	}
	s.count(OpOther)
	s.write(w, r, answer{status: http.StatusOK, body: []byte("{}"), cookie: &http.Cookie{
		Name: sessionCookie, Value: s.logins.newSession(), Path: "/", HttpOnly: true, Secure: r.TLS != nil,
	}})
}
