//go:build linux

package node

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// showWhy is for a story that has failed.
func (w *world) showWhy(t *testing.T) {
	if !t.Failed() {
		return
	}
	t.Logf("the controller and the bridge said, at the end:\n%s", w.log.tail(40))
	events, err := w.bed.Client().CoreV1().Events(metav1.NamespaceAll).List(context.Background(), metav1.ListOptions{})
	if err == nil {
		for _, e := range events.Items {
			t.Logf("event: %s %s: %s: %.500s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	for name, n := range w.nodes {
		t.Logf("the console of %s ends:\n%s", name, lastLines(n.Console(), 15))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		for _, pattern := range []string{"/var/log/*.log", "/var/log/pods/" + release + "_*/*/*.log"} {
			logs, err := n.Control().Read(ctx, pattern)
			if err != nil {
				t.Logf("the logs of %s: %v", name, err)
			}
			for file, text := range logs {
				t.Logf("%s of %s ends:\n%s", file, name, lastLines(string(text), 25))
			}
		}
		cancel()
	}
}

// logBuffer takes what the controller and the bridge say.
type logBuffer struct {
	mu sync.Mutex // protects b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) say(line string) { fmt.Fprintln(l, "bridge:", line) }

func (l *logBuffer) tail(lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(l.b.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
