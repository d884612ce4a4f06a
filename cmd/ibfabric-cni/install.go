//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ibfabric/ibfabric/cni/node/install"
)

// defaultBinDir is where runtimes look for plugins unless they are told otherwise.
const defaultBinDir = "/opt/cni/bin"

const installUsage = `ibfabric-cni install puts this program under the names of its plugins into the CNI bin
directory of a node. What was there is kept, one generation back. Each flag has an environment
variable, for init containers.

  ibfabric-cni install
  ibfabric-cni install --only ib-sriov --foreign replace
  ibfabric-cni install --restore

Flags:
`

// tool is what a node tool gets from the outside.
type tool struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	color          bool // stdout is a terminal
}

// env is the default of a flag: its variable, else fallback.
func (t tool) env(name, fallback string) string {
	if value := t.getenv(name); value != "" {
		return value
	}
	return fallback
}

// fail says what went wrong; 2 is for a call that makes no sense.
func (t tool) fail(code int, err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(t.stderr, "ibfabric-cni:", err)
	return code
}

// parse shows usage on --help only; an error is one line, which the caller prints.
func (t tool) parse(fs *flag.FlagSet, args []string, usage string) error {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(t.stderr, usage)
		fs.SetOutput(t.stderr)
		fs.PrintDefaults()
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("%s takes flags only, not %q", fs.Name(), fs.Arg(0))
	}
	return err
}

// runInstall is `ibfabric-cni install`: one line on stdout for each change.
func runInstall(t tool, args []string) int {
	i := install.Installer{Look: install.Look}
	fs := flag.NewFlagSet("install", flag.ContinueOnError)
	fs.StringVar(&i.Dir, "cni-bin-dir", t.env("IBFABRIC_CNI_BIN_DIR", defaultBinDir), "the node's CNI bin `folder` ($IBFABRIC_CNI_BIN_DIR)")
	only := fs.String("only", t.env("IBFABRIC_CNI_ONLY", strings.Join(install.Names(), ",")), "`plugins` to install, with commas between ($IBFABRIC_CNI_ONLY)")
	foreign := fs.String("foreign", t.env("IBFABRIC_CNI_FOREIGN", string(install.Refuse)), "`who` wins when another program has a plugin's name: refuse installs nothing, replace, keep ($IBFABRIC_CNI_FOREIGN)")
	restore := fs.Bool("restore", false, "put back what the last install replaced")
	err := t.parse(fs, args, installUsage)
	if err == nil {
		i.Names, err = install.ParseNames(*only)
	}
	if err == nil {
		i.Foreign, err = install.ParsePolicy(*foreign)
	}
	if err != nil {
		return t.fail(2, err)
	}
	if i.Source, err = os.Executable(); err != nil {
		return t.fail(1, fmt.Errorf("finding this program's own file: %w", err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	act := i.Install
	if *restore {
		act = i.Restore
	}
	changes, err := act(ctx)
	for _, c := range changes {
		fmt.Fprintln(t.stdout, c)
	}
	if err != nil {
		return t.fail(1, err)
	}
	if len(changes) == 0 {
		fmt.Fprintf(t.stdout, "nothing to change in %s\n", i.Dir)
	}
	return 0
}
