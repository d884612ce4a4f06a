package ufm

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	f := newFake(t, nil)
	creds := basicCredentials()
	creds.Token, creds.ClientKey = NewSecret(password), NewSecret("-----BEGIN "+password)
	cfg := config(f.address())
	cfg.Credentials = Static(creds)
	c := newClient(t, cfg)
	if _, err := c.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	hidden := struct{ secret Secret }{NewSecret(password)} // fmt calls no methods on it
	for name, v := range map[string]any{
		"secret": creds.Password, "pointer": &creds.Password, "credentials": creds, "config": cfg,
		"client": c, "source": cfg.Credentials, "session": c.keys.get(), "keyring": c.keys, "hidden": hidden,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			refute(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		if text, err := json.Marshal(v); err == nil {
			refute(t, name+" json", string(text))
		}
		refute(t, name+" zap", zapped(t, v))
		var b strings.Builder
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		refute(t, name+" slog", b.String())
	}
}

func refute(t *testing.T, what, printed string) {
	t.Helper()
	for _, form := range []string{password, "YWRtaW46cGE1NS13b3Jk", fmt.Sprintf("%x", password)} {
		if strings.Contains(printed, form) {
			t.Errorf("%s shows the password", what)
		}
	}
}

func zapped(t *testing.T, v any) string {
	t.Helper()
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	buf, err := enc.EncodeEntry(zapcore.Entry{}, []zapcore.Field{zap.Any("any", v), zap.Reflect("reflect", v)})
	if err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestEchoedSecretIsRedacted(t *testing.T) {
	const awkward = `pa"55&w<rd`
	for name, echo := range map[string]func(*http.Request) string{
		"password":      func(*http.Request) string { return awkward },
		"in JSON":       func(*http.Request) string { return `{"password":"pa\"55&w<rd"}` },
		"in HTML":       func(*http.Request) string { return `<p>pa&#34;55&amp;w&lt;rd</p>` },
		"in a query":    func(*http.Request) string { return `password=pa%2255%26w%3Crd&` },
		"authorization": func(r *http.Request) string { return r.Header.Get("Authorization") },
	} {
		for _, status := range []int{200, 400, 500} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				log, seen := logs()
				f := newFake(t, func(w http.ResponseWriter, r *http.Request) { answer(status, echo(r))(w, r) })
				cfg := config(f.address())
				cfg.Credentials, cfg.Log = Static(Credentials{Username: "admin", Password: NewSecret(awkward)}), log
				_, err := newClient(t, cfg).Version(t.Context())
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(e.Detail, redacted) {
					t.Fatalf("got %v", err)
				}
				printed := fmt.Sprintf("%v %+v %#v", err, e, e)
				for _, entry := range seen.All() {
					printed += fmt.Sprint(entry.Message, entry.ContextMap())
				}
				for _, form := range []string{awkward, `pa\"55`, "pa&#34;", "pa%22", f.header(0, "Authorization")} {
					if strings.Contains(printed, form) {
						t.Errorf("shows %s: %s", form, printed)
					}
				}
			})
		}
	}
}

// mount is a directory as the kubelet mounts a Secret.
type mount struct {
	path    string
	version int
}

func (m *mount) write(t *testing.T, files map[string]string) {
	t.Helper()
	m.version++
	data := fmt.Sprintf("..v%d", m.version)
	if err := os.Mkdir(filepath.Join(m.path, data), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.path, data, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fresh := filepath.Join(m.path, "..data_tmp")
	if err := os.Symlink(data, fresh); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, filepath.Join(m.path, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestNewPasswordIsUsedAsSoonAsTheOldIsRefused(t *testing.T) {
	m := mount{path: t.TempDir()}
	m.write(t, map[string]string{"UFM_USER": "admin\n", "UFM_PASSWORD": "old\n"})
	valid := "old"
	f := newFake(t, nil)
	f.before = func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "admin" || pass != valid {
			answer(401, "no")(w, r)
			return
		}
		answer(200, `{"ufm_release_version":"6.19.3"}`)(w, r)
	}
	cfg := config(f.address())
	cfg.Credentials = Dir(m.path)
	c := newClient(t, cfg)
	c.keys.now = func() time.Time { return time.Time{} } // the clock never asks for a look
	if _, err := c.Add(t.Context(), tenant, batch(g1)); err != nil {
		t.Fatal(err)
	}
	valid = "new"
	if _, err := c.Add(t.Context(), tenant, batch(g1)); !isKind(err, Unauthorized) {
		t.Fatalf("with the old password: %v", err)
	}
	m.write(t, map[string]string{"UFM_USER": "admin\n", "UFM_PASSWORD": "new\n"})
	if _, err := c.Add(t.Context(), tenant, batch(g1)); err != nil {
		t.Fatalf("with the new password: %v", err)
	}
	if n := len(f.asked()); n != 4 { // good; refused; refused and good
		t.Errorf("%d requests", n)
	}
}

func TestNewCredentialsAreSeenInTime(t *testing.T) {
	m := mount{path: t.TempDir()}
	m.write(t, map[string]string{"UFM_TOKEN": "one"})
	log, seen := logs()
	f := newFake(t, nil)
	cfg := config(f.address())
	cfg.Credentials, cfg.Log = Dir(m.path), log
	c := newClient(t, cfg)
	clock := time.Now()
	c.keys.now = func() time.Time { return clock }
	used := func() string {
		t.Helper()
		clock = clock.Add(recheck)
		if _, err := c.Version(t.Context()); err != nil {
			t.Fatal(err)
		}
		return f.header(len(f.asked())-1, "Authorization")
	}
	complaints := func() int { return seen.FilterMessageSnippet("cannot be used").Len() }

	m.write(t, map[string]string{"UFM_TOKEN": "two"})
	if got := used(); got != "Basic two" {
		t.Errorf("new token: %q", got)
	}
	m.write(t, map[string]string{"UFM_TOKEN": "three", "UFM_CERTIFICATE": "-----BEGIN CERTIFICATE-----\nMIIB"})
	for range 3 {
		if got := used(); got != "Basic two" || complaints() != 1 {
			t.Errorf("half a certificate: %q, %d complaints", got, complaints())
		}
	}
	if err := os.Remove(filepath.Join(m.path, "..data")); err != nil {
		t.Fatal(err)
	}
	if got := used(); got != "Basic two" {
		t.Errorf("secret gone: %q", got)
	}
	m.write(t, map[string]string{"UFM_TOKEN": "four"})
	if got := used(); got != "Basic four" {
		t.Errorf("mended: %q", got)
	}
}

func TestCredentialsOfAMountThatIsNotThere(t *testing.T) {
	if _, err := Dir(filepath.Join(t.TempDir(), "none")).Load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
