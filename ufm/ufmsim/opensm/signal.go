package opensm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Signal tells OpenSM to read its partitions again, by SIGHUP.
type Signal func(context.Context) error

// PIDFile signals the process whose number stands in a file, if that is an OpenSM.
func PIDFile(path string) Signal {
	return func(context.Context) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("OpenSM's pid file (is OpenSM running with --pidfile?): %w", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid < 2 {
			return fmt.Errorf("OpenSM's pid file %s holds %.20q, which is no process id", path, text)
		}
		// A number outlives its process, and SIGHUP ends most programs.
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && !strings.HasPrefix(string(name), "opensm") {
			return fmt.Errorf("process %d of %s is %s and not opensm: the file is a leftover, or another program's", pid, path, strings.TrimSpace(string(name)))
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			return fmt.Errorf("SIGHUP to OpenSM, process %d of %s: %w", pid, path, err)
		}
		return nil
	}
}

// commandTime is what a command that only sends a signal may take.
const commandTime = 30 * time.Second

// Command runs a program that signals OpenSM, as in "systemctl kill -s HUP opensm". The
// line is split at blanks; no shell reads it.
func Command(line string) (Signal, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, errors.New("the command to signal OpenSM is empty")
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		// Its children may hold its output open; they are not waited for.
		cmd.WaitDelay = time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("signalling OpenSM by %q: %w: %.200s", line, err, strings.TrimSpace(string(out)))
		}
		return nil
	}, nil
}
