package guide

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// root is the project's folder.
const root = "../.."

// world is a cluster without Spiderpool that knows the kinds which the guide uses.
type world struct {
	bed *testbed.Cluster
	api client.Client // refuses unknown fields, as kubectl does
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bed := testbed.Start(t)
	if err := bed.InstallNADCRD(t.Context()); err != nil {
		t.Fatal(err)
	}
	return worldOn(t, bed, "testdata/others.yaml", root+"/deploy/crds-spiderpool/spidermultusconfigs.yaml")
}

func worldOn(t *testing.T, bed *testbed.Cluster, kinds ...string) *world {
	t.Helper()
	for _, file := range kinds {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := bed.Apply(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(bed.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{bed, client.WithFieldValidation(api, metav1.FieldValidationStrict)}
}

// read gives the objects of a file.
func read(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := documents.Decode(o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

// create makes the objects of a file, and gives them as the API server has them. A
// namespace replaces theirs, since files of the guide share names.
func (w *world) create(t *testing.T, file, namespace string) []*unstructured.Unstructured {
	t.Helper()
	all := read(t, file)
	for _, o := range all {
		if namespace != "" && o.GetNamespace() != "" {
			o.SetNamespace(namespace)
		}
		if err := w.createOne(t.Context(), o); err != nil {
			t.Fatalf("%s: %v", filepath.Base(file), err)
		}
	}
	return all
}

func (w *world) createOne(ctx context.Context, o *unstructured.Unstructured) error {
	err := w.api.Create(ctx, o)
	// Namespaces, and the pools of the guide, stand in several files.
	if apierrors.IsAlreadyExists(err) && o.GetNamespace() == "" {
		err = w.api.Get(ctx, client.ObjectKeyFromObject(o), o)
	}
	if err != nil {
		return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// only gives the one object of a kind.
func only(t *testing.T, all []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	for _, o := range all {
		if o.GetKind() == kind {
			if found != nil {
				t.Fatalf("two of kind %s", kind)
			}
			found = o
		}
	}
	if found == nil {
		t.Fatalf("none of kind %s", kind)
	}
	return found
}

// config is the one SpiderMultusConfig of a file of the guide, which the API server took.
func (w *world) config(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	all := w.create(t, "testdata/guide/"+file, w.bed.Namespace(t))
	return only(t, all, multus.Kind)
}

// with is u with another value in a field of its spec.
func with(t *testing.T, u *unstructured.Unstructured, value any, path ...string) *unstructured.Unstructured {
	t.Helper()
	c := u.DeepCopy()
	if err := unstructured.SetNestedField(c.Object, value, append([]string{"spec"}, path...)...); err != nil {
		t.Fatal(err)
	}
	return c
}

// without is u without a field of its spec.
func without(u *unstructured.Unstructured, path ...string) *unstructured.Unstructured {
	c := u.DeepCopy()
	unstructured.RemoveNestedField(c.Object, append([]string{"spec"}, path...)...)
	return c
}
