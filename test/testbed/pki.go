package testbed

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"

	"github.com/ibfabric/ibfabric/test/authority"
)

// pki is a cluster's own authority. Clients verify the API server by it, and it signs the
// identities that clients show.
type pki struct{ *authority.Authority }

// server signs the API server's certificate.
func (p pki) server() (authority.Pair, error) {
	t := authority.Template(pkix.Name{CommonName: "kube-apiserver"})
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	// The second is its Service's, by which pods reach it: the first of serviceRange.
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
	t.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	return p.Sign(t)
}

// client signs the certificate of a user: the API server reads the name from CN and the groups
// from O.
func (p pki) client(user string, groups ...string) (authority.Pair, error) {
	t := authority.Template(pkix.Name{CommonName: user, Organization: groups})
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return p.Sign(t)
}
