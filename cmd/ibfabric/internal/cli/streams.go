package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

// Streams are what a command reads and writes, and what is known of who sits there.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Asks says that a person can answer questions; Watches that one sees what Err gets.
	Asks, Watches bool
	Color         bool // of Out
	// ReadPassword reads a line that is not shown.
	ReadPassword func() (string, error)
	Now          func() time.Time
}

// Terminal is the program's own streams.
func Terminal() Streams {
	is := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Asks: is(os.Stdin), Watches: is(os.Stderr), Color: is(os.Stdout) && os.Getenv("NO_COLOR") == "",
		ReadPassword: func() (string, error) {
			text, err := term.ReadPassword(int(os.Stdin.Fd()))
			return string(text), err
		},
		Now: time.Now,
	}
}

// errNo ends a command that somebody said no to.
var errNo = errors.New("nothing was done")

// confirm asks a person, unless yes was said already.
func (s Streams) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !s.Asks {
		return fault.New(fault.Usage, "there is nobody to ask: stdin is no terminal", nil, "# look at what is listed above, and say so: --yes")
	}
	fmt.Fprintf(s.Err, "%s Type yes to go on: ", question)
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && line == "" {
		return fault.New(fault.Failed, "", errNo)
	}
	if strings.TrimSpace(line) != "yes" {
		return fault.New(fault.Failed, "", errNo)
	}
	return nil
}
