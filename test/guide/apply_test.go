package guide

import (
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/controller/multus"
)

func TestTheGuidesManifestsApply(t *testing.T) {
	w := newWorld(t)
	files, err := filepath.Glob("testdata/guide/*.yaml")
	if err != nil || len(files) != 8 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			w.create(t, file, w.bed.Namespace(t))
		})
	}
}

// The API server must hand the controller what was written: a field that it dropped or
// filled in would become another network, with nobody told.
func TestAConfigComesBackFromTheAPIServerAsItWasWritten(t *testing.T) {
	w := newWorld(t)
	ns := w.bed.Namespace(t)
	write := func(name string, spec map[string]any) (*unstructured.Unstructured, error) {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": multus.APIVersion, "kind": multus.Kind, "spec": spec}}
		u.SetNamespace(ns)
		u.SetName(name)
		return u, w.createOne(t.Context(), u)
	}
	type m = map[string]any
	for name, spec := range map[string]m{
		"number":  {"cniType": "ib-sriov", "ibsriov": m{"resourceName": "a/b", "pkey": int64(4096)}},
		"text":    {"cniType": "ib-sriov", "ibsriov": m{"resourceName": "a/b", "pkey": "0x1000", "enableIbKubernetes": false}},
		"older":   {"cniType": "ib-sriov", "ibsriov": m{"ibKubernetesEnabled": true}, "coordinator": m{"detectGateway": true}},
		"pools":   {"cniType": "sriov", "sriov": m{"enableRdma": true, "ippools": m{"ipv4": []any{"a"}}}, "ippools": m{"ipv6": []any{"b"}}},
		"link":    {"cniType": "macvlan", "macvlan": m{"master": []any{"a", "b"}, "bond": m{"name": "bond0", "mode": int64(1)}, "rdmaResourceName": "a/b"}},
		"ipam":    {"cniType": "ipoib", "ipoib": m{"master": "ib0"}, "ipam": m{"type": "host-local", "ranges": []any{[]any{m{"subnet": "10.0.0.0/24"}}}}},
		"unknown": {"cniType": "ovs", "ovs": m{"bridge": "br"}, "later": m{"a": []any{"b"}}, "chainCNIJsonData": []any{`{"type":"sbr"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			want := (&unstructured.Unstructured{Object: m{"spec": spec}}).DeepCopy().Object["spec"]
			u, err := write(name, spec)
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, want, u.Object["spec"])
		})
	}
	for name, spec := range map[string]m{
		"pkey that is true":       {"ibsriov": m{"pkey": true}},
		"resource that is none":   {"ibsriov": m{"resourceName": int64(5)}},
		"pools that are no list":  {"sriov": m{"ippools": m{"ipv4": "a"}}},
		"a master that is a text": {"macvlan": m{"master": "ens6"}},
	} {
		if _, err := write("refused", spec); err == nil || !strings.Contains(err.Error(), "spec.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
