package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// InstallAdmission applies the manifests of admission as they are shipped, with three
// differences: the controller's namespace, the Service leads to a port of this machine, where
// the controller runs, and the API server waits longer for its answer. More can be changed in
// each file by edits.
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
			if err := Lead(object, port); err != nil {
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

// hookTimeout is what a webhook may take at most. With less, a busy machine's pause lets a pod
// in without its gate, or fails a request.
const hookTimeout = int64(30)

// Lead makes the Service of the webhooks, and what calls it, lead to a port of this machine.
// The name that the certificate must have stays that of the Service.
func Lead(object *unstructured.Unstructured, port int) error {
	if object.GetKind() == "Service" && strings.HasSuffix(object.GetName(), "-webhook") { // the console has one too
		object.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
	}
	hooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
	for _, hook := range hooks {
		hook.(map[string]any)["timeoutSeconds"] = hookTimeout
		if err := unstructured.SetNestedField(hook.(map[string]any), int64(port), "clientConfig", "service", "port"); err != nil {
			return err
		}
	}
	if len(hooks) > 0 {
		object.Object["webhooks"] = hooks
	}
	return nil
}
