// Package lab runs ibfabric on real kernels without hardware: see README.md.
package lab

import (
	"embed"
	"io/fs"
)

//go:embed fakeib
var sources embed.FS

// Fakeib is the source of the virtual HCA, a kernel module (GPL-2.0, unlike the rest of
// the project).
func Fakeib() (fs.FS, error) { return fs.Sub(sources, "fakeib") }
