package ufmsim

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a Sim on a port.
type Server struct {
	sim  *Sim
	addr string // with the port that was found

	mu      sync.Mutex // held by Stop, Resume and Present, protects what follows
	certPEM []byte
	tls     *tls.Config // nil: plain HTTP
	http    *http.Server
	serving sync.WaitGroup // the listener, and the calls in work

	gate sync.Mutex // protects what follows
	open bool       // calls are let in
}

// Start listens on addr, as in "127.0.0.1:0", with TLS unless the Sim is for plain HTTP.
func (s *Sim) Start(addr string) (*Server, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	srv := &Server{sim: s, addr: addr}
	if !s.cfg.PlainHTTP {
		certPEM, keyPEM, err := s.certificate(LocalHosts(host))
		if err != nil {
			return nil, err
		}
		if srv.tls, err = s.tlsConfig(certPEM, keyPEM); err != nil {
			return nil, err
		}
		srv.certPEM = certPEM
	}
	if err := srv.Resume(); err != nil {
		return nil, err
	}
	return srv, nil
}

// LocalHosts are the names that a server on host is reached by from its own machine:
// host itself, unless it is the unspecified address, and the loopback ones.
func LocalHosts(host string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if ip := net.ParseIP(host); host == "" || host == "localhost" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		return hosts
	}
	return append([]string{host}, hosts...)
}

// URL is the address without a path, as in https://127.0.0.1:8443.
func (s *Server) URL() string {
	if s.sim.cfg.PlainHTTP {
		return "http://" + s.addr
	}
	return "https://" + s.addr
}

// Addr is the host and port that it listens on.
func (s *Server) Addr() string { return s.addr }

// CertPEM is the server's certificate, for clients to trust; nil with plain HTTP.
func (s *Server) CertPEM() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certPEM
}

// Present restarts the server with another certificate, as whoever renews one does.
func (s *Server) Present(certPEM, keyPEM []byte) error {
	cfg, err := s.sim.tlsConfig(certPEM, keyPEM)
	if err != nil {
		return err
	}
	s.Stop()
	s.mu.Lock()
	s.tls, s.certPEM = cfg, certPEM
	s.mu.Unlock()
	return s.Resume()
}

// Resume listens again after Stop, on the same port.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.addr = l.Addr().String()
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	hs := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 30 * time.Second,
		// Clients that distrust the certificate are part of every test run.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.http = hs
	s.setOpen(true)
	s.sim.power(true)
	s.serving.Go(func() { _ = hs.Serve(l) }) // it always ends by Stop
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.serving.Done()
	s.sim.ServeHTTP(w, r)
}

// enter counts a call in. None comes in once Stop waits for those that are.
func (s *Server) enter() bool {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.open {
		s.serving.Add(1)
	}
	return s.open
}

func (s *Server) setOpen(open bool) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.open = open
}

// Stop closes the port and every connection and loses the changes under way, as if UFM's
// machine had lost its power. The Sim keeps its state: Resume brings it back.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	s.setOpen(false)
	s.sim.power(false)
	_ = s.http.Close() // what it says concerns connections that are gone
	s.serving.Wait()
	s.http = nil
}

// Restart stops, waits by the Sim's clock, and resumes. Unlike Sim.Restart it really
// closes the port: clients are refused, not cut off.
func (s *Server) Restart(down time.Duration) error {
	s.Stop()
	s.sim.journal.record(Entry{Received: s.sim.clock.Now(), Op: OpRestart, Outcome: "port closed for " + down.String()})
	if !s.sim.sleep(s.sim.closed, down) {
		return fmt.Errorf("restart: the sim was closed meanwhile")
	}
	return s.Resume()
}

// Close stops the server and closes its Sim.
func (s *Server) Close() {
	s.Stop()
	s.sim.Close()
}
