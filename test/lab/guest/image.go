//go:build linux

package guest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Image writes the file system of a [System]: an initramfs, too large to be built in memory.
// Everything is root's. Errors come from Close.
type Image struct {
	file *os.File
	a    archive
	err  error
}

// NewImage begins a file.
func NewImage(path string) (*Image, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &Image{file: file}, nil
}

// Text adds a file, and the folders above it.
func (i *Image) Text(name string, mode fs.FileMode, text []byte) {
	i.a.file(name, mode, text)
	i.flush()
}

// Put adds a file of this machine's.
func (i *Image) Put(name, from string) {
	stat, err := os.Stat(from)
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(from); err == nil {
			i.Text(name, stat.Mode(), text)
		}
	}
	i.note(err)
}

// Dir adds a folder.
func (i *Image) Dir(name string) {
	i.a.dir(name)
	i.flush()
}

// Tree adds what is under a folder of this machine's: files, folders and links. Names that
// skip reports are left out, folders with all that is in them.
func (i *Image) Tree(from string, skip func(name string) bool) {
	i.note(filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		switch {
		case err != nil || name == ".":
			return err
		case skip != nil && skip(name) && d.IsDir():
			return filepath.SkipDir
		case skip != nil && skip(name):
			return nil
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			i.a.link(name, to)
			i.flush()
			return err
		case d.IsDir():
			i.Dir(name)
		case d.Type().IsRegular():
			i.Put(name, path)
		}
		return i.err
	}))
}

// Close ends the image and gives the first error that there was.
func (i *Image) Close() error {
	i.a.bytes()
	i.flush()
	i.note(i.file.Close())
	if i.err != nil {
		return fmt.Errorf("writing the image %s: %w", i.file.Name(), i.err)
	}
	return nil
}

// flush writes whole entries, each of which ends on a multiple of four bytes.
func (i *Image) flush() {
	if _, err := i.a.out.WriteTo(i.file); err != nil {
		i.note(err)
	}
}

func (i *Image) note(err error) {
	if i.err == nil {
		i.err = err
	}
}
