package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

const (
	peerModule = "github.com/Mellanox/ib-kubernetes"
	// peerPeriod is its default for DAEMON_PERIODIC_UPDATE.
	peerPeriod = 5 * time.Second
)

// errNoCompiler: ib-kubernetes loads its subnet manager plugin with package plugin, which
// needs cgo.
var errNoCompiler = errors.New("no C compiler")

// ibKubernetes builds the peer, at the version that peers/ib-kubernetes pins, into the
// cache, and runs it as its deployment does, with its defaults.
func ibKubernetes(ctx context.Context, root string, limit time.Duration) (contender, error) {
	module := filepath.Join(root, "test", "bench", "peers", "ib-kubernetes")
	version, key, err := peerVersion(ctx, module)
	if err != nil {
		return contender{}, err
	}
	cache, err := cacheRoot()
	if err != nil {
		return contender{}, err
	}
	dir := filepath.Join(cache, "bench", key)
	if _, err := os.Stat(dir); err != nil {
		if err := buildPeer(ctx, module, dir, version); err != nil {
			return contender{}, err
		}
	}
	return contender{
		name: "ib-kubernetes " + version, program: filepath.Join(dir, "ib-kubernetes"),
		env:   []string{"DAEMON_SM_PLUGIN=ufm", "DAEMON_SM_PLUGIN_PATH=" + dir, fmt.Sprintf("DAEMON_PERIODIC_UPDATE=%d", int(peerPeriod.Seconds()))},
		ready: "running periodic add update", limit: limit, peer: true,
	}, nil
}

// peerVersion also gives a name for the folder that changes with everything that goes into
// the build: a plugin only loads into a program of the same compiler and sources.
func peerVersion(ctx context.Context, module string) (version, key string, err error) {
	mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", "", fmt.Errorf("read the version of the peer: %w", err)
	}
	m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(peerModule) + ` (v\S+)`).FindSubmatch(mod)
	if m == nil {
		return "", "", fmt.Errorf("%s/go.mod requires no %s", module, peerModule)
	}
	env, err := goTool(ctx, module, "env", "CC", "GOVERSION")
	if err != nil {
		return "", "", err
	}
	cc, _, _ := strings.Cut(env, "\n")
	if _, err := exec.LookPath(strings.TrimSpace(cc)); err != nil {
		return "", "", fmt.Errorf("%w: %w", errNoCompiler, err)
	}
	h := sha256.New()
	fmt.Fprintln(h, env, runtime.GOOS, runtime.GOARCH, string(mod), peerFlags())
	return string(m[1]), fmt.Sprintf("ib-kubernetes-%s-%x", m[1], h.Sum(nil)[:4]), nil
}

func peerFlags() []string {
	return []string{"build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-tags=no_openssl"}
}

// buildPeer makes the folder under another name and renames it, so that nobody ever runs
// half of it.
func buildPeer(ctx context.Context, module, dir, version string) error {
	stop := report(func() string { return "building ib-kubernetes " + version + " (once)" })
	defer stop()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the cache folder (IBFABRIC_CACHE moves it): %w", err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".build-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(temp)
	program := append(peerFlags(), "-o", filepath.Join(temp, "ib-kubernetes"), peerModule+"/cmd/ib-kubernetes")
	if _, err := goTool(ctx, module, program...); err != nil {
		return err
	}
	plugin := append(peerFlags(), "-buildmode=plugin", "-o", filepath.Join(temp, "ufm.so"), peerModule+"/pkg/sm/plugins/ufm")
	if _, err := goTool(ctx, module, plugin...); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, os.ErrExist) { // exists: another run was faster
		return fmt.Errorf("put the peer into the cache: %w", err)
	}
	return nil
}

func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off")
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
