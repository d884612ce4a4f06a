package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PlainNamespace is where the plain manifests install: the guide's Secret is there.
const PlainNamespace = "kube-system"

// The page that has the table of values, between two marks.
const (
	page  = "docs/install.md"
	begin = "<!-- values: made of values.yaml by make manifests -->\n"
	end   = "<!-- end of values -->\n"
)

const header = "# Made of deploy/chart/ibfabric by make manifests: change it there.\n"

// Plain are the files of the project that are made of the chart, with their text, by their
// path: the manifests, and the page with the table of its values.
func (c *Chart) Plain(root string) (map[string]string, error) {
	rendered, err := c.Render(Options{Namespace: PlainNamespace})
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for name, text := range rendered {
		if name == "00-crds.yaml" {
			continue // deploy/crds, as they are
		}
		if !strings.Contains(name, "/") {
			name = "manifests/" + name
		}
		// Those of admission and console are apart for who runs the controller by other means.
		files["deploy/"+name] = header + text
	}
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, fmt.Errorf("read the page with the values: %w", err)
	}
	values, err := os.ReadFile(filepath.Join(root, Dir, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	table, err := Table(values)
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s: the marks around the table are gone: %s … %s", page, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	files[page] = before + begin + table + end + after
	return files, nil
}
