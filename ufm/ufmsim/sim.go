// Package ufmsim is a UFM-compatible server for those who have no UFM: the part of
// UFM Enterprise's REST API that handles partitions, with the quirks, delays and faults
// of the real one. People develop against it; tests, demos and benchmarks run on it.
//
// A Sim is an http.Handler. Start puts it on a port with TLS as UFM has it. What it
// does like one UFM and unlike another is in Quirks; what goes wrong, and when, in
// Inject; what happened to it, in Journal.
package ufmsim

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/guid"
)

// Config is how a Sim starts. The zero Config is a UFM as it comes from the box: user
// admin, password 123456, no partitions but management, nothing slow.
type Config struct {
	Username, Password string
	Token              string         // one that is valid from the start, beside those made by POST app/tokens
	ClientCAs          *x509.CertPool // whose client certificates are let in under /ufmRest

	Quirks Quirks
	Timing Timing
	Ports  []Port // physical ports, for resources/ports and the unknown-guid quirk

	StateFile    string         // partitions survive a restart there; "" is memory only
	JournalLimit int            // entries to remember; 0 is all
	Version      string         // UFM's release; "" is DefaultVersion
	Location     *time.Location // of last_updated; nil is the machine's
	Clock        Clock          // nil is the time package
	Seed         uint64         // of the dice for Fault.Probability: same seed, same hits

	// SubnetManager carries the partitions into a real fabric and keeps them instead of a
	// StateFile; nil: the fabric exists in memory only, and has a change after Timing.Apply.
	SubnetManager SubnetManager

	// Control enables the endpoints under /ufm-sim/, for ControlToken as bearer or, when
	// that is empty, for everybody.
	Control      bool
	ControlToken string

	// PlainHTTP, or the certificate and key of Start. With neither, Start signs its own.
	PlainHTTP       bool
	CertPEM, KeyPEM []byte
}

// DefaultVersion is the UFM release that a Sim says it is.
const DefaultVersion = "6.21.2-4"

// Port is a physical port of the fabric.
type Port struct {
	GUID   guid.GUID
	System string // host or switch it is on
	Type   string // "" is Computer; else Switch
}

// Sim is one UFM. It is safe for concurrent use.
type Sim struct {
	cfg     Config
	clock   Clock
	routes  *http.ServeMux
	ports   map[guid.GUID]bool
	journal journal
	faults  faults
	logins  *logins
	own     *identity

	turn       chan struct{} // held by the change under way
	saving     sync.Mutex    // one write of the state file, or Store, at a time
	stored     chan struct{} // something was stored for the subnet manager
	background sync.WaitGroup
	closing    sync.Once
	starting   sync.Mutex    // orders what starts in the background before closed
	closed     chan struct{} // nothing new starts
	finished   chan struct{} // and all that ran has ended

	mu          sync.RWMutex // protects what follows; never held over a wait or a file
	quirks      Quirks
	timing      Timing
	model       *state // what REST shows
	fabric      *state // what the subnet manager was told
	pending     []pendingApply
	lastUpdated time.Time
	calls       map[Op]int
	life        chan struct{} // closed when the calls under way are cut
	downUntil   time.Time
	off         bool
}

// New makes a Sim and reads its state file, if it has one.
func New(cfg Config) (*Sim, error) {
	if err := cfg.Quirks.validate(); err != nil {
		return nil, err
	}
	setDefault(&cfg.Username, "admin")
	setDefault(&cfg.Password, "123456")
	setDefault(&cfg.Version, DefaultVersion)
	if cfg.Location == nil {
		cfg.Location = time.Local
	}
	if cfg.Clock == nil {
		cfg.Clock = systemClock{}
	}
	s := assemble(cfg, newState(), newLogins(cfg), &identity{})
	if cfg.StateFile != "" {
		if err := s.load(cfg.StateFile); err != nil {
			return nil, fmt.Errorf("state file %s: %w", cfg.StateFile, err)
		}
	}
	if cfg.SubnetManager != nil {
		if err := s.takeOver(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func assemble(cfg Config, model *state, who *logins, own *identity) *Sim {
	s := &Sim{
		cfg: cfg, clock: cfg.Clock, logins: who, own: own,
		journal: journal{limit: cfg.JournalLimit},
		faults:  faults{random: rand.New(rand.NewPCG(cfg.Seed, 0))},
		ports:   map[guid.GUID]bool{},
		turn:    make(chan struct{}, 1),
		stored:  make(chan struct{}, 1),
		closed:  make(chan struct{}), finished: make(chan struct{}),
		quirks: cfg.Quirks, timing: cfg.Timing,
		model: model, fabric: model.clone(),
		calls: map[Op]int{}, life: make(chan struct{}),
	}
	for _, p := range cfg.Ports {
		s.ports[p.GUID] = true
	}
	s.routes = s.newRoutes()
	return s
}

// Fork returns another UFM with a copy of what this one holds now, that goes its own
// way from then on: a standby whose replication stopped. Logins and certificate are the
// same, as behind one virtual address; faults, journal, state file and subnet manager are
// not shared.
func (s *Sim) Fork() *Sim {
	s.mu.RLock()
	defer s.mu.RUnlock()
	cfg := s.cfg
	cfg.StateFile, cfg.SubnetManager = "", nil
	cfg.Quirks, cfg.Timing = s.quirks, s.timing
	f := assemble(cfg, s.model.clone(), s.logins.clone(), s.own)
	f.lastUpdated = s.lastUpdated
	return f
}

// Close cuts the calls under way and waits for what runs in the background. What the
// Sim holds can still be read from Go.
func (s *Sim) Close() {
	s.closing.Do(func() {
		s.power(false)
		s.starting.Lock()
		close(s.closed)
		s.starting.Unlock()
		s.background.Wait()
		close(s.finished)
	})
}

// start runs f in the background, unless the Sim is closed.
func (s *Sim) start(f func()) bool {
	s.starting.Lock()
	defer s.starting.Unlock()
	select {
	case <-s.closed:
		return false
	default:
		s.background.Go(f)
		return true
	}
}

// power turns UFM on or off; turning it off cuts the calls under way.
func (s *Sim) power(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = !on
	if !on {
		s.cutCalls()
	}
}

// Restart is a restart of UFM: the calls under way are cut and the changes among them
// lost, and for the time given every connection closes without an answer.
func (s *Sim) Restart(down time.Duration) {
	now := s.clock.Now()
	s.mu.Lock()
	s.downUntil = now.Add(down)
	s.cutCalls()
	s.mu.Unlock()
	s.journal.record(Entry{Received: now, Op: OpRestart, Outcome: "down for " + down.String()})
}

// cutCalls ends every wait of a call under way. The caller holds mu.
func (s *Sim) cutCalls() {
	close(s.life)
	s.life = make(chan struct{})
}

// alive returns the life of a call that comes now; ok is false while UFM is down.
func (s *Sim) alive() (life <-chan struct{}, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.life, !s.off && !s.clock.Now().Before(s.downUntil)
}

// Quirks are those in force.
func (s *Sim) Quirks() Quirks {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.quirks
}

// SetQuirks changes the behaviour from the next call on.
func (s *Sim) SetQuirks(q Quirks) error {
	if err := q.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quirks = q
	return nil
}

// Timing is the one in force.
func (s *Sim) Timing() Timing {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.timing
}

// SetTiming changes how long calls take, from the next one on.
func (s *Sim) SetTiming(t Timing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timing = t
}

// ServeHTTP answers as UFM does. Where UFM would break a connection it panics with
// http.ErrAbortHandler, which net/http turns into just that.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }
