//go:build linux

package guest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernel is one of Debian's, unpacked: image, modules and headers.
type kernel struct {
	release string // 6.12.107+deb13-amd64
	dir     string
}

// image is where a package has it; Debian's place for it has changed with 7.3.
func (k kernel) image() (string, error) {
	places := []string{"boot/vmlinuz-" + k.release, "usr/lib/modules/" + k.release + "/vmlinuz"}
	for _, place := range places {
		file := filepath.Join(k.dir, place)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("the kernel's image is not in %s at any of %q", k.dir, places)
}

// kernel finds the kernel of a series in the cache, else fetches it.
func (s *store) kernel(ctx context.Context, series string) (kernel, error) {
	if found, ok := s.cached(series); ok {
		return found, nil
	}
	a, err := s.apt(ctx)
	if err != nil {
		return kernel{}, err
	}
	release, err := a.newest(ctx, series)
	if err != nil {
		return kernel{}, err
	}
	packages, err := a.kernelPackages(ctx, release)
	if err != nil {
		return kernel{}, err
	}
	k := kernel{release, s.path("kernels", release)}
	return k, s.folder(k.dir, func(dir string) error {
		return s.log.step("lab: fetching kernel "+release+" (once, 110 MB)", func() error {
			return a.only(ctx, dir, packages...)
		})
	})
}

// cached is the newest that was fetched of a series, by time: names do not sort.
func (s *store) cached(series string) (found kernel, ok bool) {
	dirs, _ := filepath.Glob(s.path("kernels", series+".*"))
	var newest int64
	for _, dir := range dirs {
		if stat, err := os.Stat(dir); err == nil && stat.ModTime().UnixNano() > newest {
			newest, found = stat.ModTime().UnixNano(), kernel{filepath.Base(dir), dir}
		}
	}
	return found, newest != 0
}

// newest reads which kernel the metapackage stands for; each suite has its own.
func (a *apt) newest(ctx context.Context, series string) (string, error) {
	text, err := a.run(ctx, "apt-cache", "show", "linux-image-amd64")
	if err != nil {
		return "", err
	}
	depends := regexp.MustCompile(`(?m)^Depends:.*\blinux-image-(` + regexp.QuoteMeta(series) + `\.[^ ,]*-amd64)\b`)
	found := depends.FindStringSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("the mirror's linux-image-amd64 is of no series %s in %s", series, strings.Join(suites(), ", "))
	}
	return found[1], nil
}

// kernelPackages are those with files for the guest and the compiler; what else an
// installed kernel would need (an initramfs, dracut) is left out.
func (a *apt) kernelPackages(ctx context.Context, release string) ([]string, error) {
	text, err := a.run(ctx, "apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances", "linux-image-"+release, "linux-headers-"+release)
	if err != nil {
		return nil, err
	}
	names := regexp.MustCompile(`(?m)^linux-(?:image|binary|modules|headers|kbuild)-\S+$`).FindAllString(text, -1)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "-unsigned") }), nil
}
