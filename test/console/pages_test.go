package console

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/test/console/browser"
	"github.com/ibfabric/ibfabric/test/console/memory"
)

// every page, and what it must say.
var every = map[string]string{
	"":                              "The fabric follows the cluster: 4 members on the way in",
	"partitions":                    "By PKey",
	"partitions/0x1000":             "02:00:00:00:00:00:0f:11",
	"partitions/0x20?limit=3":       "Next",
	"pods":                          "team-b/infer-2",
	"pods/team-b/infer-2":           "What is missing",
	"pods/team-a/train-0":           "mlx5_10",
	"pods/team-c/probe":             "does not grant namespace team-c",
	"guids":                         "02:00:00:00:00:00:00:00",
	"guids/02:00:00:00:00:00:00:00": "0200000000000000",
	"guids/02:00:00:00:00:00:0f:11": "unclaimed",
	"nodes":                         "gpu-004",
	"nodes/gpu-004":                 "97 of 128",
	"nodes/gpu-017":                 "ibfabric release",
	"drift":                         "ibfabric reclaim",
	"plan":                          "its turn",
	"journal":                       "their pods wait for it",
	"search?q=train":                "team-a/train-1",
	"search?q=nothing":              "Nothing known here",
}

// TestEveryPage: each is there, without a complaint of the browser and without a request to
// anybody else, and whoever uses it by ear knows what each control is.
func TestEveryPage(t *testing.T) {
	s := memory.Tell()
	site := serve(t, s.Fabric, s.Clock)
	b := browser.Start(t)
	for path, says := range every {
		tab := b.Open(t, site)
		tab.Go(pages.Prefix + path)
		tab.UntilSays(says)
		tab.Until(`document.getElementById("live").textContent === "Live"`)
		controls := tab.Controls()
		if len(controls) < 8 {
			t.Errorf("%s: %d controls", path, len(controls))
		}
		for _, c := range controls {
			if c.Name == "" {
				t.Errorf("%s: a %s without a name", path, c.Role)
			}
		}
		marks := tab.Landmarks()
		for _, role := range []string{"banner", "main", "navigation", "search", "contentinfo"} {
			if marks[role] == 0 {
				t.Errorf("%s: no %s: %v", path, role, marks)
			}
		}
		tab.Close()
	}
}

// TestWithoutScript: all of it works.
func TestWithoutScript(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.NoScript(true)
	tab.Go(pages.Prefix)
	tab.Click(`nav a[href$="/partitions"]`)
	tab.UntilSays("By PKey")
	tab.Click(`a[href$="/partitions/0x20"]`)
	tab.UntilSays("Partition 0x20")
	tab.Click(`#find`)
	tab.Type("0200000000000001" + kb.Enter)
	tab.UntilSays("GUID 02:00:00:00:00:00:00:01")
	if n := tab.Asked("/ibfabric/v1/watch"); n != 0 {
		t.Errorf("the watch was asked for %d times: the script ran", n)
	}
}

// TestKeyboard: from the overview to a pod without a mouse.
func TestKeyboard(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.Go(pages.Prefix)
	tab.Until(`document.getElementById("live").textContent === "Live"`)

	tab.Type(kb.Tab)
	tab.Until(`document.activeElement.className === "skip"`)
	tab.Until(`getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	tab.Type(kb.Enter)
	tab.Until(`document.activeElement.id === "main"`)

	tab.Type("/")
	tab.Until(`document.activeElement.id === "find"`)
	tab.Type("infer-/")
	tab.Until(`document.getElementById("find").value === "infer-/"`) // a slash in the field is one
	tab.Type(kb.Escape)
	tab.Until(`document.activeElement.id === "main"`)
	tab.Type("/")
	tab.Until(`document.activeElement.id === "find"`)
	tab.Type("team-b/infer-" + kb.Enter)
	tab.UntilSays("Found for")
	tab.Click("h1") // a place in the page to go on from
	tab.Type(kb.Tab)
	tab.Until(`document.activeElement.textContent === "team-b/infer-0"`)
	tab.Until(`getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	tab.Type(kb.Enter)
	tab.UntilSays("Pod team-b/infer-0")
	tab.Back()
	tab.UntilSays("Found for")
}
