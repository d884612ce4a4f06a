//go:build linux

package guest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// toolPackages are what the lab runs: QEMU, and what Debian's kernel headers need.
func toolPackages() []string {
	return []string{
		"qemu-system-x86", "gcc-14", "gcc-12", "make", "xz-utils",
		"dash", "bash", "coreutils", "sed", "grep", "mawk", "findutils",
	}
}

// root is a small Debian of its own, in which the tools run with their own libraries;
// another list of packages makes another.
func (s *store) root() string {
	sum := sha256.Sum256([]byte(strings.Join(toolPackages(), " ")))
	return s.path(fmt.Sprintf("tools-%s-%x", suites()[0], sum[:4]))
}

func (s *store) tools(ctx context.Context) error {
	return s.folder(s.root(), func(dir string) error {
		if err := mergedUsr(dir); err != nil {
			return err
		}
		for _, name := range []string{"dev", "proc", "tmp", "work", "usr/src"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				return err
			}
		}
		a, err := s.apt(ctx)
		if err != nil {
			return err
		}
		return s.log.step("lab: fetching QEMU and a compiler (once, 130 MB)", func() error {
			// Which awk is awk is settled when packages are installed.
			return errors.Join(a.withAll(ctx, dir, toolPackages()...), os.Symlink("mawk", filepath.Join(dir, "usr/bin/awk")))
		})
	})
}

// mergedUsr makes the links that Debian's packages count on.
func mergedUsr(dir string) error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "usr", name), 0o755), os.Symlink("usr/"+name, filepath.Join(dir, name)))
		if err != nil {
			return err
		}
	}
	return nil
}

// libraries are in front of a program of the tools' that runs outside their root.
func (s *store) libraries() []string {
	lib := filepath.Join(s.root(), "usr/lib/x86_64-linux-gnu")
	return []string{filepath.Join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib}
}

// qemu runs outside the root: it is killed with this process, which a chroot's shell
// would stand between.
func (s *store) qemu() []string {
	return append(s.libraries(), filepath.Join(s.root(), "usr/bin/qemu-system-x86_64"),
		"-L", filepath.Join(s.root(), "usr/share/qemu"), "-L", filepath.Join(s.root(), "usr/share/seabios"))
}

func (s *store) xz(ctx context.Context, file string) ([]byte, error) {
	words := append(s.libraries(), filepath.Join(s.root(), "usr/bin/xz"), "-dc", file)
	text, err := output(exec.CommandContext(ctx, words[0], words[1:]...))
	return []byte(text), err
}

// inside is a command in the root, with work at /work and headers at /usr/src and their
// tools in place; as root of a namespace where it is not root anyway.
func (s *store) inside(ctx context.Context, work, headers, script string) *exec.Cmd {
	const enter = `
		set -e; R=$1 H=$3
		mount --rbind /dev "$R/dev"; mount --rbind /proc "$R/proc"
		mount -t tmpfs tmpfs "$R/tmp"; mount --bind "$2" "$R/work"; mount --bind "$H/usr/src" "$R/usr/src"
		for kbuild in "$H"/usr/lib/linux-kbuild-*; do mount --bind "$kbuild" "$R/usr/lib/${kbuild##*/}"; done
		exec chroot "$R" /bin/bash -ec "$4"`
	args := []string{"--mount", "--fork", "--kill-child"}
	if os.Geteuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	args = append(args, "--", "bash", "-c", enter, "inside", s.root(), work, headers, script)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return cmd
}

// lock keeps two preparations out of each other's way, between processes too.
func (s *store) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: locking the cache: %w", ErrUnavailable, err)
	}
	err = s.log.step("lab: waiting for another run's preparation", func() error {
		for {
			err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if !errors.Is(err, syscall.EWOULDBLOCK) {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking the cache %s: %w", s.dir, err)
	}
	return func() { _ = file.Close() }, nil
}
