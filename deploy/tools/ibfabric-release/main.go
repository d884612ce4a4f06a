// Command ibfabric-release builds all that is given out of one checkout: the programs, their
// images, the chart, the manifests, and the sums of them all. The same checkout and the same
// Go give the same bytes, on any machine.
//
//	ibfabric-release [-images-only] [-arch amd64] -version v1.2.3 -o build/release
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/deploy/tools/chart"
	"github.com/ibfabric/ibfabric/deploy/tools/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ibfabric-release:", err)
		os.Exit(1)
	}
}

// release is what is being made.
type release struct {
	root, out  string
	archs      []string // as GOARCH
	imagesOnly bool
	labels     image.Labels
}

// semver is a version as tags, charts and images all take it.
var semver = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func run(ctx context.Context, args []string) error {
	r := &release{}
	fs := flag.NewFlagSet("ibfabric-release", flag.ContinueOnError)
	fs.StringVar(&r.root, "root", ".", "`folder` of the project")
	fs.StringVar(&r.out, "o", "build/release", "`folder` to write, made anew")
	fs.StringVar(&r.labels.Version, "version", "", "`version`, as v1.2.3 (none: the tag of the checkout, or v0.0.0 with its revision)")
	archs := fs.String("arch", "amd64,arm64", "`platforms`, with commas between")
	fs.BoolVar(&r.imagesOnly, "images-only", false, "write the images and nothing else")
	if err := fs.Parse(args); err != nil {
		return err
	}
	r.archs = strings.Split(*archs, ",")
	if err := r.describe(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if err := r.make(ctx); err != nil {
		return err
	}
	return sums(r.out)
}

// say tells whoever waits how far it is. What is made is printed on its own.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "release: "+format+"\n", args...) }

// describe says which revision this is, and of when.
func (r *release) describe(ctx context.Context) error {
	text, err := r.git(ctx, "log", "-1", "--format=%H %ct")
	if err != nil {
		return err
	}
	revision, stamp, _ := strings.Cut(text, " ")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("read the time of revision %s: %w", revision, err)
	}
	r.labels.Revision, r.labels.Created = revision, time.Unix(seconds, 0).UTC()
	if r.labels.Version == "" {
		if r.labels.Version, err = r.git(ctx, "describe", "--tags", "--exact-match"); err != nil {
			r.labels.Version = "v0.0.0-g" + revision[:12]
		}
	}
	if !semver.MatchString(r.labels.Version) {
		return fmt.Errorf("version %q: write it as v1.2.3 or v1.2.3-rc.1", r.labels.Version)
	}
	// The programs have their version from git, see cmd/internal/release.
	if tags, err := r.git(ctx, "tag", "--points-at", "HEAD"); err != nil || !slices.Contains(strings.Fields(tags), r.labels.Version) {
		say("no tag %[1]s is on this checkout: images and chart will be of %[1]s, and the programs will name their revision; git tag %[1]s mends it", r.labels.Version)
	}
	return nil
}

func (r *release) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", r.root}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (r *release) make(ctx context.Context) error {
	programs := map[string][]image.Program{}
	for _, arch := range r.archs {
		begun := time.Now()
		say("building the programs for linux/%s …", arch)
		if err := r.programs(ctx, arch, programs); err != nil {
			return err
		}
		say("built the programs for linux/%s in %.0f s", arch, time.Since(begun).Seconds())
	}
	for _, s := range image.Specs() {
		if err := r.image(s, programs[s.Program]); err != nil {
			return err
		}
	}
	if r.imagesOnly {
		return nil
	}
	return r.chart()
}

// programs builds all programs for one platform, and says of each what it is made of.
func (r *release) programs(ctx context.Context, arch string, into map[string][]image.Program) error {
	dir, err := os.MkdirTemp("", "ibfabric-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=true", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Dir, cmd.Env = r.root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs for %s: %w\n%s", arch, err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		sbom, err := image.SBOM(text, r.labels.Created)
		if err != nil {
			return fmt.Errorf("%s for %s: %w", e.Name(), arch, err)
		}
		into[e.Name()] = append(into[e.Name()], image.Program{Arch: arch, Content: text, SBOM: sbom})
		if r.imagesOnly {
			continue
		}
		name := fmt.Sprintf("%s_linux_%s", e.Name(), arch)
		if err := os.WriteFile(filepath.Join(r.out, name), text, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.out, name+".spdx.json"), sbom, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) image(s image.Spec, programs []image.Program) error {
	index, err := image.Index(s, programs, r.labels)
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("name the image of %s: %w", s.Program, err)
	}
	tag := strings.TrimPrefix(r.labels.Version, "v")
	name := fmt.Sprintf("%s_%s.oci.tar", s.Program, tag)
	out, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	err = errors.Join(image.Archive(out, index, tag), out.Close())
	if err == nil {
		fmt.Printf("%s  %s\n", digest, name)
	}
	return err
}

// chart writes the chart, and its objects for those without Helm.
func (r *release) chart() error {
	c, err := chart.Load(r.root)
	if err != nil {
		return err
	}
	c.Version(r.labels.Version)
	out, err := os.Create(filepath.Join(r.out, fmt.Sprintf("ibfabric-%s.tgz", c.Metadata.Version)))
	if err != nil {
		return err
	}
	if err := errors.Join(c.Archive(out), out.Close()); err != nil {
		return err
	}
	rendered, err := c.Render(chart.Options{Namespace: chart.PlainNamespace})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "ibfabric.yaml"), []byte(chart.Join(rendered)), 0o644)
}
