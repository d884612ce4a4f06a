//go:build linux

// Package guest boots a real kernel of Debian's under QEMU and runs a static program in
// it, with a kernel module of the caller's loaded. It needs neither root nor anything
// installed but apt, dpkg-deb, tar and unshare: kernel, compiler and QEMU are fetched by
// package name, unpacked into the user's cache and never installed.
//
// A kernel that was fetched once is used from then on, without a network; remove its
// folder under [Config].Cache to have the mirror's newest.
package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrUnavailable is in the error of [Prepare] when this machine cannot have a guest: no
// apt, no mirror, no user namespaces. The text says which.
var ErrUnavailable = errors.New("no guest can be had here")

// Config says what a guest is made of.
type Config struct {
	Kernel  string       // a series, as 6.1, 6.12 or 7: the newest that Debian has of it
	Module  fs.FS        // source of a kernel module, with a Kbuild; nil: none
	Name    string       // of the module, without .ko
	Modules []string     // the kernel's own that are loaded before it; what they need comes along
	Cache   string       // a folder; empty: ibfabric/lab in the user's cache
	Log     func(string) // what takes longer than two seconds; nil: nowhere
}

// Machine is a guest that can be booted, any number of times.
type Machine struct {
	Release string // as uname -r gives it
	log     logger
	kernel  string   // the image
	modules []string // files, in the order to load them
	qemu    []string // the program, and what it needs in front of its arguments
}

// Prepare fetches and builds what is not in the cache.
func Prepare(ctx context.Context, c Config) (*Machine, error) {
	s, err := openStore(c)
	if err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.tools(ctx); err != nil {
		return nil, fmt.Errorf("%w: fetching compiler and QEMU: %w", ErrUnavailable, err)
	}
	k, err := s.kernel(ctx, c.Kernel)
	if err != nil {
		return nil, fmt.Errorf("%w: fetching a kernel %s: %w", ErrUnavailable, c.Kernel, err)
	}
	m := &Machine{Release: k.release, log: s.log, qemu: s.qemu()}
	if m.kernel, err = k.image(); err != nil {
		return nil, err
	}
	if m.modules, err = s.kernelModules(ctx, k, c.Modules); err != nil {
		return nil, fmt.Errorf("modules of kernel %s: %w", k.release, err)
	}
	if c.Module == nil {
		return m, nil
	}
	module, err := s.build(ctx, k, c.Module, c.Name)
	if err != nil {
		return nil, fmt.Errorf("building %s for kernel %s: %w", c.Name, k.release, err)
	}
	m.modules = append(m.modules, module)
	return m, nil
}

// store is the cache on disk.
type store struct {
	dir string
	log logger
}

func openStore(c Config) (*store, error) {
	dir := c.Cache
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		dir = filepath.Join(cache, "ibfabric/lab")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: making the cache: %w", ErrUnavailable, err)
	}
	return &store{dir: dir, log: c.Log}, nil
}

func (s *store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// folder is a folder that is there whole or not at all: make fills one of another name,
// which then gets this one. One that is there already is taken as it is.
func (s *store) folder(path string, make func(dir string) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	draft, err := os.MkdirTemp(filepath.Dir(path), ".draft-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	if err := os.Chmod(draft, 0o755); err != nil {
		return err
	}
	if err := make(draft); err != nil {
		return err
	}
	return os.Rename(draft, path)
}
