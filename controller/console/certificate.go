package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ServerName is in the certificates that a console makes for itself. Who connects does not
// go by an address: the leader's pod has another one tomorrow.
const ServerName = "ibfabric-console"

// The life of certificates. The one that is served is renewed long before its end.
const (
	leafLife  = 30 * 24 * time.Hour
	leafSpare = 10 * 24 * time.Hour
	caLife    = 10 * 365 * 24 * time.Hour
	clockSkew = 5 * time.Minute
)

// Certificate is what a console serves, and what a client must trust for it.
type Certificate interface {
	Get(*tls.ClientHelloInfo) (*tls.Certificate, error) // a tls.Config's GetCertificate
	CABundle() []byte                                   // PEM; empty: the machine's own roots
	ServerName() string
}

// OwnCertificate is made by this process and for it. Its keys never leave memory: a client
// finds the CA in the head of the journal, which the leader writes, so that there is no
// Secret to keep, to read or to renew.
type OwnCertificate struct {
	now func() time.Time
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
	pem []byte

	mu   sync.Mutex // protects leaf
	leaf *tls.Certificate
}

// NewOwnCertificate makes a CA. A certificate comes of it when one is asked for.
func NewOwnCertificate(now func() time.Time) (*OwnCertificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the console's CA: %w", err)
	}
	template, err := newTemplate("ibfabric-console-ca", now(), caLife)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the console's CA: %w", err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the console's CA: %w", err)
	}
	return &OwnCertificate{now: now, ca: ca, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func newTemplate(name string, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"ibfabric"}},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(life),
	}, nil
}

// Get implements Certificate.
func (c *OwnCertificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaf != nil && c.now().Before(c.leaf.Leaf.NotAfter.Add(-leafSpare)) {
		return c.leaf, nil
	}
	leaf, err := c.newLeaf()
	if err != nil {
		return nil, fmt.Errorf("make the console's certificate: %w", err)
	}
	c.leaf = leaf
	return leaf, nil
}

func (c *OwnCertificate) newLeaf() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(ServerName, c.now(), leafLife)
	if err != nil {
		return nil, err
	}
	template.DNSNames, template.KeyUsage = []string{ServerName}, x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, c.ca, key.Public(), c.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// CABundle implements Certificate.
func (c *OwnCertificate) CABundle() []byte { return c.pem }

// ServerName implements Certificate.
func (c *OwnCertificate) ServerName() string { return ServerName }

// FileCertificate is a mounted one, such as cert-manager's: tls.crt, tls.key and, if it is
// there, ca.crt. It is read anew when a file has changed.
type FileCertificate struct {
	dir string

	mu   sync.Mutex // protects both
	pair *tls.Certificate
	read time.Time // the newest change that pair has
}

// NewFileCertificate reads the certificate of a folder.
func NewFileCertificate(dir string) (*FileCertificate, error) {
	c := &FileCertificate{dir: dir}
	_, err := c.Get(nil)
	return c, err
}

// Get implements Certificate. While the files cannot be read the last certificate stays.
func (c *FileCertificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	crt, key := filepath.Join(c.dir, "tls.crt"), filepath.Join(c.dir, "tls.key")
	info, err := os.Stat(crt)
	if err == nil && c.pair != nil && info.ModTime().Equal(c.read) {
		return c.pair, nil
	}
	pair, pairErr := tls.LoadX509KeyPair(crt, key)
	if err = errors.Join(err, pairErr); err == nil {
		c.pair, c.read = &pair, info.ModTime()
	}
	if c.pair == nil {
		return nil, fmt.Errorf("read the console's certificate: %w; mount a folder with tls.crt and tls.key", err)
	}
	return c.pair, nil
}

// CABundle implements Certificate.
func (c *FileCertificate) CABundle() []byte {
	text, err := os.ReadFile(filepath.Join(c.dir, "ca.crt"))
	if err != nil {
		return nil // the machine's own roots are to be asked
	}
	return text
}

// ServerName implements Certificate.
func (c *FileCertificate) ServerName() string {
	pair, err := c.Get(nil)
	if err != nil || pair.Leaf == nil || len(pair.Leaf.DNSNames) == 0 {
		return ServerName
	}
	return pair.Leaf.DNSNames[0]
}
