//go:build !linux

// Command ibfabric-cni is the CNI plugins of ibfabric in one program. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "ibfabric-cni works on Linux only")
	os.Exit(1)
}
