package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// prepareTLS finds or makes the certificate, and says where a client can read it.
func (o *options) prepareTLS() (where string, err error) {
	if o.config.PlainHTTP {
		return "none (plain HTTP)", nil
	}
	dir := o.certDir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("--cert-dir: there is no cache folder to use instead: %w", err)
		}
		dir = filepath.Join(cache, "ufm-sim")
	}
	certFile, keyFile := filepath.Join(dir, "ufm.crt"), filepath.Join(dir, "ufm.key")
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	switch {
	case certErr == nil && keyErr == nil:
		o.config.CertPEM, o.config.KeyPEM = cert, key
		return certFile, nil
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		return certFile, o.makeCertificate(dir, certFile, keyFile)
	}
	// One without the other is somebody's mishap, not ours to overwrite.
	return "", fmt.Errorf("--cert-dir %s: ufm.crt and ufm.key must both be there, or neither: %w", dir, errors.Join(certErr, keyErr))
}

// makeCertificate writes the key first: a certificate without one is refused at the
// next start, and a key alone too, so that nobody trusts half of a pair.
func (o *options) makeCertificate(dir, certFile, keyFile string) error {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	hosts := ufmsim.LocalHosts(host)
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	if o.config.CertPEM, o.config.KeyPEM, err = ufmsim.SelfSigned(hosts, o.san); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--cert-dir: %w", err)
	}
	if err := os.WriteFile(keyFile, o.config.KeyPEM, 0o600); err != nil {
		return fmt.Errorf("--cert-dir: %w", err)
	}
	if err := os.WriteFile(certFile, o.config.CertPEM, 0o644); err != nil {
		return fmt.Errorf("--cert-dir: %w", err)
	}
	return nil
}
