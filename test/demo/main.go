// Command demo shows ibfabric at work on one machine: a real control plane, ufm-sim over
// TLS, the real controller, and the pods of deploy/examples, whose interfaces get their
// GUIDs and partitions before one's eyes. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ibfabric/ibfabric/test/programs"
)

func main() {
	o := options{out: os.Stdout, kubeconfig: os.Getenv("KUBECONFIG")}
	flag.BoolVar(&o.once, "once", false, "print the table once all pods are configured, delete the pods, end")
	flag.StringVar(&o.bin, "bin", "bin", "`folder` of ibfabric-controller and ufm-sim")
	flag.StringVar(&o.root, "root", ".", "`folder` of the source tree, for the manifests")
	flag.Parse()

	if err := run(untilSignal(), o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// untilSignal ends with the first signal to stop. From then on only another Ctrl-C ends
// the cleaning up: a terminal that closes says so more than once, and a pipe that nobody
// reads any more would at every line.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		<-signals
		cancel()
		signal.Reset(os.Interrupt)
	}()
	return ctx
}

type options struct {
	once       bool
	bin, root  string
	kubeconfig string // of the cluster to use; "" brings one
	out        *os.File
}

// run keeps every file of the demo in one folder, which goes with it; a failure carries
// the end of the log that it would take away.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "ibfabric-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{options: o, dir: dir, launcher: programs.NewLauncher()}
	err = d.run(ctx)
	if ctx.Err() != nil {
		d.say("interrupted: cleaning up")
		if err = nil; o.once {
			err = errors.New("interrupted before the end")
		}
	}
	return errors.Join(err, d.cleanUp())
}
