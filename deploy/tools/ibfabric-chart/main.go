// Command ibfabric-chart renders ibfabric's chart without Helm.
//
//	ibfabric-chart manifests                        the plain manifests, and the table of docs/install.md
//	ibfabric-chart template [-namespace n] [-values f]  all objects of a release, on stdout
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/ibfabric/ibfabric/deploy/tools/chart"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ibfabric-chart:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say manifests or template")
	}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	root := fs.String("root", ".", "`folder` of the project")
	namespace := fs.String("namespace", chart.PlainNamespace, "`namespace` of the release")
	file := fs.String("values", "", "`file` of values; - is stdin")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	c, err := chart.Load(*root)
	if err != nil {
		return err
	}
	switch args[0] {
	case "manifests":
		return manifests(c, *root)
	case "template":
		return template(c, *namespace, *file, out)
	}
	return fmt.Errorf("%q: say manifests or template", args[0])
}

func manifests(c *chart.Chart, root string) error {
	files, err := c.Plain(root)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func template(c *chart.Chart, namespace, file string, out io.Writer) error {
	o := chart.Options{Namespace: namespace}
	var text []byte
	var err error
	switch file {
	case "":
	case "-":
		text, err = io.ReadAll(os.Stdin)
	default:
		text, err = os.ReadFile(file)
	}
	if err == nil {
		err = yaml.Unmarshal(text, &o.Values)
	}
	if err != nil {
		return fmt.Errorf("read the values: %w", err)
	}
	rendered, err := c.Render(o)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, chart.Join(rendered))
	return err
}
