package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// applier writes objects of any kind, finding each kind's resource by discovery.
type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newApplier(config *rest.Config) (*applier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &applier{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))}, nil
}

// Apply writes the objects of a YAML text with several documents by server-side apply, as
// `kubectl apply --server-side --force-conflicts` does, in their order. After a
// CustomResourceDefinition it waits until objects of the new kind can be written, and found.
func (c *Cluster) Apply(ctx context.Context, text []byte) error {
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for n := 1; ; n++ {
		object := &unstructured.Unstructured{}
		switch err := documents.Decode(object); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading document %d of the YAML: %w", n, err)
		case len(object.Object) == 0: // nothing, or comments, between two ---
			continue
		}
		if err := c.applier.applyAll(ctx, object); err != nil {
			return err
		}
	}
}

func (a *applier) applyAll(ctx context.Context, object *unstructured.Unstructured) error {
	if !object.IsList() {
		return a.apply(ctx, object)
	}
	return object.EachListItem(func(item runtime.Object) error {
		return a.apply(ctx, item.(*unstructured.Unstructured))
	})
}

func (a *applier) apply(ctx context.Context, object *unstructured.Unstructured) error {
	fail := func(err error) error {
		return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	mapping, err := a.mapping(ctx, object)
	if err != nil {
		return fail(err)
	}
	var client dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if object.GetNamespace() == "" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		client = a.client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	options := metav1.ApplyOptions{FieldManager: "testbed", Force: true}
	if _, err := client.Apply(ctx, object.GetName(), object, options); err != nil {
		return fail(err)
	}
	if mapping.GroupVersionKind.GroupKind() != apiextensionsv1.Kind("CustomResourceDefinition") {
		return nil
	}
	if err := established(ctx, client, object.GetName()); err != nil {
		return fail(err)
	}
	if err := a.discovered(ctx, object); err != nil {
		return fail(err)
	}
	return nil
}

// discovered waits until discovery has the kinds of a CustomResourceDefinition: it follows a
// moment late, and whoever asked it before would not find them.
func (a *applier) discovered(ctx context.Context, object *unstructured.Unstructured) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd); err != nil {
		return err
	}
	a.mapper.Reset() // it may remember one of that name that went
	for _, version := range crd.Spec.Versions {
		if !version.Served {
			continue
		}
		kind := &unstructured.Unstructured{}
		kind.SetGroupVersionKind(schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind})
		if _, err := a.mapping(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// mapping looks again for a while when a kind is unknown: discovery follows a new
// CustomResourceDefinition a moment late.
func (a *applier) mapping(ctx context.Context, object *unstructured.Unstructured) (*meta.RESTMapping, error) {
	kind := object.GroupVersionKind()
	for end := time.Now().Add(time.Minute); ; {
		mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err == nil || !meta.IsNoMatchError(err) || time.Now().After(end) {
			return mapping, err
		}
		a.mapper.Reset()
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func established(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	return wait.PollUntilContextTimeout(ctx, 25*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		object, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd); err != nil {
			return false, err
		}
		for _, condition := range crd.Status.Conditions {
			switch {
			case condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue:
				return true, nil
			case condition.Type == apiextensionsv1.NamesAccepted && condition.Status == apiextensionsv1.ConditionFalse:
				return false, fmt.Errorf("its names are taken: %s", condition.Message)
			}
		}
		return false, nil
	})
}
