package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// refName is where tools that load an archive look for the image's tag.
const refName = "org.opencontainers.image.ref.name"

// Archive writes an image as an OCI archive, which skopeo, podman, crane and ctr read. Its
// bytes depend on nothing but the image.
func Archive(w io.Writer, index v1.ImageIndex, tag string) error {
	dir, err := os.MkdirTemp("", "ibfabric-image-")
	if err != nil {
		return fmt.Errorf("make a folder for an image: %w", err)
	}
	defer os.RemoveAll(dir)
	where, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("begin an OCI layout: %w", err)
	}
	if err := where.AppendIndex(index, layout.WithAnnotations(map[string]string{refName: tag})); err != nil {
		return fmt.Errorf("write an OCI layout: %w", err)
	}
	return pack(w, dir)
}

// pack writes a folder as a tar, in the order of the names.
func pack(w io.Writer, dir string) error {
	out := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
		_, err = out.Write(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("pack an image: %w", err)
	}
	return out.Close()
}
