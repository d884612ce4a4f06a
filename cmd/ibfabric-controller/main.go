// Command ibfabric-controller watches pods and networks, gives every InfiniBand
// interface its GUID, and keeps UFM's partitions as the cluster wants them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/ibfabric/ibfabric/cmd/internal/release"
)

// gcPercent lets the heap grow by so much of what lives in it before the next collection.
// With 50,000 pods Go's 100 costs a quarter more memory, and this a few percent of CPU.
const gcPercent = 40

func main() {
	s, err := parse(os.Args[1:], os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "ibfabric-controller:", err)
		os.Exit(2)
	case s.PrintVersion:
		fmt.Println("ibfabric-controller", version())
		return
	}
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "ibfabric-controller:", err)
		os.Exit(1)
	}
}

func version() string { return release.Text() }
