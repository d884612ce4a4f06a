package main

import "time"

// now is the clock of all parts. `make chaos` builds this file otherwise, so that a clock can be
// set under a running controller (test/chaos/wallclock).
func now() time.Time { return time.Now() }
