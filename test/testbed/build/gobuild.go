package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ibfabric/ibfabric/test/testbed/internal/plan"
)

// kwokStages are the parts of kwok's module that make nodes Ready and pods Running at once.
// kwok has none built in and refuses to start without.
var kwokStages = []string{
	"node/fast/node-initialize.yaml",
	"node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"pod/fast/pod-ready.yaml",
	"pod/fast/pod-complete.yaml",
	"pod/fast/pod-delete.yaml",
}

// tempPrefix marks folders of unfinished builds.
const tempPrefix = ".build-"

// build makes one program under a temporary name and renames it, so that nobody ever runs
// half a file.
func build(ctx context.Context, p plan.Plan, q plan.Program) error {
	temp, err := os.MkdirTemp(p.Dir, tempPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	module := filepath.Join(p.Tools, q.Module)
	args := append([]string{"build"}, q.Flags()...)
	if _, err := goTool(ctx, module, append(args, "-o", filepath.Join(temp, q.Name), q.Package)...); err != nil {
		return err
	}
	if q.Name == "kwok" {
		if err := writeStages(ctx, module, filepath.Join(temp, plan.Stages)); err != nil {
			return err
		}
	}
	for _, file := range plan.Files(q.Name) {
		if err := os.Rename(filepath.Join(temp, file), filepath.Join(p.Dir, file)); err != nil {
			return err
		}
	}
	return nil
}

func writeStages(ctx context.Context, module, file string) error {
	out, err := goTool(ctx, module, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")
	if err != nil {
		return fmt.Errorf("finding kwok's module: %w", err)
	}
	var all []byte
	for _, stage := range kwokStages {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(out), "kustomize", "stage", stage))
		if err != nil {
			return fmt.Errorf("kwok's stages have moved; mend kwokStages: %w", err)
		}
		all = append(append(all, "---\n"...), text...)
	}
	return os.WriteFile(file, all, 0o644)
}

// goTool runs the go command in a nested module. The environment is the caller's (proxy,
// caches) but for what would change the outcome.
func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go then removes its temporary files
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", errors.New("interrupted")
	case err != nil:
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, tail(stderr.String(), 30))
	}
	return stdout.String(), nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
