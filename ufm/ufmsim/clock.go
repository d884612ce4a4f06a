package ufmsim

import "time"

// Clock is where a Sim takes time from. The default is the time package, which inside
// a testing/synctest bubble is the bubble's own; a test over real connections brings
// one that it moves by hand.
type Clock interface {
	Now() time.Time
	After(time.Duration) <-chan time.Time
}

type systemClock struct{}

func (systemClock) Now() time.Time                         { return time.Now() }
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Timing says how long things take.
type Timing struct {
	Change time.Duration // from a change to its answer; the model changes at the end of it
	Read   time.Duration // from a GET to its answer
	Apply  time.Duration // from the answer to a change until the fabric has it and last_updated moves
}

// sleep waits for d. It reports false when life ended first: the Sim was restarted or
// closed, and whoever slept is gone with it.
func (s *Sim) sleep(life <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		select {
		case <-life:
			return false
		default:
			return true
		}
	}
	select {
	case <-s.clock.After(d):
		return true
	case <-life:
		return false
	}
}
