package node

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
)

// Modules are the kernel's.
type Modules struct {
	present  map[string]bool
	Loadable bool // the kernel loads modules at all
}

// Has reports whether a module is loaded or built in.
func (m Modules) Has(name string) bool { return m.present[name] }

func (p Paths) modules(release string) (Modules, error) {
	m := Modules{present: map[string]bool{}}
	entries, err := os.ReadDir(filepath.Join(p.Sysfs, "module"))
	if err != nil {
		return m, err
	}
	for _, e := range entries {
		m.present[e.Name()] = true
	}
	// A module that is built in and has no parameters is in no folder, but in this list,
	// which containers often lack.
	builtin, err := text(filepath.Join(p.Modules, filepath.Base(release), "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	for line := range strings.Lines(builtin) {
		name := strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko")
		m.present[strings.ReplaceAll(name, "-", "_")] = true
	}
	_, err = os.Stat(filepath.Join(p.Proc, "modules"))
	m.Loadable = err == nil
	return m, nil
}

// ofed is the version of NVIDIA's driver package. Its compatibility module is what the
// kernel's own drivers never load.
func (p Paths) ofed(m Modules) string {
	if !m.Has("mlx_compat") {
		return ""
	}
	version, err := text(filepath.Join(p.Sysfs, "module/mlx5_core/version"))
	if err != nil {
		return "of unknown version"
	}
	return version
}

// bootMode looks for ib_core's parameter netns_mode, which modprobe takes from its
// configuration or, as the kernel does for a built-in module, from the command line.
func (p Paths) bootMode() (host.RDMAMode, error) {
	files, err := p.modprobeFiles()
	if err != nil {
		return "", err
	}
	var mode host.RDMAMode
	for _, file := range files {
		content, err := text(file)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(content) {
			words := strings.Fields(line)
			if len(words) < 3 || words[0] != "options" || strings.ReplaceAll(words[1], "-", "_") != "ib_core" {
				continue
			}
			mode = lastMode(mode, words[2:], "netns_mode=")
		}
	}
	line, err := text(filepath.Join(p.Proc, "cmdline"))
	return lastMode(mode, strings.Fields(line), "ib_core.netns_mode="), err
}

// modprobeFiles lists the configuration in the order in which it counts. A file hides
// those of its name in folders before.
func (p Paths) modprobeFiles() ([]string, error) {
	byName := map[string]string{}
	for _, dir := range p.Modprobe {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") {
				byName[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		files = append(files, byName[name])
	}
	return files, nil
}

// lastMode reads a boolean parameter: true means shared.
func lastMode(mode host.RDMAMode, words []string, prefix string) host.RDMAMode {
	for _, word := range words {
		value, found := strings.CutPrefix(word, prefix)
		switch {
		case !found:
		case slices.Contains([]string{"0", "n", "N", "off"}, value):
			mode = host.Exclusive
		default:
			mode = host.Shared
		}
	}
	return mode
}
