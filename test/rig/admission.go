package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// InstallAdmission applies the manifests of admission as they are shipped, with two
// differences: the controller's namespace, and the Service leads to a port of this machine,
// where the controller runs. More can be changed in each file by edits.
func InstallAdmission(ctx context.Context, bed *testbed.Cluster, namespace string, port int, edits ...func(text []byte) []byte) error {
	files, err := fs.Glob(deploy.Admission, "admission/*.yaml")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there are no manifests of admission: %w", err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(deploy.Admission, file)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("kube-system"), []byte(namespace))
		for _, edit := range edits {
			text = edit(text)
		}
		for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
			object := &unstructured.Unstructured{}
			if err := documents.Decode(object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if err := lead(object, port); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			text, err := object.MarshalJSON()
			if err == nil {
				err = bed.Apply(ctx, text)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// lead makes a Service, and who calls it, lead to a port of this machine. The name that the
// certificate must have stays that of the Service.
func lead(object *unstructured.Unstructured, port int) error {
	if object.GetKind() == "Service" {
		object.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
	}
	hooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
	for _, hook := range hooks {
		if err := unstructured.SetNestedField(hook.(map[string]any), int64(port), "clientConfig", "service", "port"); err != nil {
			return err
		}
	}
	if len(hooks) > 0 {
		object.Object["webhooks"] = hooks
	}
	return nil
}
