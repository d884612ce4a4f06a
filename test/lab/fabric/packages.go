package fabric

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrUnavailable is in the error of [Prepare] when this machine cannot have a subnet
// manager: no apt, no mirror, another architecture. The text says which.
var ErrUnavailable = errors.New("no subnet manager can be had here")

// Debian 12, whose ibsim and tools fit each other: with rdma-core from 56 on, which later
// releases have, umad2sim does not work (linux-rdma/ibsim issue 40).
const (
	suite   = "bookworm"
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	libDir  = "usr/lib/x86_64-linux-gnu"
)

// packages are the programs and all libraries that they need beside the C library,
// which is the machine's.
func packages() []string {
	return []string{
		"opensm", "ibsim-utils", "infiniband-diags", "libumad2sim0",
		"libopensm9", "libosmcomp5", "libosmvendor5", "libibmad5", "libibumad3", "libibnetdisc5",
		"libwrap0", "libnsl2", "libtirpc3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0",
		"libcom-err2", "libkeyutils1",
	}
}

// Tools are OpenSM, ibsim and smpquery, unpacked and not installed.
type Tools struct{ root string }

// Prepare fetches what is not in the cache, a folder; empty is ibfabric/lab in the user's
// cache. It changes nothing else on the machine and needs no root. Remove the folder to
// have newer packages.
func Prepare(ctx context.Context, cache string) (*Tools, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("%w: Debian's packages are fetched for Linux on amd64, and this is %s on %s", ErrUnavailable, runtime.GOOS, runtime.GOARCH)
	}
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		cache = filepath.Join(dir, "ibfabric", "lab")
	}
	sum := sha256.Sum256([]byte(strings.Join(packages(), " ")))
	t := &Tools{filepath.Join(cache, fmt.Sprintf("opensm-%s-%x", suite, sum[:4]))}
	if err := t.fetch(ctx, cache); err != nil {
		return nil, fmt.Errorf("%w: fetching OpenSM and ibsim: %w", ErrUnavailable, err)
	}
	if _, err := output(t.command(ctx, "", "usr/sbin/opensm", "--version")); err != nil {
		return nil, fmt.Errorf("%w: OpenSM does not start: %w", ErrUnavailable, err)
	}
	return t, nil
}

// fetch fills the folder that is then there whole or not at all, by one process.
func (t *Tools) fetch(ctx context.Context, cache string) error {
	if _, err := os.Stat(t.root); err == nil {
		return nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(cache, "opensm.lock"))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return fmt.Errorf("waiting for another run's preparation: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := os.Stat(t.root); err == nil {
		return nil
	}
	draft, err := os.MkdirTemp(cache, ".opensm-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(draft) }()
	if err := download(ctx, filepath.Join(draft, "apt")); err != nil {
		return err
	}
	if err := unpack(ctx, filepath.Join(draft, "apt"), filepath.Join(draft, "root")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(draft, "root"), t.root)
}

// download fetches the packages by the machine's own apt, with lists, sources and state
// of its own, so that it works without root and whatever is installed.
func download(ctx context.Context, dir string) error {
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("install debian-archive-keyring, which packages are checked with: %w", err)
	}
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	mirror := cmp.Or(os.Getenv("IBFABRIC_LAB_MIRROR"), "http://deb.debian.org/debian")
	var conf strings.Builder
	for _, c := range [][2]string{
		{"Dir::State", dir}, {"Dir::State::lists", dir + "/lists"}, {"Dir::State::status", dir + "/status"},
		{"Dir::Cache", dir}, {"Dir::Etc::sourcelist", dir + "/sources.list"}, {"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"}, {"Dir::Etc::preferencesparts", "/dev/null"},
		{"APT::Architecture", "amd64"}, {"APT::Architectures", "amd64"}, {"APT::Sandbox::User", ""},
		{"Acquire::Languages", "none"}, {"Acquire::Retries", "3"},
	} {
		fmt.Fprintf(&conf, "%s %q;\n", c[0], c[1])
	}
	for name, text := range map[string]string{
		"sources.list": fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, mirror, suite), "apt.conf": conf.String(), "status": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"update", "-q", "-o", "APT::Update::Error-Mode=any"}, append([]string{"download", "-q"}, packages()...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Dir = filepath.Join(dir, "archives")
		cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(dir, "apt.conf"), "LC_ALL=C")
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	return nil
}

func unpack(ctx context.Context, from, root string) error {
	archives, err := filepath.Glob(filepath.Join(from, "archives", "*.deb"))
	if err != nil || len(archives) < len(packages()) {
		return fmt.Errorf("apt fetched %d of %d packages: %w", len(archives), len(packages()), err)
	}
	for _, archive := range archives {
		if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", archive, root)); err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(archive), err)
		}
	}
	return nil
}

// command runs a program of the tools' in a folder, with their libraries.
func (t *Tools) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(t.root, program), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C",
		"LD_LIBRARY_PATH="+filepath.Join(t.root, libDir)+":"+filepath.Join(t.root, "lib/x86_64-linux-gnu"))
	return cmd
}

// output is a program's; its last words are in the error.
func output(cmd *exec.Cmd) (string, error) {
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(words.String() + out.String())
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, text[max(0, len(text)-600):])
	}
	return out.String(), nil
}
