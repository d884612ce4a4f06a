package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/ufm"
)

// The login of a UFM as it comes from the box.
const simUser, simPassword = "admin", "123456"

// changeLatency is about what a UFM of a few hundred nodes takes for a change.
const changeLatency = "200ms"

// simulator is a running ufm-sim.
type simulator struct {
	*programs.Process
	host, port  string
	certificate string // PEM
	certFile    string
}

// startSimulator runs ufm-sim with the certificate that users' UFMs have: a common name
// and no SAN, which no client verifies and which is trusted by being named.
func startSimulator(ctx context.Context, launcher *programs.Launcher, bin, dir string) (*simulator, error) {
	s := &simulator{certFile: filepath.Join(dir, "ufm.crt")}
	var err error
	s.Process, err = launcher.Start(programs.Command{
		Program: filepath.Join(bin, "ufm-sim"),
		Args:    []string{"--listen=127.0.0.1:0", "--san=false", "--cert-dir=" + dir, "--change-latency=" + changeLatency, "--control"},
		Env:     []string{"UFM_USERNAME=" + simUser, "UFM_PASSWORD=" + simPassword},
		Log:     filepath.Join(dir, "ufm-sim.log"),
	})
	if err != nil {
		return nil, fmt.Errorf("%w; `make build` makes it", err)
	}
	if err := s.untilListens(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	pem, err := os.ReadFile(s.certFile)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the certificate of ufm-sim: %w", err), s.stop())
	}
	s.certificate = string(pem)
	return s, nil
}

// untilListens reads from ufm-sim's first line which port it was given.
func (s *simulator) untilListens(ctx context.Context) error {
	address := regexp.MustCompile(`https://([0-9.]+):([0-9]+)`)
	for {
		text, err := os.ReadFile(s.Log())
		if m := address.FindStringSubmatch(string(text)); m != nil {
			s.host, s.port = m[1], m[2]
			return nil
		}
		if ended := s.Ended(); ended != nil {
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

func (s *simulator) stop() error {
	if s == nil {
		return nil
	}
	return s.Stop(programs.StopWithin)
}
