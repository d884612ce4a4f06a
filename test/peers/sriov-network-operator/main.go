// Command sriov-network-operator renders networks with the operator's own code: it reads
// SriovIBNetworks and SriovNetworks as YAML, and writes the NetworkAttachmentDefinitions that
// the operator makes of them, a JSON object each. Its argument is the folder of the
// operator's templates; RESOURCE_PREFIX is as in the operator.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	operator "github.com/k8snetworkplumbingwg/sriov-network-operator/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sriov-network-operator TEMPLATES < NETWORKS")
		os.Exit(2)
	}
	operator.ManifestsPath = os.Args[1]
	if err := render(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sriov-network-operator:", err)
		os.Exit(1)
	}
}

func render(from io.Reader, to io.Writer) error {
	in, out := yaml.NewYAMLOrJSONDecoder(from, 4096), json.NewEncoder(to)
	for {
		var object unstructured.Unstructured
		if err := in.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		network, err := typed(object)
		if err != nil {
			return err
		}
		nad, err := network.RenderNetAttDef()
		if err != nil {
			return fmt.Errorf("render %s: %w", object.GetName(), err)
		}
		if err := out.Encode(nad); err != nil {
			return err
		}
	}
}

type network interface {
	RenderNetAttDef() (*unstructured.Unstructured, error)
}

func typed(object unstructured.Unstructured) (network, error) {
	var n network
	switch object.GetKind() {
	case "SriovIBNetwork":
		n = &operator.SriovIBNetwork{}
	case "SriovNetwork":
		n = &operator.SriovNetwork{}
	default:
		return nil, fmt.Errorf("%q is no kind of network", object.GetKind())
	}
	return n, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, n, true)
}
