package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePort is a TCP port that nobody listens on, for a program that is told of one. It is
// below those that Linux gives to whoever asks for any: they are given again before a program
// has started.
func FreePort(t testing.TB) int {
	t.Helper()
	const first, count, tries = 20000, 12000, 100
	var last error
	for range tries {
		port := first + rand.IntN(count)
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
		last = err
	}
	t.Fatalf("no port is free: %v", last)
	return 0
}
