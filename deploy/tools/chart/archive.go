package chart

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"sigs.k8s.io/yaml"
)

// Archive writes the chart as helm package does. The same chart is the same bytes: Helm's own
// archive has the time of its making in it.
func (c *Chart) Archive(w io.Writer) error {
	meta, err := yaml.Marshal(c.Metadata)
	if err != nil {
		return fmt.Errorf("write Chart.yaml: %w", err)
	}
	files := []*common.File{{Name: "Chart.yaml", Data: meta}}
	for _, f := range c.Raw {
		if f.Name != "Chart.yaml" {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b *common.File) int { return strings.Compare(a.Name, b.Name) })

	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	for _, f := range files {
		err := out.WriteHeader(&tar.Header{
			Name: path.Join(c.Name(), f.Name), Mode: 0o644, Size: int64(len(f.Data)), ModTime: time.Unix(0, 0),
		})
		if err == nil {
			_, err = out.Write(f.Data)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("pack the chart: %w", err)
	}
	return zip.Close()
}

// FromArchive reads a packed chart.
func FromArchive(r io.Reader) (*Chart, error) {
	c, err := loader.LoadArchive(r)
	if err != nil {
		return nil, fmt.Errorf("read the packed chart: %w", err)
	}
	return &Chart{c}, nil
}
