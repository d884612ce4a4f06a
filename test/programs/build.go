package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/ibfabric/ibfabric/"

// Build compiles programs of this module into a folder, made if missing: static as
// `make build` does, or with the race detector, which needs a C compiler. A program is
// named by its folder in the module, as "cmd/ufm-sim".
func Build(ctx context.Context, dir string, race bool, programs ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for programs: %w", err)
	}
	args, cgo := []string{"build", "-trimpath", "-o", dir + string(filepath.Separator)}, "CGO_ENABLED=0"
	if race {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	for _, p := range programs {
		args = append(args, module+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(programs, ", "), err, out)
	}
	return nil
}
