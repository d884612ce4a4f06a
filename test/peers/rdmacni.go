package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const rdmaCNIModule = "github.com/k8snetworkplumbingwg/rdma-cni"

// BuildRDMACNI compiles rdma-cni into a file, static. root is the folder of this module. It
// returns the version, which rdma-cni/go.mod pins.
func BuildRDMACNI(ctx context.Context, root, file string) (version string, err error) {
	dir := filepath.Join(root, "test", "peers", "rdma-cni")
	if version, err = Version(dir, rdmaCNIModule); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", file, rdmaCNIModule+"/cmd/rdma")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build rdma-cni: %w\n%s", err, out)
	}
	return version, nil
}
