package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Version is the version of a module that the go.mod in a folder requires, as v1.1.1.
func Version(folder, module string) (string, error) {
	file := filepath.Join(folder, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the version of %s: %w", module, err)
	}
	m := regexp.MustCompile(`(?m)^(?:require|)\s*` + regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s requires no %s", file, module)
	}
	return string(m[1]), nil
}

// source is where the go command has the files of a module that the one in a folder
// requires.
func source(ctx context.Context, folder, module string) (string, error) {
	dir, err := goTool(ctx, folder, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module)
	return strings.TrimSpace(dir), err
}

// publish makes a folder of the cache: under another name, and then renamed, so that nobody
// ever runs half of it. It does nothing when the folder is there.
func publish(dir string, fill func(temp string) error) error {
	if exists(dir) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the cache folder (IBFABRIC_CACHE moves it): %w", err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".build-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := fill(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, os.ErrExist) { // exists: another run was faster
		return fmt.Errorf("put a peer into the cache: %w", err)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
