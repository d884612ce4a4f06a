//go:build linux

package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// root is the project's folder.
const root = "../../.."

// What the plain manifests say of themselves.
const (
	release          = "kube-system" // namespace
	manifestRegistry = "ghcr.io/ibfabric/"
	manifestTag      = "0.0.0"
)

// applyManifests applies files of deploy as they are, but for one text in place of another.
func (w *world) applyManifests(pattern string, oldNew ...string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "deploy", pattern))
	must(w.t, err)
	if len(files) == 0 {
		w.t.Fatalf("there is no file deploy/%s", pattern)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(w.t, err)
		for old := range slices.Chunk(oldNew, 2) {
			if strings.Count(string(text), old[0]) != 1 {
				w.t.Fatalf("%s does not say %q, or more than once", file, old[0])
			}
		}
		must(w.t, w.bed.Apply(w.ctx(), []byte(strings.NewReplacer(oldNew...).Replace(string(text)))))
	}
}

// buildImages makes the images as make images does, for the node's platform alone. It gives
// the archives by their path in the node.
func (w *world) buildImages() map[string]string {
	w.t.Helper()
	begun, out := time.Now(), filepath.Join(w.t.TempDir(), "images")
	cmd := exec.CommandContext(w.ctx(), "go", "-C", filepath.Join(root, "deploy/tools"), "run", "./ibfabric-release",
		"-root", "../..", "-o", out, "-images-only", "-arch", "amd64", "-version", "v"+manifestTag)
	if text, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("making the images: %v\n%s", err, text)
	}
	archives := map[string]string{}
	for _, program := range []string{"ibfabric-controller", "ibfabric-cni"} {
		archives["/tmp/"+program] = filepath.Join(out, program+"_"+manifestTag+".oci.tar")
	}
	fmt.Printf("lab: the images were made in %s\n", time.Since(begun).Round(100*time.Millisecond))
	return archives
}

// load gives the node's containerd the images under the names that the manifests have: the
// kubelet has nothing to pull.
func (w *world) load(n *Node, archives map[string]string) {
	w.t.Helper()
	begun := time.Now()
	for _, file := range sorted(archives) {
		must(w.t, n.Fetch(w.ctx(), file))
		w.ctr(n, "images", "import", "--base-name", manifestRegistry+filepath.Base(file), file)
	}
	fmt.Printf("lab: the node has the images after %s\n", time.Since(begun).Round(100*time.Millisecond))
}

// ctr asks the node's containerd.
func (w *world) ctr(n *Node, words ...string) string {
	w.t.Helper()
	text, err := n.Control().Exec(w.ctx(), nil, append([]string{"ctr", "--namespace", "k8s.io"}, words...)...)
	must(w.t, err)
	return string(text)
}
