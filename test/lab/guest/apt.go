//go:build linux

package guest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// suites are where packages come from. The first one's compiler builds modules for the
// kernels of all, and its QEMU is the first of Debian's with SR-IOV (igb).
func suites() []string { return []string{"trixie", "trixie-backports", "bookworm"} }

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt is the machine's own apt with lists and archives of the cache, so that it works
// without root and sees no package that the machine has installed.
type apt struct {
	dir string
	log logger
}

// apt reads the mirror's lists anew: what the cache has needs none.
func (s *store) apt(ctx context.Context) (*apt, error) {
	for _, program := range []string{"apt-get", "apt-cache", "dpkg-deb", "tar", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%s is missing: the lab needs a Debian-like machine: %w", program, err)
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		return nil, fmt.Errorf("install debian-archive-keyring, which packages are checked with: %w", err)
	}
	a := &apt{dir: s.path("apt"), log: s.log}
	if err := a.configure(); err != nil {
		return nil, err
	}
	return a, a.log.step("lab: reading Debian's package lists", func() error {
		_, err := a.run(ctx, "apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
		return err
	})
}

func (a *apt) configure() error {
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			return err
		}
	}
	var sources, conf strings.Builder
	mirror := cmp.Or(os.Getenv("IBFABRIC_LAB_MIRROR"), "http://deb.debian.org/debian")
	for _, suite := range suites() {
		fmt.Fprintf(&sources, "deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, mirror, suite)
	}
	at := func(name string) string { return filepath.Join(a.dir, name) }
	for _, c := range [][2]string{
		{"Dir::State", a.dir}, {"Dir::State::lists", at("lists")}, {"Dir::State::status", at("status")},
		{"Dir::Cache", a.dir}, {"Dir::Cache::archives", at("archives")},
		{"Dir::Etc::sourcelist", at("sources.list")}, {"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"}, {"Dir::Etc::preferencesparts", "/dev/null"},
		{"APT::Architecture", "amd64"}, {"APT::Architectures", "amd64"}, {"APT::Sandbox::User", ""},
		{"APT::Default-Release", suites()[0]}, {"Acquire::Languages", "none"}, {"Acquire::Retries", "3"},
	} {
		fmt.Fprintf(&conf, "%s %q;\n", c[0], c[1])
	}
	for name, text := range map[string]string{"sources.list": sources.String(), "apt.conf": conf.String(), "status": ""} {
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// run returns what a program of apt's prints.
func (a *apt) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = filepath.Join(a.dir, "archives")
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	return output(cmd)
}

// output is a program's; its last words are in the error.
func output(cmd *exec.Cmd) (string, error) {
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	cmd.SysProcAttr = diesWithUs()
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, lastLines(words.String()+out.String(), 12))
	}
	return out.String(), nil
}

// withAll fetches packages and all that they depend on, and unpacks them into root.
func (a *apt) withAll(ctx context.Context, root string, packages ...string) error {
	args := append([]string{"install", "-y", "-q", "--no-install-recommends", "--download-only"}, packages...)
	if _, err := a.run(ctx, "apt-get", args...); err != nil {
		return err
	}
	return a.unpackAll(ctx, root)
}

// only fetches packages without what they depend on, and unpacks them into root.
func (a *apt) only(ctx context.Context, root string, packages ...string) error {
	if _, err := a.run(ctx, "apt-get", append([]string{"download", "-q"}, packages...)...); err != nil {
		return err
	}
	return a.unpackAll(ctx, root)
}

// unpackAll unpacks what was fetched and removes the archives.
func (a *apt) unpackAll(ctx context.Context, root string) error {
	archives, err := filepath.Glob(filepath.Join(a.dir, "archives/*.deb"))
	if err != nil || len(archives) == 0 {
		return fmt.Errorf("apt fetched nothing: %w", err)
	}
	for _, archive := range archives {
		// Packages say /lib and mean the /usr/lib that it is a link to.
		script := `dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner -C "$2"`
		if _, err := output(exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "unpack", archive, root)); err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(archive), err)
		}
		if err := os.Remove(archive); err != nil {
			return err
		}
	}
	return nil
}
