package console

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/record"
)

// wire is the client's end of a stream.
type wire struct {
	header http.Header
	mu     sync.Mutex // protects b
	b      bytes.Buffer
}

func (w *wire) Header() http.Header { return w.header }
func (w *wire) WriteHeader(int)     {}
func (w *wire) Flush()              {}

func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// ticks are those that came since it was asked last, and how many of them are about pods.
func (w *wire) ticks() (all, ofPods int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.b.String()
	w.b.Reset()
	return strings.Count(text, "event: "+api.TickEvent), strings.Count(text, `"`+string(api.TopicPods)+`"`)
}

// A browser that asked at once got a list from just before the change, and heard of it never
// again.
func TestAWatchSaysAgainWhatAListMayHaveHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric()
		answers := f.answers()
		s := New(Config{Answers: answers})
		pods := func() int {
			list, err := answers.Pods(api.Query{})
			if err != nil {
				t.Fatal(err)
			}
			return len(list.Items)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &wire{header: http.Header{}}
		go s.serveWatch(w, httptest.NewRequestWithContext(ctx, http.MethodGet, api.PathWatch, nil))
		time.Sleep(time.Minute)
		w.ticks()

		pods() // somebody else looks, and makes the list
		f.put(1, 5)
		s.Heard(record.PodConfigured, record.Fields{})
		synctest.Wait()
		if all, ofPods := w.ticks(); all != 1 || ofPods != 1 || pods() != 0 {
			t.Errorf("at the change came %d ticks, %d of pods, and the list has %d: the test proves nothing", all, ofPods, pods())
		}
		time.Sleep(keepKeys + tickEvery)
		synctest.Wait()
		if all, ofPods := w.ticks(); all != 1 || ofPods != 1 || pods() != 1 {
			t.Errorf("then came %d ticks, %d of pods, and the list has %d", all, ofPods, pods())
		}
		time.Sleep(time.Hour / 4)
		if all, _ := w.ticks(); all != 0 {
			t.Errorf("with nothing to say came %d ticks", all)
		}
	})
}
