// Package oci packs static programs as images that containerd imports: an archive of the
// OCI's image layout with one layer (opencontainers/image-spec, image-layout.md).
package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
)

// Image is an archive that holds one static program, under a reference as
// "localhost/probe:1", and nothing else.
func Image(reference string, program []byte) ([]byte, error) {
	layer, err := archive([]file{{"program", 0o755, program}})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/program"}, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": blob("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{blob("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	if err != nil {
		return nil, err
	}
	entry := blob(manifestType, manifest)
	entry["annotations"] = map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": reference[strings.LastIndex(reference, ":")+1:],
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{entry}})
	if err != nil {
		return nil, err
	}
	files := []file{{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", 0o644, index}}
	for _, text := range [][]byte{layer, config, manifest} {
		files = append(files, file{"blobs/sha256/" + strings.TrimPrefix(digest(text), "sha256:"), 0o644, text})
	}
	return archive(files)
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func blob(kind string, text []byte) map[string]any {
	return map[string]any{"mediaType": kind, "digest": digest(text), "size": len(text)}
}

func digest(text []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(text)) }

type file struct {
	name string
	mode int64
	text []byte
}

func archive(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
