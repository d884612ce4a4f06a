package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"

	"github.com/ibfabric/ibfabric/guid"
)

// console is ibsim's: commands go in, and what it says comes out.
type console struct {
	in io.Writer // ends with ibsim

	asking sync.Mutex // one question at a time
	mu     sync.Mutex // protects heard
	heard  bytes.Buffer
}

// newConsole connects a program that is not started yet.
func newConsole(cmd *exec.Cmd) (*console, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c := &console{in: in}
	cmd.Stdout, cmd.Stderr = c, c
	return c, nil
}

// Write takes what ibsim says.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard.Write(p)
}

// ask gives commands and waits until ibsim has said all of want.
func (c *console) ask(ctx context.Context, commands string, want ...string) error {
	c.asking.Lock()
	defer c.asking.Unlock()
	c.mu.Lock()
	c.heard.Reset()
	c.mu.Unlock()
	if _, err := io.WriteString(c.in, commands+"\n"); err != nil {
		return fmt.Errorf("ibsim's console: %w", err)
	}
	err := until(ctx, func() (bool, error) {
		text := c.said()
		if strings.Contains(text, "not found") {
			return false, errors.New("it knows none of that name")
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("ibsim does not say %q to %q: %w; it says:\n%s", want, commands, err, c.said())
	}
	return nil
}

func (c *console) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard.String()
}

// SetGUID gives another GUID to a port, by the name of its HCA. The link goes down and
// comes back, as that of a VF does that is bound anew, and OpenSM finds the port by itself.
func (f *Fabric) SetGUID(ctx context.Context, name string, g guid.GUID) error {
	// The node GUID is one less: ibsim answers for a port with the node's plus its number.
	commands := fmt.Sprintf("Unlink %[1]q\nGuid %[1]q 0x%[2]s\nGuid %[1]q[1] 0x%[3]s\nReLink %[1]q\nDump %[1]q", name, (g - 1).Hex(), g.Hex())
	// Dump goes on showing the port GUID that the fabric began with.
	shown := fmt.Sprintf("nodeguid %x\t", uint64(g-1))
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := f.console.ask(ctx, commands, "dumped 1 nodes", shown); err != nil {
		return fmt.Errorf("giving GUID %s to %s: %w", g, name, err)
	}
	return nil
}

// Unplug takes a port's link down, as that of a VF without a driver or a GUID is. SetGUID
// brings it up again.
func (f *Fabric) Unplug(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := f.console.ask(ctx, fmt.Sprintf("Unlink %[1]q\nDump %[1]q", name), "dumped 1 nodes", "Down/"); err != nil {
		return fmt.Errorf("unplugging %s: %w", name, err)
	}
	return nil
}
