package credential

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The keys of the Secret, which are the controller's variables.
const (
	keyAddress    = "UFM_ADDRESS"
	keyUsername   = "UFM_USERNAME"
	keyPassword   = "UFM_PASSWORD"
	keyToken      = "UFM_TOKEN"
	keyTrust      = "UFM_CERTIFICATE"
	keyClientCert = "UFM_CLIENT_CERTIFICATE"
	keyClientKey  = "UFM_CLIENT_KEY"
)

// UFM is what the controller must know to speak with UFM. It is not for printing.
type UFM struct {
	Addresses  []string
	Username   string
	Password   string
	Token      string
	Trust      []byte // PEM of UFM's certificate, or of who signed it
	ClientCert []byte
	ClientKey  []byte
}

// allowedPassword is what UFM takes for a password.
var allowedPassword = regexp.MustCompile(`^[A-Za-z0-9_]{4,30}$`)

// Secret is the Secret with all of it, and what a person should know of it. An error says
// what cannot work.
func (u UFM) Secret(namespace, name string) (s *corev1.Secret, warnings []string, err error) {
	if warnings, err = u.check(); err != nil {
		return nil, nil, err
	}
	s = &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{},
	}
	for key, value := range map[string]string{
		keyAddress: strings.Join(u.Addresses, ","), keyUsername: u.Username, keyPassword: u.Password, keyToken: u.Token,
		keyTrust: string(u.Trust), keyClientCert: string(u.ClientCert), keyClientKey: string(u.ClientKey),
	} {
		if value != "" {
			s.Data[key] = []byte(value)
		}
	}
	return s, warnings, nil
}

func (u UFM) check() (warnings []string, err error) {
	if len(u.Addresses) == 0 {
		return nil, errors.New("no address of UFM: give --address")
	}
	ways := 0
	for _, given := range []bool{u.Password != "", u.Token != "", len(u.ClientCert) > 0 || len(u.ClientKey) > 0} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		return nil, errors.New("nothing to prove who we are: give a password, a token or a client certificate")
	case ways > 1:
		return nil, errors.New("give one of a password, a token and a client certificate: UFM takes each at another address")
	case u.Password != "" && u.Username == "":
		return nil, errors.New("a password needs --username")
	}
	if len(u.ClientCert) > 0 || len(u.ClientKey) > 0 {
		if _, err := tls.X509KeyPair(u.ClientCert, u.ClientKey); err != nil {
			return nil, fmt.Errorf("the client certificate and its key: %w", err) // crypto/tls quotes neither
		}
	}
	if u.Password != "" && !allowedPassword.MatchString(u.Password) {
		warnings = append(warnings, "UFM takes passwords of 4 to 30 letters, digits and _; this one has others, or another length")
	}
	more, err := u.checkTrust()
	return append(warnings, more...), err
}

// checkTrust compares UFM's certificate with the addresses.
func (u UFM) checkTrust() (warnings []string, err error) {
	if len(u.Trust) == 0 {
		return []string{"no --certificate: UFM's must be signed by who the controller's image trusts"}, nil
	}
	certs, err := Trust(u.Trust)
	if err != nil {
		return nil, fmt.Errorf("--certificate: %w", err)
	}
	if len(certs) > 1 || certs[0].IsCA && HasSAN(certs[0]) {
		return nil, nil // who signed UFM's, and not UFM's
	}
	for _, address := range u.Addresses {
		switch {
		case !HasSAN(certs[0]):
			return []string{"the certificate names no host (no subjectAltName): the controller takes exactly this one and no other. To mend it: " + OpenSSL(u.Addresses)}, nil
		case certs[0].VerifyHostname(address) != nil && !certs[0].IsCA:
			warnings = append(warnings, fmt.Sprintf("the certificate does not name %s: the controller will refuse UFM there. To mend it: %s", address, OpenSSL(u.Addresses)))
		}
	}
	return warnings, nil
}
