package admission

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// secret has a certificate of its own.
func secret(t *testing.T) *corev1.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"webhook"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{Data: map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	}}
}

func TestTheLastSoundCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	c := NewCertificate(nil, types.NamespacedName{Namespace: "kube-system", Name: "cert"}, dir)
	if _, err := c.Get(nil); !errors.Is(err, errNoCertificate) {
		t.Errorf("before there is one: %v", err)
	}
	if err := c.take(&corev1.Secret{}); err != nil {
		t.Errorf("an empty Secret waits for its certificate: %v", err)
	}
	first, second := secret(t), secret(t)
	mixed := &corev1.Secret{Data: map[string][]byte{
		corev1.TLSCertKey: first.Data[corev1.TLSCertKey], corev1.TLSPrivateKeyKey: second.Data[corev1.TLSPrivateKeyKey],
	}}
	for _, step := range []struct {
		secret, serves *corev1.Secret
		fails          bool
	}{{first, first, false}, {mixed, first, true}, {&corev1.Secret{}, first, false}, {second, second, false}} {
		if err := c.take(step.secret); (err != nil) != step.fails {
			t.Errorf("take: %v", err)
		}
		got, err := c.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		want := step.serves.Data[corev1.TLSCertKey]
		if d := cmp.Diff(want, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: got.Certificate[0]})); d != "" {
			t.Error(d)
		}
		if file, err := os.ReadFile(filepath.Join(dir, corev1.TLSCertKey)); err != nil || !cmp.Equal(want, file) {
			t.Errorf("the file that tells that it is mounted: %v", err)
		}
	}
}

// forbidden are Secrets that the controller has no rights to.
type forbidden struct {
	corev1client.SecretInterface // nothing else is asked
}

func (f forbidden) Secrets(string) corev1client.SecretInterface { return f }

func (forbidden) Create(context.Context, *corev1.Secret, metav1.CreateOptions) (*corev1.Secret, error) {
	return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "cert", errors.New("no"))
}

func TestWhoMayNotMakeTheCertificateIsToldWhatToApply(t *testing.T) {
	err := NewCertificate(forbidden{}, types.NamespacedName{Namespace: "kube-system", Name: "cert"}, t.TempDir()).Ensure(t.Context())
	if err == nil || !strings.Contains(err.Error(), "apply deploy/admission") || !strings.Contains(err.Error(), "kube-system/cert") {
		t.Error(err)
	}
}
