package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// consoleClient asks a console as a user of the cluster would: it finds the leader's in the
// head of the journal.
type consoleClient struct {
	t    testing.TB
	base string
	http *http.Client
	auth string // of the header; "" where a certificate says who it is
}

// head waits for the journal's head that a leader other than former wrote.
func (w *world) head(former string) v1alpha1.JournalSpec {
	w.t.Helper()
	var head v1alpha1.Journal
	testbed.Eventually(w.t, "the journal's head says where the console is", func() (bool, string) {
		err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: v1alpha1.JournalHeadName(w.ns)}, &head)
		return err == nil && head.Spec.Console != nil && head.Spec.Leader != former, fmt.Sprint(err)
	})
	return head.Spec
}

// console is the leader's, when it knows what there is, for whoever cfg is.
func (w *world) console(cfg *rest.Config) *consoleClient {
	w.t.Helper()
	where := *w.head("").Console
	admin := consoleAt(w.t, where, w.bed.Config())
	testbed.Eventually(w.t, "the leader has adopted", func() (bool, string) {
		code, text := admin.do(http.MethodGet, api.PathNodes, nil)
		return code == http.StatusOK, string(text)
	})
	return consoleAt(w.t, where, cfg)
}

func consoleAt(t testing.TB, where v1alpha1.JournalConsole, cfg *rest.Config) *consoleClient {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(where.CABundle)) {
		t.Fatal("the journal's head has no CA")
	}
	trust := &tls.Config{RootCAs: roots, ServerName: where.ServerName}
	c := &consoleClient{t: t, base: "https://" + where.Address}
	if len(cfg.CertData) > 0 {
		pair, err := tls.X509KeyPair(cfg.CertData, cfg.KeyData)
		if err != nil {
			t.Fatal(err)
		}
		trust.Certificates = []tls.Certificate{pair}
	}
	if cfg.BearerToken != "" {
		c.auth = "Bearer " + cfg.BearerToken
	}
	transport := &http.Transport{TLSClientConfig: trust}
	t.Cleanup(transport.CloseIdleConnections)
	c.http = &http.Client{Transport: transport}
	return c
}

// do sends a request and returns the status and the body.
func (c *consoleClient) do(method, path string, body any, header ...string) (int, []byte) {
	c.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.auth != "" {
		r.Header.Set("Authorization", c.auth)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, text
}

// get reads an answer that must come.
func (c *consoleClient) get(path string, into any) {
	c.t.Helper()
	if code, text := c.do(http.MethodGet, path, nil); code != http.StatusOK || json.Unmarshal(text, into) != nil {
		c.t.Fatalf("GET %s: %d %s", path, code, text)
	}
}

func (c *consoleClient) post(path string, request, into any) {
	c.t.Helper()
	if code, text := c.do(http.MethodPost, path, request); code != http.StatusOK || json.Unmarshal(text, into) != nil {
		c.t.Fatalf("POST %s: %d %s", path, code, text)
	}
}

// refused is the error that an answer must be.
func (c *consoleClient) refused(method, path string, body any, code int) api.Error {
	c.t.Helper()
	var e api.Error
	got, text := c.do(method, path, body)
	if err := json.Unmarshal(text, &e); err != nil || got != code || e.Code != code || e.Message == "" {
		c.t.Fatalf("%s %s: %d %s, want an error %d", method, path, got, text, code)
	}
	return e
}

// ticks streams PathWatch until the test ends.
func (c *consoleClient) ticks() <-chan api.Tick {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	c.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+api.PathWatch, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		c.t.Fatalf("watch: %s", answer.Status)
	}
	ticks := make(chan api.Tick, 64)
	go func() {
		defer close(ticks)
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var t api.Tick
				if json.Unmarshal([]byte(data), &t) == nil {
					ticks <- t
				}
			}
		}
	}()
	return ticks
}

// startStandby starts a controller beside the one that leads, with a console whose
// certificate is in files, since no head of a journal says where it is.
func (w *world) startStandby() *consoleClient {
	w.t.Helper()
	dir, port := w.t.TempDir(), testbed.HoldPort(w.t)
	pair := selfSigned(w.t, dir)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	w.start("--console-address="+address, "--console-cert-dir="+dir)
	c := consoleAt(w.t, v1alpha1.JournalConsole{Address: address, ServerName: "console.example", CABundle: pair}, w.bed.Config())
	testbed.Eventually(w.t, "the standby has seen who leads", func() (bool, string) {
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, c.base+api.PathOverview, nil)
		if err != nil {
			return false, err.Error()
		}
		answer, err := c.http.Do(r)
		if err != nil {
			return false, err.Error()
		}
		defer answer.Body.Close()
		var e api.Error
		err = json.NewDecoder(answer.Body).Decode(&e)
		return err == nil && e.Leader != "", fmt.Sprint(answer.Status, e, err)
	})
	return c
}

// selfSigned writes a certificate as somebody would mount it, and returns its PEM.
func selfSigned(t testing.TB, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"console.example"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"tls.crt": crt, "ca.crt": crt, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(crt)
}

// journaled waits until all that was changed so far stands in the stored journal.
func (w *world) journaled() {
	w.t.Helper()
	c := w.console(w.bed.Config())
	testbed.Eventually(w.t, "the journal is stored", func() (bool, string) {
		var o api.Overview
		c.get(api.PathOverview, &o)
		return o.Journal.Entries > 0 && o.Journal.Unwritten == 0, fmt.Sprintf("%+v", o.Journal)
	})
}
