package cli

import (
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// configured waits until a pod has all that it asked for.
func (w *world) configured(name string) api.Pod {
	w.t.Helper()
	var pod api.Pod
	testbed.Eventually(w.t, "pod "+name+" is configured, as explain says", func() (bool, string) {
		r := w.admin("explain", w.ns+"/"+name)
		if r.code != 0 {
			return false, r.out + r.err
		}
		w.read(&pod, "explain", w.ns+"/"+name)
		return pod.State == api.PodConfigured, r.out
	})
	return pod
}

// TestAFabricFromItsFirstPodToItsNextLeader is a day with the command.
func TestAFabricFromItsFirstPodToItsNextLeader(t *testing.T) {
	w := newWorld(t)
	viewer := w.account("viewer", finding(), "get", "/ibfabric/v1/*")
	lost := w.account("lost", nil, "")
	if r := w.admin("status", "--wait", "0"); r.code != 3 || !strings.Contains(r.err, "no controller has led here yet") {
		t.Errorf("before the first leader: %+v", r)
	}
	first := w.start()
	testbed.Eventually(t, "the fabric is as the cluster wants it", func() (bool, string) {
		r := w.admin("status")
		return r.code == 0, r.out + r.err
	})
	w.network("rail1", "0x1000")
	w.pod("a", "rail1")
	pod := w.configured("a")
	g := pod.Attached[0].GUID

	t.Run("tables have the columns of the page", func(t *testing.T) {
		compared := 0
		for command, columns := range pageColumns(t) {
			r := w.admin(strings.Fields(command)...)
			if r.out == "" { // there is none of it
				continue
			}
			compared++
			if header, _, _ := strings.Cut(r.out, "\n"); strings.Join(strings.Fields(header), " ") != columns {
				t.Errorf("%s has the columns %q, and docs/cli.md shows %q", command, header, columns)
			}
		}
		if compared < 3 { // pods, guids and partitions at least
			t.Errorf("only %d tables were compared", compared)
		}
	})
	t.Run("whois", func(t *testing.T) {
		for _, spelling := range []string{g.String(), g.Hex(), "0x" + strings.ToUpper(g.Hex())} {
			if r := w.as(viewer, "whois", spelling); r.code != 0 || !strings.Contains(r.out, w.ns+"/a") || !strings.Contains(r.out, "0x1000 full, index 0") {
				t.Errorf("%s: %+v", spelling, r)
			}
		}
		if r := w.as(viewer, "whois", "rail1"); r.code != 2 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a pod that waits", func(t *testing.T) {
		w.pod("b", "rail9")
		testbed.Eventually(t, "explain says what is missing", func() (bool, string) {
			r := w.as(viewer, "explain", "b") // in the namespace of the context
			return r.code == 1 && strings.Contains(r.out, "rail9 does not exist"), r.out + r.err
		})
		testbed.Eventually(t, "the list shows it", func() (bool, string) { // a list may be a second old
			r := w.as(viewer, "pods", "--state", "waiting")
			return r.code == 0 && strings.Contains(r.out, " b ") && !strings.Contains(r.out, " a "), r.out + r.err
		})
		if r := w.as(viewer, "explain", "nobody"); r.code != 4 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("rights", func(t *testing.T) {
		if r := w.as(lost, "status"); r.code != 5 || !strings.Contains(r.err, "kubectl -n "+w.ns+" create role ibfabric-find") {
			t.Errorf("%+v", r)
		}
		finder := w.account("finder", finding(), "")
		if r := w.as(finder, "status"); r.code != 5 || !strings.Contains(r.err, "--clusterrole=ibfabric-viewer") || !strings.Contains(r.err, "system:serviceaccount:"+w.ns+":finder") {
			t.Errorf("%+v", r)
		}
		if r := w.as(viewer, "reclaim", "0x1000", g.String(), "--yes"); r.code != 5 || !strings.Contains(r.err, "--clusterrole=ibfabric-operator") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("reclaim", func(t *testing.T) { w.reclaim(g) })
	t.Run("release", func(t *testing.T) { w.release() })
	t.Run("the next leader", func(t *testing.T) {
		var before, after api.Overview
		testbed.Eventually(t, "the journal is stored", func() (bool, string) {
			w.read(&before, "status")
			return before.Journal.Entries > 0 && before.Journal.Unwritten == 0, ""
		})
		first.Kill()
		w.start()
		testbed.Eventually(t, "another one leads", func() (bool, string) {
			r := w.as(viewer, "status", "--wait", "5m")
			w.read(&after, "status", "--wait", "5m")
			return after.Leader.Adopted && after.Leader.Identity != before.Leader.Identity, r.out + r.err
		})
		testbed.Eventually(t, "the journal has what the leader before did", func() (bool, string) {
			r := w.as(viewer, "journal", "--guid", g.Hex())
			return strings.Contains(r.out, before.Leader.Identity), r.out + r.err
		})
	})
	w.noSecrets()
}

// pageColumns are the tables of docs/cli.md: the command and the names of its columns.
func pageColumns(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	lines := strings.Split(string(page), "\n")
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, "$ ibfabric ")
		if ok && i+1 < len(lines) && lines[i+1] == strings.ToUpper(lines[i+1]) && strings.Contains(lines[i+1], "   ") {
			all[command] = strings.Join(strings.Fields(lines[i+1]), " ")
		}
	}
	if len(all) < 7 {
		t.Fatalf("docs/cli.md shows the tables %v alone", all)
	}
	return all
}

// reclaim has a stranger in UFM, and g, which is not one.
func (w *world) reclaim(g guid.GUID) {
	t := w.t
	const stray = guid.GUID(0x0200000000aabbcc)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: stray}}}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "drift shows it, with the mend", func() (bool, string) {
		r := w.admin("drift")
		return r.code == 1 && strings.Contains(r.out, stray.String()) && strings.Contains(r.out, "ibfabric reclaim"), r.out + r.err
	})
	if r := w.admin("reclaim", "0x1000", g.String(), "--yes"); r.code != 1 || !strings.Contains(r.out, "left: ") {
		t.Errorf("a pod's member: %+v", r)
	}
	if r := w.admin("reclaim", "0x66", "--all"); r.code != 2 || !strings.Contains(r.err, stray.String()) {
		t.Errorf("without anybody to ask: %+v", r)
	}
	if len(w.sim.Members(0x66)) != 1 {
		t.Error("it was removed and nobody said so")
	}
	if r := w.admin("reclaim", "0x66", "--all", "--yes"); r.code != 0 || !strings.Contains(r.out, "removed") {
		t.Errorf("%+v", r)
	}
	if left := w.sim.Members(0x66); len(left) != 0 || len(w.sim.Members(0x1000)) != 1 {
		t.Errorf("UFM has %v", left)
	}
	var j api.List[api.Entry]
	w.read(&j, "journal", "--pkey", "0x66")
	if len(j.Items) == 0 || j.Items[0].Verb != api.VerbReclaim || j.Items[0].User != "testbed-admin" {
		t.Errorf("the journal has %+v", j.Items)
	}
}

// release has a pod on a node that the cluster does not know any more.
func (w *world) release() {
	t := w.t
	node := w.ns + "-gone"
	w.pod("c", "rail1", func(p *corev1.Pod) { p.Spec.NodeName = node })
	pod := w.configured("c")
	now := int64(0)
	if err := w.bed.Client().CoreV1().Pods(w.ns).Delete(t.Context(), "c", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "its GUID is held for the node", func() (bool, string) {
		r := w.admin("guids", "--state", "held")
		return strings.Contains(r.out, node) && strings.Contains(r.out, "gone for good"), r.out + r.err
	})
	if r := w.admin("release", pod.Attached[0].GUID.String(), "--dry-run"); r.code != 0 || !strings.Contains(r.out, "would be released") {
		t.Errorf("%+v", r)
	}
	if r := w.admin("release", "--node", node, "--yes"); r.code != 0 || !strings.Contains(r.out, "released") || !strings.Contains(r.err, w.ns+"/c on node "+node) {
		t.Errorf("%+v", r)
	}
	var held api.List[api.GUID]
	w.read(&held, "guids", "--state", "held")
	i := slices.IndexFunc(held.Items, func(g api.GUID) bool { return g.GUID == pod.Attached[0].GUID })
	if i < 0 || held.Items[i].Waits != "" {
		t.Errorf("it waits on: %+v", held.Items)
	}
}

// noSecrets greps all that the command said for UFM's password and the users' tokens.
func (w *world) noSecrets() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range append([]string{password}, w.tokens...) {
		if strings.Contains(w.said.String(), secret) {
			w.t.Errorf("a secret of %d letters is in what the command said", len(secret))
		}
	}
	if len(w.tokens) == 0 || w.said.Len() == 0 {
		w.t.Errorf("there was nothing to grep: %d tokens, %d bytes", len(w.tokens), w.said.Len())
	}
}
