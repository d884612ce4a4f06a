package ufmsim

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ControlHelp is what GET /ufm-sim/ says.
const ControlHelp = `ufm-sim control endpoints
  GET    /ufm-sim/state               partitions as REST shows them, and as the fabric has them
  GET    /ufm-sim/journal[?since=N]   every change, one JSON object a line
  GET    /ufm-sim/calls               calls by kind; DELETE starts anew
  GET    /ufm-sim/quirks              quirks in force; PUT {"name":"value",…} changes some
  GET    /ufm-sim/timing              PUT {"change":"200ms","read":"0s","apply":"2s"} changes some
  GET    /ufm-sim/faults              faults in force
  POST   /ufm-sim/faults              {"kind":"status","status":503,"op":"add","count":2}
                                      kind: latency status hang lost late truncate html types huge
                                      also: method, pkey, op (add remove … read change), count, probability, delay
  DELETE /ufm-sim/faults[/{id}]       takes one away, or all
  POST   /ufm-sim/wipe                all partitions but management gone
  POST   /ufm-sim/restart[?for=5s]    calls cut, then down for that long
`

// addControl adds what UFM does not have: looking into a Sim and breaking it, for test
// programs that run elsewhere. The paths are outside of UFM's own.
func (s *Sim) addControl(mux *http.ServeMux) {
	for pattern, do := range map[string]func(*http.Request) answer{
		"GET /ufm-sim/{$}":            func(*http.Request) answer { return text(http.StatusOK, strings.TrimSpace(ControlHelp)) },
		"GET /ufm-sim/state":          s.controlState,
		"GET /ufm-sim/journal":        s.controlJournal,
		"GET /ufm-sim/calls":          func(*http.Request) answer { return jsonAnswer(http.StatusOK, s.Calls()) },
		"DELETE /ufm-sim/calls":       func(*http.Request) answer { s.ResetCalls(); return jsonAnswer(http.StatusOK, s.Calls()) },
		"GET /ufm-sim/quirks":         func(*http.Request) answer { return jsonAnswer(http.StatusOK, s.Quirks().Values()) },
		"PUT /ufm-sim/quirks":         s.controlQuirks,
		"GET /ufm-sim/timing":         s.controlShowTiming,
		"PUT /ufm-sim/timing":         s.controlTiming,
		"GET /ufm-sim/faults":         func(*http.Request) answer { return jsonAnswer(http.StatusOK, s.Faults()) },
		"POST /ufm-sim/faults":        s.controlInject,
		"DELETE /ufm-sim/faults":      func(*http.Request) answer { s.ClearFaults(); return jsonAnswer(http.StatusOK, s.Faults()) },
		"DELETE /ufm-sim/faults/{id}": s.controlClear,
		"POST /ufm-sim/wipe":          s.controlWipe,
		"POST /ufm-sim/restart":       s.controlRestart,
	} {
		mux.HandleFunc(pattern, s.guardControl(do))
	}
}

// guardControl asks for the control token. It works while UFM is down: that is when
// somebody wants to know.
func (s *Sim) guardControl(do func(*http.Request) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given := sha256.Sum256([]byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
		want := sha256.Sum256([]byte(s.cfg.ControlToken))
		if s.cfg.ControlToken != "" && subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
			s.write(w, r, text(http.StatusUnauthorized, "the control token goes into Authorization: Bearer …"))
			return
		}
		s.write(w, r, do(r))
	}
}

// controlState ignores the quirks of form: it is for comparing, not for parsing practice.
func (s *Sim) controlState(*http.Request) answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := &encoder{guids: true, qos: true}
	e.text(`{"shown":`)
	e.object(s.model)
	e.text(`,"applied":`)
	e.object(s.fabric)
	e.text(`}`)
	return answer{status: http.StatusOK, body: e.buf}
}

// controlJournal writes a line an entry, so that a reader can follow with since and
// needs to parse no more than it has not seen.
func (s *Sim) controlJournal(r *http.Request) answer {
	var since uint64
	if v := r.URL.Query().Get("since"); v != "" {
		var err error
		if since, err = strconv.ParseUint(v, 10, 64); err != nil {
			return text(http.StatusBadRequest, fmt.Sprintf("since=%q: use the seq of an entry", clip(v)))
		}
	}
	var body []byte
	for _, e := range s.journal.since(since) {
		line, err := json.Marshal(e)
		if err != nil {
			return text(http.StatusInternalServerError, err.Error())
		}
		body = append(append(body, line...), '\n')
	}
	return answer{status: http.StatusOK, kind: "application/x-ndjson", body: body}
}

func (s *Sim) controlQuirks(r *http.Request) answer {
	var values map[string]string
	if refused := readControl(r, &values); refused != nil {
		return *refused
	}
	// On a copy: a misspelt one must not leave the others half set.
	q := s.Quirks()
	for name, value := range values {
		if err := q.Set(name, value); err != nil {
			return text(http.StatusBadRequest, err.Error())
		}
	}
	if err := s.SetQuirks(q); err != nil {
		return text(http.StatusBadRequest, err.Error())
	}
	return jsonAnswer(http.StatusOK, q.Values())
}

// timingJSON is a Timing on the wire; what is left out stays as it is.
type timingJSON struct {
	Change duration `json:"change"`
	Read   duration `json:"read"`
	Apply  duration `json:"apply"`
}

func (s *Sim) controlShowTiming(*http.Request) answer {
	t := s.Timing()
	return jsonAnswer(http.StatusOK, timingJSON{duration(t.Change), duration(t.Read), duration(t.Apply)})
}

func (s *Sim) controlTiming(r *http.Request) answer {
	t := s.Timing()
	w := timingJSON{duration(t.Change), duration(t.Read), duration(t.Apply)}
	if refused := readControl(r, &w); refused != nil {
		return *refused
	}
	s.SetTiming(Timing{time.Duration(w.Change), time.Duration(w.Read), time.Duration(w.Apply)})
	return jsonAnswer(http.StatusOK, w)
}

func (s *Sim) controlInject(r *http.Request) answer {
	body, refused := readBody(r)
	if refused != nil {
		return *refused
	}
	f, err := parseFault(body)
	if err == nil {
		f.ID, err = s.Inject(f)
	}
	if err != nil {
		return text(http.StatusBadRequest, err.Error())
	}
	return jsonAnswer(http.StatusCreated, f)
}

func (s *Sim) controlClear(r *http.Request) answer {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return text(http.StatusBadRequest, fmt.Sprintf("fault %q: use its id", clip(r.PathValue("id"))))
	}
	s.ClearFaults(id)
	return jsonAnswer(http.StatusOK, s.Faults())
}

// controlWipe goes through the journal like any change, by the user ufm-sim.
func (s *Sim) controlWipe(*http.Request) answer {
	if err := s.Wipe(); err != nil {
		return text(http.StatusInternalServerError, err.Error())
	}
	return jsonAnswer(http.StatusOK, struct{}{})
}

func (s *Sim) controlRestart(r *http.Request) answer {
	var down duration
	if v := r.URL.Query().Get("for"); v != "" {
		if err := down.UnmarshalText([]byte(v)); err != nil {
			return text(http.StatusBadRequest, "for: "+err.Error())
		}
	}
	s.Restart(time.Duration(down))
	return jsonAnswer(http.StatusOK, struct{}{})
}

// readControl reads a body as strictly as UFM's: a misspelt name is no silent success.
func readControl(r *http.Request, v any) *answer {
	body, refused := readBody(r)
	if refused != nil {
		return refused
	}
	if err := decodeStrictly(body, v); err != nil {
		a := text(http.StatusBadRequest, err.Error())
		return &a
	}
	return nil
}
