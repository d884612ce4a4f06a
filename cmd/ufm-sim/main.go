// Command ufm-sim is a UFM-compatible server for partitions, to develop and test against
// where there is no UFM, or to serve as one in front of OpenSM. See package ufmsim for what it does, and --help for how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/ibfabric/ibfabric/cmd/internal/release"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 for a clean end, 1 when it could not start, 2 for a bad flag.
// What people read goes to stdout, the log to stderr.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, getenv, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "ufm-sim: %v\nufm-sim: --help shows all flags\n", err)
		return 2
	}
	if o.printVersion {
		fmt.Fprintln(stdout, "ufm-sim", release.Text())
		return 0
	}
	if err := serve(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "ufm-sim: %v\n", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	log := newLogger(o.logFormat, stderr)
	where, err := o.prepareTLS()
	if err != nil {
		return err
	}
	disconnect, err := o.opensm.connect(&o.config)
	if err != nil {
		return err
	}
	defer disconnect()
	sim, err := ufmsim.New(o.config)
	if err != nil {
		return err
	}
	// The log follows the journal until the Sim is closed, so that the last change before
	// a signal is logged too.
	changes := sim.Watch(context.Background())
	srv, err := sim.Start(o.listen)
	if err != nil {
		sim.Close()
		return err
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		logChanges(log, changes)
	}()
	fmt.Fprintf(stdout, "ufm-sim: %s, certificate %s, user %s\n", srv.URL(), where, o.config.Username)
	if o.opensm.partitions != "" {
		fmt.Fprintf(stdout, "ufm-sim: drives OpenSM by %s, as its log %s tells\n", o.opensm.partitions, o.opensm.log)
	}
	if o.config.Control {
		fmt.Fprintf(stdout, "ufm-sim: control endpoints at %s/ufm-sim/\n", srv.URL())
	}
	<-ctx.Done()
	srv.Close()
	<-logged
	return nil
}
