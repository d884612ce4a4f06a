package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func files(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// A reader goes from the index by digests to the program.
func TestAnImageLeadsToItsProgram(t *testing.T) {
	image, err := Image("localhost/probe:1", []byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	all := files(t, image)
	type blob struct {
		Digest      string
		Size        int
		Annotations map[string]string
	}
	read := func(b blob) []byte {
		text := all["blobs/sha256/"+strings.TrimPrefix(b.Digest, "sha256:")]
		if len(text) != b.Size || digest(text) != b.Digest {
			t.Fatalf("%+v leads to %d bytes", b, len(text))
		}
		return text
	}
	var index struct{ Manifests []blob }
	var manifest struct {
		Config blob
		Layers []blob
	}
	if err := errors.Join(json.Unmarshal(all["index.json"], &index), json.Unmarshal(read(index.Manifests[0]), &manifest)); err != nil {
		t.Fatal(err)
	}
	if a := index.Manifests[0].Annotations; a["io.containerd.image.name"] != "localhost/probe:1" || a["org.opencontainers.image.ref.name"] != "1" {
		t.Errorf("its names are %v", a)
	}
	if text := files(t, read(manifest.Layers[0]))["program"]; string(text) != "program" {
		t.Errorf("the program is %q", text)
	}
	var config struct {
		Config struct{ Entrypoint []string }
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(read(manifest.Config), &config); err != nil {
		t.Fatal(err)
	}
	if config.Config.Entrypoint[0] != "/program" || config.RootFS.DiffIDs[0] != manifest.Layers[0].Digest {
		t.Errorf("its configuration is %+v", config)
	}
}
