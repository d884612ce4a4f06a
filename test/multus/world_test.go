package multus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// shared is the cluster of all tests. Its controllers look at every namespace, so tests run
// one after the other, and each stops its own.
var shared = rig.Shared{Prepare: func(ctx context.Context, r *rig.Rig) error {
	text, err := deploy.SpiderpoolCRDs.ReadFile("crds-spiderpool/spidermultusconfigs.yaml")
	if err != nil {
		return err
	}
	return r.Bed.Apply(ctx, text)
}}

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// world is a namespace of a cluster, and the controllers that a test starts.
type world struct {
	t   *testing.T
	rig *rig.Rig
	api client.Client
	ns  string

	log rig.Log
}

func newWorld(t *testing.T) *world { return worldOn(t, shared.Rig(t)) }

func worldOn(t *testing.T, r *rig.Rig) *world {
	t.Helper()
	scheme, err := controller.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(r.Bed.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rig: r, api: api, ns: r.Bed.Namespace(t)}
	t.Cleanup(w.showLog)
	t.Cleanup(w.leaveNothing)
	return w
}

// leaveNothing removes what the next test's controller would find.
func (w *world) leaveNothing() {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(multus.GVR().GroupVersion().WithKind(multus.Kind))
	for _, kind := range []client.Object{u, &nadv1.NetworkAttachmentDefinition{}} {
		testbed.Eventually(w.t, "the test's objects go", func() (bool, string) { // a test may have made their kind anew
			err := w.api.DeleteAllOf(context.Background(), kind, client.InNamespace(w.ns))
			return client.IgnoreNotFound(err) == nil, fmt.Sprint(err)
		})
	}
}

func (w *world) showLog() {
	if text := w.log.String(); w.t.Failed() {
		lines := strings.Split(regexp.MustCompile(`(?m)^.*"event":"summary".*\n`).ReplaceAllString(text, ""), "\n")
		w.t.Logf("the controllers said, at the end:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
	} else if strings.Contains(text, "DATA RACE") {
		w.t.Error("a data race")
	}
}

// start runs a controller with no fabric behind it; a kubeconfig of "" is the cluster's.
func (w *world) start(kubeconfig string, flags ...string) *programs.Process {
	w.t.Helper()
	if kubeconfig == "" {
		kubeconfig = w.rig.Bed.Kubeconfig()
	}
	p, err := w.rig.Launcher.Start(programs.Command{
		Program: w.rig.Program(), Out: &w.log, Env: []string{"KUBECONFIG=" + kubeconfig},
		Args: append([]string{
			"--sm-plugin=noop", "--multus-configs=on", "--fabric=" + w.ns, "--namespace=" + w.ns,
			"--health-address=0", "--console-address=0", "--sync-period=100ms", "--summary-period=500ms", "--lease-retry=300ms",
		}, flags...),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Kill)
	return p
}

func (w *world) stop(p *programs.Process) {
	w.t.Helper()
	if err := p.Stop(programs.StopWithin); err != nil {
		w.t.Error(err)
	}
}

// config writes a SpiderMultusConfig, its spec in YAML; annotations are pairs. One that is
// there gets the new spec, and exactly these annotations.
func (w *world) config(name, spec string, annotations ...string) *unstructured.Unstructured {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(multus.GVR().GroupVersion().WithKind(multus.Kind))
	u.SetNamespace(w.ns)
	u.SetName(name)
	var values map[string]any
	if err := yaml.Unmarshal([]byte(spec), &values); err != nil {
		w.t.Fatal(err)
	}
	says := func(u *unstructured.Unstructured) {
		u.Object["spec"] = values
		u.SetAnnotations(pairs(annotations))
	}
	err := rig.Edit(w.t.Context(), w.api, u, says)
	if apierrors.IsNotFound(err) {
		says(u)
		err = w.api.Create(w.t.Context(), u)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func pairs(list []string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

func (w *world) deleteConfig(name string) {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(multus.GVR().GroupVersion().WithKind(multus.Kind))
	u.SetNamespace(w.ns)
	u.SetName(name)
	if err := w.api.Delete(w.t.Context(), u); err != nil {
		w.t.Fatal(err)
	}
}

// nad is a NAD as it is now, nil if there is none.
func (w *world) nad(name string) *nadv1.NetworkAttachmentDefinition {
	w.t.Helper()
	var nad nadv1.NetworkAttachmentDefinition
	err := w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.ns, Name: name}, &nad)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		w.t.Fatal(err)
	}
	return &nad
}

// becomes waits until the config of a NAD has a text in it, and gives the NAD.
func (w *world) becomes(name, part string) *nadv1.NetworkAttachmentDefinition {
	w.t.Helper()
	var nad *nadv1.NetworkAttachmentDefinition
	testbed.Eventually(w.t, fmt.Sprintf("network %s has %s", name, part), func() (bool, string) {
		if nad = w.nad(name); nad == nil {
			return false, "there is none"
		}
		return strings.Contains(nad.Spec.Config, part), nad.Spec.Config
	})
	return nad
}

func (w *world) goes(name string) {
	w.t.Helper()
	testbed.Eventually(w.t, "network "+name+" goes", func() (bool, string) { return w.nad(name) == nil, "" })
}

// edit changes a NAD as a person would.
func (w *world) edit(name string, change func(*nadv1.NetworkAttachmentDefinition)) {
	w.t.Helper()
	if err := rig.Edit(w.t.Context(), w.api, w.nad(name), change); err != nil {
		w.t.Fatal(err)
	}
}

// events are the Kubernetes Events on a config, as reason and message.
func (w *world) events(config string) (all []string) {
	w.t.Helper()
	list, err := w.rig.Bed.Client().CoreV1().Events(w.ns).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.InvolvedObject.Name == config && e.InvolvedObject.Kind == multus.Kind {
			all = append(all, e.Reason+": "+e.Message)
		}
	}
	return all
}

// told waits for an Event on a config that says all of that.
func (w *world) told(config, reason string, says ...string) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("%s is told %s %q", config, reason, says), func() (bool, string) {
		all := w.events(config)
		for _, e := range all {
			ok := strings.HasPrefix(e, reason+": ")
			for _, s := range says {
				ok = ok && strings.Contains(e, s)
			}
			if ok {
				return true, ""
			}
		}
		return false, strings.Join(all, "\n")
	})
}

// lines are the log lines with an event, about this test's namespace.
func (w *world) lines(event string) (all []map[string]any) {
	for line := range strings.Lines(w.log.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["event"] == event {
			all = append(all, m)
		}
	}
	return all
}

// logged waits for so many log lines with an event.
func (w *world) logged(event string, n int) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("%d times %s in the log", n, event), func() (bool, string) {
		have := len(w.lines(event))
		return have >= n, fmt.Sprint(have)
	})
}

// has waits until a NAD has exactly these labels.
func (w *world) has(name string, labels map[string]string) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("network %s has the labels %v", name, labels), func() (bool, string) {
		nad := w.nad(name)
		return nad != nil && maps.Equal(nad.Labels, labels), fmt.Sprintf("%+v", nad)
	})
}
