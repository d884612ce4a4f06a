package ufmsim

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// encoder writes partitions as UFM does: compact, keys in order of the alphabet. It
// appends by hand: a list of 50,000 members is the hot path of every benchmark.
type encoder struct {
	buf        []byte
	guidForm   string // see Quirks.GUIDForm
	padded     bool   // see Quirks.PaddedPKeys
	guids, qos bool   // which parts to show
}

func (e *encoder) text(s string) { e.buf = append(e.buf, s...) }

func (e *encoder) key(p pkey.PKey) {
	text := p.String()
	if e.padded {
		text = "0x" + strings.Repeat("0", 6-len(text)) + text[2:]
	}
	e.text(`"` + text + `"`)
}

// object writes every partition of s under its PKey.
func (e *encoder) object(s *state) {
	e.text("{")
	for i, k := range s.keys() {
		if i > 0 {
			e.text(",")
		}
		e.key(k)
		e.text(":")
		e.partition(k, s.partitions[k])
	}
	e.text("}")
}

func (e *encoder) partition(k pkey.PKey, p *partition) {
	e.text("{")
	// index0 and membership of the whole are shown for management only, since UFM 6.19.
	if e.guids {
		e.text(`"guids":`)
		e.members(p.members)
		e.text(",")
		if k == pkey.Default {
			e.text(`"index0":false,`)
		}
	}
	e.text(`"ip_over_ib":`)
	e.buf = strconv.AppendBool(e.buf, p.ipoib)
	if e.guids && k == pkey.Default {
		e.text(`,"membership":"limited"`)
	}
	e.text(`,"partition":`)
	e.quoted(p.name)
	if e.qos {
		e.text(`,"qos_conf":{"mtu_limit":`)
		e.buf = strconv.AppendInt(e.buf, int64(p.qos.MTULimit), 10)
		e.text(`,"rate_limit":`)
		e.buf = strconv.AppendFloat(e.buf, p.qos.RateLimit, 'f', -1, 64)
		e.text(`,"service_level":`)
		e.buf = strconv.AppendInt(e.buf, int64(p.qos.ServiceLevel), 10)
		e.text("}")
	}
	e.text("}")
}

// memberSize is about what a member takes, so that the buffer grows once.
const memberSize = 70

func (e *encoder) members(members []pkey.Member) {
	e.buf = slices.Grow(e.buf, memberSize*len(members))
	e.text("[")
	for i, m := range members {
		if i > 0 {
			e.text(",")
		}
		e.text(`{"guid":"`)
		e.guid(m.GUID)
		e.text(`","index0":`)
		e.buf = strconv.AppendBool(e.buf, m.Index0)
		e.text(`,"membership":"`)
		e.text(m.Membership.String())
		e.text(`"}`)
	}
	e.text("]")
}

func (e *encoder) guid(g guid.GUID) {
	if e.guidForm == "upper" {
		e.text(strings.ToUpper(g.Hex()))
		return
	}
	if e.guidForm == "0x" {
		e.text("0x")
	}
	e.buf = hex.AppendEncode(e.buf, binary.BigEndian.AppendUint64(nil, uint64(g)))
}

func (e *encoder) quoted(s string) {
	text, _ := json.Marshal(s) // a string always encodes
	e.buf = append(e.buf, text...)
}
