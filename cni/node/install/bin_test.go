package install

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lookAtText takes the first line of a file for what the linker writes into programs:
// "ours v2" or "sriov-cni v2.10.0".
func lookAtText(dir, name string) (Binary, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Binary{Name: name, Owner: Missing}, nil
	}
	line, _, _ := strings.Cut(string(text), "\n")
	program, version, _ := strings.Cut(line, " ")
	owner := Foreign
	if program == "ours" {
		owner = Ours
	}
	return Binary{Name: name, Owner: owner, Program: program, Version: version}, err
}

// bin is a CNI bin directory that versions are installed into.
type bin struct {
	*testing.T
	Installer
}

func newBin(t *testing.T) *bin {
	b := &bin{t, Installer{Dir: t.TempDir(), Names: Names(), Foreign: Refuse, Look: lookAtText}}
	return b.version("v1")
}

func (b *bin) version(v string) *bin {
	b.Source = filepath.Join(b.TempDir(), Self)
	b.write(b.Source, "ours "+v)
	return b
}

func (b *bin) write(path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bin) foreign(name, text string) { b.write(b.path(name), text) }

// lines calls Install or Restore.
func (b *bin) lines(act func(context.Context) ([]Change, error)) (lines []string) {
	b.Helper()
	changes, err := act(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range changes {
		lines = append(lines, strings.ReplaceAll(c.String(), b.Dir, "DIR"))
	}
	return lines
}

// has fails unless the directory shows exactly these files with these contents.
func (b *bin) has(want map[string]string) {
	b.Helper()
	got := map[string]string{}
	for _, pattern := range []string{"*", keptDir + "/*"} {
		files, err := fs.Glob(os.DirFS(b.Dir), pattern)
		if err != nil {
			b.Fatal(err)
		}
		for _, file := range files {
			if file == keptDir || file == keptDir+"/lock" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(b.Dir, file))
			if err != nil {
				b.Fatal(err)
			}
			got[file] = string(text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
}

func four(text string) map[string]string {
	return map[string]string{"ib-sriov": text, "sriov": text, "rdma": text, Self: text}
}

func with(m map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}
