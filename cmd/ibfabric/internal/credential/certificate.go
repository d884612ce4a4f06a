// Package credential makes what UFM and the controller share: a certificate that names
// UFM's hosts, and the Secret that the controller reads.
package credential

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Bits of the keys: the RSA that every UFM and every old client of it can use.
const keyBits = 4096

// backdate lets hosts whose clock is a little behind use a new certificate at once.
const backdate = 5 * time.Minute

// Certificate makes a key and a certificate signed with it, as UFM serves it, for hosts by
// name or address. Both are PEM.
func Certificate(hosts []string, now time.Time, life time.Duration) (cert, key []byte, err error) {
	k, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	return sign(k, hosts, now, life)
}

func sign(k crypto.Signer, hosts []string, now time.Time, life time.Duration) (cert, key []byte, err error) {
	template, err := newTemplate(hosts, now, life)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

func newTemplate(hosts []string, now time.Time, life time.Duration) (*x509.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("a certificate must name the host that clients connect to")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hosts[0]},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// It signs nothing but itself: whoever trusts it trusts UFM, and not a new CA.
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
			continue
		}
		if len(validation.IsDNS1123Subdomain(host)) > 0 {
			return nil, fmt.Errorf("%.80q is no host: write a name or an address, without a scheme and a port", host)
		}
		t.DNSNames = append(t.DNSNames, host)
	}
	return t, nil
}

// OpenSSL is the command that makes such a certificate on UFM's own host, files ufm.key and
// ufm.crt.
func OpenSSL(hosts []string) string {
	var names []string
	for _, host := range hosts {
		kind := "DNS:"
		if net.ParseIP(host) != nil {
			kind = "IP:"
		}
		names = append(names, kind+host)
	}
	return fmt.Sprintf("openssl req -x509 -newkey rsa:%d -nodes -keyout ufm.key -out ufm.crt -days 365 -subj '/CN=%s' -addext 'subjectAltName=%s'", keyBits, hosts[0], strings.Join(names, ","))
}

// Install are the steps on UFM's host, and then in the cluster, that put ufm.key and ufm.crt to use.
func Install(key, cert string) []string {
	return []string{
		"# on UFM's host, in its container if it runs in one:",
		"cp " + key + " /etc/pki/tls/private/ufmlocalhost.key",
		"cp " + cert + " /etc/pki/tls/certs/ufmlocalhost.crt",
		"docker restart ufm || systemctl restart ufmd",
	}
}

// Trust reads the certificates of a PEM text.
func Trust(text []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %s in it: give the certificate alone", strings.ToLower(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of it: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return certs, nil
}

// HasSAN reports whether a certificate names hosts as clients look for them.
func HasSAN(c *x509.Certificate) bool { return len(c.DNSNames)+len(c.IPAddresses) > 0 }
