//go:build linux

package guest

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// archive writes an initramfs in the format newc (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst). Everything is root's.
type archive struct {
	out   bytes.Buffer
	inode int
	dirs  map[string]bool
}

// file adds a file, and the folders above it.
func (a *archive) file(name string, mode fs.FileMode, text []byte) {
	a.dir(path.Dir(name))
	const regular = 0o100000
	a.entry(name, regular|uint32(mode.Perm()), text)
}

func (a *archive) dir(name string) {
	if name = strings.Trim(name, "/"); name == "" || name == "." || a.dirs[name] {
		return
	}
	if a.dirs == nil {
		a.dirs = map[string]bool{}
	}
	a.dir(path.Dir(name))
	a.dirs[name] = true
	const folder = 0o040000
	a.entry(name, folder|0o755, nil)
}

// link adds a symbolic link.
func (a *archive) link(name, to string) {
	a.dir(path.Dir(name))
	const symlink = 0o120000
	a.entry(name, symlink|0o777, []byte(to))
}

// entry has 13 numbers of eight hex digits after its magic; name and text end on
// multiples of four bytes.
func (a *archive) entry(name string, mode uint32, text []byte) {
	a.inode++
	a.out.WriteString("070701")
	name = strings.Trim(name, "/")
	for _, n := range []int{a.inode, int(mode), 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(&a.out, "%08x", n)
	}
	a.out.WriteString(name + "\x00")
	a.pad()
	a.out.Write(text)
	a.pad()
}

func (a *archive) pad() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}

// bytes ends the archive.
func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.out.Bytes()
}
