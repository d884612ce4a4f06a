package ufmsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

// FaultKind is what goes wrong.
type FaultKind string

// The kinds. Those that say "done" do what was asked all the same.
const (
	FaultLatency  FaultKind = "latency"  // takes Delay longer; done
	FaultStatus   FaultKind = "status"   // answers Status; not done
	FaultHang     FaultKind = "hang"     // no answer until the client goes away; not done
	FaultLost     FaultKind = "lost"     // done, then the connection closes without an answer
	FaultLate     FaultKind = "late"     // the connection closes at once; done after Delay
	FaultTruncate FaultKind = "truncate" // done; half of the body, then the connection closes
	FaultHTML     FaultKind = "html"     // done; a web page with status 200
	FaultTypes    FaultKind = "types"    // done; JSON whose values have the wrong types
	FaultHuge     FaultKind = "huge"     // done; the answer behind 10 MB of blanks
)

// Fault is something to go wrong with calls that match. The zero matcher is every call.
type Fault struct {
	ID   int       // given by Inject
	Kind FaultKind // what happens
	// Method, PKey and Op say to which calls. Op "read" stands for every read and
	// "change" for every change.
	Method string
	PKey   pkey.PKey
	Op     Op
	// Count is how many calls it hits before it is gone; 0: no end to it.
	Count int
	// Probability is that of a matching call to be hit; 0 and 1: always.
	Probability float64
	Status      int           // of FaultStatus
	Delay       time.Duration // of FaultLatency and FaultLate
}

// Matchers for groups of operations.
const (
	OpAnyRead   Op = "read"
	OpAnyChange Op = "change"
)

// validate refuses a fault that could never do what it says.
func (f Fault) validate() error {
	kinds := []FaultKind{FaultLatency, FaultStatus, FaultHang, FaultLost, FaultLate, FaultTruncate, FaultHTML, FaultTypes, FaultHuge}
	ops := []Op{"", OpAnyRead, OpAnyChange, OpCreate, OpAdd, OpRemove, OpPut, OpDelete, OpQoS, OpList, OpGet, OpLastUpdated, OpOther}
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("fault kind %q: use one of %v", f.Kind, kinds)
	case !slices.Contains(ops, f.Op):
		return fmt.Errorf("fault op %q: use one of %v", f.Op, ops[1:])
	case f.Kind == FaultStatus && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("fault status %d: use 400 to 599", f.Status)
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("fault probability %v: use 0 to 1", f.Probability)
	case f.Count < 0 || f.Delay < 0:
		return errors.New("fault count and delay cannot be below 0")
	case f.Kind == FaultLatency && f.Delay == 0:
		return errors.New("fault latency needs a delay")
	}
	return nil
}

func (f Fault) matches(c call, method string) bool {
	switch {
	case f.Method != "" && f.Method != method, f.PKey != 0 && f.PKey != c.pkey:
		return false
	case f.Op == OpAnyChange:
		return c.op.Changes()
	case f.Op == OpAnyRead:
		return !c.op.Changes()
	}
	return f.Op == "" || f.Op == c.op
}

// faults are those in force, in the order they came.
type faults struct {
	mu     sync.Mutex // protects what follows
	nextID int
	list   []*Fault
	random *rand.Rand
}

// draw picks the faults that hit one call, and counts them down.
func (fs *faults) draw(c call, method string) []Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var hit []Fault
	fs.list = slices.DeleteFunc(fs.list, func(f *Fault) bool {
		if !f.matches(c, method) || f.Probability > 0 && fs.random.Float64() >= f.Probability {
			return false
		}
		hit = append(hit, *f)
		if f.Count == 0 {
			return false
		}
		f.Count--
		return f.Count == 0
	})
	return hit
}

// Inject puts a fault in force, until its count is used up or ClearFaults.
func (s *Sim) Inject(f Fault) (id int, err error) {
	if err := f.validate(); err != nil {
		return 0, err
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.nextID++
	f.ID = s.faults.nextID
	s.faults.list = append(s.faults.list, &f)
	return f.ID, nil
}

// Faults are those in force, with what is left of their counts.
func (s *Sim) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	list := make([]Fault, len(s.faults.list))
	for i, f := range s.faults.list {
		list[i] = *f
	}
	return list
}

// ClearFaults takes faults away by id, and all of them when it is given none.
func (s *Sim) ClearFaults(ids ...int) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = slices.DeleteFunc(s.faults.list, func(f *Fault) bool {
		return len(ids) == 0 || slices.Contains(ids, f.ID)
	})
}

// faultJSON is a Fault on the wire: small letters, and a delay as "200ms".
type faultJSON struct {
	ID          int       `json:"id,omitempty"`
	Kind        FaultKind `json:"kind"`
	Method      string    `json:"method,omitempty"`
	PKey        pkey.PKey `json:"pkey,omitempty"`
	Op          Op        `json:"op,omitempty"`
	Count       int       `json:"count,omitempty"`
	Probability float64   `json:"probability,omitempty"`
	Status      int       `json:"status,omitempty"`
	Delay       duration  `json:"delay,omitempty"`
}

// duration is a time.Duration that reads and writes as "200ms".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v < 0 {
		err = errors.New("it is below 0")
	}
	if err != nil {
		return fmt.Errorf("duration %q: %w", text, err)
	}
	*d = duration(v)
	return nil
}

// MarshalJSON writes a fault as the control endpoint shows it.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{f.ID, f.Kind, f.Method, f.PKey, f.Op, f.Count, f.Probability, f.Status, duration(f.Delay)})
}

func parseFault(body []byte) (Fault, error) {
	var w faultJSON
	if err := decodeStrictly(body, &w); err != nil {
		return Fault{}, err
	}
	if w.Kind == FaultStatus && w.Status == 0 {
		w.Status = http.StatusInternalServerError
	}
	return Fault{0, w.Kind, w.Method, w.PKey, w.Op, w.Count, w.Probability, w.Status, time.Duration(w.Delay)}, nil
}
