//go:build linux

package guest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// build compiles a module for a kernel, once for each text of its source.
func (s *store) build(ctx context.Context, k kernel, source fs.FS, name string) (string, error) {
	sum, err := hash(source)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(k.dir, name+"-"+sum)
	file := filepath.Join(dir, name+".ko")
	err = s.folder(dir, func(draft string) error {
		if err := os.CopyFS(draft, source); err != nil {
			return err
		}
		return s.log.step("lab: compiling "+name+" for "+k.release, func() error {
			// Without BTF: its tool, pahole, is not needed for anything here.
			script := "make -s -C /usr/src/linux-headers-" + k.release + " M=/work CONFIG_DEBUG_INFO_BTF_MODULES= modules && strip -g /work/" + name + ".ko"
			return s.compile(ctx, draft, k, script)
		})
	})
	return file, err
}

func (s *store) compile(ctx context.Context, work string, k kernel, script string) error {
	// Places to mount the compiler's helpers of this kernel at.
	kbuild, _ := filepath.Glob(filepath.Join(k.dir, "usr/lib/linux-kbuild-*"))
	for _, dir := range kbuild {
		if err := os.MkdirAll(filepath.Join(s.root(), "usr/lib", filepath.Base(dir)), 0o755); err != nil {
			return err
		}
	}
	text, err := output(s.inside(ctx, work, k.dir, script))
	if err != nil {
		return err
	}
	if text != "" {
		s.log.say("%s", lastLines(text, 20))
	}
	return nil
}

// hash is of all names and texts of a tree.
func hash(source fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(source, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), err
}
