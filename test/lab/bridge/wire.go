package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/ibfabric/ibfabric/guid"
)

// request asks for the ports, or programs a table. Both ways a message is one JSON value.
type request struct {
	Program *program `json:"program,omitempty"` // nil: the ports are asked for
}

type program struct {
	GUID    guid.GUID `json:"guid"`
	Entries []uint16  `json:"entries"`
}

type answer struct {
	Ports []Port `json:"ports,omitempty"`
	Error string `json:"error,omitempty"`
}

// Serve lets a [Client] at the other end of a line use an HCA, until the line is closed.
func Serve(ctx context.Context, line io.ReadWriter, hca HCA) error {
	// The client waits for this one: what it said before might have been lost.
	out, in := json.NewEncoder(line), json.NewDecoder(line)
	if err := out.Encode(answer{}); err != nil {
		return err
	}
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("reading a request of the bridge: %w", err)
		}
		var a answer
		var err error
		if r.Program == nil {
			a.Ports, err = hca.Ports(ctx)
		} else {
			err = hca.Program(ctx, r.Program.GUID, r.Program.Entries...)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

// ErrGone is in the error of a [Client] whose other end has closed the line: the guest is off.
var ErrGone = errors.New("the other end of the line is gone")

// Client is an HCA at the other end of a line. One call at a time.
type Client struct {
	line io.ReadWriteCloser
	in   *json.Decoder
	out  *json.Encoder
}

// NewClient waits until the other end serves. The line is closed when ctx ends, and so
// ends whatever waits for an answer.
func NewClient(ctx context.Context, line io.ReadWriteCloser) (*Client, error) {
	context.AfterFunc(ctx, func() { _ = line.Close() })
	c := &Client{line: line, in: json.NewDecoder(line), out: json.NewEncoder(line)}
	var hello answer
	if err := c.in.Decode(&hello); err != nil {
		return nil, fmt.Errorf("waiting for the HCA at the other end: %w", err)
	}
	return c, nil
}

// Ports implements [HCA].
func (c *Client) Ports(context.Context) ([]Port, error) {
	a, err := c.ask(request{})
	return a.Ports, err
}

// Program implements [HCA].
func (c *Client) Program(_ context.Context, g guid.GUID, entries ...uint16) error {
	_, err := c.ask(request{&program{g, entries}})
	return err
}

func (c *Client) ask(r request) (a answer, err error) {
	err = c.out.Encode(r)
	if err == nil {
		err = c.in.Decode(&a)
	}
	if isGone(err) {
		return a, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}

func isGone(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
