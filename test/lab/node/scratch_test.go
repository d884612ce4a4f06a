//go:build linux

package node

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
)

func TestScratch(t *testing.T) {
	if os.Getenv("SCRATCH") == "" {
		t.Skip()
	}
	s, err := Prepare(t.Context(), "6.12", func(line string) { fmt.Println(line) })
	must(t, err)
	n, err := s.Restore(t.Context(), Config{Name: "node-1", Number: 1, Kubelet: &rest.Config{Host: "http://127.0.0.1:1"}, Multus: &rest.Config{Host: "http://127.0.0.1:1"}})
	must(t, err)
	defer n.Kill()
	out, err := n.Control().Read(t.Context(), "/proc/uptime")
	fmt.Println(out, err)
}
