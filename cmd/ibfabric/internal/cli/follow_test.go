package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/clusterfake"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// TestTheLeaderIsFoundAgain has the journal change while a command waits: its first look
// is at a replica that does not lead, or at one that is gone.
func TestTheLeaderIsFoundAgain(t *testing.T) {
	for name, spoil := range map[string]func(f *fake){
		"lost": func(f *fake) { f.console.Refuse(&api.Error{Code: 503, Message: "this replica does not lead"}) },
		"gone": func(f *fake) { f.cluster.Gone("controller-0") },
		"dead": func(f *fake) { f.console.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			spoil(f)
			next := clusterfake.NewConsole(t)
			tell(next)
			f.cluster.OnFirstLook(func() { f.cluster.Lead("ib", "controller-1", next) })
			if r := f.run("plan", "--wait", "1m"); r.code != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestTheProxyFollowsTheLeader is `ibfabric console` from its first line to its end.
func TestTheProxyFollowsTheLeader(t *testing.T) {
	f := newFake(t)
	f.console.Answer("/ibfabric/console/", "<p>first</p>")
	ctx, stop := context.WithCancel(t.Context())
	said, out := io.Pipe()
	done := make(chan int, 1)
	go func() {
		s := Streams{In: strings.NewReader(""), Out: out, Err: io.Discard, Now: now}
		done <- Run(ctx, []string{"ibfabric", "--kubeconfig", f.kubeconfig, "console", "--wait", "1m"}, s)
	}()
	var line string
	if _, err := fmt.Fscanf(said, "Open %s\n", &line); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/enter\?key=\w{20,}$`).MatchString(line) {
		t.Errorf("it says %q", line)
	}
	browser := &http.Client{Jar: newJar(t)}
	defer browser.CloseIdleConnections()
	get := func(url string) string {
		t.Helper()
		r, err := browser.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if text := get(line); text != "<p>first</p>" {
		t.Errorf("the first page is %q", text)
	}
	next := clusterfake.NewConsole(t)
	next.Answer("/ibfabric/console/", "<p>second</p>")
	f.cluster.Lead("ib", "controller-1", next)
	f.console.Refuse(&api.Error{Code: 503, Message: "this replica does not lead"})
	root := line[:strings.Index(line, "/enter")]
	if text := get(root + "/ibfabric/console/"); text != "<p>second</p>" {
		t.Errorf("behind the change of leaders it is %q", text)
	}
	for _, r := range next.Asked() {
		if got := r.Header.Get("Authorization"); got != "Bearer "+clusterfake.Token {
			t.Errorf("the console was asked with %q", got)
		}
		if r.Header.Get("Cookie") != "" {
			t.Error("the proxy's cookie reaches the console")
		}
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
