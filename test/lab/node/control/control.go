// Package control is the line between the lab and the first program of its node: Go's
// JSON-RPC over a serial port. The types are what both ends must agree on.
package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"time"
)

// Service is the name that the node serves its methods under.
const Service = "Node"

// Ready is what the node says first, once it has opened the port.
const Ready = "the node is ready\n"

// Command is a program to run in the node.
type Command struct {
	Argv  []string
	Stdin []byte
	Log   string // a daemon's; a command that is waited for has none
}

// Output is what became of a command.
type Output struct {
	Text []byte // stdout and stderr
	Code int
}

// File is one of the node's.
type File struct {
	Path string
	Mode uint32
	Text []byte // to write
	URL  string // to write what is there, in place of Text
}

// Identity is what distinguishes a node from others of the same snapshot, and from itself
// before a power cut.
type Identity struct {
	Now     time.Time
	Name    string
	Address string // with its prefix: 10.0.2.15/24
	Gateway string
	Seed    []byte // for the kernel's random numbers
}

// Module is one of the kernel's, by its file in the node.
type Module struct{ Path, Args string }

// None is no argument, or no result.
type None struct{}

// Client is the lab's end.
type Client struct{ rpc *rpc.Client }

// Greet waits until the node says that it is ready.
func Greet(line io.Reader) error {
	text := make([]byte, len(Ready))
	if _, err := io.ReadFull(line, text); err != nil {
		return fmt.Errorf("waiting for the node: %w", err)
	}
	if string(text) != Ready {
		return fmt.Errorf("the node says %q", text)
	}
	return nil
}

// NewClient speaks with a node that is ready.
func NewClient(line io.ReadWriteCloser) *Client { return &Client{jsonrpc.NewClient(line)} }

func (c *Client) call(ctx context.Context, method string, argument, result any) error {
	select {
	case call := <-c.rpc.Go(Service+"."+method, argument, result, make(chan *rpc.Call, 1)).Done:
		return call.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Exec runs a program to its end. Another exit code than 0 is an error with what it said,
// which is returned, too.
func (c *Client) Exec(ctx context.Context, stdin []byte, argv ...string) ([]byte, error) {
	var out Output
	err := c.call(ctx, "Exec", Command{Argv: argv, Stdin: stdin}, &out)
	if err == nil && out.Code != 0 {
		err = &ExitError{Code: out.Code, Text: out.Text}
	}
	if err != nil {
		err = fmt.Errorf("%v in the node: %w", argv, err)
	}
	return out.Text, err
}

// ExitError is a program's own no.
type ExitError struct {
	Code int
	Text []byte
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d: %s", e.Code, e.Text) }

// Start runs a program that goes on; what it says goes into the file log of the node.
func (c *Client) Start(ctx context.Context, log string, argv ...string) error {
	if err := c.call(ctx, "Start", Command{Argv: argv, Log: log}, &None{}); err != nil {
		return fmt.Errorf("starting %s in the node: %w", argv[0], err)
	}
	return nil
}

// Read gives the files that a pattern matches, by path. Of a large one only the end.
func (c *Client) Read(ctx context.Context, pattern string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := c.call(ctx, "Read", pattern, &files)
	return files, err
}

// Write makes files, and the folders above them.
func (c *Client) Write(ctx context.Context, files ...File) error {
	var errs []error
	for _, file := range files {
		if err := c.call(ctx, "Write", file, &None{}); err != nil {
			errs = append(errs, fmt.Errorf("writing %s in the node: %w", file.Path, err))
		}
	}
	return errors.Join(errs...)
}

// Become gives the node its identity, and returns the boot ID that it has from then on.
func (c *Client) Become(ctx context.Context, i Identity) (bootID string, err error) {
	err = c.call(ctx, "Become", i, &bootID)
	return bootID, err
}

// Load loads a module of the kernel's.
func (c *Client) Load(ctx context.Context, path, args string) error {
	return c.call(ctx, "Load", Module{path, args}, &None{})
}
