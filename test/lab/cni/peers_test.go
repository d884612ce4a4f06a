//go:build linux

package cni

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cni/node/install"
	"github.com/ibfabric/ibfabric/test/peers"
)

// kinds are the CNI types of plugins that there are stories for.
func kinds() []string { return []string{"ib-sriov", "sriov", "rdma"} }

// addPeers takes the plugins of a folder like a node's CNI bin directory. Each is called what
// it calls itself, as "ib-sriov-cni v1.3.0", and if it does not, as the folder.
func addPeers(dir string, files map[string]string) error {
	found := 0
	for _, kind := range kinds() {
		b, err := install.Look(dir, kind)
		if err != nil {
			return fmt.Errorf("PEER_DIR: %w", err)
		}
		if b.Owner == install.Missing {
			continue
		}
		file, name := filepath.Join(dir, kind), b.String()
		if b.Program == "" {
			name = filepath.Base(dir)
		}
		if err := isStatic(file); err != nil {
			return fmt.Errorf("PEER_DIR: %w", err)
		}
		files[filepath.Join(pluginDir, name, kind)] = file
		found++
	}
	if found == 0 {
		return fmt.Errorf("PEER_DIR=%s has none of %s", dir, strings.Join(kinds(), ", "))
	}
	return nil
}

// isStatic refuses what the guest cannot run.
func isStatic(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s is no program: %w", file, err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%s needs libraries, of which the guest has none: build it with CGO_ENABLED=0", file)
	}
	return nil
}

func TestPeersAreCalledWhatTheyCallThemselves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	must(t, os.Mkdir(dir, 0o755))
	files := map[string]string{}
	if err := addPeers(dir, files); err == nil || !strings.Contains(err.Error(), "has none of ib-sriov, sriov, rdma") {
		t.Errorf("an empty folder: %v", err)
	}
	_, err := peers.BuildRDMACNI(t.Context(), "../../..", filepath.Join(dir, "rdma"))
	must(t, err)
	must(t, addPeers(dir, files))
	var found []string
	for to, from := range files {
		found = append(found, to+" "+from)
	}
	if len(found) != 1 || !strings.HasPrefix(found[0], pluginDir+"/rdma-cni") || !strings.HasSuffix(found[0], "/rdma "+dir+"/rdma") {
		t.Errorf("the folder has %q", found)
	}
	must(t, os.WriteFile(filepath.Join(dir, "sriov"), []byte("#!/bin/sh\n"), 0o755))
	if err := addPeers(dir, files); err == nil || !strings.Contains(err.Error(), "sriov is no program") {
		t.Errorf("a script: %v", err)
	}
}
