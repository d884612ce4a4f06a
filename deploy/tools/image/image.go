// Package image makes container images of single programs without Docker: nothing in them
// but the program and what it needs to verify servers. The same programs give the same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Spec is one image for all its platforms, as deploy/Dockerfile has it in a target.
type Spec struct {
	Target  string // of the Dockerfile
	Program string // the image's name too
	User    string // uid:gid
	Roots   bool   // it verifies servers by the roots that browsers trust
}

// Specs are the images of ibfabric.
func Specs() []Spec {
	return []Spec{
		{Target: "controller", Program: "ibfabric-controller", User: "65532:65532", Roots: true},
		{Target: "node", Program: "ibfabric-cni", User: "0:0"},
		{Target: "sim", Program: "ufm-sim", User: "65532:65532"},
	}
}

// RootsPath is where Go looks for the roots first.
const RootsPath = "etc/ssl/certs/ca-certificates.crt"

// Program is a built program for one platform.
type Program struct {
	Arch    string // as GOARCH
	Content []byte
	SBOM    []byte // what it is made of; see SBOM
}

// Labels are said of an image, as its index and its configuration have them.
type Labels struct {
	Version, Revision string
	Created           time.Time // of the revision, so that the same source is the same image
}

// Index makes the image of one Spec for all platforms.
func Index(s Spec, programs []Program, l Labels) (v1.ImageIndex, error) {
	programs = slices.Clone(programs)
	slices.SortFunc(programs, func(a, b Program) int { return strings.Compare(a.Arch, b.Arch) })
	var adds []mutate.IndexAddendum
	for _, p := range programs {
		img, err := one(s, p, l)
		if err != nil {
			return nil, fmt.Errorf("make the image of %s for %s: %w", s.Program, p.Arch, err)
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.Arch}}})
	}
	index := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, adds...), types.OCIImageIndex)
	return mutate.Annotations(index, l.annotations(s)).(v1.ImageIndex), nil
}

func (l Labels) annotations(s Spec) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    s.Program,
		"org.opencontainers.image.version":  l.Version,
		"org.opencontainers.image.revision": l.Revision,
		"org.opencontainers.image.source":   "https://github.com/ibfabric/ibfabric",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
}

func one(s Spec, p Program, l Labels) (v1.Image, error) {
	files := []file{{s.Program, 0o755, p.Content}, {"sbom.spdx.json", 0o644, p.SBOM}}
	if s.Roots {
		files = append(files, file{RootsPath, 0o644, Roots()})
	}
	text, err := layer(files)
	if err != nil {
		return nil, err
	}
	packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.Append(img, mutate.Addendum{Layer: packed, History: v1.History{CreatedBy: "make images", Created: v1.Time{Time: l.Created}}}); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", p.Arch, v1.Time{Time: l.Created}
	config.Config = v1.Config{User: s.User, Entrypoint: []string{"/" + s.Program}, Labels: l.annotations(s)}
	return mutate.ConfigFile(img, config)
}

type file struct {
	name    string
	mode    int64
	content []byte
}

// layer is a tar of files and the folders above them, all of root's and of one time.
func layer(files []file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{}
	for _, f := range files {
		for i := range f.name {
			if dir := f.name[:i+1]; f.name[i] == '/' && !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
					return nil, err
				}
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Roots are the certificates that Mozilla trusts without condition, as PEM. They come from a
// Go module at an exact version, and not from the machine that builds.
func Roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil { // a file of certificates cannot say one
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a Buffer takes all
		}
	}
	return b.Bytes()
}
