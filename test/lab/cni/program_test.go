//go:build linux

package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	types "github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
)

// pluginDir is where the guest has programs: whose, and below that one by its CNI type.
const pluginDir = "/lab/cni"

// program is a plugin as a runtime calls it: a file, an environment and a configuration.
type program struct{ path string }

// plugin is somebody's plugin of a type.
func plugin(whose, kind string) program { return program{filepath.Join(pluginDir, whose, kind)} }

// interfaceOf is one interface of one container.
type interfaceOf struct {
	id     string
	ns     host.NetNS
	config map[string]any
}

// call runs the plugin. Its error is a types.Error as the plugin printed it, where it did.
func (p program) call(ctx context.Context, command string, of interfaceOf) (result map[string]any, err error) {
	config, err := json.Marshal(of.config)
	if err != nil {
		return nil, err
	}
	var out, words bytes.Buffer
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Env = []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + of.id, "CNI_NETNS=" + string(of.ns), "CNI_IFNAME=net1",
		"CNI_PATH=" + filepath.Dir(p.path), "PATH=/lab/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp",
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(config), &out, &words
	cmd.WaitDelay = time.Second
	runErr := cmd.Run()
	if runErr == nil {
		if command == "ADD" {
			err = json.Unmarshal(out.Bytes(), &result)
		}
		return result, err
	}
	var said types.Error
	var exit *exec.ExitError
	if errors.As(runErr, &exit) && json.Unmarshal(out.Bytes(), &said) == nil && said.Msg != "" {
		return nil, &said
	}
	return nil, fmt.Errorf("%s %s: %w: %s%s", p.path, command, runErr, out.String(), words.String())
}
