package console

import (
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/console/browser"
	"github.com/ibfabric/ibfabric/test/console/memory"
)

// TestHostile: what others wrote is text, when a page is loaded and when it changes; and
// were it not, the policy would not let it run.
func TestHostile(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	harmless := func(where string) {
		t.Helper()
		if browser.Eval[bool](tab, `document.title.includes("owned") || document.querySelector("main img, main script") !== null`) {
			t.Errorf("%s: it is no text", where)
		}
	}
	tab.Go(pages.Prefix + "pods/team-b/infer-2")
	tab.Until(isLive)
	s.ChangePod(s.Waiting, func(p *api.Pod) {
		p.Why, p.Annotation, p.Missing, p.Node = evil, evil, []string{evil}, evil
		p.Attached[0].Network, p.Attached[0].Missing = evil, evil
		p.Timeline[0].What = evil
	})
	tab.UntilSays(evil)
	harmless("a pod that changes")
	s.ChangePartition(memory.TeamB, func(p *api.Partition) { p.Name, p.QoSError = evil, evil })
	s.AddMember(api.Member{PKey: memory.TeamB, GUID: 0xe41d2d0300a1b2ff, Kind: api.Foreign, Shown: evil})
	for _, path := range []string{"", "pods", "pods/team-b/infer-2", "partitions", "partitions/0x2000", "search?q=" + "%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D%27owned%27%22%3E"} {
		tab.Go(pages.Prefix + path)
		tab.UntilSays(evil)
		harmless(path)
	}

	tab.Forgive()
	browser.Eval[bool](tab, `document.body.append(Object.assign(document.createElement("script"), {textContent: "document.title = 'owned'"})) || true`)
	browser.Eval[bool](tab, `document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\"document.title = 'owned'\"><p style='position: fixed'>") || true`)
	tab.Until(`document.querySelector("body > img").complete`)
	if browser.Eval[bool](tab, `document.title === "owned" || getComputedStyle(document.querySelector("body > p:last-child")).position === "fixed"`) {
		t.Error("the policy lets an inline script or style in")
	}
	if said := strings.Join(tab.Forgive(), "\n"); strings.Count(said, "Content Security Policy") < 3 {
		t.Errorf("the browser does not say that it refused three things:\n%s", said)
	}
}

// TestManyMembersSeen: a partition of a hundred thousand is a page to look at, to go
// through, and to watch.
func TestManyMembersSeen(t *testing.T) {
	s := memory.Tell()
	s.AddPartition(0x3000, "everybody")
	s.Fill(0x3000, 100_000)
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.Go(pages.Prefix + "partitions/0x3000")
	tab.UntilSays("100 of 100,000 members")
	first := `document.querySelector("main tbody tr").dataset.key`
	before := browser.Eval[string](tab, first)
	if rows := browser.Eval[int](tab, `document.querySelectorAll("main tbody tr").length`); rows != 100 {
		t.Errorf("%d rows", rows)
	}
	tab.Follow(`a[rel="next"]`)
	tab.Until(first + ` !== "` + before + `"`)
	tab.Until(isLive)
	after, err := guid.Parse(browser.Eval[string](tab, first))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := guid.Parse(before); err != nil || after != want+100 {
		t.Errorf("the second page begins with %s, the first with %s", after, before)
	}
	// It changes under the eyes of who is on its second page, and they stay there.
	s.AddMember(api.Member{PKey: 0x3000, GUID: after, Kind: api.Unclaimed, Shown: "full"})
	tab.Until(`document.querySelector("main tbody tr .badge").textContent === "unclaimed"`)
	tab.UntilSays("100 of 100,000 members")
}
