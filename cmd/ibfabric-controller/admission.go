package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/admission"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
)

// admissionSettings say whether and how the webhooks are served.
type admissionSettings struct {
	On      bool
	Port    int
	Service string // names the Secret and the webhook configurations as well
	CertDir string
}

func (a *admissionSettings) flags(fs *flag.FlagSet) {
	fs.BoolVar(&a.On, "admission", false, "serve the webhooks: networks are checked when they are made, pods wait at a scheduling gate; needs what is in deploy/admission")
	fs.IntVar(&a.Port, "webhook-port", webhook.DefaultPort, "port of the webhooks")
	fs.StringVar(&a.Service, "webhook-service", "ibfabric-webhook", "`name` of the webhooks' Service, in --namespace; the webhook configurations are named after it (zz-… the one for pods), and the Secret …-cert that the certificate is made in")
	fs.StringVar(&a.CertDir, "webhook-cert-dir", "", "`folder` with a mounted tls.crt and tls.key, such as cert-manager's, re-read when they change (none: a certificate is made, renewed, and put into the webhook configurations)")
}

func (a *admissionSettings) check() error {
	switch {
	case !a.On:
		return nil
	case a.Port < 1 || a.Port > 65535:
		return fmt.Errorf("--webhook-port %d: use 1 to 65535", a.Port)
	case a.Service == "":
		return errors.New("--webhook-service: name the Service that the webhook configurations call")
	}
	return nil
}

// addAdmission serves the webhooks on every replica, and makes their certificate unless
// somebody else does. A replica is ready when they can be called.
func addAdmission(ctx context.Context, mgr manager.Manager, s *settings, grants grant.Grants, inject admission.Inject, pools admission.Pools, asks *rights.Reviewer, rec *record.Recorder) error {
	options := webhook.Options{Port: s.Webhooks.Port, CertDir: s.Webhooks.CertDir}
	if s.Webhooks.CertDir == "" {
		cert, err := ownCertificate(ctx, mgr, s)
		if err != nil {
			return err
		}
		options.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.GetCertificate = cert.Get }}
	}
	server := webhook.NewServer(options)
	pods := &admission.Pods{Gate: s.Gate(), Selector: s.Networks, Networks: mgr.GetCache(), Inject: inject, Pools: pools}
	if s.Policy == controller.DryRun {
		pods.Gate = "" // nobody would lift it
	}
	incumbent, err := watchIncumbent(mgr, asks, rec)
	if err != nil {
		return err
	}
	pods.Away = incumbent.Works
	admission.Register(server, &admission.Networks{Selector: s.Networks, Scope: s.Scope, Grants: grants, Pools: pools}, pods)
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("add the webhooks: %w", err)
	}
	if err := mgr.AddReadyzCheck("webhooks", server.StartedChecker()); err != nil {
		return fmt.Errorf("add the readiness check of the webhooks: %w", err)
	}
	return nil
}

// watchIncumbent knows whether ib-kubernetes works, on every replica: pods are gated by each.
func watchIncumbent(mgr manager.Manager, asks *rights.Reviewer, rec *record.Recorder) (*controller.IncumbentWatch, error) {
	api, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return nil, fmt.Errorf("look for ib-kubernetes: %w", err)
	}
	watch, err := controller.NewIncumbentWatch(api, asks, rec, now, time.After)
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(watch); err != nil {
		return nil, fmt.Errorf("add the watch of ib-kubernetes: %w", err)
	}
	return watch, nil
}

// ownCertificate has a certificate made and renewed in a Secret, by the leader, and its CA
// put into the webhook configurations. Every replica serves what the Secret has.
func ownCertificate(ctx context.Context, mgr manager.Manager, s *settings) (*admission.Certificate, error) {
	secrets, err := corev1client.NewForConfig(mgr.GetConfig())
	if err != nil {
		return nil, fmt.Errorf("reach the cluster's Secrets: %w", err)
	}
	dir, err := os.MkdirTemp("", "ibfabric-webhook-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the webhooks' certificate: %w; mount an emptyDir there, or use --webhook-cert-dir", err)
	}
	service := s.Webhooks.Service
	key := types.NamespacedName{Namespace: s.Namespace, Name: service + "-cert"}
	cert := admission.NewCertificate(secrets, key, dir)
	if err := cert.Ensure(ctx); err != nil {
		return nil, err
	}
	if err := mgr.Add(cert); err != nil {
		return nil, fmt.Errorf("add the watch of the webhooks' certificate: %w", err)
	}
	err = rotator.AddRotator(mgr, &rotator.CertRotator{
		SecretKey: key, CertDir: dir, IsReady: make(chan struct{}),
		CAName: service + "-ca", CAOrganization: "ibfabric",
		DNSName:    fmt.Sprintf("%s.%s.svc", service, s.Namespace),
		FieldOwner: "ibfabric-controller",
		Webhooks: []rotator.WebhookInfo{
			{Name: service, Type: rotator.Validating},
			{Name: service + "-inject", Type: rotator.Mutating},
			{Name: "zz-" + service, Type: rotator.Mutating},
		},
		RequireLeaderElection: true,
	})
	if err != nil {
		return nil, fmt.Errorf("have the webhooks' certificate made: %w", err)
	}
	return cert, nil
}
