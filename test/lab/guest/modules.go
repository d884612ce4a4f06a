//go:build linux

package guest

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kernelModules are the files of modules and of what they need, in the order to load.
func (s *store) kernelModules(ctx context.Context, k kernel, names []string) ([]string, error) {
	l := &loader{store: s, ctx: ctx, kernel: k, files: map[string]string{}}
	if err := l.index(); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := l.add(name, true); err != nil {
			return nil, err
		}
	}
	return l.order, nil
}

// loader does depmod's work: a package's own lists are made when it is installed.
type loader struct {
	store   *store
	ctx     context.Context
	kernel  kernel
	files   map[string]string // packed, by module name
	builtin string
	seen    []string
	order   []string
}

func (l *loader) index() error {
	for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
		root := filepath.Join(l.kernel.dir, lib, l.kernel.release)
		if text, err := os.ReadFile(filepath.Join(root, "modules.builtin")); err == nil {
			l.builtin = canonical(string(text))
		}
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil {
				l.files[canonical(name)] = path
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(l.files) == 0 {
		return fmt.Errorf("%s has no modules; remove the folder and run again", l.kernel.dir)
	}
	return nil
}

// canonical is how the kernel itself writes the name of a module.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

func (l *loader) add(name string, must bool) error {
	name = canonical(name)
	if slices.Contains(l.seen, name) {
		return nil
	}
	l.seen = append(l.seen, name)
	packed, ok := l.files[name]
	if !ok {
		if must && !strings.Contains(l.builtin, "/"+name+".ko") {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		return nil
	}
	file, err := l.unpack(name, packed)
	if err != nil {
		return err
	}
	hard, soft, err := needs(file)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for i, need := range append(hard, soft...) {
		if err := l.add(need, i < len(hard)); err != nil {
			return err
		}
	}
	l.order = append(l.order, file)
	return nil
}

func (l *loader) unpack(name, packed string) (string, error) {
	file := filepath.Join(l.kernel.dir, "ko", name+".ko")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	var text []byte
	var err error
	if strings.HasSuffix(packed, ".xz") {
		text, err = l.store.xz(l.ctx, packed)
	} else {
		text, err = os.ReadFile(packed)
	}
	if err == nil {
		err = writeWhole(file, text)
	}
	return file, err
}

// needs reads which modules another cannot do without, and which it looks for by itself
// with modprobe, which the guest does not have.
func needs(file string) (hard, soft []string, err error) {
	object, err := elf.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer object.Close()
	section := object.Section(".modinfo")
	if section == nil {
		return nil, nil, fmt.Errorf("%s has no .modinfo", file)
	}
	info, err := section.Data()
	for line := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(line), "=")
		switch key {
		case "depends":
			hard = append(hard, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case "softdep":
			pre, _, _ := strings.Cut(value, "post:")
			soft = append(soft, strings.Fields(strings.TrimPrefix(strings.TrimSpace(pre), "pre:"))...)
		}
	}
	return hard, soft, err
}

// writeWhole leaves no half of a file behind.
func writeWhole(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	draft := file + ".draft"
	if err := os.WriteFile(draft, text, 0o644); err != nil {
		return err
	}
	return os.Rename(draft, file)
}
