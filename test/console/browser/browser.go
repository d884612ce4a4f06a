// Package browser shows pages in a real Chromium, as a person would see and use them, and
// keeps account of what the browser complains of and whom it asks for something.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"k8s.io/apimachinery/pkg/util/wait"
)

// patience bounds each step on a busy machine.
const patience = time.Minute

// names are what Chromium's program is called.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Browser is a running Chromium with a profile of its own.
type Browser struct {
	ctx context.Context
}

// Start starts one for a test and what is below it. Without a Chromium the test is skipped.
func Start(t testing.TB) *Browser {
	t.Helper()
	path := ""
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skipf("*** SKIPPED: no Chromium (looked for %s). The console's pages were not looked at: `make browser` installs it. ***", strings.Join(names, ", "))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("no-default-browser-check", true),
		chromedp.Flag("disable-extensions", true), chromedp.Flag("disable-default-apps", true),
	)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &Browser{ctx: ctx}
}

// Tab is one page of the browser, under the eyes of a test.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	site string // scheme and host that may be asked

	mu         sync.Mutex // protects what follows
	complaints []string
	strangers  []string
	asked      map[string]int // how often each path was asked for
}

// Open opens a tab that may ask a site, such as http://127.0.0.1:1234, and nothing else. At
// its end the test fails for what the browser complained of, and for every other host.
func (b *Browser) Open(t testing.TB, site string) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	tab := &Tab{t: t, ctx: ctx, site: site, asked: map[string]int{}}
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	order(tab, network.Enable, network.EnableParams{})
	order(tab, log.Enable, cdp.Empty{})
	order(tab, runtime.Enable, cdp.Empty{})
	t.Cleanup(func() {
		cancel()
		tab.mu.Lock()
		defer tab.mu.Unlock()
		for _, c := range tab.complaints {
			t.Errorf("the browser complains: %s", c)
		}
		for _, s := range tab.strangers {
			t.Errorf("a page asked another host: %s", s)
		}
	})
	return tab
}

func (b *Tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if at, err := url.Parse(e.Request.URL); err == nil {
			b.asked[at.Path]++
		}
		if e.Request.URL != b.site && !strings.HasPrefix(e.Request.URL, b.site+"/") {
			b.strangers = append(b.strangers, e.Request.URL)
		}
	case *network.EventWebSocketCreated:
		b.strangers = append(b.strangers, e.URL)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s %v", e.Type, e.Args))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, fmt.Sprintf("%s %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL))
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	}
}

// Forgive forgets what the browser complained of so far: that a server was away, where a
// test took it away. It returns it.
func (b *Tab) Forgive() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.complaints
	b.complaints = nil
	return was
}

// Asked is how often a path of the site was asked for.
func (b *Tab) Asked(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[path]
}

func (b *Tab) do(what string, action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, what, action)
}

func run[T any](b *Tab, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return v
}

// order gives the browser a command of its protocol.
func order[P, R any](b *Tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	answer, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return answer
}

// Go loads a path of the site and waits until it is there.
func (b *Tab) Go(path string) {
	b.t.Helper()
	b.do("load "+path, chromedp.Navigate(b.site+path))
}

// Back goes to the page before.
func (b *Tab) Back() {
	b.t.Helper()
	// Not as a navigation: a page that comes out of the browser's cache has no load to wait for.
	b.do("go back", chromedp.Evaluate[chromedp.Void](`history.back()`))
}

// Click clicks what a CSS selector finds.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Follow follows the link that a CSS selector finds, once it is there. On a page that changes a
// click of the mouse may come down where the link no longer is.
func (b *Tab) Follow(selector string) {
	b.t.Helper()
	link := fmt.Sprintf("document.querySelector(%q)", selector)
	b.Until(link + " !== null")
	b.do("follow "+selector, chromedp.Evaluate[chromedp.Void](link+".click()"))
}

// Type sends keys to whatever has the focus; kb.Tab, kb.Enter and their like among them. As
// on a keyboard, the press of a key brings its letter only if the page lets it.
func (b *Tab) Type(keys string) {
	b.t.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		if len(events) == 3 { // down, the letter by itself, up
			events[0].Text, events[0].UnmodifiedText = events[1].Text, events[1].UnmodifiedText
			events = []*input.DispatchKeyEventParams{events[0], events[2]}
		}
		for _, e := range events {
			order(b, input.DispatchKeyEvent, *e)
		}
	}
}

// Eval is what an expression of JavaScript says.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	return run(b, "evaluate "+expression, chromedp.Evaluate[T](expression))
}

// Text is the text of the page's main part.
func (b *Tab) Text() string {
	b.t.Helper()
	return Eval[string](b, `(document.getElementById("main") ?? document.body).innerText`)
}

// Until waits until an expression of JavaScript is true, in this page or the next.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	err := wait.PollUntilContextTimeout(b.ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		return yes && err == nil, nil // between two pages there is nothing to ask
	})
	if err != nil {
		state := Eval[string](b, `document.title + ", focus on " + document.activeElement.outerHTML.slice(0, 200) + ", its value " + document.activeElement.value`)
		b.t.Fatalf("wait until %s: %v; %s; the page says:\n%s", expression, err, state, b.Text())
	}
}

// UntilSays waits until a page says something.
func (b *Tab) UntilSays(text string) {
	b.t.Helper()
	b.Until(fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// UntilSilent waits until a page does not say something.
func (b *Tab) UntilSilent(text string) {
	b.t.Helper()
	b.Until(fmt.Sprintf(`!document.body.innerText.includes(%q)`, text))
}

// Size makes the window one of a width and height.
func (b *Tab) Size(width, height int64) {
	b.t.Helper()
	order(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
}

// Dark asks for dark pages, or light ones.
func (b *Tab) Dark(dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	order(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// NoScript forbids scripts, or allows them.
func (b *Tab) NoScript(forbid bool) {
	b.t.Helper()
	order(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: forbid})
}

// Picture takes one of the whole page, as a PNG.
func (b *Tab) Picture() []byte {
	b.t.Helper()
	return run(b, "take a picture", chromedp.FullScreenshot(100))
}

// Control is something that a person can use, as assistive technology sees it.
type Control struct{ Role, Name string }

// controls are the roles of those.
var controls = map[string]bool{
	"button": true, "link": true, "textbox": true, "searchbox": true, "combobox": true, "checkbox": true, "radio": true,
	"menuitem": true, "tab": true, "DisclosureTriangle": true, "switch": true, "slider": true, "spinbutton": true,
}

// Controls are all of a page.
func (b *Tab) Controls() (found []Control) {
	b.t.Helper()
	b.tree(func(role, name string) {
		if controls[role] {
			found = append(found, Control{role, name})
		}
	})
	return found
}

// Landmarks are the regions by which assistive technology moves, by role.
func (b *Tab) Landmarks() map[string]int {
	b.t.Helper()
	found := map[string]int{}
	b.tree(func(role, _ string) { found[role]++ })
	return found
}

func (b *Tab) tree(visit func(role, name string)) {
	b.t.Helper()
	for _, n := range order(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if !n.Ignored {
			visit(word(n.Role), word(n.Name))
		}
	}
}

// word is the text of a value of the accessibility tree: JSON, a string.
func word(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `" `)
}

// Close closes a tab before its test ends. One that a busy machine does not close within
// chromedp's few seconds goes with the browser.
func (b *Tab) Close() {
	b.t.Helper()
	if err := chromedp.Cancel(b.ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		b.t.Errorf("close a tab: %v", err)
	}
}
