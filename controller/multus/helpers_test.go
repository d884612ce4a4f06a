package multus

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// with is a cluster with Spiderpool, without one that has none of it.
var with, without = Settings{Coordinator: true, SpiderpoolIPAM: true}, Settings{}

// object is a SpiderMultusConfig called gpu/rail1 with that spec, in YAML.
func object(t testing.TB, spec string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": APIVersion, "kind": Kind,
		"metadata": map[string]any{"namespace": "gpu", "name": "rail1", "uid": "u-1"},
	}}
	var s map[string]any
	if err := yaml.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatalf("%v in\n%s", err, spec)
	}
	u.Object["spec"] = s
	return u
}

func decode(t testing.TB, spec string) Config {
	t.Helper()
	c, err := Decode(object(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantFit wants an error that a message can hold: one line, not long, nothing hidden.
func wantFit(t testing.TB, err error) {
	t.Helper()
	text := err.Error()
	if len(text) > 4000 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("unfit message of %d bytes: %.900q", len(text), text)
	}
}
