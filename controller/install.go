package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
)

// Scheme knows every type that a controller reads or writes.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	err := errors.Join(
		clientgoscheme.AddToScheme(s), nadv1.AddToScheme(s),
		apiextensionsv1.AddToScheme(s), v1alpha1.AddToScheme(s),
	)
	return s, err
}

// InstallCRDs creates or updates the custom resource definitions in files, and waits
// until the API server serves them.
func InstallCRDs(ctx context.Context, c client.Client, files fs.FS) error {
	names, err := fs.Glob(files, "crds/*.yaml")
	if err != nil {
		return fmt.Errorf("list the CRDs: %w", err)
	}
	for _, name := range names {
		if err := installCRD(ctx, c, files, name); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

func installCRD(ctx context.Context, c client.Client, files fs.FS, file string) error {
	text, err := fs.ReadFile(files, file)
	if err != nil {
		return err
	}
	var crd, now apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		return err
	}
	err = c.Get(ctx, client.ObjectKeyFromObject(&crd), &now)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, &crd)
	case err == nil:
		now.Spec = crd.Spec
		err = c.Update(ctx, &now)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return untilServed(ctx, c, crd.Name)
}

func untilServed(ctx context.Context, c client.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &crd); err != nil {
			return err
		}
		for _, cond := range crd.Status.Conditions {
			if cond.Type == apiextensionsv1.Established && cond.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it is served: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// IsAway reports whether an error only says that the API server does not answer now.
func IsAway(err error) bool {
	var unreachable net.Error
	return errors.As(err, &unreachable) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, io.EOF) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err)
}

// CheckCRDs says what is missing in the cluster, and how to mend it.
func CheckCRDs(ctx context.Context, c client.Client) error {
	err := c.List(ctx, &v1alpha1.LedgerList{}, client.Limit(1))
	switch {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return errors.New("this cluster does not know Ledgers (ledgers.ibfabric.io): start with --install-crds, or apply deploy/crds")
	case err != nil:
		return fmt.Errorf("ask the API server for Ledgers: %w", err)
	}
	err = c.List(ctx, &v1alpha1.PartitionList{}, client.Limit(1))
	switch {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return errors.New("this cluster does not know Partitions (partitions.ibfabric.io): start with --install-crds, or apply deploy/crds")
	case err != nil:
		return fmt.Errorf("ask the API server for Partitions: %w", err)
	}
	err = c.List(ctx, &v1alpha1.PartitionClaimList{}, client.Limit(1))
	switch {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return errors.New("this cluster does not know PartitionClaims (partitionclaims.ibfabric.io): start with --install-crds, or apply deploy/crds")
	case err != nil:
		return fmt.Errorf("ask the API server for PartitionClaims: %w", err)
	}
	err = c.List(ctx, &nadv1.NetworkAttachmentDefinitionList{}, client.Limit(1))
	switch {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return errors.New("this cluster does not know NetworkAttachmentDefinitions (k8s.cni.cncf.io/v1): install Multus first")
	case err != nil:
		return fmt.Errorf("ask the API server for NetworkAttachmentDefinitions: %w", err)
	}
	return nil
}
