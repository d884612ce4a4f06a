package programs

import (
	"context"
	"encoding/json"
	"errors"
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
	return build(ctx, dir, race, nil, programs)
}

// BuildWith is Build with other text in a file of the module, named as "cmd/x/file.go".
func BuildWith(ctx context.Context, dir string, race bool, file string, text []byte, programs ...string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	overlay, err := os.MkdirTemp("", "ibfabric-overlay-")
	if err != nil {
		return fmt.Errorf("make a folder for an overlay: %w", err)
	}
	defer os.RemoveAll(overlay)
	instead, list := filepath.Join(overlay, "file.go"), filepath.Join(overlay, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(strings.TrimSpace(string(root)), file): instead}})
	if err = errors.Join(err, os.WriteFile(instead, text, 0o600), os.WriteFile(list, replace, 0o600)); err != nil {
		return fmt.Errorf("write an overlay: %w", err)
	}
	return build(ctx, dir, race, []string{"-overlay", list}, programs)
}

func build(ctx context.Context, dir string, race bool, more, programs []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for programs: %w", err)
	}
	args, cgo := append([]string{"build", "-trimpath", "-o", dir + string(filepath.Separator)}, more...), "CGO_ENABLED=0"
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
