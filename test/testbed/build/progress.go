package main

import (
	"fmt"
	"os"
	"time"
)

// report says on standard error what is being waited for: on a terminal one line, rewritten
// every second; elsewhere (a CI log) a line every 20 s. The function it returns ends it.
func report(what string) func(ok bool) {
	terminal := false
	if info, err := os.Stderr.Stat(); err == nil {
		terminal = info.Mode()&os.ModeCharDevice != 0
	}
	before, after, every := "", "\n", 20*time.Second
	if terminal {
		before, after, every = "\r\x1b[K", "", time.Second
	}
	start := time.Now()
	line := func(how string) {
		fmt.Fprintf(os.Stderr, "%stestbed: %s: %s%.0f s%s", before, what, how, time.Since(start).Seconds(), after)
	}
	line("")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				line("")
			}
		}
	}()
	return func(ok bool) {
		close(stop)
		<-stopped
		how := "done in "
		if !ok {
			how = "failed after "
		}
		line(how)
		if terminal {
			fmt.Fprintln(os.Stderr)
		}
	}
}
