package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// thisMachine leaves out what this system does not tell.
func thisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &m.Load) // stays 0
	}
	return m
}

func versions(ctx context.Context, root string, bed *testbed.Cluster, all []contender) (map[string]string, error) {
	server, err := bed.Client().Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the API server for its version: %w", err)
	}
	v := map[string]string{"go": runtime.Version(), "kubernetes": server.GitVersion}
	git := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	git.Dir = root
	if out, err := git.Output(); err == nil { // a source archive has no history
		v["ibfabric"] = string(bytes.TrimSpace(out))
	}
	for _, c := range all {
		if name, version, ok := strings.Cut(c.name, " "); ok && c.peer {
			v[name] = version
		}
	}
	return v, nil
}
