// Command ibfabric is what people ask of an InfiniBand fabric in Kubernetes: which pod has
// which GUID, which partition, since when, and why not. Called kubectl-ibfabric it is
// `kubectl ibfabric`. docs/cli.md has every command.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args, cli.Terminal())
	stop()
	os.Exit(code)
}
