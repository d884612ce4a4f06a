package chaos

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"time"

	"github.com/ibfabric/ibfabric/test/authority"
)

// certified is how long a good certificate lasts: longer than any run.
const certified = 12 * time.Hour

// certify makes a certificate for a UFM on this machine that is good until a time. The
// controllers trust the authority alone, so that a renewed one needs no word to them.
func certify(a *authority.Authority, until time.Time) (authority.Pair, error) {
	t := authority.Template(pkix.Name{CommonName: "ufm"})
	t.NotBefore, t.NotAfter = until.AddDate(0, 0, -1), until
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return a.Sign(t)
}

// present restarts the UFM that answers with a certificate that is good until then.
func (u *ufms) present(until time.Time) error {
	pair, err := certify(u.authority, until)
	if err != nil {
		return err
	}
	return u.now().srv.Present(pair.Cert, pair.Key)
}

// expire lets the certificate of the UFM that answers be over for a while.
func (u *ufms) expire(d time.Duration) error {
	if err := u.present(time.Now().Add(-time.Minute)); err != nil {
		return fmt.Errorf("present an expired certificate: %w", err)
	}
	time.Sleep(d)
	if err := u.present(time.Now().Add(certified)); err != nil {
		return fmt.Errorf("present a renewed certificate: %w", err)
	}
	u.chronicle.say("%s has a new certificate", u.now().name)
	return nil
}
