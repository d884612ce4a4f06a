package console

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/test/console/browser"
	"github.com/ibfabric/ibfabric/test/console/memory"
)

var update = flag.Bool("update", false, "take the pictures of docs/pictures anew")

// folder is where the pictures of the guide are.
const folder = "../../docs/pictures"

// mostBytes is what a picture may have.
const mostBytes = 150 << 10

// pictures are those of docs/console.md.
var pictures = []struct {
	name, path string
	width      int64
	dark       bool
}{
	{"overview", "", 1280, false},
	{"overview-dark", "", 1280, true},
	{"overview-narrow", "", 390, false},
	{"partitions", "partitions", 1280, false},
	{"partition", "partitions/0x1000", 1280, false},
	{"partition-narrow", "partitions/0x2000", 390, true},
	{"pods", "pods", 1280, false},
	{"pod", "pods/team-b/infer-2", 1280, false},
	{"pod-dark", "pods/team-a/train-0", 1280, true},
	{"guid", "guids/02:00:00:00:00:00:00:1a", 1280, false},
	{"guids", "guids", 1280, false},
	{"search", "search?q=train", 1280, false},
	{"nodes", "nodes", 1280, false},
	{"drift", "drift", 1280, false},
	{"plan", "plan", 1280, false},
	{"journal", "journal", 1280, false},
}

// TestPictures takes them, and with -update keeps them for the guide. A page must fit the
// window's width, whatever that is.
func TestPictures(t *testing.T) {
	s := memory.Tell()
	b := browser.Start(t)
	tab := b.Open(t, serve(t, s.Fabric, s.Clock))
	for _, p := range pictures {
		tab.Size(p.width, 400)
		tab.Dark(p.dark)
		tab.Go(pages.Prefix + p.path)
		tab.Until(isLive)
		if wide := browser.Eval[int64](tab, `document.documentElement.scrollWidth`); wide > p.width {
			t.Errorf("%s is %d wide in a window of %d", p.name, wide, p.width)
		}
		dark := browser.Eval[bool](tab, `Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0]) < 64`)
		if dark != p.dark {
			t.Errorf("%s: dark is %v", p.name, dark)
		}
		picture := small(t, tab.Picture())
		if len(picture) > mostBytes {
			t.Errorf("%s has %d bytes, more than %d", p.name, len(picture), mostBytes)
		}
		if *update {
			if err := os.WriteFile(filepath.Join(folder, p.name+".png"), picture, 0o644); err != nil {
				t.Error(err)
			}
		}
	}
}

// small is a picture with its 256 most frequent colours, which is all that text on a page
// needs, and a third of the size.
func small(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	often := map[color.NRGBA]int{}
	area := full.Bounds()
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			often[color.NRGBAModel.Convert(full.At(x, y)).(color.NRGBA)]++
		}
	}
	var colours []color.NRGBA
	for c := range often {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.NRGBA) int { return often[b] - often[a] })
	palette := color.Palette{}
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	few := image.NewPaletted(area, palette)
	nearest := map[color.NRGBA]uint8{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			c := color.NRGBAModel.Convert(full.At(x, y)).(color.NRGBA)
			at, known := nearest[c]
			if !known {
				at = uint8(palette.Index(c))
				nearest[c] = at
			}
			few.SetColorIndex(x, y, at)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
