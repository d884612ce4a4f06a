package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// counts are how often each thing was done.
type counts struct {
	mu sync.Mutex // protects n
	n  map[string]int
}

func (c *counts) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what] += n
}

func (c *counts) set(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what] = n
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.SortedFunc(maps.Keys(c.n), cmp.Compare[string]) {
		fmt.Fprintf(&b, "  %-34s %6d\n", what, c.n[what])
	}
	return b.String()
}
