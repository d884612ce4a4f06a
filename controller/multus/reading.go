package multus

import (
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// reading is a config as it was read, and what comes of it.
type reading struct {
	object *unstructured.Unstructured
	Candidate
	nad *nadv1.NetworkAttachmentDefinition // nil with Err
}

// strip takes away what nobody reads here, half of an object.
func strip(obj any) (any, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
		if a := u.GetAnnotations(); a[lastApplied] != "" {
			delete(a, lastApplied)
			u.SetAnnotations(a)
		}
	}
	return obj, nil
}

// read says what comes of a config in a cluster that has what s says.
func read(u *unstructured.Unstructured, s Settings) reading {
	r := reading{object: u}
	err := guard(func() (err error) {
		if r.Config, err = Decode(u); err == nil {
			r.nad, err = r.Config.NAD(s)
		}
		return err
	})
	if r.Err = err; err != nil {
		r.nad = nil
		r.Config.Name = types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()}
	}
	return r
}
