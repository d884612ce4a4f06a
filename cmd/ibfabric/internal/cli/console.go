package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/proxy"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/reach"
)

// headerWithin bounds what somebody can hold a connection of the proxy open with.
const headerWithin = 10 * time.Second

func (a *app) console() *cobra.Command {
	var port int
	c := &cobra.Command{
		Use: "console", Short: "The console in your browser: a proxy on this machine with your credentials",
		Long: `console listens on 127.0.0.1, prints an address to open in a browser of this machine, and forwards what
that browser asks to the console of whoever leads, with your own Kubernetes credentials. It finds the
leader again when it changes. It only shows, and lets in only who has the address with its key. It runs
until you stop it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.options.Cluster()
			if err != nil {
				return err
			}
			console := reach.NewConsole(cluster, a.options, a.patience)
			defer console.Close()
			return a.serveConsole(cmd.Context(), console, port)
		},
	}
	c.Flags().IntVar(&port, "port", 0, "`port` to listen on (0: a free one)")
	return c
}

func (a *app) serveConsole(ctx context.Context, to http.RoundTripper, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fault.New(fault.Failed, "listen for the browser", err, "# choose another --port, or none")
	}
	p, err := proxy.New(l.Addr().String(), to)
	if err != nil {
		_ = l.Close() // nobody was told of it
		return err
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: headerWithin, BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	fmt.Fprintf(a.Out, "Open %s\n", p.URL())
	fmt.Fprintln(a.Err, "It acts as you: keep the address to yourself. Ctrl-C ends it.")
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fault.New(fault.Failed, "serve the browser", err)
	}
	return nil
}
