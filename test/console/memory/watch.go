package memory

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

// everything is what a first tick names.
var everything = []api.Topic{
	api.TopicOverview, api.TopicPartitions, api.TopicPods, api.TopicGUIDs, api.TopicNodes, api.TopicDrift, api.TopicPlan, api.TopicJournal,
}

// tell sends a tick to whoever watches. f.mu is held.
func (f *Fabric) tell(topics ...api.Topic) {
	f.version++
	for c := range f.watchers {
		// Each has room for one; who has not taken it yet gets one that names everything.
		select {
		case c <- api.Tick{Version: f.version, Topics: topics}:
		default:
			select {
			case <-c:
			default:
			}
			c <- api.Tick{Version: f.version, Topics: everything}
		}
	}
}

// ServeWatch answers api.PathWatch.
func (f *Fabric) ServeWatch(w http.ResponseWriter, r *http.Request) {
	c := make(chan api.Tick, 1)
	f.mu.Lock()
	failure := f.failure
	c <- api.Tick{Version: f.version, Topics: everything}
	f.watchers[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, c)
	}()
	if failure != nil {
		http.Error(w, failure.Message, failure.Code)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case t := <-c:
			text, err := json.Marshal(t)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", api.TickEvent, text)
			if flush.Flush() != nil {
				return
			}
		}
	}
}

// Watchers is how many watch.
func (f *Fabric) Watchers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers)
}
