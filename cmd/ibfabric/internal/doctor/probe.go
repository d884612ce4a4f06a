package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"
)

// probeWithin bounds one connection to UFM.
const probeWithin = 5 * time.Second

// Probe connects to addresses of UFM, as host or host:port, and looks at what they show.
// Nothing is sent. roots, if not nil, are who must have signed it.
func Probe(ctx context.Context, addresses []string, roots *x509.CertPool, now time.Time) []Server {
	done := make(chan Server)
	for i, address := range addresses {
		go func() {
			s := probe(ctx, address, roots, now)
			s.order = i
			done <- s
		}()
	}
	all := make([]Server, len(addresses))
	for range addresses {
		s := <-done
		all[s.order] = s
	}
	return all
}

func probe(ctx context.Context, address string, roots *x509.CertPool, now time.Time) Server {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host, address = address, net.JoinHostPort(address, "443")
	}
	s := Server{Host: host}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	// The certificate is what is looked at: one that convinces nobody is to be seen too.
	d := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		s.Err = err
		return s
	}
	defer conn.Close()
	s.Certs = conn.(*tls.Conn).ConnectionState().PeerCertificates
	if roots != nil {
		between := x509.NewCertPool()
		for _, c := range s.Certs[1:] {
			between.AddCert(c)
		}
		_, s.Refused = s.Certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, DNSName: host})
	}
	return s
}
