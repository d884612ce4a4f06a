package guide

import (
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/controller/multus"
)

// spiderpool is a cluster that has all of it; the zero Settings are one without.
var spiderpool = multus.Settings{Coordinator: true, SpiderpoolIPAM: true}

// network is the NAD of a config, and the config as read.
func network(t *testing.T, u *unstructured.Unstructured, s multus.Settings) (multus.Config, *nadv1.NetworkAttachmentDefinition) {
	t.Helper()
	c, err := multus.Decode(u)
	if err != nil {
		t.Fatal(err)
	}
	nad, err := c.NAD(s)
	if err != nil {
		t.Fatal(err)
	}
	return c, nad
}

// refused wants a config refused with the field and the mend.
func refused(t *testing.T, u *unstructured.Unstructured, s multus.Settings, field, mend string) {
	t.Helper()
	c, err := multus.Decode(u)
	if err == nil {
		_, err = c.NAD(s)
	}
	if err == nil || !strings.Contains(err.Error(), field+": ") || !strings.Contains(err.Error(), mend) {
		t.Errorf("%v\nwant %s … %s", err, field, mend)
	}
}

// config names a SpiderMultusConfig of namespace spiderpool.
func config(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(multus.GVR().GroupVersion().WithKind(multus.Kind))
	u.SetNamespace("spiderpool")
	u.SetName(name)
	return u
}

// nad is an empty one, to read into.
func nad() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(nadv1.SchemeGroupVersion.WithKind("NetworkAttachmentDefinition"))
	return u
}
