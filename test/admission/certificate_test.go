package admission

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// serving makes a certificate for localhost that is its own CA.
func serving(t testing.TB, names ...string) (tls.Certificate, []byte) {
	t.Helper()
	cert, key := servingPEM(t, append(names, "localhost")...)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair, cert
}

func servingPEM(t testing.TB, names ...string) (cert, key []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
}

// served is the certificate that a port shows.
func served(port int) ([]byte, error) {
	conn, err := tls.Dial("tcp", fmt.Sprintf("localhost:%d", port), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw, nil
}

// serves waits until a port shows a certificate, and another than before.
func serves(t testing.TB, port int, before []byte) (now []byte) {
	t.Helper()
	testbed.Eventually(t, fmt.Sprintf("port %d shows another certificate", port), func() (bool, string) {
		var err error
		now, err = served(port)
		return err == nil && !bytes.Equal(now, before), fmt.Sprint(err)
	})
	return now
}

// spoil takes keys out of the Secret with the certificate.
func (w *world) spoil(keys ...string) {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ibfabric-webhook-cert"}}
	err := rig.Edit(w.ctx(), w.api, secret, func(s *corev1.Secret) {
		for _, key := range keys {
			delete(s.Data, key)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestACertificateIsRotatedUnderLoadAndNobodyNotices(t *testing.T) {
	w := newWorldWithARail(t)
	before, err := served(w.port)
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var load errgroup.Group
	asked := 0
	load.Go(func() error {
		for ; !done.Load(); asked++ {
			if err := w.api.Create(w.ctx(), w.nad("asked", infiniBand("0x6"), nil), client.DryRunAll); err != nil {
				return err
			}
			pod := w.draft("asked", "rail1")
			if err := w.api.Create(w.ctx(), pod, client.DryRunAll); err != nil || !w.isGated(pod) {
				return errors.Join(err, fmt.Errorf("gates %v", pod.Spec.SchedulingGates))
			}
		}
		return nil
	})
	for range 3 {
		w.spoil(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
		before = serves(t, w.port, before)
	}
	done.Store(true)
	if err := load.Wait(); err != nil || asked == 0 {
		t.Errorf("after %d requests: %v", asked, err)
	}
}

func TestANewCAIsTrustedAsSoonAsItIsMade(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.start()
	before, err := served(w.port)
	if err != nil {
		t.Fatal(err)
	}
	w.spoil("ca.crt", "ca.key", corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	serves(t, w.port, before)
	testbed.Eventually(t, "the API server trusts it", func() (bool, string) {
		err := w.api.Create(w.ctx(), w.nad("asked", infiniBand("0x6"), nil), client.DryRunAll)
		return err == nil, fmt.Sprint(err)
	})
}

func TestTwoReplicasServeOneCertificateAndOneIsEnough(t *testing.T) {
	w := newWorld(t)
	w.install()
	first := w.start()
	other := testbed.HoldPort(t)
	w.startOn(other)
	one, err := served(w.port)
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the other replica serves the same certificate", func() (bool, string) {
		cert, err := served(other)
		return bytes.Equal(one, cert), fmt.Sprint(err)
	})
	first.Kill()
	w.point(other) // before the other leads: who stands by answers too
	w.network("rail1", "0x5")
	w.wantGate(w.pod("train", "rail1"))
	w.inUFM(0x5, w.configured("train")...)
}

func TestAMountedCertificateIsServedAndReadAgain(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	mount := func() (ca []byte) {
		cert, key := servingPEM(t, "ibfabric-webhook."+w.ns+".svc")
		for name, text := range map[string][]byte{corev1.TLSPrivateKeyKey: key, corev1.TLSCertKey: cert} {
			file := filepath.Join(dir, name)
			if err := errors.Join(os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file)); err != nil {
				t.Fatal(err)
			}
		}
		return cert
	}
	ca := mount()
	w.install()
	w.trust(ca)
	w.start("--webhook-cert-dir=" + dir)
	before, err := served(w.port)
	if err != nil {
		t.Fatal(err)
	}
	ca = mount()
	serves(t, w.port, before)
	w.trust(ca)
	testbed.Eventually(t, "the API server trusts it", func() (bool, string) {
		err := w.api.Create(w.ctx(), w.nad("asked", infiniBand("0x6"), nil), client.DryRunAll)
		return err == nil, fmt.Sprint(err)
	})
	if _, err := w.bed.Client().CoreV1().Secrets(w.ns).Get(t.Context(), "ibfabric-webhook-cert", metav1.GetOptions{}); err == nil {
		t.Error("a certificate was made, though one is mounted")
	}
}

// trust puts a CA into the webhook configurations, as cert-manager does.
func (w *world) trust(ca []byte) {
	w.t.Helper()
	networks := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: networksHook}}
	pods := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: podsHook}}
	err := errors.Join(
		rig.Edit(w.ctx(), w.api, networks, func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
			c.Webhooks[0].ClientConfig.CABundle = ca
		}),
		rig.Edit(w.ctx(), w.api, pods, func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].ClientConfig.CABundle = ca
		}))
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAReplicaIsReadyWhenItsWebhooksHaveACertificate(t *testing.T) {
	w := newWorld(t)
	w.install()
	// Somebody else leads, and makes no certificate.
	other, long, now := "another", int32(3600), metav1.NowMicro()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ibfabric-" + w.ns},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &other, LeaseDurationSeconds: &long, AcquireTime: &now, RenewTime: &now},
	}
	if err := w.api.Create(w.ctx(), lease); err != nil {
		t.Fatal(err)
	}
	health := fmt.Sprintf("127.0.0.1:%d", testbed.HoldPort(t))
	w.startOn(w.port, "--health-address="+health)
	becomes := func(check string, want int) {
		t.Helper()
		testbed.Eventually(t, fmt.Sprintf("%s answers %d", check, want), func() (bool, string) {
			answer, err := http.Get("http://" + health + "/readyz/" + check)
			if err != nil {
				return false, err.Error()
			}
			defer answer.Body.Close()
			return answer.StatusCode == want, answer.Status
		})
	}
	becomes("caches", http.StatusOK)
	becomes("webhooks", http.StatusInternalServerError)
	if err := w.api.Delete(w.ctx(), lease); err != nil {
		t.Fatal(err)
	}
	becomes("webhooks", http.StatusOK)
}
