package chaos

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/authority"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	ufmUser     = "admin"
	ufmPassword = "s3cret-of-ufm"
	ufmChange   = 30 * milli // what a change costs when nothing is wrong
)

// ufm is one UFM and what it held when it came to be.
type ufm struct {
	name   string
	sim    *ufmsim.Sim
	srv    *ufmsim.Server
	addr   string
	parent *ufm // whose copy it was at first; nil: nobody's
	born   time.Time
	first  []ufmsim.Partition
}

// spell is a time in which one UFM answered.
type spell struct {
	of       *ufm
	from, to time.Time // to is zero while it lasts
}

// ufms are all that ever were: one answers, one stands by with what it knew when it was
// made or last answered.
type ufms struct {
	chronicle *chronicle
	authority *authority.Authority
	ports     []func() // let go of what hold took

	mu              sync.Mutex // protects what follows
	all             []*ufm
	active, standby *ufm
	spells          []spell
	wipes           []time.Time
}

func startUFMs(plan Plan, ranges []guid.Range, c *chronicle) (*ufms, error) {
	signer, err := authority.New("chaos")
	if err != nil {
		return nil, err
	}
	pair, err := certify(signer, time.Now().Add(certified))
	if err != nil {
		return nil, err
	}
	sim, err := ufmsim.New(ufmsim.Config{
		Username: ufmUser, Password: ufmPassword, Seed: plan.Seed, CertPEM: pair.Cert, KeyPEM: pair.Key,
		Timing: ufmsim.Timing{Change: ufmChange}, Ports: knownPorts(ranges),
	})
	if err != nil {
		return nil, fmt.Errorf("make a UFM: %w", err)
	}
	if err := sim.Preload(strangers(ranges[0])...); err != nil {
		return nil, fmt.Errorf("put strangers into UFM: %w", err)
	}
	u := &ufms{chronicle: c, authority: signer}
	u.active = u.add(sim, nil, "")
	if u.active.addr, err = u.hold(); err != nil {
		return nil, err
	}
	if err = u.active.open(); err != nil {
		return nil, fmt.Errorf("start a UFM: %w", err)
	}
	u.spells = []spell{{of: u.active, from: time.Now()}}
	u.standby = u.add(sim.Fork(), u.active, u.active.addr)
	if plan.TwoAddresses {
		// It has a port now, and opens it when it is its turn.
		if u.standby.addr, err = u.hold(); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// hold takes a port that stays the UFMs' own while none of them answers there.
func (u *ufms) hold() (addr string, err error) {
	port, release, err := testbed.HeldPort()
	if err != nil {
		return "", fmt.Errorf("a port for a UFM: %w", err)
	}
	u.ports = append(u.ports, release)
	return fmt.Sprintf("127.0.0.1:%d", port), nil
}

func (u *ufms) add(sim *ufmsim.Sim, parent *ufm, addr string) *ufm {
	n := &ufm{name: fmt.Sprintf("ufm-%d", len(u.all)), sim: sim, parent: parent, addr: addr, born: time.Now(), first: sim.Partitions()}
	u.all = append(u.all, n)
	return n
}

// addresses are what the controllers are told.
func (u *ufms) addresses() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.standby.addr == u.active.addr {
		return u.active.addr
	}
	return u.active.addr + "," + u.standby.addr
}

// every are all that ever were, in the order in which they came to be.
func (u *ufms) every() []*ufm {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.all)
}

func (u *ufms) now() *ufm {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.active
}

// standbySince is of when the standby's knowledge is.
func (u *ufms) standbySince() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.standby.born
	for _, s := range u.spells {
		if s.of == u.standby {
			last = later(last, s.to)
		}
	}
	return last
}

// fork makes a new standby that knows all of this moment.
func (u *ufms) fork() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.standby = u.add(u.active.sim.Fork(), u.active, u.standby.addr)
	u.chronicle.say("%s stands by, and knows what %s knows now", u.standby.name, u.active.name)
}

// failOver lets the standby answer after a while in which nobody does. Unless it is to be an
// old one, it knows what was known within the hold time.
func (u *ufms) failOver(gap time.Duration, old bool) error {
	if !old && time.Since(u.standbySince()) > holdTime {
		u.fork()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.active.srv.Stop()
	u.spells[len(u.spells)-1].to = time.Now()
	u.chronicle.say("%s is gone, %s will answer in its place", u.active.name, u.standby.name)
	time.Sleep(gap)
	u.active, u.standby = u.standby, u.active
	u.spells = append(u.spells, spell{of: u.active, from: time.Now()})
	if err := u.active.open(); err != nil {
		return fmt.Errorf("open %s: %w", u.active.name, err)
	}
	u.chronicle.say("%s answers", u.active.name)
	return nil
}

func (n *ufm) open() error {
	if n.srv != nil {
		return n.srv.Resume()
	}
	var err error
	n.srv, err = n.sim.Start(n.addr)
	return err
}

func (u *ufms) wipe() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wipes = append(u.wipes, time.Now())
	u.chronicle.say("%s is wiped", u.active.name)
	return u.active.sim.Wipe()
}

// mend takes everything away that is wrong with any of them.
func (u *ufms) mend() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.all {
		n.sim.ClearFaults()
		n.sim.SetTiming(ufmsim.Timing{Change: ufmChange})
		if err := n.sim.SetQuirks(ufmsim.Quirks{}); err != nil {
			return err
		}
	}
	return u.active.open()
}

func (u *ufms) close() {
	for _, n := range u.all {
		if n.srv != nil {
			n.srv.Close()
		}
		n.sim.Close()
	}
	for _, release := range u.ports {
		release()
	}
}

// strangers are members that no pod explains: of somebody else's GUIDs, and of our
// range, in partitions that pods use and in one that none does.
func strangers(r guid.Range) []pkey.Partition {
	full := pkey.Mode{Index0: true}
	var list []pkey.Partition
	for i, p := range []pkey.PKey{firstPKey, firstPKey + 1, firstPKey + 2, 0x666} {
		list = append(list, pkey.Partition{PKey: p, Members: []pkey.Member{
			{GUID: foreignGUID + guid.GUID(i), Mode: full},
			{GUID: r.First + guid.GUID(7*i+3), Mode: full},
		}})
	}
	return list
}

// foreignGUID begins the GUIDs of somebody else's hardware.
const foreignGUID guid.GUID = 0x0c42a10300000000

// knownPorts are nearly all of the ranges: the others are refused one by one when UFM
// is told to look (UFMUnknown).
func knownPorts(ranges []guid.Range) []ufmsim.Port {
	var ports []ufmsim.Port
	for _, r := range ranges {
		for g := r.First; g <= r.Last; g++ {
			if g%37 != 0 {
				ports = append(ports, ufmsim.Port{GUID: g})
			}
		}
	}
	return ports
}
