// Package wallclock lets somebody set the clock of a running program, and of that one only.
//
// stand_in.go.txt takes the place of cmd/ibfabric-controller/clock.go when a chaos run builds
// the controller. Its time then is the machine's plus what a file says. Only the wall moves, as
// when a person or an NTP client sets a machine's clock: the monotonic reading that Go keeps
// beside it goes on.
package wallclock

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"
)

// FileVariable names the environment variable with the path of the file.
const FileVariable = "CHAOS_CLOCK"

// StandIn is what cmd/ibfabric-controller/clock.go is built as.
//
//go:embed stand_in.go.txt
var StandIn []byte

// Set puts the clock of those who read that file so far ahead, in whole seconds; back if it is
// negative.
func Set(file string, ahead time.Duration) error {
	if err := os.WriteFile(file+".new", []byte(ahead.String()), 0o600); err != nil {
		return fmt.Errorf("set the clock in %s: %w", file, err)
	}
	return os.Rename(file+".new", file) // nobody reads half of it
}

// Now is the time by such a clock. Nobody has set one whose file is not there.
func Now(file string) time.Time {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Now()
	}
	ahead, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(fmt.Sprintf("the clock in %s: %v", file, err))
	}
	return moveWall(time.Now(), ahead)
}

// moveWall moves the wall time of t, and leaves its monotonic reading. With one, the wall's
// seconds are those since 1885 and begin at bit 30 of the first word (time/time.go of Go).
func moveWall(t time.Time, ahead time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(ahead/time.Second) << 30
	return t
}
