package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/record"
)

// The times of a stream. One ends after a while, so that who lost their rights loses the
// stream: a browser comes again by itself.
const (
	tickEvery  = time.Second
	aliveEvery = 20 * time.Second
	watchFor   = 30 * time.Minute
	writeIn    = 10 * time.Second
	maxWatches = 100
)

// watch knows which topics changed, and wakes those who wait for it.
type watch struct {
	now func() time.Time

	mu      sync.Mutex // protects what follows
	version uint64
	changed map[api.Topic]uint64 // the version that it changed with last
	wake    chan struct{}        // closed with the next change; nil while nobody waits
	open    int
}

func newWatch(now func() time.Time) *watch {
	return &watch{now: now, changed: map[api.Topic]uint64{}}
}

// Heard takes what the controller said: an event of the log is a change of what there is to
// see. It takes no time.
func (s *Server) Heard(e record.Event, f record.Fields) {
	s.cfg.Answers.history.add(s.watch.now(), e, f)
	s.watch.touch(topicsOf(e)...)
}

// topicsOf are the topics that an event changes.
func topicsOf(e record.Event) []api.Topic {
	switch kind, _, _ := strings.Cut(string(e), "."); kind {
	case "pod", "guid":
		return []api.Topic{api.TopicOverview, api.TopicPods, api.TopicGUIDs, api.TopicPartitions, api.TopicNodes, api.TopicPlan}
	case "ufm":
		return []api.Topic{api.TopicOverview, api.TopicPods, api.TopicGUIDs, api.TopicPartitions, api.TopicDrift, api.TopicPlan, api.TopicJournal}
	case "drift", "members", "plan":
		return []api.Topic{api.TopicOverview, api.TopicPartitions, api.TopicDrift, api.TopicPlan}
	case "partition":
		return []api.Topic{api.TopicPartitions}
	case "node":
		return []api.Topic{api.TopicNodes}
	case "leader", "incumbent", "work":
		return allTopics()
	}
	return nil
}

func allTopics() []api.Topic {
	return []api.Topic{api.TopicOverview, api.TopicPartitions, api.TopicPods, api.TopicGUIDs, api.TopicNodes, api.TopicDrift, api.TopicPlan, api.TopicJournal}
}

func (w *watch) touch(topics ...api.Topic) {
	if len(topics) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version++
	for _, t := range topics {
		w.changed[t] = w.version
	}
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// since is what changed behind a version; while that is nothing, more is closed when it is
// something.
func (w *watch) since(version uint64) (tick api.Tick, more <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tick.Version = w.version
	for _, t := range allTopics() {
		if w.changed[t] > version {
			tick.Topics = append(tick.Topics, t)
		}
	}
	if len(tick.Topics) > 0 {
		return tick, nil
	}
	if w.wake == nil {
		w.wake = make(chan struct{})
	}
	return tick, w.wake
}

func (w *watch) enter(by int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if by > 0 && w.open >= maxWatches {
		return false
	}
	w.open += by
	return true
}

// serveWatch sends a tick at once, and then one when something changed, at most one a
// second. Who asks at a tick may be given a list that was made before the change, so the
// topics are sent once more when all such lists are old. It ends when this replica no longer
// leads.
func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request) {
	if err := s.cfg.Answers.leads(); err != nil {
		fail(w, err)
		return
	}
	if !s.watch.enter(1) {
		fail(w, &api.Error{Code: http.StatusTooManyRequests, Message: fmt.Sprintf("%d watch already: close one", maxWatches)})
		return
	}
	defer s.watch.enter(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	stream := stream{w: w, to: http.NewResponseController(w)}
	first, _ := s.watch.since(0)
	first.Topics = allTopics()
	again := &echo{}
	again.add(first.Topics, s.cfg.Answers.index.oldBy())
	err := stream.send(first)
	alive, end := time.NewTicker(aliveEvery), time.After(watchFor)
	defer alive.Stop()
	for sent := first.Version; err == nil && s.cfg.Answers.leads() == nil; {
		tick, more := s.watch.since(sent)
		if more == nil {
			again.add(tick.Topics, s.cfg.Answers.index.oldBy())
			if err, sent = stream.send(tick), tick.Version; err != nil {
				return
			}
			select { // others may come meanwhile, and go along with the next
			case <-r.Context().Done():
				return
			case <-time.After(tickEvery):
			}
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-end:
			return
		case <-more:
		case <-again.due:
			err = stream.send(api.Tick{Version: sent, Topics: again.take()})
		case <-alive.C:
			err = stream.write(": still here\n\n")
		}
	}
}

// echo is what must be said once more.
type echo struct {
	topics []api.Topic
	due    <-chan time.Time // nil: nothing is
}

func (e *echo) add(topics []api.Topic, in time.Duration) {
	for _, t := range topics {
		if !slices.Contains(e.topics, t) {
			e.topics = append(e.topics, t)
		}
	}
	e.due = time.After(max(in, tickEvery))
}

func (e *echo) take() []api.Topic {
	topics := e.topics
	e.topics, e.due = nil, nil
	return topics
}

// stream is an answer that goes on.
type stream struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

func (s stream) send(t api.Tick) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", api.TickEvent, t.Version, data))
}

func (s stream) write(text string) error {
	if err := s.to.SetWriteDeadline(time.Now().Add(writeIn)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.to.Flush(); err != nil {
		return err
	}
	// Over HTTP/2 a deadline that passes ends the stream, whether anything is being written
	// or not.
	return s.to.SetWriteDeadline(time.Time{})
}
