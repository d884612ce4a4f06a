package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// Certificate serves the certificate that a Secret has, from the moment it has it. A
// mounted Secret would follow a minute later, when the API server may trust it no more.
// It is a runnable of every replica.
type Certificate struct {
	secrets corev1client.SecretsGetter
	key     types.NamespacedName
	dir     string

	current atomic.Pointer[tls.Certificate]
}

// NewCertificate follows a Secret of type kubernetes.io/tls, or of any with those keys. It
// writes the public half into dir as well: who makes certificates waits for that file as
// the sign that they are mounted. The folder goes when Start ends.
func NewCertificate(secrets corev1client.SecretsGetter, key types.NamespacedName, dir string) *Certificate {
	return &Certificate{secrets: secrets, key: key, dir: dir}
}

// Ensure makes the Secret, empty, if it is missing.
func (c *Certificate) Ensure(ctx context.Context) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.key.Namespace, Name: c.key.Name}}
	_, err := c.secrets.Secrets(c.key.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the Secret %s for the webhooks' certificate: %w%s", c.key, err, mendFor(err))
	}
	return nil
}

// mendFor says what the controller was not given.
func mendFor(err error) string {
	if !apierrors.IsForbidden(err) {
		return ""
	}
	return "; apply deploy/admission, which grants it, or mount a certificate and name its folder by --webhook-cert-dir"
}

// NeedLeaderElection says that every replica serves.
func (c *Certificate) NeedLeaderElection() bool { return false }

// Start follows the Secret until ctx ends.
func (c *Certificate) Start(ctx context.Context) error {
	defer os.RemoveAll(c.dir)
	own := c.secrets.Secrets(c.key.Namespace)
	name := fields.OneTermEqualSelector(metav1.ObjectNameField, c.key.Name).String()
	informer := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = name
			return own.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = name
			return own.Watch(ctx, options)
		},
	}, &corev1.Secret{}, 0, nil)
	take := func(obj any) {
		if secret, ok := obj.(*corev1.Secret); ok {
			if err := c.take(secret); err != nil {
				logf.FromContext(ctx).Error(err, "the webhooks keep the certificate that they have")
			}
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: take, UpdateFunc: func(_, to any) { take(to) },
	}); err != nil {
		return fmt.Errorf("watch Secret %s: %w", c.key, err)
	}
	informer.RunWithContext(ctx)
	return nil
}

// take makes a Secret's certificate the one that is served. An empty one waits for who
// makes certificates.
func (c *Certificate) take(secret *corev1.Secret) error {
	cert, key := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	if len(cert) == 0 || len(key) == 0 {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("read the certificate in Secret %s: %w; delete the Secret's data to have it made anew", c.key, err)
	}
	c.current.Store(&pair)
	if err := os.WriteFile(filepath.Join(c.dir, corev1.TLSCertKey), cert, 0o600); err != nil {
		return fmt.Errorf("write the certificate of Secret %s into a file: %w", c.key, err)
	}
	return nil
}

var errNoCertificate = errors.New("the Secret has no certificate yet")

// Get is a tls.Config's GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := c.current.Load(); pair != nil {
		return pair, nil
	}
	return nil, errNoCertificate
}
