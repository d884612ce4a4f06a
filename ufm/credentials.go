package ufm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Names of the settings: environment variables, and keys of the Secret that is mounted.
// All but the last three are those of ib-kubernetes; UFM_USER is what the Spiderpool
// guide writes instead of UFM_USERNAME.
const (
	envUsername    = "UFM_USERNAME"
	envUser        = "UFM_USER"
	envPassword    = "UFM_PASSWORD"
	envCertificate = "UFM_CERTIFICATE"
	envToken       = "UFM_TOKEN"
	envClientCert  = "UFM_CLIENT_CERTIFICATE"
	envClientKey   = "UFM_CLIENT_KEY"
)

var errNoCredentials = errors.New("no credentials: set UFM_TOKEN, or UFM_CLIENT_CERTIFICATE and UFM_CLIENT_KEY, or UFM_USERNAME and UFM_PASSWORD")

// Credentials say who we are to UFM and whom we take for UFM. Of a token, a client
// certificate and a user, the first that is set is used.
type Credentials struct {
	Username string
	Password Secret
	Token    Secret // an access token of UFM: POST /ufmRest/app/tokens
	// Certificate is PEM: the CA that signed UFM's certificate, or that certificate
	// itself. When set, nothing else is trusted; when not, the system's CAs are.
	Certificate       string
	ClientCertificate string // PEM, leaf first
	ClientKey         Secret // PEM
}

func (c Credentials) equal(o Credentials) bool {
	return c.Username == o.Username && c.Password.reveal() == o.Password.reveal() &&
		c.Token.reveal() == o.Token.reveal() && c.Certificate == o.Certificate &&
		c.ClientCertificate == o.ClientCertificate && c.ClientKey.reveal() == o.ClientKey.reveal()
}

// CredentialsFrom asks get for each setting by its name, UFM_PASSWORD and so on. With
// os.Getenv it reads the environment.
func CredentialsFrom(get func(name string) string) Credentials {
	line := func(name string) string { return strings.TrimSpace(get(name)) }
	user := line(envUsername)
	if user == "" {
		user = line(envUser)
	}
	return Credentials{
		Username: user,
		// echo and editors add a newline to a file; blanks may belong to a password.
		Password:          NewSecret(strings.TrimRight(get(envPassword), "\r\n")),
		Token:             NewSecret(line(envToken)),
		Certificate:       line(envCertificate),
		ClientCertificate: line(envClientCert),
		ClientKey:         NewSecret(line(envClientKey)),
	}
}

// Source is where credentials come from. A Client asks again every few seconds while it
// is used, and at once when UFM refuses what it has.
type Source interface {
	Load() (Credentials, error)
}

// Static is a Source of fixed values. A certificate or key may be the path of a file that
// holds it; the file is read anew each time.
func Static(c Credentials) Source { return &static{c} }

type static struct{ given Credentials }

func (s *static) Load() (Credentials, error) {
	c := s.given
	key := c.ClientKey.reveal()
	for name, text := range map[string]*string{envCertificate: &c.Certificate, envClientCert: &c.ClientCertificate, envClientKey: &key} {
		if *text == "" || strings.Contains(*text, "-----BEGIN") {
			continue
		}
		read, err := readSmall(*text)
		if err != nil {
			// The text is not repeated: it may be a key that somebody pasted badly.
			return Credentials{}, fmt.Errorf("%s is neither PEM nor the path of a readable file: %w", name, pathless(err))
		}
		*text = read
	}
	c.ClientKey = NewSecret(key)
	return c, nil
}

// Dir is a Source of files in a directory, named as the settings are: a Secret mounted
// into the pod. Files that are absent are settings that are not set.
func Dir(path string) Source { return &dir{path} }

type dir struct{ path string }

// Load reads all files of one version of the Secret. The kubelet swaps the symlink ..data
// to bring a new one; a swap between two reads would pair an old user with a new password,
// so that the files are read where the link led, and again if it moved meanwhile.
func (d *dir) Load() (Credentials, error) {
	for range 3 {
		at := d.version()
		c, err := loadFiles(at)
		if d.version() != at {
			continue
		}
		return c, err
	}
	return Credentials{}, fmt.Errorf("credentials in %s change faster than they can be read", d.path)
}

func (d *dir) version() string {
	if real, err := filepath.EvalSymlinks(filepath.Join(d.path, "..data")); err == nil {
		return real
	}
	return d.path
}

func loadFiles(path string) (Credentials, error) {
	if _, err := os.ReadDir(path); err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	var failed error
	c := CredentialsFrom(func(name string) string {
		text, err := readSmall(filepath.Join(path, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, fmt.Errorf("read credentials: %w", err))
		}
		return text
	})
	return c, failed
}

// readSmall reads a file that is no larger than a Kubernetes Secret can be.
func readSmall(path string) (text string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const limit = 1 << 20
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	if err != nil {
		return "", err
	}
	return string(data), nil
}

// pathless drops the path that os puts into its errors.
func pathless(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
