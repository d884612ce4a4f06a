package ufmsim

import (
	"net/http"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

// call is one request, understood: what faults are matched with, and what to do.
type call struct {
	op      Op
	pkey    pkey.PKey
	refused *answer       // the request was no good
	change  change        // when op changes partitions
	read    func() answer // when it does not
}

// request is who called and under which circumstances.
type request struct {
	user, remote string
	life         <-chan struct{}
	received     time.Time
	slower       time.Duration // by a fault
	note         string        // a fault, for the journal
}

// maxRequestLine is Apache's LimitRequestLine, which stands before UFM's REST server.
const maxRequestLine = 8190

// handle makes the handler of a route: who is it, what is wanted, what goes wrong, do it.
func (s *Sim) handle(prefix string, parse func(*http.Request) call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		life, up := s.alive()
		if !up {
			s.write(w, r, answer{cut: true})
			return
		}
		line := len(r.Method) + len(r.RequestURI) + len(r.Proto) + 2
		if line > maxRequestLine && !s.Quirks().LongURLs {
			s.write(w, r, text(http.StatusRequestURITooLong, "The requested URL's length exceeds the capacity limit for this server."))
			return
		}
		user, ok := s.authenticate(r, prefix)
		if !ok {
			s.count(OpUnauthorized)
			s.write(w, r, text(http.StatusUnauthorized, "Unauthorized"))
			return
		}
		c := parse(r)
		s.count(c.op)
		s.write(w, r, s.serve(r, c, request{user: user, remote: r.RemoteAddr, life: life, received: s.clock.Now()}))
	}
}

// serve lets happen to a call what the faults in force say.
func (s *Sim) serve(r *http.Request, c call, q request) answer {
	hits := s.faults.draw(c, r.Method)
	for _, f := range hits {
		switch f.Kind {
		case FaultLatency:
			q.slower += f.Delay
		case FaultStatus:
			return s.refusal(c, q, text(f.Status, http.StatusText(f.Status)+" (injected)"))
		case FaultHang:
			select {
			case <-r.Context().Done():
			case <-q.life:
			}
			return s.refusal(c, q, answer{cut: true})
		case FaultLate:
			s.later(c, q, f.Delay)
			return answer{cut: true}
		case FaultLost, FaultTruncate, FaultHTML, FaultTypes, FaultHuge:
			q.note = ", answer: " + string(f.Kind)
		}
	}
	a := s.execute(c, q)
	for _, f := range hits {
		a = mangle(a, f.Kind)
	}
	return a
}

// later executes a call whose client was already cut off.
func (s *Sim) later(c call, q request, delay time.Duration) {
	q.life, q.note = s.closed, ", late"
	s.start(func() {
		if s.sleep(s.closed, delay) {
			s.execute(c, q)
		}
	})
}

func (s *Sim) execute(c call, q request) answer {
	switch {
	case c.refused != nil:
		return s.refusal(c, q, *c.refused)
	case !c.op.Changes():
		if !s.sleep(q.life, s.Timing().Read+q.slower) {
			return answer{cut: true}
		}
		return c.read()
	}
	return s.takeTurn(c, q)
}

// takeTurn runs a change when it is its turn. A client that goes away meanwhile does not
// call it back: UFM goes on with what it was told, and the client cannot know.
func (s *Sim) takeTurn(c call, q request) answer {
	switch s.Quirks().Concurrent {
	case "parallel":
	case "fail":
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		default:
			return s.refusal(c, q, text(http.StatusInternalServerError, "Another partition change is in progress"))
		}
	default:
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		case <-q.life:
			return s.refusal(c, q, answer{cut: true})
		}
	}
	if !s.sleep(q.life, s.Timing().Change+q.slower) {
		return s.refusal(c, q, answer{cut: true})
	}
	return s.commit(c.change, q)
}

// refusal answers a call that was not done, and journals it if it was to change something.
func (s *Sim) refusal(c call, q request, a answer) answer {
	if c.op.Changes() {
		s.journal.record(entryOf(c.op, c.pkey, c.change.members, q, a))
	}
	return a
}

func entryOf(op Op, p pkey.PKey, members []pkey.Member, q request, a answer) Entry {
	e := Entry{Received: q.received, Op: op, PKey: p, Members: members, User: q.user, Remote: q.remote, Status: a.status}
	switch {
	case a.cut:
		e.Outcome = "cut off, not done"
	case a.status >= 400:
		e.Outcome = "refused: " + firstLine(a.body)
	default:
		e.Outcome = "done" + q.note
	}
	return e
}

func (s *Sim) count(op Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[op]++
}
