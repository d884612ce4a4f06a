package rights

import (
	"slices"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/record"
)

const (
	// saidAtMost is how many namesakes are said and remembered at a time. Any tenant can
	// make some in each of its namespaces, and is not to fill log and memory by that.
	saidAtMost = 4
	// saidLasts is how long one that is gone is remembered: nor by making them again.
	saidLasts = time.Hour
)

// Namesakes says of things that have only the name of another that they are not taken for
// it: once of each, and again when it comes back after an hour.
type Namesakes struct {
	rec *record.Recorder
	now func() time.Time

	mu   sync.Mutex           // protects said
	said map[string]time.Time // and when
}

// NewNamesakes makes one that says it to rec.
func NewNamesakes(rec *record.Recorder, now func() time.Time) *Namesakes {
	return &Namesakes{rec: rec, now: now, said: map[string]time.Time{}}
}

// Say is called with what is to be said of each that is there.
func (n *Namesakes) Say(details []string) {
	for _, detail := range n.news(details) {
		n.rec.Log(record.NamesakeFound, record.Fields{Detail: detail})
	}
}

func (n *Namesakes) news(details []string) (news []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	for was, at := range n.said {
		if !slices.Contains(details, was) && now.Sub(at) >= saidLasts {
			delete(n.said, was)
		}
	}
	for _, detail := range details {
		if _, ok := n.said[detail]; !ok && len(n.said) < saidAtMost {
			n.said[detail] = now
			news = append(news, detail)
		}
	}
	return news
}
