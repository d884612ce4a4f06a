package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// ipamTime is how long an IPAM plugin may take: whoever calls this one has given up by
// then, and the device stays locked meanwhile.
const ipamTime = 2 * time.Minute

// boundedExec runs plugins for at most a time. The executor of the CNI library waits on
// for a child of the plugin that holds its output, however long after its context.
type boundedExec struct {
	invoke.RawExec // for its FindInPath
	version.PluginDecoder
	limit time.Duration
}

// ExecPlugin implements invoke.Exec.
func (e *boundedExec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.limit, fmt.Errorf("it did not answer within %v", e.limit))
	defer cancel()
	for try := 0; ; try++ {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(ctx, path)
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, bytes.NewReader(stdin), &out, &errs
		cmd.WaitDelay = time.Second
		err := cmd.Run()
		// Its file is being written at this moment: a node agent installs it.
		if errors.Is(err, syscall.ETXTBSY) && try < 5 && Sleep(ctx, time.Second) == nil {
			continue
		}
		switch {
		case ctx.Err() != nil && err != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, answerOf(err, out.Bytes(), errs.String())
		}
		return out.Bytes(), nil
	}
}

// answerOf is the error that a plugin has answered with, else what it left on stderr.
func answerOf(err error, stdout []byte, stderr string) error {
	var e types.Error
	if json.Unmarshal(stdout, &e) == nil && (e.Code != 0 || e.Msg != "") {
		return &e
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr))
}
