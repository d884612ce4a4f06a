package multus

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestWhoIsUndoneAgainAndAgainWritesSeldomer(t *testing.T) {
	var p pace
	key, start := types.NamespacedName{Namespace: "gpu", Name: "rail1"}, time.Unix(1e9, 0)
	writes := 0
	for at := time.Duration(0); at < time.Hour; at += 50 * time.Millisecond { // how often it is undone
		if now := start.Add(at); p.due(key, "wish", now) == nil {
			p.wrote(key, "wish", now)
			writes++
		}
	}
	// Eight at once, eleven doublings up to five minutes, and then one every five minutes.
	if writes < 25 || writes > 35 || !p.contested(key, "wish", start.Add(time.Hour)) {
		t.Errorf("%d writes in an hour", writes)
	}
	now := start.Add(time.Hour)
	var soon tooSoon
	if err := p.due(key, "wish", now); !errors.As(err, &soon) || time.Duration(soon) > backoffMax {
		t.Errorf("it must wait: %v", err)
	}
	if err := p.due(key, "another wish", now); err != nil {
		t.Errorf("what its author wants anew: %v", err)
	}
	if err := p.due(types.NamespacedName{Name: "other"}, "wish", now); err != nil {
		t.Errorf("another object: %v", err)
	}
}

func TestCalmIsForgiven(t *testing.T) {
	var p pace
	key, now := types.NamespacedName{Namespace: "gpu", Name: "rail1"}, time.Unix(1e9, 0)
	for range freely {
		if err := p.due(key, "wish", now); err != nil {
			t.Fatal(err)
		}
		p.wrote(key, "wish", now)
	}
	if p.due(key, "wish", now) == nil {
		t.Fatal("it is not slowed down")
	}
	later := now.Add(calm + time.Second)
	if err := p.due(key, "wish", later); err != nil || p.contested(key, "wish", later) {
		t.Errorf("%v", err)
	}
	if p.forget(key); len(p.turns) > 0 {
		t.Error("a network that is gone is remembered")
	}
}
