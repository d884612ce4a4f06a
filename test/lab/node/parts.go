//go:build linux

package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/test/lab"
	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/lab/node/oci"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// packages are Debian's in the node: the runtime, and what the kubelet calls.
func packages() []string { return []string{"containerd", "runc", "mount"} }

// modules are the kernel's own that the node needs: for its network, for containers, and
// below the virtual HCA.
func modules() []string {
	return []string{
		"virtio_pci", "virtio_net", "overlay", "veth", "bridge", "br_netfilter", "macvlan",
		"ib_core", "ib_uverbs", "ib_umad", "rdma_ucm", "ib_ipoib", "8021q",
	}
}

// inside is where the lab's files are in the node.
const (
	fakeibFile = "/lab/fakeib.ko"
	cniDir     = "/opt/cni/bin"
)

// parts are what a node's snapshot is made of.
type parts struct {
	machine *guest.Machine
	tree    string // of Debian's packages
	files   map[string]string
	texts   map[string][]byte
}

// gather fetches and builds all parts that are not in a cache.
func gather(ctx context.Context, kernel string, log func(string)) (*parts, error) {
	source, err := lab.Fakeib()
	if err != nil {
		return nil, err
	}
	config := guest.Config{Kernel: kernel, Module: source, Name: "fakeib", Modules: modules(), Log: log}
	p := &parts{files: map[string]string{}, texts: map[string][]byte{}}
	// First what some machines cannot have: it is a pity to build Kubernetes for a skip.
	if p.machine, err = guest.Prepare(ctx, config); err != nil {
		return nil, err
	}
	if p.tree, err = guest.Packages(ctx, config, packages()...); err != nil {
		return nil, err
	}
	if err := p.addPrograms(ctx); err != nil {
		return nil, err
	}
	p.addModules()
	p.texts["/etc/passwd"] = []byte("root:x:0:0:root:/root:/sbin/nologin\n")
	p.texts["/etc/group"] = []byte("root:x:0:\n")
	p.texts["/etc/os-release"] = []byte("ID=lab\nPRETTY_NAME=\"ibfabric's lab\"\n")
	p.texts["/etc/machine-id"] = []byte("0123456789abcdef0123456789abcdef\n")
	p.texts["/etc/resolv.conf"] = nil
	p.texts["/lab/containerd.toml"] = []byte(containerdConfig)
	return p, p.addOwn(ctx)
}

// addPrograms adds what the test bed builds, once in some minutes.
func (p *parts) addPrograms(ctx context.Context) error {
	built, err := testbed.Built(ctx, testbed.NodePrograms()...)
	if err != nil {
		return err
	}
	for name, file := range built {
		to := cniDir
		if name == "kubelet" {
			to = "/usr/bin"
		}
		p.files[filepath.Join(to, name)] = file
	}
	return nil
}

// addModules adds the kernel's modules under names in the order to load them; the last is
// loaded when the node is restored, with parameters of its own.
func (p *parts) addModules() {
	files := p.machine.Modules()
	last := len(files) - 1
	for i, file := range files[:last] {
		p.files[fmt.Sprintf("/lab/modules/%02d-%s", i, filepath.Base(file))] = file
	}
	p.files[fakeibFile] = files[last]
}

// addOwn builds the lab's own programs.
func (p *parts) addOwn(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ibfabric-node-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	own := []string{"agent", "pause", "probe"}
	var folders []string
	for _, name := range own {
		folders = append(folders, "test/lab/node/"+name)
	}
	if err := programs.Build(ctx, dir, false, folders...); err != nil {
		return err
	}
	if err := buildDevicePlugin(ctx, filepath.Join(dir, "deviceplugin")); err != nil {
		return err
	}
	for name, to := range map[string]string{"agent": "/init", "deviceplugin": "/usr/bin/deviceplugin"} {
		if p.texts[to], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"pause", "probe"} {
		program, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if p.texts["/lab/images/"+name+".tar"], err = oci.Image("localhost/"+name+":1", program); err != nil {
			return err
		}
	}
	return nil
}

// buildDevicePlugin builds it in its own module.
func buildDevicePlugin(ctx context.Context, file string) error {
	where, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/ibfabric/ibfabric/test/lab/node").Output()
	if err != nil {
		return fmt.Errorf("finding the lab's sources: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", file, ".")
	cmd.Dir = filepath.Join(strings.TrimSpace(string(where)), "deviceplugin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the device plugin: %w\n%s", err, text)
	}
	return nil
}

// key is another when anything of the node is.
func (p *parts) key(system guest.System) (string, error) {
	basis, err := p.machine.Basis(system)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, basis, p.tree)
	for _, name := range sorted(p.files) {
		fmt.Fprintln(sum, name)
		file, err := os.Open(p.files[name])
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, file)
		_ = file.Close()
		if err != nil {
			return "", err
		}
	}
	for _, name := range sorted(p.texts) {
		fmt.Fprintf(sum, "%s %d\n%s", name, len(p.texts[name]), p.texts[name])
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), nil
}

// write makes the image of all parts.
func (p *parts) write(path string) error {
	image, err := guest.NewImage(path)
	if err != nil {
		return err
	}
	image.Tree(p.tree, func(name string) bool {
		return slices.Contains([]string{"usr/share", "usr/lib/systemd", "usr/lib/x86_64-linux-gnu/gconv",
			"usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v1", "etc/init.d", "usr/libexec"}, name)
	})
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "var"} {
		image.Dir(dir)
	}
	for _, name := range sorted(p.files) {
		image.Put(name, p.files[name])
	}
	for _, name := range sorted(p.texts) {
		mode := os.FileMode(0o644)
		if name == "/init" || strings.HasPrefix(name, "/usr/bin/") {
			mode = 0o755
		}
		image.Text(name, mode, p.texts[name])
	}
	return image.Close()
}

func sorted[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
