package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm"
)

// reader follows a quick start on a real API server: what is applied must be taken, in the
// order of the page, with every field known, and what is looked at must be there by then.
// What comes of the objects test/guide and test/deploy try.
type reader struct {
	t   *testing.T
	bed *testbed.Cluster
	api client.Client // refuses unknown fields, as kubectl does
	bin string
	dir string // where the reader stands
}

func TestTheQuickStartsCanBeFollowed(t *testing.T) {
	bin := built(t)
	for _, name := range []string{"infiniband", "roce"} {
		t.Run(name, func(t *testing.T) {
			bed := clusterWithNetworks(t)
			api, err := client.New(bed.Config(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := &reader{t, bed, client.WithFieldValidation(api, metav1.FieldValidationStrict), bin, t.TempDir()}
			steps := 0
			for _, part := range readPage(t, "docs/quickstart-"+name+".md").parts() {
				if part.mark != "①" && !strings.HasPrefix(part.text, "ibfabric ufm cert") {
					continue
				}
				all, err := calls(part.text)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range all {
					steps++
					r.follow(c.words)
				}
			}
			if steps < 15 {
				t.Errorf("only %d commands were followed", steps)
			}
			r.hasAll(name)
		})
	}
}

// hasAll looks at what stands in the cluster at the end.
func (r *reader) hasAll(name string) {
	r.t.Helper()
	for _, kind := range []string{"sriovnetwork.openshift.io/v1 SriovNetworkNodePolicy", "spiderpool.spidernet.io/v2beta1 SpiderMultusConfig"} {
		list := &unstructured.UnstructuredList{}
		version, kind, _ := strings.Cut(kind, " ")
		list.SetAPIVersion(version)
		list.SetKind(kind + "List")
		if err := r.api.List(r.t.Context(), list, client.InNamespace("spiderpool")); err != nil || len(list.Items) != 8 {
			r.t.Errorf("%d of kind %s, %v", len(list.Items), kind, err)
		}
	}
	if name != "infiniband" {
		return
	}
	var secret corev1.Secret
	if err := r.api.Get(r.t.Context(), client.ObjectKey{Namespace: "ibfabric", Name: "ib-kubernetes-ufm-secret"}, &secret); err != nil {
		r.t.Fatal(err)
	}
	c := ufm.CredentialsFrom(func(key string) string { return string(secret.Data[key]) })
	if c.Username != "admin" || !strings.Contains(c.Certificate, "BEGIN CERTIFICATE") || string(secret.Data["UFM_ADDRESS"]) != "172.16.10.10" {
		r.t.Errorf("the Secret has %v", secret.Data)
	}
}

func (r *reader) follow(words []string) {
	r.t.Helper()
	switch args := words[1:]; path.Base(words[0]) {
	case "kubectl":
		r.kubectl(args)
	case "helm":
		r.helm(args)
	case "ibfabric":
		if slices.Contains(args, "--apply") {
			args = append(args, "--password-stdin") // where a terminal would ask
		}
		r.run("a_password\n", filepath.Join(r.bin, "ibfabric"), append(args, "--kubeconfig", r.bed.Kubeconfig())...)
	case "jq", "sh":
	default:
		r.t.Errorf("nobody here follows %q", words)
	}
}

func (r *reader) run(stdin, program string, args ...string) (stdout []byte) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), program, args...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = r.dir, strings.NewReader(stdin), &said
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", cmd, err, said.String())
	}
	return out
}

// kubectl plays what the pages have of it.
func (r *reader) kubectl(args []string) {
	r.t.Helper()
	namespace := ""
	if args[0] == "-n" {
		namespace, args = args[1], args[2:]
	}
	switch args[0] {
	case "apply":
		for i, arg := range args {
			if args[max(0, i-1)] == "-f" {
				r.create([]byte(read(r.t, arg)))
			}
		}
	case "create":
		r.make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: args[2]}})
	case "label": // nodes are the reader's own
		if args[1] == "namespace" {
			r.there("Namespace", "", args[2])
		}
	case "rollout", "exec":
		kind, name, _ := strings.Cut(args[len(args)-1], "/")
		if args[0] == "exec" {
			kind, name, _ = strings.Cut(args[1], "/")
		}
		r.there(map[string]string{"deployment": "Deployment", "daemonset": "DaemonSet", "ds": "DaemonSet"}[kind], namespace, name)
	case "get", "ibfabric": // looking only
	default:
		r.t.Errorf("kubectl %q is not played", args)
	}
}

// helm renders our chart with what the page sets. Of the operator's, the kinds are played.
func (r *reader) helm(args []string) {
	r.t.Helper()
	if !slices.Contains(args, "deploy/chart/ibfabric") {
		r.create([]byte(read(r.t, "test/guide/testdata/others.yaml")))
		return
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		r.t.Fatal(err)
	}
	render, namespace := []string{"template", "-root", abs}, ""
	for i, arg := range args {
		switch args[max(0, i-1)] {
		case "--set", "--set-string":
			render = append(render, args[i-1][1:], arg)
		case "--namespace":
			namespace = arg
		}
	}
	r.there("Namespace", "", namespace)
	r.create(r.run("", filepath.Join(r.bin, "ibfabric-chart"), append(render, "-namespace", namespace)...))
}

// create makes the objects of a text. Kinds are waited for, until they are served.
func (r *reader) create(text []byte) {
	r.t.Helper()
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := documents.Decode(o)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if len(o.Object) == 0 {
			continue
		}
		if o.GetKind() == "CustomResourceDefinition" {
			one, err := o.MarshalJSON()
			if err == nil {
				err = r.bed.Apply(r.t.Context(), one)
			}
			if err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		r.make(o)
	}
}

func (r *reader) make(o client.Object) {
	r.t.Helper()
	kind := o.GetObjectKind().GroupVersionKind().Kind
	// A kind that is served may still be missing in what the API server lists of its kinds.
	testbed.Eventually(r.t, fmt.Sprintf("%s %s is made", kind, o.GetName()), func() (bool, string) {
		err := r.api.Create(r.t.Context(), o)
		switch {
		case err == nil, apierrors.IsAlreadyExists(err) && o.GetNamespace() == "":
			return true, ""
		case !meta.IsNoMatchError(err):
			r.t.Fatalf("make %s %s: %v", kind, o.GetName(), err)
		}
		return false, err.Error()
	})
}

// there wants an object to be there by now.
func (r *reader) there(kind, namespace, name string) {
	r.t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(map[string]string{"Namespace": "v1", "Deployment": "apps/v1", "DaemonSet": "apps/v1"}[kind])
	o.SetKind(kind)
	err := r.api.Get(r.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o)
	if err != nil {
		r.t.Errorf("the page looks at %s %s/%s, and it is not there by then: %v", kind, namespace, name, err)
	}
}
