//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ibfabric/ibfabric/cmd/internal/release"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/doctor"
	"github.com/ibfabric/ibfabric/cni/node/install"
)

const doctorUsage = `ibfabric-cni doctor says what this node lacks to give pods RDMA interfaces, and which command
mends it. It changes nothing. It exits with 1 when something is to be mended.

  ibfabric-cni doctor
  kubectl get network-attachment-definitions -A -o json | ibfabric-cni doctor --config -
  ibfabric-cni doctor -o json

Flags:
`

// newTool is a tool on the process's own streams.
func newTool() tool {
	return tool{
		getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		color: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "",
	}
}

// doctorOptions are what the flags of doctor say.
type doctorOptions struct {
	root, binDir, output string
	names                []string
	want                 doctor.Want
}

func (t tool) doctorOptions(args []string) (*doctorOptions, error) {
	o := &doctorOptions{}
	fs := flag.NewFlagSet("doctor", flag.ContinueOnError)
	fs.StringVar(&o.root, "root", t.env("IBFABRIC_HOST_ROOT", "/"), "`folder` where the node's file system is, in a container that has it mounted ($IBFABRIC_HOST_ROOT)")
	fs.StringVar(&o.binDir, "cni-bin-dir", t.env("IBFABRIC_CNI_BIN_DIR", ""), "the node's CNI bin `folder`, as this program sees it; by default opt/cni/bin of --root ($IBFABRIC_CNI_BIN_DIR)")
	only := fs.String("only", t.env("IBFABRIC_CNI_ONLY", strings.Join(install.Names(), ",")), "`plugins` that are to be ibfabric's ($IBFABRIC_CNI_ONLY)")
	layer := fs.String("link-layer", "", "`kind` that ports are to have, InfiniBand or Ethernet; by default what --config asks")
	fs.StringVar(&o.output, "o", "table", "`form` of the output: table or json")
	fs.Func("config", "JSON `file` of a network: a CNI configuration, a NetworkAttachmentDefinition, or a list of them; - is stdin; may be repeated", func(path string) error {
		return t.readWant(&o.want, path)
	})
	err := t.parse(fs, args, doctorUsage)
	if err == nil {
		o.names, err = install.ParseNames(*only)
	}
	if err == nil && *layer != "" {
		err = o.want.SetLayer(*layer)
	}
	if err == nil && o.output != "table" && o.output != "json" {
		err = fmt.Errorf("there is no output %q; write table or json", o.output)
	}
	if o.binDir == "" {
		o.binDir = filepath.Join(o.root, defaultBinDir)
	}
	return o, err
}

func (t tool) readWant(w *doctor.Want, path string) error {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(t.stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return err
	}
	return w.Read(text)
}

// runDoctor is `ibfabric-cni doctor`. A nil kernel is the one that it runs on.
func runDoctor(t tool, args []string, kernel node.Kernel) int {
	o, err := t.doctorOptions(args)
	if err != nil {
		return t.fail(2, err)
	}
	paths := node.Under(o.root)
	if kernel == nil {
		kernel = host.New(host.Paths{Sysfs: paths.Sysfs})
	}
	patient := doctor.Node{
		Facts:  node.Look(context.Background(), paths, kernel),
		CNIDir: o.binDir, Version: release.Version(),
		Collected: lastGC(filepath.Join(o.root, stateDir), time.Now()),
	}
	for _, name := range o.names {
		b, err := install.Look(o.binDir, name)
		patient.Plugins = append(patient.Plugins, node.Fact[install.Binary]{Value: b, Err: err})
	}
	report := doctor.Examine(patient, o.want)
	if err := t.print(report, o.output); err != nil {
		return t.fail(1, err)
	}
	if !report.OK {
		return 1
	}
	return 0
}

func (t tool) print(r doctor.Report, form string) error {
	var err error
	if form == "json" {
		encoder := json.NewEncoder(t.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false) // commands have > in them
		err = encoder.Encode(r)
	} else {
		_, err = io.WriteString(t.stdout, r.Table(t.color))
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
