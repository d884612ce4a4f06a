package control

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"strings"
	"testing"
)

// played is a node that answers what a test expects.
type played struct{}

func (played) Exec(c Command, out *Output) error {
	switch c.Argv[0] {
	case "good":
		out.Text = append([]byte("had "), c.Stdin...)
	case "bad":
		*out = Output{Text: []byte("no such VF"), Code: 3}
	case "never":
		select {}
	default:
		return errors.New("no such program")
	}
	return nil
}

func newClient(t *testing.T) *Client {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	server := rpc.NewServer()
	if err := server.RegisterName(Service, played{}); err != nil {
		t.Fatal(err)
	}
	go server.ServeCodec(jsonrpc.NewServerCodec(theirs))
	return NewClient(ours)
}

func TestACommandsEndIsTold(t *testing.T) {
	c := newClient(t)
	if text, err := c.Exec(t.Context(), []byte("\x00\xff"), "good"); err != nil || string(text) != "had \x00\xff" {
		t.Errorf("%q, %v", text, err)
	}
	for program, says := range map[string]string{"bad": "exit code 3: no such VF", "absent": "no such program"} {
		if _, err := c.Exec(t.Context(), nil, program, "-x"); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "["+program+" -x]") {
			t.Errorf("%s: %v", program, err)
		}
	}
	text, err := c.Exec(t.Context(), nil, "bad")
	if exit := (*ExitError)(nil); !errors.As(err, &exit) || exit.Code != 3 || string(text) != "no such VF" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t).Exec(ctx, nil, "never"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestGreetWantsTheNodesWord(t *testing.T) {
	if err := Greet(strings.NewReader(Ready)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "the node", strings.Repeat("x", len(Ready))} {
		if Greet(strings.NewReader(text)) == nil {
			t.Errorf("%q is taken for the node's word", text)
		}
	}
}
