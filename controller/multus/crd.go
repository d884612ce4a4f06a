package multus

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/controller/optional"
)

// crdFile is the kind's definition for clusters without Spiderpool, as deploy embeds it.
const crdFile = "crds-spiderpool/spidermultusconfigs.yaml"

// GVR is where the API server has SpiderMultusConfigs.
func GVR() schema.GroupVersionResource {
	return schema.FromAPIVersionAndKind(APIVersion, Kind).GroupVersion().WithResource("spidermultusconfigs")
}

// Served reports whether the API server serves the kind, whoever installed it. It needs
// no permission of its own.
func Served(ctx context.Context, d discovery.DiscoveryInterface) (bool, error) {
	return optional.Served(ctx, d, GVR())
}

// InstallCRD creates the definition in files where the API server has none of that name,
// and waits until the kind is served. One that is there is Spiderpool's, or may be, and
// stays as it is: its schema and defaults are what its own controller goes by.
func InstallCRD(ctx context.Context, c client.Client, files fs.FS, served func(context.Context) (bool, error)) error {
	text, err := fs.ReadFile(files, crdFile)
	if err != nil {
		return fmt.Errorf("read the definition of %s: %w", Kind, err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		return fmt.Errorf("read %s: %w", crdFile, err)
	}
	if err := c.Create(ctx, &crd); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("install %s: %w", crd.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		ok, err := served(ctx)
		if ok || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is served: %w", crd.Name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
