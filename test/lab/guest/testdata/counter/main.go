//go:build linux

// Command counter is the first program of a guest that is saved and restored: for each byte
// that it is sent it says how many it has had.
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/test/lab/guest/serial"
)

func main() {
	fmt.Fprintln(os.Stderr, "counter:", count())
	os.Exit(1)
}

func count() error {
	if err := errors.Join(os.MkdirAll("/dev", 0o755), unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, "")); err != nil {
		return err
	}
	line, err := serial.Open("/dev/ttyS1")
	if err != nil {
		return err
	}
	fmt.Fprintln(line, "ready")
	for n := 1; ; n++ {
		if _, err := line.Read(make([]byte, 1)); err != nil {
			return err
		}
		fmt.Fprintln(line, n)
	}
}
