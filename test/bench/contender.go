package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	bareName = "bare loop"
	// patience is for what is not measured, and for measurements of our own programs.
	patience = 10 * time.Minute
)

// contender is a program that gives pods their GUIDs.
type contender struct {
	name    string
	program string
	args    func(w *world) []string
	env     []string
	ready   string        // in its log once it serves pods
	limit   time.Duration // of a measurement; what is not done by then stays undone
	peer    bool
}

func bareLoop(dir string) contender {
	return contender{
		name: bareName, program: filepath.Join(dir, "bare"), ready: "watching", limit: patience,
		args: func(w *world) []string { return []string{"-namespace=" + w.ns, "-networks=" + w.networkFlag()} },
	}
}

// ibfabric runs with its default periods and limits.
func ibfabric(dir string) contender {
	return contender{
		name: "ibfabric", program: filepath.Join(dir, "ibfabric-controller"), ready: "leader.adopted", limit: patience,
		args: func(w *world) []string { return []string{"--log-level=info", "--health-address=0"} },
	}
}

// buildOwn makes our programs as `make build` does.
func buildOwn(ctx context.Context, root, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir, "./cmd/ibfabric-controller", "./test/bench/bare")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the contenders: %w\n%s", err, out)
	}
	return nil
}

// startOn runs the contender in a world, and returns once it serves pods.
func (c contender) startOn(ctx context.Context, w *world, log string) (*process, error) {
	var args []string
	if c.args != nil {
		args = c.args(w)
	}
	p, err := start(c.program, log, append(w.environment(), c.env...), args...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := p.says(ctx, c.ready); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}
