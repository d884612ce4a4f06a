package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

var update = flag.Bool("update", false, "write the golden files anew")

const configuredNetworks = `[{"name":"rail1","namespace":"nets","cni-args":{"guid":"02:00:00:00:00:00:00:01","pkey":"0x1000","mellanox.infiniband.app":"configured","ibfabric.io/pkeys":"0x1000:full:index0,0x20:limited"}},` +
	`{"name":"rail2","namespace":"nets","cni-args":{"guid":"02:00:00:00:00:00:00:02","pkey":"0x1000","mellanox.infiniband.app":"configured"}}]`

func pod(name, networks string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: name, UID: types.UID(name),
		Annotations: map[string]string{attach.NetworksAnnotation: networks},
	}}
}

func member(g guid.GUID, m pkey.Membership) pkey.Member {
	return pkey.Member{GUID: g, Mode: pkey.Mode{Membership: m}}
}

// example has a pod at each step of its way.
func example() facts {
	first := guid.GUID(0x0200000000000000)
	rail := attach.Network{InfiniBand: true, Claims: []attach.Claim{{PKey: 0x1000}, {PKey: 0x20, Mode: pkey.Mode{Membership: pkey.Limited}}}}
	return facts{
		Pods: []corev1.Pod{
			pod("e-half", "nets/rail1"), pod("d-assigned", "nets/rail1"), pod("c-new", "nets/rail1@ib0"),
			pod("b-broken", "[{"), pod("a-done", configuredNetworks), pod("f-untold", "nets/rail1"), pod("g-wrong", "nets/rail1"),
			pod("h-free", "nets/free"),
		},
		Networks: map[types.NamespacedName]attach.Network{
			{Namespace: "nets", Name: "rail1"}: rail,
			{Namespace: "nets", Name: "free"}:  {InfiniBand: true},
		},
		Ledger: map[owner]guid.GUID{
			{"d-assigned", "net1"}: first + 3, {"e-half", "net1"}: first + 4, {"f-untold", "net1"}: first + 5,
			{"g-wrong", "net1"}: first + 6, {"h-free", "net1"}: first + 7,
		},
		Partitions: []pkey.Partition{
			{PKey: 0x20, Members: []pkey.Member{member(first+1, pkey.Limited), member(first+5, pkey.Limited), member(first+6, pkey.Full)}},
			{PKey: 0x1000, Members: []pkey.Member{
				member(first+1, pkey.Full), member(first+2, pkey.Full), member(first+4, pkey.Full), member(first+5, pkey.Full), member(first+6, pkey.Full)}},
			{PKey: pkey.Default, Members: []pkey.Member{member(0xabc, pkey.Full)}},
		},
	}
}

func TestTableShowsEachStep(t *testing.T) {
	f := example()
	rows := f.rows()
	got := strings.Join(append(lines(rows), f.partitions()), "\n") + "\n\n"
	for _, r := range rows {
		if r.Lacks != "" {
			got += r.Pod + " " + r.Lacks + "\n"
		}
	}
	golden(t, "table.golden", got)
	if n := configured(rows); n != 2 {
		t.Errorf("configured(rows) = %d, want the 2 interfaces of a-done", n)
	}
}

func TestPartitionsSaysWhenUFMIsEmpty(t *testing.T) {
	f := facts{Partitions: []pkey.Partition{{PKey: pkey.Default, Members: []pkey.Member{member(1, pkey.Full)}}, {PKey: 0x5}}}
	if got, want := f.partitions(), noMembers; got != want {
		t.Errorf("partitions() = %q, want %q", got, want)
	}
}

func TestFitLeavesNothingToWrap(t *testing.T) {
	table, foot := fit([]string{"HEAD", "one", "two", "three", "four"}, "a foot that is too long\nfor a line", 10, 5)
	want := []string{"HEAD", "one", "… 3 more"}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("fit, table (-want +got):\n%s", diff)
	}
	if want := "a foot th…"; foot != want {
		t.Errorf("fit, foot = %q, want %q", foot, want)
	}
}

func TestScreenDrawsOverWhatItDrew(t *testing.T) {
	var out strings.Builder
	s := &screen{out: &out, fd: -1, live: true}
	s.show([]string{"HEAD", "one"}, "foot")
	s.show([]string{"HEAD", "one"}, "foot") // the same: not again
	s.show([]string{"HEAD"}, "foot")
	if got, want := out.String(), "HEAD\none\nfoot\n\x1b[3A\r\x1b[JHEAD\nfoot\n"; got != want {
		t.Errorf("written %q, want %q", got, want)
	}
}

func TestExamplesReadAsTheyShould(t *testing.T) {
	all, err := readManifests("../../deploy/examples/infiniband/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	interfaces, networks := 0, map[types.NamespacedName]bool{}
	for _, o := range all {
		if o.GetKind() != "NetworkAttachmentDefinition" {
			continue
		}
		key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
		config, _ := o.Object["spec"].(map[string]any)["config"].(string)
		if n, err := attach.ParseNetwork(key, config, o.GetAnnotations()); err != nil || !n.InfiniBand || len(n.Claims) == 0 {
			t.Errorf("%s: ParseNetwork = %+v, %v", describe(o), n, err)
		}
		networks[key] = true
	}
	for _, o := range all {
		if o.GetKind() == "Pod" {
			elements, err := attach.ParseAnnotation(o.GetNamespace(), o.GetAnnotations()[attach.NetworksAnnotation])
			if err != nil {
				t.Errorf("%s: %v", describe(o), err)
			}
			for _, e := range elements {
				if interfaces++; e.Err != nil || !networks[e.Network] {
					t.Errorf("%s: network %s: %v, known: %v", describe(o), e.Network, e.Err, networks[e.Network])
				}
			}
		}
	}
	if interfaces != 17 {
		t.Errorf("the example pods have %d interfaces, want 17", interfaces)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with go test ./test/demo -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); after a wanted change: go test ./test/demo -update\n%s", name, diff)
	}
}
