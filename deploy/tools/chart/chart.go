// Package chart renders ibfabric's Helm chart as Helm does, with Helm's own engine, and packs
// it.
package chart

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// Dir is the chart's folder in the project.
const Dir = "deploy/chart/ibfabric"

// Chart is a chart as it was read.
type Chart struct{ *v2.Chart }

// Load reads the chart of the project at root.
func Load(root string) (*Chart, error) {
	c, err := loader.LoadDir(filepath.Join(root, Dir))
	if err != nil {
		return nil, fmt.Errorf("read the chart: %w", err)
	}
	return &Chart{c}, nil
}

// Version makes it the chart of a version of ibfabric, as v1.2.3 or 1.2.3.
func (c *Chart) Version(v string) {
	c.Metadata.Version = strings.TrimPrefix(v, "v")
	c.Metadata.AppVersion = c.Metadata.Version
}

// Options are what helm install is told.
type Options struct {
	Namespace string
	Values    map[string]any // over those of values.yaml
}

// Render gives the text that each template becomes, by its path below templates/. Those that
// become nothing, and the notes, are left out. Values that the schema refuses are an error
// that names them.
func (c *Chart) Render(o Options) (map[string]string, error) {
	values, err := util.ToRenderValues(c.Chart, o.Values, common.ReleaseOptions{
		Name: "ibfabric", Namespace: o.Namespace, Revision: 1, IsInstall: true,
	}, common.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("check the values: %w", err)
	}
	files, err := engine.Render(c.Chart, values)
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	rendered := map[string]string{}
	for name, text := range files {
		name = strings.TrimPrefix(name, path.Join(c.Name(), "templates")+"/")
		if path.Ext(name) == ".yaml" && hasObject(text) {
			rendered[name] = strings.TrimSpace(text) + "\n"
		}
	}
	return rendered, nil
}

// hasObject reports whether a text is more than comments and separators.
func hasObject(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return true
		}
	}
	return false
}

// Join makes one text of what Render gave, in the order of the names.
func Join(rendered map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		fmt.Fprintf(&b, "---\n# %s\n%s", name, strings.TrimPrefix(rendered[name], "---\n"))
	}
	return b.String()
}
