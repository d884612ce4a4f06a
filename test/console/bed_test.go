package console

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/console/browser"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// shared is the cluster of the tests that need one. It starts with the first.
var shared rig.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

const (
	user     = "admin"
	password = "s3cret-of-ufm"
	// evil is a name that a tenant, or somebody at UFM, could write.
	evil = `<img src=x onerror="document.title='owned'">`
)

// world is a real fabric: API server, controller, and a UFM that is a simulator.
type world struct {
	t   *testing.T
	rig *rig.Rig
	sim *ufmsim.Sim
	ufm *ufmsim.Server
	ns  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rig: shared.Rig(t)}
	w.ns = w.rig.Bed.Namespace(t)
	var err error
	if w.sim, err = ufmsim.New(ufmsim.Config{Username: user, Password: password}); err != nil {
		t.Fatal(err)
	}
	if w.ufm, err = w.sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.ufm.Close)
	return w
}

// start starts a program that ends with the test. What it says on its standard output can
// be read.
func (w *world) start(program string, env []string, args ...string) io.ReadCloser {
	w.t.Helper()
	out, in := io.Pipe()
	run, err := w.rig.Launcher.Start(programs.Command{Program: program, Env: env, Args: args, Out: in})
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		<-run.Done()
		_ = in.Close() // who reads gets an end
	}()
	w.t.Cleanup(run.Kill)
	return out
}

// controller starts the controller.
func (w *world) controller() {
	w.t.Helper()
	host, port, _ := strings.Cut(w.ufm.Addr(), ":")
	out := w.start(w.rig.Program(), []string{
		"KUBECONFIG=" + w.rig.Bed.Kubeconfig(), "UFM_USERNAME=" + user, "UFM_PASSWORD=" + password,
		"UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_CERTIFICATE=" + string(w.ufm.CertPEM()),
	},
		"--fabric="+w.ns, "--namespace="+w.ns, "--health-address=0", "--console-address=127.0.0.1:0", "--sync-period=1s")
	said := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(out) // until it has ended
		said <- string(text)
	}()
	w.t.Cleanup(func() {
		_ = out.Close()
		if text := <-said; w.t.Failed() {
			w.t.Logf("the controller said, at the end:\n%s", text[max(0, len(text)-6000):])
		}
	})
}

// console starts `ibfabric console`, and is the address to open.
func (w *world) console() string {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := programs.Build(w.t.Context(), dir, false, "cmd/ibfabric"); err != nil {
		w.t.Fatal(err)
	}
	out := w.start(filepath.Join(dir, "ibfabric"), []string{"KUBECONFIG=" + w.rig.Bed.Kubeconfig()}, "console", "--wait", "5m", "--fabric", w.ns, "--controller-namespace", w.ns)
	lines := bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "Open "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return url
		}
		said = append(said, lines.Text())
	}
	w.t.Fatalf("ibfabric console has no address; it said:\n%s", strings.Join(said, "\n"))
	return ""
}

func (w *world) network(name string, p pkey.PKey) {
	w.t.Helper()
	w.rig.Bed.CreateNAD(w.t, w.ns, name, fmt.Sprintf(`{"cniVersion":"0.3.1","name":%q,"plugins":[{"type":"ib-sriov","pkey":%q,"ibKubernetesEnabled":true}]}`, name, p), nil)
}

func (w *world) pod(name, networks string) {
	w.t.Helper()
	w.rig.Bed.CreatePod(w.t, w.ns, name, func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: networks}
	})
}

func (w *world) deletePod(name string) {
	w.t.Helper()
	if err := w.rig.Bed.Client().CoreV1().Pods(w.ns).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// TestOnTheBed: pods come and go in a real cluster, and the pages follow without being
// loaded again: from the API server through the controller and `ibfabric console` to what
// a person sees.
func TestOnTheBed(t *testing.T) {
	b := browser.Start(t) // before the cluster: without a browser there is nothing to wait for
	w := newWorld(t)
	w.network("rail", 0x1000)
	w.controller()
	address := w.console()
	tab := b.Open(t, address[:strings.Index(address, "/enter")])
	tab.Go(address[strings.Index(address, "/enter"):])
	tab.UntilSays("Fabric " + w.ns)
	tab.Until(isLive)
	tab.UntilSays("The fabric is what the cluster says")
	tab.Forgive() // a leader that still reads is asked for more than it knows

	w.pod("train-0", "rail,rail")
	tab.UntilSays("add 2 GUIDs")
	tab.UntilSays("UFM holds each of the 2 memberships")

	tab.Follow(`nav a[href$="/pods"]`)
	tab.UntilSays(w.ns + "/train-0")
	tab.Until(isLive)
	w.pod("train-1", "rail")
	tab.Until(fmt.Sprintf(`document.querySelector('tr[data-key="%s/train-1"] .badge')?.textContent === "configured"`, w.ns))

	// A GUID, in the spelling that UFM has it in, leads to its pod.
	var first guid.GUID
	for _, m := range w.sim.Members(0x1000) {
		if first == 0 || m.GUID < first {
			first = m.GUID
		}
	}
	tab.Type("/" + first.Hex() + "\r")
	tab.UntilSays("GUID " + first.String())
	tab.Follow(fmt.Sprintf(`main a[href="%spods/%s/train-0"]`, pages.Prefix, w.ns))
	tab.UntilSays("Pod " + w.ns + "/train-0")
	tab.Until(`document.querySelector(".lead .badge").textContent === "configured"`)
	tab.Until(isLive)

	// It goes while its page is open: its GUIDs are held, and then the page says so.
	w.deletePod("train-0")
	tab.UntilSays("leaving")

	// Somebody writes markup into an annotation: it stays text.
	w.pod("evil", `[{"name":"`+strings.ReplaceAll(evil, `"`, `\"`)+`"}]`)
	tab.Follow(`nav a[href$="/pods"]`)
	tab.UntilSays(w.ns + "/evil")
	tab.Follow(fmt.Sprintf(`a[href$="/%s/evil"]`, w.ns))
	tab.UntilSays("Pod " + w.ns + "/evil")
	if owned := browser.Eval[bool](tab, `document.title === "owned" || document.querySelector("main img") !== null`); owned {
		t.Error("a tenant's annotation ran in the page")
	}
	for path, says := range map[string]string{
		"partitions": "0x1000", "partitions/0x1000": "train-1", "guids": "train-1", "nodes": "Nodes", "drift": "Drift", "plan": "Due changes", "journal": "add",
		"search?q=train": "train-1",
	} {
		tab.Go(pages.Prefix + path)
		tab.UntilSays(says)
		tab.Until(isLive)
		if text := tab.Text(); strings.Contains(text, password) {
			t.Errorf("%s shows UFM's password", path)
		}
	}
}
