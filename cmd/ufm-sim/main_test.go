package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noEnv(string) string { return "" }

// start runs the program until the end of the test and returns its URL. finish stops
// it and gives the code and all that it wrote.
func start(t *testing.T, getenv func(string) string, args ...string) (url string, finish func() (int, string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var said, logged bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, args, getenv, in, &logged)
		_ = in.Close()
	}()
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		cancel()
		t.Fatalf("%v, code %d: %s", err, <-code, logged.String())
	}
	said.Write(line[:n])
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&said, out)
	}()
	return regexp.MustCompile(`https?://[0-9.:]+\d`).FindString(string(line[:n])), func() (int, string) {
		cancel()
		c := <-code
		<-copied
		return c, said.String() + logged.String()
	}
}

func TestOneLineAChangeAndNoSecrets(t *testing.T) {
	for _, format := range []string{"console", "json"} {
		env := map[string]string{"UFM_USERNAME": "joe", "UFM_PASSWORD": "s3cret", "UFM_TOKEN": "t0ken", "UFM_SIM_CONTROL_TOKEN": "c0ntrol"}
		url, finish := start(t, func(k string) string { return env[k] }, "--http", "--listen=127.0.0.1:0", "--control", "--log-format", format)
		for _, body := range []string{`{"pkey":"0x5","guids":["0200000000000001"]}`, `{"pkey":"5"}`} {
			req, _ := http.NewRequest(http.MethodPost, url+"/ufmRest/resources/pkeys", strings.NewReader(body))
			req.SetBasicAuth("joe", "s3cret")
			res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		code, text := finish()
		if code != 0 || strings.Count(text, "change") != 2 || !strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "user joe") {
			t.Errorf("code %d:\n%s", code, text)
		}
		for _, secret := range []string{"s3cret", "t0ken", "c0ntrol"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in:\n%s", secret, text)
			}
		}
	}
}

func TestTheCertificateIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	var first []byte
	for range 2 {
		_, finish := start(t, noEnv, "--listen=127.0.0.1:0", "--cert-dir", dir)
		if code, text := finish(); code != 0 || !strings.Contains(text, filepath.Join(dir, "ufm.crt")) {
			t.Errorf("%d: %s", code, text)
		}
		cert, err := os.ReadFile(filepath.Join(dir, "ufm.crt"))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, cert) {
			t.Error("it was made again")
		}
		first = cert
	}
	if info, err := os.Stat(filepath.Join(dir, "ufm.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if err := os.Remove(filepath.Join(dir, "ufm.key")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--listen=127.0.0.1:0", "--cert-dir", dir}, noEnv, &out, &out); code != 1 || !strings.Contains(out.String(), "--cert-dir") {
		t.Errorf("a certificate without its key: %d, %s", code, out.String())
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(noPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"misspelt":           {[]string{"--listn", "x"}, "-listn"},
		"no port":            {[]string{"--listen", "localhost"}, "--listen"},
		"duration":           {[]string{"--change-latency", "5"}, "-change-latency"},
		"negative":           {[]string{"--apply-delay=-1s"}, "--apply-delay"},
		"quirk":              {[]string{"--quirk", "nope"}, "unknown-pkey-404"},
		"quirk value":        {[]string{"--quirk", "list-both=x"}, "guids, qos, full"},
		"choice alone":       {[]string{"--quirk", "list-both"}, "guids, qos, full"},
		"log format":         {[]string{"--log-format", "xml"}, "--log-format"},
		"journal":            {[]string{"--journal=-1"}, "--journal"},
		"client ca missing":  {[]string{"--client-ca", noPEM + "x"}, "--client-ca"},
		"client ca empty":    {[]string{"--client-ca", noPEM}, "--client-ca"},
		"client ca and http": {[]string{"--client-ca", noPEM, "--http"}, "--client-ca"},
		"control token":      {[]string{"--control-token", "x"}, "--control-token"},
		"argument":           {[]string{"serve"}, `"serve"`},
		"opensm alone":       {[]string{"--opensm-pid-file", "x"}, "--opensm-partitions"},
		"opensm unsignalled": {[]string{"--opensm-partitions", "x"}, "--opensm-command"},
		"opensm both":        {[]string{"--opensm-partitions", "x", "--opensm-pid-file", "x", "--opensm-command", "x"}, "--opensm-command"},
		"opensm timeout":     {driving("--opensm-timeout=0"), "--opensm-timeout"},
		"opensm and state":   {driving("--state", "x"), "--state"},
		"opensm and delay":   {driving("--apply-delay", "1s"), "--apply-delay"},
		"opensm, open":       {driving("--control"), "--control-token"},
		"opensm, no secret":  {[]string{"--opensm-partitions", "x", "--opensm-command", "x"}, "UFM_PASSWORD"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), row.args, noEnv, &out, &errs); code != 2 || !strings.Contains(errs.String(), row.want) || out.Len() > 0 {
			t.Errorf("%s: code %d, %s", name, code, errs.String())
		}
	}
}

// driving are flags that drive an OpenSM, and more.
func driving(more ...string) []string {
	return append([]string{"--opensm-partitions", "x", "--opensm-command", "x", "--password", "x"}, more...)
}

func TestPartitionsGoToOpenSM(t *testing.T) {
	dir := t.TempDir()
	conf, log := filepath.Join(dir, "partitions.conf"), filepath.Join(dir, "opensm.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Where nothing sweeps, a change is made, and is not applied.
	flags := []string{
		"--http", "--listen=127.0.0.1:0", "--password=s3cret", "--opensm-partitions", conf, "--opensm-log", log, "--opensm-command", "touch " + filepath.Join(dir, "signalled"),
	}
	url, finish := start(t, noEnv, flags...)
	req, err := http.NewRequest(http.MethodPost, url+"/ufmRest/resources/pkeys", strings.NewReader(`{"pkey":"0x5","guids":["0200000000000001"]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", "s3cret")
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	waitForFile(t, filepath.Join(dir, "signalled")) // a change is answered before it is applied
	if code, text := finish(); code != 0 || !strings.Contains(text, conf) {
		t.Errorf("code %d: %s", code, text)
	}
	if text, err := os.ReadFile(conf); err != nil || !strings.Contains(string(text), "0x0200000000000001=full") {
		t.Errorf("%s, %v", text, err)
	}
	// A file of somebody else's is not taken over, nor is its lock kept.
	if err := os.WriteFile(conf, []byte("Default=0x7fff : ALL=full ;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(t.Context(), flags, noEnv, &out, &out); code != 1 || !strings.Contains(out.String(), "move it away") {
		t.Errorf("code %d: %s", code, out.String())
	}
}

// waitForFile waits until somebody has made a file.
func waitForFile(t *testing.T, name string) {
	t.Helper()
	end, look := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Stat(name); err == nil {
			return
		}
		select {
		case <-look.C:
		case <-end:
			t.Fatalf("nobody made %s", name)
		}
	}
}

func TestHelpHasEveryFlagAndQuirkAndNoSecretOfTheEnvironment(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"--help"}, func(string) string { return "s3cret" }, &out, &errs)
	for _, want := range []string{"--listen", "--quirk", "--control", "unknown-pkey-404", "list-both=guids|qos|full", "UFM_PASSWORD"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in the help", want)
		}
	}
	if code != 0 || errs.Len() > 0 || strings.Contains(out.String(), "s3cret") {
		t.Errorf("code %d, %s\n%s", code, errs.String(), out.String())
	}
}
