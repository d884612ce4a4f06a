package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/ibfabric/ibfabric/ufm"
)

// The login of a UFM as it comes from the box.
const simUser, simPassword = "admin", "123456"

// changeLatency is about what a UFM of a few hundred nodes takes for a change.
const changeLatency = "200ms"

// simulator is a running ufm-sim.
type simulator struct {
	*process
	host, port  string
	certificate string // PEM
	certFile    string
}

// startSimulator runs ufm-sim with the certificate that users' UFMs have: a common name
// and no SAN, which no client verifies and which is trusted by being named.
func startSimulator(ctx context.Context, bin, dir string) (*simulator, error) {
	s := &simulator{certFile: filepath.Join(dir, "ufm.crt")}
	var err error
	s.process, err = start(filepath.Join(bin, "ufm-sim"), filepath.Join(dir, "ufm-sim.log"),
		append(cleanEnvironment(), "UFM_USERNAME="+simUser, "UFM_PASSWORD="+simPassword),
		"--listen=127.0.0.1:0", "--san=false", "--cert-dir="+dir, "--change-latency="+changeLatency, "--control")
	if err != nil {
		return nil, err
	}
	if err := s.untilListens(ctx); err != nil {
		s.stop()
		return nil, err
	}
	pem, err := os.ReadFile(s.certFile)
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("read the certificate of ufm-sim: %w", err)
	}
	s.certificate = string(pem)
	return s, nil
}

// untilListens reads from ufm-sim's first line which port it was given.
func (s *simulator) untilListens(ctx context.Context) error {
	address := regexp.MustCompile(`https://([0-9.]+):([0-9]+)`)
	for {
		text, err := os.ReadFile(s.log)
		if m := address.FindStringSubmatch(string(text)); m != nil {
			s.host, s.port = m[1], m[2]
			return nil
		}
		if ended := s.ended(); ended != nil {
			return ended
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for ufm-sim to listen: %w (%v)", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *simulator) client() (*ufm.Client, error) {
	return ufm.New(ufm.Config{
		Addresses: []string{s.host + ":" + s.port},
		Credentials: ufm.Static(ufm.Credentials{
			Username: simUser, Password: ufm.NewSecret(simPassword), Certificate: s.certificate,
		}),
		Timeout: 5 * time.Second,
	})
}

func (s *simulator) stop() {
	if s != nil {
		s.process.stop()
	}
}
