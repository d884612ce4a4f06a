package guide

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/ufm"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// defect is a mistake of the guide: what it has users do, what comes of it here, and the
// test that shows it.
type defect struct {
	wrong, here string
	shown       func(*testing.T, *world)
}

func defects() []defect {
	return []defect{
		{"a PKey is written as the number 1000", "its value counts, with a warning; as a text it is refused with what it may have meant", barePKey},
		{"nothing is said of waiting for the fabric", "pods wait where there is a pkey", waitsUnasked},
		{"enableRdma, which later versions of Spiderpool drop without a word", "it isolates", olderWord},
		{"the Secret has UFM_USER", "it is read", olderSecret},
		{"UFM's certificate has a common name alone, and not even UFM's", "it is trusted by being named", ownCertificate},
		{"a pool's subnet has host bits", "without Spiderpool the pool is not used: the network says which IPAM it wants; with it, its own webhook refuses the pool", noPools},
		{"a network names a pool that is not there", "whoever made the network is told which pools there are", namedPool},
		{"two policies take one card", "both are told", oneCardTwice},
		{"pools stand beside the block that they belong into", "they are refused with the place to move them to; TestWhoFollowsTheGuide… goes the whole way", misplacedPools},
		{"a network takes a resource that no node has", "the network is told that no node offers it; TestWhoFollowsTheGuide… shows it", resourceOfTheNetwork},
		{"the injected networks are shown as a JSON list, and Spiderpool writes another form", "they are a JSON list", injectsJSON},
		{"namespaces are chosen in a ConfigMap that nothing reads", "they are chosen by flags, which count", choosesNamespaces},
		{"the routes shown contradict each other", "each rail answers by its own table, on a real kernel", sourceRouting},
		{"the gateway is tested with Ethernet's ARP, on InfiniBand", "the only plugin of such a network is ib-sriov, which asks the fabric", noARP},
		{"ib-kubernetes is called a DaemonSet", "docs/guide.md says what it is, as its manifest has it", calledByItsName},
		{"isolation is the default, and needs a mode that only some nodes are said to need", "the CNI refuses with the command that sets it; it can be switched off", isolation},
		{"a card's link type is looked at and not set, SR-IOV not at all", "ibfabric-cni doctor looks at both, and says the command that sets them", nodesAreExamined},
	}
}

func TestEveryDefectOfTheGuideWorksHereOrIsRefusedWithTheMend(t *testing.T) {
	if n := len(defects()); n != 17 {
		t.Fatalf("%d of the 17 are listed", n)
	}
	w := newWorld(t)
	for i, d := range defects() {
		t.Run(fmt.Sprintf("S%d %s", i+1, d.wrong), func(t *testing.T) { d.shown(t, w) })
	}
}

func barePKey(t *testing.T, w *world) {
	u := w.config(t, "partition.yaml")
	c, nad := network(t, u, multus.Settings{})
	if !strings.Contains(nad.Spec.Config, `"pkey":"0x3e8"`) || !slices.ContainsFunc(c.Warnings, func(s string) bool { return strings.Contains(s, `PKey 0x3e8; write "0x3e8"`) }) {
		t.Errorf("%s, %q", nad.Spec.Config, c.Warnings)
	}
	refused(t, with(t, u, "1000", "ibsriov", "pkey"), multus.Settings{}, "spec.ibsriov.pkey", "did you mean 0x3e8 (that is decimal 1000) or 0x1000?")
}

func waitsUnasked(t *testing.T, w *world) {
	_, nad := network(t, w.config(t, "partition.yaml"), multus.Settings{})
	if !strings.Contains(nad.Spec.Config, `"ibKubernetesEnabled":true`) {
		t.Error(nad.Spec.Config)
	}
}

func olderWord(t *testing.T, w *world) {
	_, nad := network(t, w.config(t, "roce.yaml"), spiderpool)
	if !strings.Contains(nad.Spec.Config, `"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},{"type":"rdma"}`) {
		t.Error(nad.Spec.Config)
	}
}

func olderSecret(t *testing.T, w *world) {
	w.create(t, "testdata/guide/secret.yaml", w.bed.Namespace(t))
	keys, _, err := unstructured.NestedStringMap(read(t, "testdata/guide/secret.yaml")[0].Object, "stringData")
	if err != nil {
		t.Fatal(err)
	}
	if c := ufm.CredentialsFrom(func(key string) string { return keys[key] }); c.Username != "admin" {
		t.Errorf("the user is %q", c.Username)
	}
}

func ownCertificate(t *testing.T, _ *world) {
	// Single quotes keep the shell from filling in the address.
	cert, key, err := ufmsim.SelfSigned([]string{"${UFM_ADDRESS}"}, false)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := ufmsim.New(ufmsim.Config{Username: "admin", Password: "12345", CertPEM: cert, KeyPEM: key})
	if err != nil {
		t.Fatal(err)
	}
	server, err := sim.Start("127.0.0.1:0")
	if err != nil {
		sim.Close()
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	ask := func(certificate string) error {
		c, err := ufm.New(ufm.Config{Addresses: []string{server.Addr()}, Credentials: ufm.Static(ufm.Credentials{
			Username: "admin", Password: ufm.NewSecret("12345"), Certificate: certificate,
		})})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Partitions(t.Context())
		return err
	}
	if err := ask(string(cert)); err != nil {
		t.Errorf("named: %v", err)
	}
	if err := ask(""); err == nil || !strings.Contains(err.Error(), "subjectAltName") {
		t.Errorf("not named: %v", err)
	}
}

func noPools(t *testing.T, w *world) {
	u := w.config(t, "infiniband.yaml")
	refused(t, u, multus.Settings{}, "spec.ibsriov.ippools", "write disableIPAM: true for a network without IP addresses, or the block of another IPAM plugin into spec.ipam")
	network(t, with(t, without(u, "ibsriov", "ippools"), true, "disableIPAM"), multus.Settings{})
	other := map[string]any{"type": "nv-ipam", "poolName": "gpu1"}
	network(t, with(t, without(u, "ibsriov", "ippools"), other, "ipam"), multus.Settings{})
}

func misplacedPools(t *testing.T, w *world) {
	u := w.config(t, "group.yaml")
	refused(t, u, spiderpool, "spec.ippools", "move it there")
	pools, _, _ := unstructured.NestedMap(u.Object, "spec", "ippools")
	network(t, with(t, without(u, "ippools"), pools, "sriov", "ippools"), spiderpool)
}

func resourceOfTheNetwork(t *testing.T, w *world) {
	inj := injected(t, w, multus.Namespaces{})
	if len(inj.Resources) != 1 || inj.Resources[0] != (multus.Resource{Name: "spidernet.io/gpu1rdma", Count: 1}) {
		t.Errorf("%+v", inj.Resources)
	}
}

func injectsJSON(t *testing.T, w *world) {
	if inj := injected(t, w, multus.Namespaces{}); !regexp.MustCompile(`^\[\{"name":"gpu1-sriov","namespace":"[a-z0-9-]+"\}\]$`).MatchString(inj.Networks) {
		t.Error(inj.Networks)
	}
}

func choosesNamespaces(t *testing.T, w *world) {
	if inj := injected(t, w, multus.Namespaces{Exclude: []string{"apps"}}); inj.Networks != "" || !strings.Contains(inj.Warning, "namespace apps is not among those") {
		t.Errorf("excluded: %+v", inj)
	}
	if inj := injected(t, w, multus.Namespaces{Include: []string{"apps"}}); inj.Networks == "" {
		t.Errorf("included: %+v", inj)
	}
	shownIn(t, "controller/admission", "TestANamespaceThatIsNotServedIsToldSo")
	shownIn(t, "test/multus", "TestANamespaceThatIsNotServedHasNoLabelWhoeverPutItThere")
}

func noARP(t *testing.T, w *world) {
	_, nad := network(t, w.config(t, "partition.yaml"), multus.Settings{})
	if types := regexp.MustCompile(`"type":"[^"]*"`).FindAllString(nad.Spec.Config, -1); !slices.Equal(types, []string{`"type":"ib-sriov"`}) {
		t.Errorf("%q", types)
	}
}

func nodesAreExamined(t *testing.T, _ *world) {
	shownIn(t, "cni/node/doctor", "TestEachThingBrokenAloneIsItsOwnRow")
}

func isolation(t *testing.T, w *world) {
	u := w.config(t, "partition.yaml")
	if _, nad := network(t, u, multus.Settings{}); !strings.Contains(nad.Spec.Config, `"rdmaIsolation":true`) {
		t.Error(nad.Spec.Config)
	}
	if _, nad := network(t, with(t, u, false, "ibsriov", "rdmaIsolation"), multus.Settings{}); !strings.Contains(nad.Spec.Config, `"rdmaIsolation":false`) {
		t.Error(nad.Spec.Config)
	}
	shownIn(t, "cni/scenarios", "TestIsolationInSharedModeNamesTheCommandThatSetsIt")
}

// shownIn wants a test of another folder to be there.
func shownIn(t *testing.T, folder, test string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "\nfunc "+test+"(t *testing.T) {") {
			return
		}
	}
	t.Errorf("%s has no %s", folder, test)
}
