package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../../.."

func load(t *testing.T) *Chart {
	t.Helper()
	c, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	o := Options{Namespace: "fabric-system"}
	if err := yaml.Unmarshal([]byte(values), &o.Values); err != nil {
		t.Fatal(err)
	}
	return load(t).Render(o)
}

// Nodes without cards are never ready; a share of them must not stop the rollout to the others.
func TestNodesThatAreNeverReadyHoldUpNoOther(t *testing.T) {
	set, err := render(t, `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(set["40-node.yaml"], "maxUnavailable: 100%") {
		t.Errorf("the nodes' part is replaced so:\n%.800s", set["40-node.yaml"])
	}
}

// TestThePlainManifestsAreTheChart fails when somebody changed one and not the other.
func TestThePlainManifestsAreTheChart(t *testing.T) {
	files, err := load(t).Plain(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		} else if string(have) != want {
			t.Errorf("%s is not what the chart gives: run make manifests", name)
		}
	}
	for _, dir := range []string{"deploy/manifests", "deploy/admission", "deploy/console"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, ok := files[dir+"/"+e.Name()]; !ok {
				t.Errorf("%s/%s comes of no template: delete it", dir, e.Name())
			}
		}
	}
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	for values, says := range map[string]string{
		`{fabric: Bad_Name}`:                             "/fabric",
		`{ufm: {pasword: x}}`:                            "pasword",
		`{ufm: {port: 70000}}`:                           "/ufm/port",
		`{guids: {start: "02:00"}}`:                      "/guids/start",
		`{pkeys: {scope: "100-200"}}`:                    "/pkeys/scope",
		`{syncPolicy: off}`:                              "/syncPolicy",
		`{node: {gcPeriod: 3m}}`:                         "/node/gcPeriod",
		`{node: {plugins: [ib-sriov, host-device]}}`:     "/node/plugins/1",
		`{controller: {replicas: two}}`:                  "/controller/replicas",
		`{controller: {extraArgs: [pod-workers]}}`:       "/controller/extraArgs/0",
		`{admission: {policies: {writers: ["a', 'b"]}}}`: "/admission/policies/writers/0",
		`{metrics: {serviceMonitor: {enabled: true}}, console: {enabled: false}}`: "metrics.plainPort",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want it refused by %s", values, err, says)
		}
	}
}

// TestSettingsAreFlagsOnlyWhenSet keeps the ConfigMap of ib-kubernetes users in force: a flag
// would go before it.
func TestSettingsAreFlagsOnlyWhenSet(t *testing.T) {
	plain, err := render(t, `{}`)
	if err != nil {
		t.Fatal(err)
	}
	set, err := render(t, `{guids: {start: "02:00:00:00:00:00:00:00"}, ufm: {plugin: noop, port: 8443, chunk: 2000000}, pkeys: {tableEntries: 0}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--guid-range-start=02:00:00:00:00:00:00:00", "--sm-plugin=noop", "--ufm-port=8443", "--ufm-chunk=2000000", "--pkey-table-entries=0"} {
		name, _, _ := strings.Cut(flag, "=")
		if strings.Contains(plain["20-controller.yaml"], name) {
			t.Errorf("%s is given without a value for it", name)
		}
		if !strings.Contains(set["20-controller.yaml"], `"`+flag+`"`) {
			t.Errorf("no %s in\n%s", flag, set["20-controller.yaml"])
		}
	}
}

// TestTwoFabricsAreTwoReleases looks for objects that two releases would both have.
func TestTwoFabricsAreTwoReleases(t *testing.T) {
	first, err := render(t, `{admission: {policies: {writers: ["system:serviceaccount:fabric-system:ibfabric-storage-controller"]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	// As docs/install.md has it.
	second, err := render(t, `{fabric: storage, networkSelector: "fabric=storage", crds: {install: false}, node: {enabled: false}, multusConfigs: {mode: "off"}, admission: {policies: {create: false}}}`)
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]bool{}
	for _, name := range objects(t, first) {
		theirs[name] = true
	}
	if len(theirs) < 20 {
		t.Fatalf("only %d objects", len(theirs))
	}
	for _, name := range objects(t, second) {
		if theirs[name] {
			t.Errorf("%s is in both releases", name)
		}
	}
	want := `"['system:serviceaccount:fabric-system:ibfabric-controller', 'system:serviceaccount:fabric-system:ibfabric-storage-controller']"`
	if !strings.Contains(first["admission/30-policies.yaml"], want) {
		t.Errorf("the policies do not have both writers %s", want)
	}
}

// TestTheAlertsAreThoseOfTheProject reads them through the chart, placeholders of Prometheus
// and all.
func TestTheAlertsAreThoseOfTheProject(t *testing.T) {
	rendered, err := render(t, `{metrics: {prometheusRule: {enabled: true, groups: [{name: of-the-site}]}, serviceMonitor: {enabled: true}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"alert: IbfabricNoLeader", "{{ $labels.", "name: of-the-site", "kind: ServiceMonitor"} {
		if !strings.Contains(rendered["50-prometheus.yaml"], want) {
			t.Errorf("no %q in\n%s", want, rendered["50-prometheus.yaml"])
		}
	}
}

// objects are the kinds and names of what was rendered.
func objects(t *testing.T, rendered map[string]string) (names []string) {
	t.Helper()
	for _, document := range strings.Split(Join(rendered), "\n---\n") {
		var o struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if o.Kind != "" {
			names = append(names, fmt.Sprint(o.Kind, " ", o.Metadata.Namespace, "/", o.Metadata.Name))
		}
	}
	return names
}

// TestEveryValueHasAType walks values.yaml and the schema side by side.
func TestEveryValueHasAType(t *testing.T) {
	c := load(t)
	var schema map[string]any
	if err := json.Unmarshal(c.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	walk(t, "", c.Values, schema)
}

func walk(t *testing.T, path string, values, schema map[string]any) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	if properties == nil {
		return // free: it is handed on as it is
	}
	if schema["additionalProperties"] != false {
		t.Errorf("the schema lets misspelled names pass below %q", path)
	}
	for name, value := range values {
		sub, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("values.schema.json has no %s%s", path, name)
			continue
		}
		if m, ok := value.(map[string]any); ok {
			walk(t, path+name+".", m, sub)
		}
	}
	for name := range properties {
		if _, ok := values[name]; !ok && name != "global" {
			t.Errorf("values.yaml has no %s%s", path, name)
		}
	}
}

func TestTheArchiveIsTheSameEachTime(t *testing.T) {
	var one, two bytes.Buffer
	for _, out := range []*bytes.Buffer{&one, &two} {
		c := load(t)
		c.Version("v1.2.3")
		if err := c.Archive(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two archives of one chart differ")
	}
	c, err := FromArchive(&one)
	if err != nil {
		t.Fatal(err)
	}
	if c.Metadata.Version != "1.2.3" || c.Metadata.AppVersion != "1.2.3" {
		t.Errorf("it says version %s, app %s", c.Metadata.Version, c.Metadata.AppVersion)
	}
	rendered, err := c.Render(Options{Namespace: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rendered["00-crds.yaml"], "name: ledgers.ibfabric.io") {
		t.Error("the archive has no CRDs: they are links in the project")
	}
	if !strings.Contains(rendered["20-controller.yaml"], "ibfabric-controller:1.2.3\n") {
		t.Error("the image is not that of the version")
	}
}

func TestTheTableWantsAWordOnEachValue(t *testing.T) {
	table, err := Table([]byte("# above all\n\n# the first\na: 1\nb:\n  # a | pipe\n  c: [x, y]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "| `a` | `1` | the first |\n| `b.c` | `[x, y]` | a \\| pipe |\n"; !strings.HasSuffix(table, want) {
		t.Errorf("%s; want %s", table, want)
	}
	if _, err := Table([]byte("a:\n  b: 1\n")); err == nil || !strings.Contains(err.Error(), "a.b") {
		t.Errorf("%v; want it to ask for a comment on a.b", err)
	}
}

// TestTheValuesOfAMoveAreTheCharts renders what `ibfabric migrate --values` prints, as its own
// tests hold it.
func TestTheValuesOfAMoveAreTheCharts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "cmd/ibfabric/internal/migrate/testdata/*.values.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("there are no values of a move: %v %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := render(t, string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		all := Join(rendered)
		for _, want := range []string{"--guid-range-end=02:", "--sync-period=", "--sm-plugin=ufm", "ibfabric.io/cni: \"yes\"", "type: OnDelete", "value: replace"} {
			if !strings.Contains(all, want) {
				t.Errorf("with %s nothing says %s", file, want)
			}
		}
	}
}
