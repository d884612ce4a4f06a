package guide

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/controller/preflight"
)

func namedPool(t *testing.T, w *world) {
	noPools(t, w)
	all := read(t, "testdata/guide/infiniband.yaml")
	_, nad := network(t, only(t, all, multus.Kind), spiderpool)
	found := preflight.Check(preflight.Cluster{
		Networks: []nadv1.NetworkAttachmentDefinition{*nad},
		Pools:    preflight.Pools{only(t, all, "SpiderIPPool").GetName(): true},
	})
	if len(found) != 1 || found[0].About.Kind != multus.Kind || !strings.Contains(found[0].Detail, "SpiderIPPool gpu1-net91, which does not exist (there are gpu1-net11): create it, or name one that does") {
		t.Errorf("%+v", found)
	}
}

func oneCardTwice(t *testing.T, w *world) {
	var policies []preflight.Policy
	for _, u := range w.create(t, "testdata/guide/vfs.yaml", w.bed.Namespace(t)) {
		policies = append(policies, preflight.ReadPolicy(u))
	}
	found := preflight.Check(preflight.Cluster{Policies: policies})
	if len(found) != 2 || !strings.Contains(found[0].Detail, "it takes root device 0000:86:00.0, which the older SriovNetworkNodePolicy") || !strings.Contains(found[0].Detail, "name each card in one policy alone") {
		t.Errorf("%+v", found)
	}
	for _, example := range []string{"infiniband-spider", "roce"} {
		policies = nil
		for _, u := range read(t, root+"/deploy/examples/"+example+"/10-vfs.yaml") {
			policies = append(policies, preflight.ReadPolicy(u))
		}
		if found := preflight.Check(preflight.Cluster{Policies: policies}); len(policies) == 0 || len(found) > 0 {
			t.Errorf("%s: %d policies, %+v", example, len(policies), found)
		}
	}
}

func sourceRouting(t *testing.T, _ *world) {
	shownIn(t, "cni/host", "TestEachRailOfAPodAnswersByItselfAndEth0KeepsTheRest")
	for _, u := range read(t, root+"/deploy/examples/roce/20-networks.yaml") {
		if _, nad := network(t, u, multus.Settings{}); !strings.HasSuffix(nad.Spec.Config, `{"type":"rdma"},{"type":"sbr"}]}`) {
			t.Error(nad.Spec.Config)
		}
	}
}

// calledByItsName holds what docs/guide.md says of ib-kubernetes against its own manifest.
func calledByItsName(t *testing.T, _ *world) {
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/Mellanox/ib-kubernetes")
	list.Dir = root
	dir, err := list.Output()
	if err != nil {
		t.Fatalf("find ib-kubernetes among the modules: %v", err)
	}
	var workload *unstructured.Unstructured
	for _, o := range read(t, filepath.Join(string(bytes.TrimSpace(dir)), "deployment", "ib-kubernetes.yaml")) {
		if containers, ok, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers"); ok && len(containers) > 0 {
			workload = o
		}
	}
	if workload == nil {
		t.Fatal("its manifest runs nothing")
	}
	row := "| " + workload.GetName() + " | " + workload.GetKind() + " | `kubectl -n " + workload.GetNamespace() + " get " + strings.ToLower(workload.GetKind()) + " " + workload.GetName() + "` |"
	if !strings.Contains(page(t), row) {
		t.Errorf("docs/guide.md has no row\n%s", row)
	}
}

func TestThePageOfTheGuideHasARowForEachOfItsDefects(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| (S\d+) \| (.+) \| (.+) \| (.+) \|$`).FindAllStringSubmatch(page(t), -1)
	if len(rows) != len(defects()) {
		t.Fatalf("it has %d rows", len(rows))
	}
	for i, row := range rows {
		if row[1] != fmt.Sprintf("S%d", i+1) {
			t.Errorf("row %d is %s", i+1, row[1])
		}
	}
	for _, test := range regexp.MustCompile("`(Test\\w+)` in `([\\w/]+)`").FindAllStringSubmatch(page(t), -1) {
		shownIn(t, test[2], test[1])
	}
	for _, link := range regexp.MustCompile(`\]\((\.\./[^)]+)\)`).FindAllStringSubmatch(page(t), -1) {
		if _, err := os.Stat(filepath.Join(root, "docs", link[1])); err != nil {
			t.Errorf("it leads to %s: %v", link[1], err)
		}
	}
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// injected is what a pod of the guide's application gets in namespace apps, once the
// network is mended.
func injected(t *testing.T, w *world, served multus.Namespaces) multus.Injection {
	t.Helper()
	w.create(t, "testdata/guide/train.yaml", w.bed.Namespace(t))
	app := only(t, read(t, "testdata/guide/train.yaml"), "Deployment")
	annotations, _, err := unstructured.NestedStringMap(app.Object, "spec", "template", "metadata", "annotations")
	if err != nil {
		t.Fatal(err)
	}
	mended := with(t, without(w.config(t, "group.yaml"), "ippools"), true, "disableIPAM")
	c, _ := network(t, mended, multus.Settings{})
	inj, err := multus.Inject(multus.Pod{Namespace: "apps", Annotations: annotations}, served, []multus.Candidate{{Config: c}})
	if err != nil {
		t.Fatal(err)
	}
	return inj
}
