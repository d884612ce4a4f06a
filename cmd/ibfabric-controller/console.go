package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/console"
	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/record"
)

// consoleSettings say where the console is.
type consoleSettings struct {
	Address string
	CertDir string
}

func (c *consoleSettings) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Address, "console-address", ":8443", "`address` of the console, its API and /metrics, by HTTPS and for those only whom the cluster lets in; needs what is in deploy/console (0: none)")
	fs.StringVar(&c.CertDir, "console-cert-dir", "", "`folder` with a mounted tls.crt, tls.key and ca.crt for the console, re-read when they change (none: a certificate is made, and its CA stands in the head of the journal)")
}

// addConsole has every replica serve the console, and the leader keep the journal.
func addConsole(s *settings, at *cluster, c *controller.Controller, book *journal.Book, rec *record.Recorder) error {
	store := &journal.Store{
		Book: book, Client: at.direct, Namespace: s.Namespace, Fabric: s.Fabric, Leader: identity(at.lease),
		Leading: func() error { return nil }, Failed: saidOnce(rec), After: time.After,
	}
	if s.LeaderElect {
		store.Leading = at.lease.Leading
	}
	about := console.About{Identity: identity(at.lease), Version: version(), Target: target(s), Leader: at.lease.Seen}
	answers := console.NewAnswers(c, book, about, now)
	if err := metrics.Registry.Register(console.NewGauges(answers)); err != nil {
		return fmt.Errorf("register the metrics of the fabric: %w", err)
	}
	if s.Console.Address != "0" {
		where, err := serveConsole(s, at, answers, rec)
		if err != nil {
			return err
		}
		store.Console = where
	}
	// In a dry run too: nothing is changed that could be noted, and as with the lease, who
	// leads and where its console is concerns neither pods nor UFM.
	if err := at.mgr.Add(store); err != nil {
		return fmt.Errorf("add the journal: %w", err)
	}
	return nil
}

// serveConsole listens at once, so that the journal's head can say where.
func serveConsole(s *settings, at *cluster, answers *console.Answers, rec *record.Recorder) (where func() *v1alpha1.JournalConsole, err error) {
	cert, err := consoleCertificate(s.Console.CertDir)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(at.cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster's reviews: %w", err)
	}
	gate, err := console.NewGatekeeper(client)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", s.Console.Address)
	if err != nil {
		return nil, fmt.Errorf("--console-address %s: %w; choose another one, or 0 for no console", s.Console.Address, err)
	}
	server := console.New(console.Config{
		Listener: listener, Certificate: cert, Gatekeeper: gate, Answers: answers, Metrics: metricsHandler(),
		Pages: func(a *console.Answers) http.Handler { return pages.New(a, now) },
	})
	rec.Hear(server.Heard)
	if err := at.mgr.Add(server); err != nil {
		return nil, errors.Join(fmt.Errorf("add the console: %w", err), listener.Close())
	}
	return func() *v1alpha1.JournalConsole { return whereabouts(s, listener.Addr(), cert) }, nil
}

func metricsHandler() http.Handler {
	return promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

func consoleCertificate(dir string) (console.Certificate, error) {
	if dir == "" {
		return console.NewOwnCertificate(now)
	}
	return console.NewFileCertificate(dir)
}

// whereabouts is how a client comes to this replica's console.
func whereabouts(s *settings, addr net.Addr, cert console.Certificate) *v1alpha1.JournalConsole {
	host, portText, _ := net.SplitHostPort(addr.String()) // of a listener it has both
	port, _ := strconv.ParseInt(portText, 10, 32)
	w := &v1alpha1.JournalConsole{Port: int32(port), ServerName: cert.ServerName(), CABundle: string(cert.CABundle())}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		name, _ := os.Hostname() // "" is as good as a wrong one
		host = cmp.Or(os.Getenv("POD_IP"), name)
	}
	w.Address = net.JoinHostPort(host, portText)
	if pod := os.Getenv("POD_NAME"); pod != "" {
		w.Pod, w.Namespace = pod, s.Namespace
	}
	return w
}

func target(s *settings) string {
	if s.Plugin != "ufm" {
		return s.Plugin
	}
	return fmt.Sprintf("%s://%s", s.Scheme, s.Addresses)
}

// saidOnce logs what the journal met, once until it is something else.
func saidOnce(rec *record.Recorder) func(error) {
	var mu sync.Mutex
	last := ""
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if text := err.Error(); text != last && !errors.Is(err, context.Canceled) {
			last = text
			rec.Log(record.WorkFailed, record.Fields{Detail: "keep the journal; nothing but the record for people suffers", Err: err})
		}
	}
}
