//go:build linux

package node

import (
	"context"
	"testing"
	"time"
)

func TestSmokeSnapshot(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := Prepare(ctx, func(l string) { t.Log(l) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.file)
}
