// Package peers builds the programs of others that ours are measured against and take
// over from. A nested module pins the exact version of each, so that theirs and our
// dependencies do not meet.
package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const ibKubernetesModule = "github.com/Mellanox/ib-kubernetes"

// ErrNoCompiler says that ib-kubernetes cannot be built: it loads its subnet manager
// plugin with package plugin, which needs cgo.
var ErrNoCompiler = errors.New("no C compiler")

// IBKubernetes is the peer at the version that ib-kubernetes/go.mod pins.
type IBKubernetes struct {
	Version string // as v1.1.1
	dir     string // in the cache; there when it is built
	module  string // folder of its go.mod
}

// FindIBKubernetes says where the peer lies, or will when it is built. root is the folder
// of this module. The error wraps ErrNoCompiler when it cannot be built here.
func FindIBKubernetes(ctx context.Context, root string) (*IBKubernetes, error) {
	p := &IBKubernetes{module: filepath.Join(root, "test", "peers", "ib-kubernetes")}
	mod, err := os.ReadFile(filepath.Join(p.module, "go.mod"))
	if err == nil {
		p.Version, err = Version(p.module, ibKubernetesModule)
	}
	if err != nil {
		return nil, fmt.Errorf("read the version of ib-kubernetes: %w", err)
	}
	env, err := goToolC(ctx, p.module, "env", "CC", "GOVERSION")
	if err != nil {
		return nil, err
	}
	cc, _, _ := strings.Cut(env, "\n")
	if _, err := exec.LookPath(strings.TrimSpace(cc)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCompiler, err)
	}
	cache, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	// The name changes with everything that goes into the build: a plugin only loads into
	// a program of the same compiler and sources.
	h := sha256.New()
	fmt.Fprintln(h, env, runtime.GOOS, runtime.GOARCH, string(mod), buildFlags())
	p.dir = filepath.Join(cache, "peers", fmt.Sprintf("ib-kubernetes-%s-%x", p.Version, h.Sum(nil)[:4]))
	return p, nil
}

// Program is the path of the daemon.
func (p *IBKubernetes) Program() string { return filepath.Join(p.dir, "ib-kubernetes") }

// Environment makes the daemon use its UFM plugin, which lies beside it.
func (p *IBKubernetes) Environment() []string {
	return []string{"DAEMON_SM_PLUGIN=ufm", "DAEMON_SM_PLUGIN_PATH=" + p.dir}
}

// Built reports whether the peer is in the cache.
func (p *IBKubernetes) Built() bool { return exists(p.dir) }

// Build puts the peer into the cache, which takes minutes; it does nothing when it is
// there.
func (p *IBKubernetes) Build(ctx context.Context) error {
	return publish(p.dir, func(temp string) error {
		program := append(buildFlags(), "-o", filepath.Join(temp, "ib-kubernetes"), ibKubernetesModule+"/cmd/ib-kubernetes")
		if _, err := goToolC(ctx, p.module, program...); err != nil {
			return err
		}
		plugin := append(buildFlags(), "-buildmode=plugin", "-o", filepath.Join(temp, "ufm.so"), ibKubernetesModule+"/pkg/sm/plugins/ufm")
		_, err := goToolC(ctx, p.module, plugin...)
		return err
	})
}

func buildFlags() []string {
	return []string{"build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-tags=no_openssl"}
}

// goTool runs the go command in a nested module, without a C compiler; goToolC with one.
func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	return goWith(ctx, dir, "CGO_ENABLED=0", args)
}

func goToolC(ctx context.Context, dir string, args ...string) (string, error) {
	return goWith(ctx, dir, "CGO_ENABLED=1", args)
}

func goWith(ctx context.Context, dir, cgo string, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), cgo, "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, stderr.String())
	}
	return stdout.String(), nil
}

// cacheRoot is where the test bed's programs lie too.
func cacheRoot() (string, error) {
	if dir := os.Getenv("IBFABRIC_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: set IBFABRIC_CACHE: %w", err)
	}
	return filepath.Join(dir, "ibfabric"), nil
}
