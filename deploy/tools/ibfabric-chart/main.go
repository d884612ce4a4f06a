// Command ibfabric-chart renders ibfabric's chart without Helm.
//
//	ibfabric-chart manifests                        the plain manifests, and the table of docs/install.md
//	ibfabric-chart template [-namespace n] [-values f] [-set a.b=c]  all objects of a release, on stdout
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/strvals"

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
	var v values
	fs.StringVar(&v.file, "values", "", "`file` of values; - is stdin")
	fs.Func("set", "`value` over those of the file, as of helm --set; may be repeated", v.also(strvals.ParseInto))
	fs.Func("set-string", "likewise, as of helm --set-string", v.also(strvals.ParseIntoString))
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
		return template(c, *namespace, v, out)
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

// values are what a release is told.
type values struct {
	file string
	sets []func(into map[string]any) error
}

// also takes a flag that is read as parse says.
func (v *values) also(parse func(text string, into map[string]any) error) func(string) error {
	return func(text string) error {
		v.sets = append(v.sets, func(into map[string]any) error { return parse(text, into) })
		return nil
	}
}

func (v *values) read() (map[string]any, error) {
	all := map[string]any{}
	var text []byte
	var err error
	switch v.file {
	case "":
	case "-":
		text, err = io.ReadAll(os.Stdin)
	default:
		text, err = os.ReadFile(v.file)
	}
	if err == nil {
		err = yaml.Unmarshal(text, &all)
	}
	for _, set := range v.sets {
		err = errors.Join(err, set(all))
	}
	if err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	return all, nil
}

func template(c *chart.Chart, namespace string, v values, out io.Writer) error {
	all, err := v.read()
	if err != nil {
		return err
	}
	rendered, err := c.Render(chart.Options{Namespace: namespace, Values: all})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, chart.Join(rendered))
	return err
}
