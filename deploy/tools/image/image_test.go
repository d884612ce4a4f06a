package image

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// programs are one for two platforms; what they do is nothing to an image.
func programs() []Program {
	return []Program{{"arm64", []byte("for arm64"), []byte("{}")}, {"amd64", []byte("for amd64"), []byte("{}")}}
}

func archive(t *testing.T, s Spec, ps []Program) (text []byte, digest v1.Hash) {
	t.Helper()
	index, err := Index(s, ps, Labels{Version: "v1.2.3", Revision: "abc", Created: created})
	if err != nil {
		t.Fatal(err)
	}
	if digest, err = index.Digest(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Archive(&b, index, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), digest
}

func TestTheSameProgramsAreTheSameImage(t *testing.T) {
	ps := programs()
	one, d1 := archive(t, Specs()[0], ps)
	slices.Reverse(ps) // builds end in any order
	two, d2 := archive(t, Specs()[0], ps)
	if d1 != d2 || !bytes.Equal(one, two) {
		t.Errorf("%s and %s", d1, d2)
	}
	ps[0].Content = append(slices.Clone(ps[0].Content), 0)
	if _, d3 := archive(t, Specs()[0], ps); d3 == d1 {
		t.Error("another program has the same digest")
	}
}

// TestAnArchiveIsReadByOthers reads it as any tool for OCI layouts does.
func TestAnArchiveIsReadByOthers(t *testing.T) {
	for _, s := range Specs() {
		text, digest := archive(t, s, programs())
		dir := t.TempDir()
		unpack(t, bytes.NewReader(text), dir)
		top, err := layout.ImageIndexFromPath(dir)
		if err != nil {
			t.Fatal(err)
		}
		index, err := top.ImageIndex(digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Errorf("%s: %v", s.Program, err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		var platforms []string
		for _, m := range manifest.Manifests {
			platforms = append(platforms, m.Platform.String())
			img, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			checkImage(t, s, img)
		}
		if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
			t.Errorf("%s is for %v", s.Program, platforms)
		}
	}
}

func checkImage(t *testing.T, s Spec, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != s.User || !slices.Equal(config.Config.Entrypoint, []string{"/" + s.Program}) {
		t.Errorf("%s runs %v as %q", s.Program, config.Config.Entrypoint, config.Config.User)
	}
	dir := t.TempDir()
	unpack(t, mutate.Extract(img), dir)
	want := []string{s.Program, "sbom.spdx.json"}
	if s.Roots {
		want = append(want, RootsPath)
	}
	if have := files(t, dir); !slices.Equal(have, slices.Sorted(slices.Values(want))) {
		t.Errorf("%s has %v, want %v", s.Program, have, want)
	}
	if info, err := os.Stat(filepath.Join(dir, s.Program)); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("%s cannot be run: %v", s.Program, err)
	}
}

func TestRootsAreCertificates(t *testing.T) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(Roots()) {
		t.Fatal("no certificate can be read")
	}
	if n := strings.Count(string(Roots()), "BEGIN CERTIFICATE"); n < 50 {
		t.Errorf("only %d roots", n)
	}
}

func TestTheSBOMNamesEveryModule(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8", Path: "example.org/a/cmd/b", Main: debug.Module{Path: "example.org/a", Version: "v1.2.3"},
		Deps: []*debug.Module{
			{Path: "example.org/c", Version: "v0.1.0"},
			{Path: "example.org/d", Version: "v0.2.0", Replace: &debug.Module{Path: "example.org/e", Version: "v0.3.0"}},
		},
	}
	doc := describe(info, [32]byte{1}, created)
	var found []string
	for _, p := range doc.Packages {
		found = append(found, p.Refs[0].Locator)
	}
	want := []string{"pkg:golang/example.org/a@v1.2.3", "pkg:golang/std@go1.26.8", "pkg:golang/example.org/c@v0.1.0", "pkg:golang/example.org/e@v0.3.0"}
	if !slices.Equal(found, want) {
		t.Errorf("it has %v, want %v", found, want)
	}
	if len(doc.Relationships) != len(doc.Packages) {
		t.Errorf("%d relationships of %d packages", len(doc.Relationships), len(doc.Packages))
	}
}

// TestAProgramSaysWhatItIsMadeOf reads one that Go built: this test.
func TestAProgramSaysWhatItIsMadeOf(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := SBOM(program, created)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"versionInfo": "` + runtime.Version() + `"`; !strings.Contains(string(text), want) {
		t.Errorf("no %s in %s", want, text)
	}
	if _, err := SBOM([]byte("no program"), created); err == nil {
		t.Error("something that is no program has an SBOM")
	}
}

// TestTheDockerfileIsTheSameImages reads the Dockerfile for what the images promise.
func TestTheDockerfileIsTheSameImages(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]map[string][]string{} // by their names: instructions, with what follows them
	var stage map[string][]string
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "FROM" {
			from, name, _ := strings.Cut(rest, " AS ")
			stage = map[string][]string{"FROM": {from}}
			stages[name] = stage
		} else if stage != nil && word != "" && word[0] != '#' {
			stage[word] = append(stage[word], rest)
		}
	}
	if build := strings.Join(stages["build"]["RUN"], "\n"); !strings.Contains(build, "CGO_ENABLED=0 GOARCH=$TARGETARCH go build -trimpath") {
		t.Errorf("the programs are built by %s", build)
	}
	for _, s := range Specs() {
		copies := []string{"--from=build /out/" + s.Program + " /" + s.Program}
		if s.Roots {
			copies = slices.Insert(copies, 0, "--from=build /"+RootsPath+" /"+RootsPath)
		}
		want := map[string][]string{"FROM": {"scratch"}, "COPY": copies, "USER": {s.User}, "ENTRYPOINT": {`["/` + s.Program + `"]`}}
		if have := stages[s.Target]; !maps.EqualFunc(have, want, slices.Equal) {
			t.Errorf("target %s: %v, want %v", s.Target, have, want)
		}
	}
}

func unpack(t *testing.T, r io.Reader, dir string) {
	t.Helper()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err == nil {
			err = os.WriteFile(path, text, h.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			path, err = filepath.Rel(dir, path)
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
