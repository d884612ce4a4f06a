//go:build linux

package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// monitor is QEMU's (QMP, docs/interop/qmp-spec.rst): each way one JSON value after another.
type monitor struct {
	conn io.ReadWriteCloser
	in   *json.Decoder
	out  *json.Encoder
}

func newMonitor(conn io.ReadWriteCloser) *monitor {
	return &monitor{conn: conn, in: json.NewDecoder(conn), out: json.NewEncoder(conn)}
}

// reply is an answer, an event or the greeting.
type reply struct {
	QMP, Event any
	Return     json.RawMessage
	Error      *struct{ Desc string }
}

// do gives a command and reads its answer into result, which may be nil.
func (m *monitor) do(command string, arguments map[string]any, result any) error {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := m.out.Encode(request); err != nil {
		return fmt.Errorf("QEMU's monitor: %w", err)
	}
	for {
		var r reply
		switch err := m.in.Decode(&r); {
		case err != nil:
			return fmt.Errorf("QEMU's answer to %s: %w", command, err)
		case r.Error != nil:
			return fmt.Errorf("QEMU refuses %s: %s", command, r.Error.Desc)
		case r.QMP != nil || r.Event != nil:
		case result == nil:
			return nil
		default:
			return json.Unmarshal(r.Return, result)
		}
	}
}

// running waits until a guest that is being restored runs.
func (m *monitor) running() error {
	err := m.do("qmp_capabilities", nil, nil)
	for err == nil {
		var state struct{ Running bool }
		if err = m.do("query-status", nil, &state); err == nil && state.Running {
			return nil
		}
		time.Sleep(pause)
	}
	return err
}

// forward has QEMU listen on a port of 127.0.0.1 and pass connections on to the guest.
func (m *monitor) forward(port int, to string) error {
	var complaint string // QEMU's only way, meant for people: no words are good words
	err := m.do("human-monitor-command", map[string]any{
		"command-line": fmt.Sprintf("hostfwd_add %s tcp:127.0.0.1:%d-%s", userNetwork, port, to),
	}, &complaint)
	if err == nil && complaint != "" {
		err = errors.New(strings.TrimSpace(complaint))
	}
	return err
}

// pause is between two questions.
const pause = 20 * time.Millisecond

// migrate writes the guest's state while it runs, so that it runs when it is restored: one
// that is stopped first comes back stopped.
func (m *monitor) migrate(file string) error {
	const plenty = 8 << 30 // bytes a second; the default would take seconds
	err := errors.Join(m.do("qmp_capabilities", nil, nil),
		m.do("migrate-set-parameters", map[string]any{"max-bandwidth": plenty}, nil))
	if err == nil {
		err = m.do("migrate", map[string]any{"uri": "file:" + file}, nil)
	}
	for err == nil {
		var state struct {
			Status    string
			ErrorDesc string `json:"error-desc"`
		}
		if err = m.do("query-migrate", nil, &state); err != nil {
			return err
		}
		switch state.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("the state was not written: %s", state.ErrorDesc)
		}
		time.Sleep(pause)
	}
	return err
}
