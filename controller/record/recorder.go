package record

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// maxListed is how many GUIDs a line names before it only counts the rest.
const maxListed = 16

// Fields say what an event is about. The zero value of a field is left out; those that
// are set always stand in this order.
type Fields struct {
	Pod        types.NamespacedName
	UID        types.UID
	Interfaces []string
	GUIDs      []guid.GUID
	PKeys      []pkey.PKey
	Membership string
	Node       string
	Attempt    int
	Took       time.Duration
	Count      int
	Config     types.NamespacedName // a SpiderMultusConfig
	Detail     string
	Err        error
}

// EventSink is what the Recorder needs to write Kubernetes Events: client-go's
// events.EventRecorder has it.
type EventSink interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Recorder writes events, and counts them: it is a prometheus.Collector. It is safe for
// concurrent use.
type Recorder struct {
	log     *zap.Logger
	sink    EventSink
	entries map[Event]Entry
	counts  *prometheus.CounterVec
	heard   []func(Event, Fields)
}

// Hear lets f hear of every event, also of those too quiet for the log. It must take no
// time. It is called before the Recorder is used.
func (r *Recorder) Hear(f func(Event, Fields)) { r.heard = append(r.heard, f) }

// New makes a Recorder. A nil sink writes no Kubernetes Events.
func New(log *zap.Logger, sink EventSink) *Recorder {
	r := &Recorder{log: log, sink: sink, entries: map[Event]Entry{}, counts: newCounter()}
	for _, e := range Catalogue() {
		r.entries[e.Event] = e
	}
	return r
}

// Log writes one line. The event is the line's message, which the encoder of NewLogger
// calls "event".
func (r *Recorder) Log(e Event, f Fields) {
	entry := r.entries[e]
	r.counts.WithLabelValues(string(e)).Inc()
	line := r.log.Info
	switch entry.Level {
	case Debug:
		line = r.log.Debug
	case Warn:
		line = r.log.Warn
	}
	line(string(e), f.zap()...)
	for _, hear := range r.heard {
		hear(e, f)
	}
}

// Tell writes one line and, when the event has a reason, a Kubernetes Event on about.
func (r *Recorder) Tell(about runtime.Object, e Event, f Fields) {
	r.Log(e, f)
	entry := r.entries[e]
	if r.sink == nil || entry.Reason == "" {
		return
	}
	kind := corev1.EventTypeNormal
	if entry.Level == Warn {
		kind = corev1.EventTypeWarning
	}
	note := f.note()
	r.sink.Eventf(about, nil, kind, entry.Reason, action(note), "%s", note)
}

// action makes Events of different texts different ones. client-go takes those that differ in
// their text alone for one that came again, and keeps the first text.
func action(note string) string {
	text := fnv.New32a()
	text.Write([]byte(note))
	return fmt.Sprintf("Fabric-%08x", text.Sum32())
}

// note is the text of a Kubernetes Event: what went wrong, or what the pod has.
func (f Fields) note() string {
	var text string
	switch {
	case f.Err != nil:
		text = f.Err.Error()
	case f.Detail != "":
		text = f.Detail
	default:
		text = fmt.Sprintf("guid %s in pkey %s", list(f.GUIDs), list(f.PKeys))
	}
	const limit = 1000 // the API server takes 1024
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return text
}

// zap is f in the one order that the log contract promises.
func (f Fields) zap() []zap.Field {
	var z []zap.Field
	str := func(key, value string) {
		if value != "" {
			z = append(z, zap.String(key, value))
		}
	}
	if f.Pod.Name != "" {
		str("pod", f.Pod.String())
	}
	str("uid", string(f.UID))
	str("ifname", strings.Join(f.Interfaces, ","))
	str("guid", list(f.GUIDs))
	str("pkey", list(f.PKeys))
	str("membership", f.Membership)
	str("node", f.Node)
	if f.Attempt > 0 {
		z = append(z, zap.Int("attempt", f.Attempt))
	}
	if f.Took > 0 {
		str("took", f.Took.Round(time.Millisecond).String())
	}
	if f.Count > 0 {
		z = append(z, zap.Int("count", f.Count))
	}
	if f.Config.Name != "" {
		str("config", f.Config.String())
	}
	str("detail", f.Detail)
	if f.Err != nil {
		str("err", f.Err.Error())
	}
	return z
}

func list[T fmt.Stringer](items []T) string {
	var b strings.Builder
	for i, item := range items {
		if i == maxListed {
			fmt.Fprintf(&b, ",+%d more", len(items)-i)
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item.String())
	}
	return b.String()
}
