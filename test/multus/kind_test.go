package multus

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const crdName = "spidermultusconfigs.spiderpool.spidernet.io"

// forget takes the kind away from the cluster, until the test's end.
func (w *world) forget() {
	w.t.Helper()
	text, err := deploy.SpiderpoolCRDs.ReadFile("crds-spiderpool/spidermultusconfigs.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	w.removeKind()
	w.t.Cleanup(func() {
		w.removeKind()
		if err := w.rig.Bed.Apply(context.Background(), text); err != nil {
			w.t.Errorf("the kind is missing from here on: %v", err)
		}
	})
}

// removeKind works at a test's end too.
func (w *world) removeKind() {
	w.t.Helper()
	ctx := context.Background()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.Name = crdName
	if err := w.api.Delete(ctx, crd); err != nil && !apierrors.IsNotFound(err) {
		w.t.Error(err)
	}
	testbed.Eventually(w.t, "the kind goes", func() (bool, string) {
		err := w.api.Get(ctx, types.NamespacedName{Name: crdName}, &apiextensionsv1.CustomResourceDefinition{})
		served, servedErr := multus.Served(ctx, w.rig.Bed.Client().Discovery()) // which is what a controller asks
		return apierrors.IsNotFound(err) && !served && servedErr == nil, fmt.Sprint(err, served, servedErr)
	})
}

func (w *world) crd() (crd apiextensionsv1.CustomResourceDefinition) {
	w.t.Helper()
	if err := w.api.Get(w.t.Context(), types.NamespacedName{Name: crdName}, &crd); err != nil {
		w.t.Fatal(err)
	}
	return crd
}

func TestWithoutTheKindOnSaysWhatToDoAndAutoWaitsForIt(t *testing.T) {
	w := newWorld(t)
	w.forget()
	p := w.start("", "--multus-configs=on")
	<-p.Done()
	for _, want := range []string{"does not know SpiderMultusConfigs", "--install-crds", "--multus-configs=auto"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("on: it did not say %s", want)
		}
	}
	p = w.start("", "--multus-configs=auto")
	w.idle()
	second := w.install()
	w.config("rail", rail)
	w.becomes("rail", "0x1000")
	w.stop(second) // it stood by

	// An API server that loses sight of the kind must cost no network.
	before := w.nad("rail")
	w.serve(false)
	w.idle()
	if now := w.nad("rail"); now == nil || now.ResourceVersion != before.ResourceVersion {
		t.Errorf("its network went: %+v", now)
	}
	w.serve(true)
	w.deleteConfig("rail")
	w.goes("rail")
	if err := p.Ended(); err != nil {
		t.Error(err)
	}
}

// serve has the API server serve the kind, or keep it without showing it.
func (w *world) serve(yes bool) {
	w.t.Helper()
	crd := w.crd()
	serve := func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions[0].Served = yes }
	if err := rig.Edit(w.t.Context(), w.api, &crd, serve); err != nil {
		w.t.Fatal(err)
	}
	w.isServed(yes)
}

// isServed waits until the test's own client finds the kind, or does not.
func (w *world) isServed(yes bool) {
	w.t.Helper()
	u := &unstructured.UnstructuredList{}
	u.SetGroupVersionKind(multus.GVR().GroupVersion().WithKind(multus.Kind))
	testbed.Eventually(w.t, fmt.Sprintf("the kind is served: %t", yes), func() (bool, string) {
		return (w.api.List(w.t.Context(), u) == nil) == yes, ""
	})
}

// install has a controller install the kind, which then runs on and makes networks.
func (w *world) install() *programs.Process {
	w.t.Helper()
	started := len(w.lines("controller.started"))
	p := w.start("", "--multus-configs=auto", "--install-crds")
	w.logged("controller.started", started+1)
	w.isServed(true)
	return p
}

func TestTheKindThatIsThereIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	w.forget()
	text, err := deploy.SpiderpoolCRDs.ReadFile("crds-spiderpool/spidermultusconfigs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.rig.Bed.Apply(t.Context(), []byte(strings.Replace(string(text), "A network for pods", "Spiderpool's own", 1))); err != nil {
		t.Fatal(err)
	}
	before := w.crd()
	w.stop(w.install())
	if now := w.crd(); now.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was written: %v", now.ManagedFields)
	}
}

func TestOffMakesNothing(t *testing.T) {
	w := newWorld(t)
	w.forget()
	p := w.start("", "--multus-configs=off", "--install-crds")
	w.idle()
	if err := w.api.Get(t.Context(), types.NamespacedName{Name: crdName}, &apiextensionsv1.CustomResourceDefinition{}); !apierrors.IsNotFound(err) {
		t.Errorf("the kind is there: %v", err)
	}
	if err := p.Ended(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(programs.StopWithin); err != nil {
		t.Error(err)
	}
}
