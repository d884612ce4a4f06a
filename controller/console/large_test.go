package console

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// large is a fabric of a hundred thousand members, half of them in one partition, with
// strangers among them.
func large() *fabric {
	f := newFabric()
	for i := range 100_000 {
		p := pkey.PKey(0x10)
		if i%2 == 1 {
			p = pkey.PKey(0x100 + i%500)
		}
		r := f.put(i, p)
		if i%100 == 0 {
			f.waits = append(f.waits, controller.Wait{Pod: r.Pod, Since: time.Unix(int64(i), 0)})
		}
		if i%1000 == 1 {
			delete(f.ufm[p], r.GUID)
			f.wentOn[r.UID] = true
		}
	}
	for i := range 5000 {
		f.show(0x10, 0x0300000000000000+guid.GUID(i), mode0())
		f.show(0x10, firstGUID+0x800000+guid.GUID(i), mode0())
	}
	return f
}

// BenchmarkPages is what a page costs at a hundred thousand members when nothing is kept
// from the page before. None may take a tenth of a second.
func BenchmarkPages(b *testing.B) {
	f := large()
	book := journal.NewBook("me", time.Now)
	for i := range 5000 {
		e := journal.Entry{Verb: journal.Add, PKey: pkey.PKey(1 + i%500), Outcome: journal.Done}
		e.Name([]guid.GUID{firstGUID + guid.GUID(i)}, []types.NamespacedName{{Namespace: "ns", Name: fmt.Sprint(i)}})
		book.Note(e)
	}
	deep := api.Query{Continue: (firstGUID + 50_000).String()}
	for name, read := range map[string]func(*Answers) (any, error){
		"overview":     func(a *Answers) (any, error) { return a.Overview() },
		"partitions":   func(a *Answers) (any, error) { return a.Partitions(api.Query{}) },
		"partition":    func(a *Answers) (any, error) { return a.Partition(0x10) },
		"members":      func(a *Answers) (any, error) { return a.Members(0x10, api.Query{}) },
		"members-deep": func(a *Answers) (any, error) { return a.Members(0x10, deep) },
		"members-most": func(a *Answers) (any, error) { return a.Members(0x10, api.Query{Limit: api.MaxLimit}) },
		"unclaimed":    func(a *Answers) (any, error) { return a.Members(0x10, api.Query{Kind: api.Unclaimed}) },
		"pods":         func(a *Answers) (any, error) { return a.Pods(api.Query{}) },
		"pods-waiting": func(a *Answers) (any, error) { return a.Pods(api.Query{State: string(api.PodWaiting)}) },
		"pods-leaving": func(a *Answers) (any, error) { return a.Pods(api.Query{State: string(api.PodLeaving)}) },
		"pod": func(a *Answers) (any, error) {
			return a.Pod(b.Context(), types.NamespacedName{Namespace: "team-7", Name: "train-000007"})
		},
		"guids":          func(a *Answers) (any, error) { return a.GUIDs(deep) },
		"guids-held":     func(a *Answers) (any, error) { return a.GUIDs(api.Query{State: string(api.Held)}) },
		"whois":          func(a *Answers) (any, error) { return a.Whois(api.Query{Text: (firstGUID + 7).Hex()}) },
		"search":         func(a *Answers) (any, error) { return a.Search(api.Query{Text: "train-0999"}) },
		"nodes":          func(a *Answers) (any, error) { return a.Nodes(api.Query{}) },
		"drift":          func(a *Answers) (any, error) { return a.Drift(api.Query{}) },
		"plan":           func(a *Answers) (any, error) { return a.Plan(api.Query{}) },
		"journal-no-hit": func(a *Answers) (any, error) { return a.Journal(api.Query{GUID: 1}) },
	} {
		b.Run(name, func(b *testing.B) {
			before := cpu(b)
			defer func() { b.ReportMetric((cpu(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op") }()
			for b.Loop() {
				a := NewAnswers(f, book, About{}, time.Now) // with nothing kept
				v, err := read(a)
				if err != nil {
					b.Fatal(err)
				}
				reply(discard{}, v, nil)
			}
		})
	}
}

// cpu is the time that this process has used, its collector's included: what a page costs
// also where others use the machine.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkTheLock is for how long looking keeps the controller's loops from their ledger at
// most: while the keys of the largest partition are copied.
func BenchmarkTheLock(b *testing.B) {
	f := large()
	for b.Loop() {
		f.Rows().GUIDsOf(0x10)
	}
}
