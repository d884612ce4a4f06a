//go:build linux

package guest

import (
	"fmt"
	"time"
)

// logger takes lines for a person; nil takes none.
type logger func(string)

func (l logger) say(format string, args ...any) {
	if l != nil {
		l(fmt.Sprintf(format, args...))
	}
}

// step does something and says what, once it takes longer than a person waits in peace.
func (l logger) step(what string, f func() error) error {
	begun := time.Now()
	patience := time.AfterFunc(2*time.Second, func() { l.say("%s …", what) })
	err := f()
	if !patience.Stop() {
		l.say("%s: %s", what, time.Since(begun).Round(100*time.Millisecond))
	}
	return err
}
