package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
)

// says waits until the log of a program has a text.
func says(ctx context.Context, p *programs.Process, text string) error {
	for {
		all, err := os.ReadFile(p.Log())
		if strings.Contains(string(all), text) {
			return nil
		}
		select {
		case <-p.Done():
			return p.Ended()
		case <-ctx.Done():
			return fmt.Errorf("wait for %q in %s: %w (%v); the last words there:\n%s", text, p.Log(), ctx.Err(), err, p.Tail(15))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end stops a contender. One that has to be killed has been measured all the same: how it
// stops is another's test.
func end(p *programs.Process) { _ = p.Stop(programs.StopWithin) }
