package controller

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// clockOfUFM says one text after the other, and the last for ever.
type clockOfUFM struct{ texts []string }

func (u *clockOfUFM) LastUpdated(context.Context) (string, error) {
	text := u.texts[0]
	if len(u.texts) > 1 {
		u.texts = u.texts[1:]
	}
	return text, nil
}

// UFM says null until its first change, and for a moment later on.
func TestASilentMomentIsNoChange(t *testing.T) {
	for name, tc := range map[string]struct {
		earlier []string // before the change is sent, the last of them right before
		during  []string
		counts  bool
	}{
		"it moves":                        {[]string{"noon"}, []string{"noon", "one"}, true},
		"it moves for the first time":     {[]string{""}, []string{"", "noon"}, true},
		"it is silent for ever":           {[]string{"noon"}, []string{""}, false},
		"it was never anything else":      {[]string{""}, []string{""}, false},
		"it is silent and back":           {[]string{"noon"}, []string{"", "noon"}, false},
		"it was silent when it was asked": {[]string{"noon", ""}, []string{"noon"}, false},
		"it was silent, and moves":        {[]string{"noon", ""}, []string{"", "noon", "one"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			ufm := &clockOfUFM{}
			c := &Controller{view: newView(false), applier: ufm, cfg: Config{WaitApplied: true, FabricTimeout: 10 * time.Second}}
			c.now = func() time.Time { return now }
			c.calls = newCalls(c.now)
			c.after = func(d time.Duration) <-chan time.Time {
				now = now.Add(d)
				done := make(chan time.Time)
				close(done)
				return done
			}
			c.view.show(partition("ufm1"), c.view.mark(5))
			before := ""
			for _, text := range tc.earlier {
				ufm.texts = []string{text}
				var err error
				if before, err = c.beforeChange(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			c.view.await(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, before)
			c.view.added(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, "ufm1")
			ufm.texts = slices.Clone(tc.during)
			err := c.untilApplied(t.Context(), 5)
			if counts := c.view.holds(5, pkey.Member{GUID: 1, Mode: mode0}); counts != tc.counts || (err == nil) != tc.counts {
				t.Errorf("it counts is %t, %v", counts, err)
			}
		})
	}
}

// What a failed wait left over is waited for before anything else; the pods are told of that, too.
func TestPodsHearOfAWaitThatGoesOn(t *testing.T) {
	d := newDesk(t)
	now := time.Unix(1000, 0)
	d.now = func() time.Time { return now }
	d.after = func(rest time.Duration) <-chan time.Time {
		now = now.Add(rest)
		done := make(chan time.Time)
		close(done)
		return done
	}
	d.cfg.WaitApplied, d.applier = true, &clockOfUFM{texts: []string{"noon"}}
	r := d.row(rowIn(1, "a", 5))
	d.pending.add(r.Pod, []pkey.PKey{5}, now, now)
	d.view.show(partition("ufm1"), d.view.mark(5))
	before, err := d.beforeChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.view.await(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, before)
	d.view.added(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, "ufm1")
	told := 0
	d.rec.Hear(func(e record.Event, f record.Fields) {
		if e == record.PodWaiting && f.Pod == r.Pod {
			told++
		}
	})
	if err := d.catchUp(t.Context(), 5); err == nil || told != 1 {
		t.Errorf("the wait ended with %v, and the pod was told %d times", err, told)
	}
}
