//go:build linux

// Command agent is the first program of the lab's node. It mounts, loads modules, starts
// containerd with its images, and then does what the lab says over the second serial port.
// What it does before that is in the node's snapshot.
package main

import (
	"fmt"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/test/lab/guest/serial"
	"github.com/ibfabric/ibfabric/test/lab/node/control"
)

func main() {
	if os.Getpid() == 1 {
		fmt.Fprintln(os.Stderr, "lab node:", reap())
		os.Exit(1) // the kernel panics, and the console says why
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "lab node:", err)
		os.Exit(1)
	}
}

// reap is the first program's own part: it takes in whoever lost its parent, and ends when
// the agent does, its only child.
func reap() error {
	if err := newRoot(); err != nil {
		return fmt.Errorf("making a root that can be left: %w", err)
	}
	if err := mountAll(); err != nil {
		return err
	}
	agent := exec.Command("/init")
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	agent.Env = []string{"PATH=/usr/sbin:/usr/bin:/opt/cni/bin", "HOME=/root", "TMPDIR=/tmp"}
	if err := agent.Start(); err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err != nil && err != unix.EINTR {
			return err
		}
		if pid == agent.Process.Pid {
			return fmt.Errorf("the agent ended with %d", status.ExitStatus())
		}
	}
}

func serve() error {
	if err := boot(); err != nil {
		return err
	}
	line, err := serial.Open("/dev/ttyS1")
	if err != nil {
		return err
	}
	if _, err := line.WriteString(control.Ready); err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName(control.Service, &node{}); err != nil {
		return err
	}
	server.ServeCodec(jsonrpc.NewServerCodec(line))
	return fmt.Errorf("the lab has hung up")
}
