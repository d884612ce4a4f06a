package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

const rdmaCNIModule = "github.com/k8snetworkplumbingwg/rdma-cni"

// BuildRDMACNI compiles rdma-cni into a file, static. root is the folder of this module. It
// returns the version, which rdma-cni/go.mod pins.
func BuildRDMACNI(ctx context.Context, root, file string) (version string, err error) {
	dir := filepath.Join(root, "test", "peers", "rdma-cni")
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read the version of rdma-cni: %w", err)
	}
	m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(rdmaCNIModule) + ` (v\S+)`).FindSubmatch(mod)
	if m == nil {
		return "", fmt.Errorf("%s/go.mod requires no %s", dir, rdmaCNIModule)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", file, rdmaCNIModule+"/cmd/rdma")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build rdma-cni: %w\n%s", err, out)
	}
	return string(m[1]), nil
}
