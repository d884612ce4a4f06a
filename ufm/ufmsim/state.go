package ufmsim

import (
	"maps"
	"slices"
	"strconv"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// state is what a UFM knows of its partitions. It is not safe for concurrent use.
type state struct {
	partitions map[pkey.PKey]*partition
}

// partition keeps its members in the order they came, with an index by GUID, so that
// adding, removing and listing cost the same per GUID however many there are.
type partition struct {
	name    string
	ipoib   bool
	qos     pkey.QoS
	members []pkey.Member
	index   map[guid.GUID]int
}

// change is one write, checked and resolved: applying it cannot fail, so that the same
// change can be applied to the model now and to the fabric's view later.
type change struct {
	op      Op
	pkey    pkey.PKey
	name    string
	ipoib   bool
	qos     qosPatch
	members []pkey.Member // of a remove: only the GUIDs count
	// keepEmpty is the last-guid quirk at the time of the change.
	keepEmpty bool
}

// qosPatch is the part of the quality of service that a body named.
type qosPatch struct {
	MTULimit     *int     `json:"mtu_limit"`
	RateLimit    *float64 `json:"rate_limit"`
	ServiceLevel *int     `json:"service_level"`
}

func (q qosPatch) over(base pkey.QoS) pkey.QoS {
	if q.MTULimit != nil {
		base.MTULimit = *q.MTULimit
	}
	if q.RateLimit != nil {
		base.RateLimit = *q.RateLimit
	}
	if q.ServiceLevel != nil {
		base.ServiceLevel = *q.ServiceLevel
	}
	return base
}

// defaultQoS is what UFM gives to a partition that a REST call made.
func defaultQoS() pkey.QoS { return pkey.QoS{MTULimit: 2, RateLimit: 2.5, ServiceLevel: 0} }

func newState() *state {
	s := &state{}
	s.wipe()
	return s
}

// wipe leaves the management partition only. It lists no GUIDs: it holds every port.
func (s *state) wipe() {
	s.partitions = map[pkey.PKey]*partition{
		pkey.Default: {name: "management", ipoib: true, qos: defaultQoS()},
	}
}

func (s *state) clone() *state {
	c := &state{partitions: make(map[pkey.PKey]*partition, len(s.partitions))}
	for k, p := range s.partitions {
		q := *p
		q.replace(p.members)
		c.partitions[k] = &q
	}
	return c
}

// with is s after a change; s stays as it is. All but what the change is about is shared:
// neither may be changed in place from then on.
func (s *state) with(c change) *state {
	next := &state{partitions: maps.Clone(s.partitions)}
	if p := s.partitions[c.pkey]; p != nil {
		q := *p
		q.replace(p.members)
		next.partitions[c.pkey] = &q
	}
	next.apply(c)
	return next
}

// keys are the PKeys in order, so that two equal states answer alike.
func (s *state) keys() []pkey.PKey {
	keys := make([]pkey.PKey, 0, len(s.partitions))
	for k := range s.partitions {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *state) apply(c change) {
	switch c.op {
	case OpCreate:
		s.ensure(c)
	case OpAdd:
		p := s.ensure(c)
		for _, m := range c.members {
			p.set(m)
		}
	case OpPut:
		s.put(c)
	case OpRemove:
		s.remove(c)
	case OpDelete:
		delete(s.partitions, c.pkey)
	case OpQoS:
		if p := s.partitions[c.pkey]; p != nil {
			p.qos = c.qos.over(p.qos)
		}
	case OpWipe:
		s.wipe()
	}
}

// ensure returns the partition of c and makes it when it is missing. What c says of the
// partition itself counts only then.
func (s *state) ensure(c change) *partition {
	p := s.partitions[c.pkey]
	if p == nil {
		p = &partition{name: c.name, ipoib: c.ipoib, qos: c.qos.over(defaultQoS())}
		if p.name == "" {
			p.name = "api_pkey_0x" + strconv.FormatUint(uint64(c.pkey), 16)
		}
		s.partitions[c.pkey] = p
	}
	return p
}

func (s *state) put(c change) {
	p := s.ensure(c)
	p.ipoib = c.ipoib
	p.qos = c.qos.over(p.qos)
	if c.name != "" {
		p.name = c.name
	}
	p.replace(c.members)
	s.dropEmpty(c, p)
}

func (s *state) remove(c change) {
	p := s.partitions[c.pkey]
	if p == nil {
		return
	}
	before := len(p.members)
	for _, m := range c.members {
		p.unset(m.GUID)
	}
	// One that was made empty stays until somebody has come and gone.
	if len(p.members) < before {
		s.dropEmpty(c, p)
	}
}

// dropEmpty takes away a partition that lost its last member.
func (s *state) dropEmpty(c change, p *partition) {
	if len(p.members) == 0 && !c.keepEmpty && c.pkey != pkey.Default {
		delete(s.partitions, c.pkey)
	}
}

// set puts m in, or gives a member its new mode.
func (p *partition) set(m pkey.Member) {
	if i, ok := p.index[m.GUID]; ok {
		p.members[i] = m
		return
	}
	if p.index == nil {
		p.index = map[guid.GUID]int{}
	}
	p.index[m.GUID] = len(p.members)
	p.members = append(p.members, m)
}

// unset moves the last member into the place of g. Order is no promise of the API, and
// clients that rely on it should find out here.
func (p *partition) unset(g guid.GUID) {
	i, ok := p.index[g]
	if !ok {
		return
	}
	last := len(p.members) - 1
	p.members[i] = p.members[last]
	p.index[p.members[i].GUID] = i
	p.members = p.members[:last]
	delete(p.index, g)
}

func (p *partition) replace(members []pkey.Member) {
	p.members = make([]pkey.Member, 0, len(members))
	p.index = make(map[guid.GUID]int, len(members))
	for _, m := range members {
		p.set(m)
	}
}
