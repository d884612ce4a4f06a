package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
)

const (
	bareName = "bare loop"
	// patience is for what is not measured, and for measurements of our own programs.
	patience = 10 * time.Minute
)

// contender is a program that gives pods their GUIDs.
type contender struct {
	name     string
	launcher *programs.Launcher
	program  string
	args     func(w *world) []string
	env      []string
	ready    string        // in its log once it serves pods
	limit    time.Duration // of a measurement; what is not done by then stays undone
	peer     bool
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
		args: func(w *world) []string {
			return []string{"--log-level=info", "--health-address=0", "--console-address=127.0.0.1:0"}
		},
	}
}

// startOn runs the contender in a world, and returns once it serves pods.
func (c contender) startOn(ctx context.Context, w *world, log string) (*programs.Process, error) {
	p, err := c.launch(w, log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := says(ctx, p, c.ready); err != nil {
		end(p)
		return nil, err
	}
	return p, nil
}

func (c contender) launch(w *world, log string) (*programs.Process, error) {
	var args []string
	if c.args != nil {
		args = c.args(w)
	}
	return c.launcher.Start(programs.Command{Program: c.program, Args: args, Env: append(w.environment(), c.env...), Log: log})
}
