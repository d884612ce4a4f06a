package record

import (
	"fmt"
	"strings"
)

// Field is a field of a log line.
type Field struct{ Name, Means string }

// FieldsOfALine are the fields that a line can have behind time, level and event, in the
// order in which they stand.
func FieldsOfALine() []Field {
	return []Field{
		{"pod", "namespace/name of the pod that it is about"},
		{"uid", "the pod's UID: the same name can be another pod's tomorrow"},
		{"ifname", "the pod's interfaces, with commas between them: net1"},
		{"guid", "GUIDs, as 02:00:00:00:00:00:00:07; of many the first 16, and how many more"},
		{"pkey", "PKeys, as 0x1000"},
		{"membership", "how GUIDs are in a partition: full or limited, and whether at index 0"},
		{"node", "the node"},
		{"attempt", "how often it was tried"},
		{"took", "how long it took: of pod.configured, since the controller first saw the pod"},
		{"count", "how many: GUIDs, members or rows"},
		{"config", "namespace/name of the SpiderMultusConfig"},
		{"detail", "what there is to say beside"},
		{"err", "what went wrong, and what to do"},
	}
}

func (l Level) String() string { return [...]string{"debug", "info", "warn"}[l] }

// Reference is the log's contract as a page of docs/reference, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Logs and Events of the controller

<!-- Made of controller/record by its test: go test ./controller/record -update -->

Each line of the log is one JSON object: ` + "`time`, `level`, `event`" + `, and those of the fields below
that have something to say, always in this order. ` + "`--log-format console`" + ` writes the same for eyes,
` + "`--log-level debug`" + ` says why as well. What repeats is said once, until it changes.

An event with a reason is a Kubernetes Event too, on the object that it is about: once, not with
every attempt. Each is counted in the metric ` + "`ibfabric_events_total`" + `.

The life of a pod is one grep: ` + "`kubectl logs … | grep team-a/train-0`" + `. So is that of a GUID or a PKey.

## Events

| event | level | Event's reason | meaning |
|---|---|---|---|
`)
	for _, e := range Catalogue() {
		reason := e.Reason
		if reason == "" {
			reason = "-"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Event, e.Level, reason, e.Means)
	}
	b.WriteString("\n## Fields\n\n| field | meaning |\n|---|---|\n")
	for _, f := range FieldsOfALine() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Name, f.Means)
	}
	return b.String()
}
