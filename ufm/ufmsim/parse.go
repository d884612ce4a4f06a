package ufmsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// The bodies that UFM takes, field by field: what is not in one of them is an additional
// property and refused.
type (
	// partitionBody is of pkeys/add.
	partitionBody struct {
		PKey   *string `json:"pkey"`
		Name   string  `json:"partition_name"`
		Index0 bool    `json:"index0"`
		IPoIB  *bool   `json:"ip_over_ib"`
		qosPatch
	}
	// membersBody is of POST pkeys.
	membersBody struct {
		PKey        *string  `json:"pkey"`
		Name        string   `json:"partition_name"`
		GUIDs       []string `json:"guids"`
		Index0      bool     `json:"index0"`
		IPoIB       *bool    `json:"ip_over_ib"`
		Membership  *string  `json:"membership"`
		Memberships []string `json:"memberships"`
	}
	// putBody is of PUT pkeys.
	putBody struct {
		membersBody
		qosPatch
	}
	qosBody struct {
		PKey *string `json:"pkey"`
		qosPatch
	}
	oldAddBody struct {
		PKey       *string  `json:"pkey"`
		GUIDs      []string `json:"guids"`
		Index0     bool     `json:"index0"`
		IPoIB      *bool    `json:"ip_over_ib"`
		Membership *string  `json:"default_membership"`
	}
	removeBody struct {
		PKey  *string  `json:"pkey"`
		GUIDs []string `json:"guids"`
	}
)

func (s *Sim) parseCreate(r *http.Request) call {
	var b partitionBody
	return s.parse(r, OpCreate, &b, func(c *change) error {
		c.name, c.ipoib, c.qos = b.Name, orTrue(b.IPoIB), b.qosPatch
		return errors.Join(c.setPKey(b.PKey), c.checkQoS())
	})
}

func (s *Sim) parseAdd(r *http.Request) call {
	var b membersBody
	return s.parse(r, OpAdd, &b, func(c *change) error {
		if len(b.Memberships) > 0 && b.Membership == nil && !s.Quirks().HonourMemberships {
			b.Memberships = nil // dropped in silence: all become full
		}
		if len(b.GUIDs) == 0 {
			return errors.New("'guids' is a required property")
		}
		return c.setMembers(b)
	})
}

// parsePut takes an empty list, unlike POST: it replaces, and by nothing is something.
func (s *Sim) parsePut(r *http.Request) call {
	var b putBody
	return s.parse(r, OpPut, &b, func(c *change) error {
		c.qos = b.qosPatch
		if b.GUIDs == nil {
			return errors.New("'guids' is a required property")
		}
		return errors.Join(c.setMembers(b.membersBody), c.checkQoS())
	})
}

func (s *Sim) parseOldAdd(r *http.Request) call {
	var b oldAddBody
	return s.parse(r, OpAdd, &b, func(c *change) error {
		if len(b.GUIDs) == 0 {
			return errors.New("'guids' is a required property")
		}
		return c.setMembers(membersBody{PKey: b.PKey, GUIDs: b.GUIDs, Index0: b.Index0, IPoIB: b.IPoIB, Membership: b.Membership})
	})
}

func (s *Sim) parseRemove(r *http.Request) call {
	var b removeBody
	return s.parse(r, OpRemove, &b, func(c *change) error {
		if len(b.GUIDs) == 0 {
			return errors.New("'guids' is a required property")
		}
		return c.setMembers(membersBody{PKey: b.PKey, GUIDs: b.GUIDs})
	})
}

// parseRemoveURL is DELETE …/guids/g1,g2: no body, and a URL that Apache must take.
func (s *Sim) parseRemoveURL(r *http.Request) call {
	return s.check(OpRemove, func(c *change) error {
		p := r.PathValue("pkey")
		return c.setMembers(membersBody{PKey: &p, GUIDs: strings.Split(r.PathValue("guids"), ",")})
	})
}

func (s *Sim) parseDelete(r *http.Request) call {
	return s.check(OpDelete, func(c *change) error {
		p := r.PathValue("pkey")
		return c.setPKey(&p)
	})
}

func (s *Sim) parseQoS(r *http.Request) call {
	var b qosBody
	return s.parse(r, OpQoS, &b, func(c *change) error {
		c.qos = b.qosPatch
		return errors.Join(c.setPKey(b.PKey), c.checkQoS())
	})
}

// parse reads the body of a change into b and lets fill make the change of it.
func (s *Sim) parse(r *http.Request, op Op, b any, fill func(*change) error) call {
	body, refused := readBody(r)
	if refused != nil {
		return call{op: op, refused: refused}
	}
	return s.check(op, func(c *change) error {
		decode := decodeStrictly
		if s.Quirks().AcceptExtraFields {
			decode = func(body []byte, b any) error { return json.Unmarshal(body, b) }
		}
		if err := decode(body, b); err != nil {
			return err
		}
		return fill(c)
	})
}

// check turns a request that fill finds wrong into a call that is refused.
func (s *Sim) check(op Op, fill func(*change) error) call {
	c := change{op: op}
	err := fill(&c)
	made := call{op: op, pkey: c.pkey, change: c}
	if err != nil {
		made.change.members = nil // read in part only
		a := text(http.StatusBadRequest, strings.ReplaceAll(err.Error(), "\n", "; "))
		made.refused = &a
	}
	return made
}

// decodeStrictly takes one JSON value with no field that v does not have.
func decodeStrictly(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		// In the words of a JSON schema, which is what UFM checks bodies with.
		if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
			return fmt.Errorf("property %q was unexpected: additional properties are not allowed (additionalProperties is false)", clip(strings.Trim(field, `"`)))
		}
		return fmt.Errorf("the body is not the JSON expected: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body has more than one JSON value")
	}
	return nil
}

func (c *change) setPKey(s *string) error {
	if s == nil {
		return errors.New("'pkey' is a required property")
	}
	p, err := pkey.ParseUFM(*s)
	if err != nil {
		return err
	}
	c.pkey = p
	if !p.IsValid() {
		return fmt.Errorf("pkey %s: must be between 0x0 and 0x7fff, exclusive", p)
	}
	return nil
}

// setMembers resolves each GUID to its mode, so that nothing later can fail.
func (c *change) setMembers(b membersBody) error {
	c.name, c.ipoib = b.Name, orTrue(b.IPoIB)
	if err := c.setPKey(b.PKey); err != nil {
		return err
	}
	if b.Membership != nil && b.Memberships != nil {
		return errors.New("'membership' and 'memberships' cannot be given together")
	}
	if b.Memberships != nil && len(b.Memberships) != len(b.GUIDs) {
		return fmt.Errorf("'memberships' has %d values for %d guids", len(b.Memberships), len(b.GUIDs))
	}
	mode := pkey.Mode{Index0: b.Index0}
	var err error
	if b.Membership != nil {
		if mode.Membership, err = parseMembership(*b.Membership); err != nil {
			return err
		}
	}
	c.members = make([]pkey.Member, len(b.GUIDs))
	for i, text := range b.GUIDs {
		if b.Memberships != nil {
			if mode.Membership, err = parseMembership(b.Memberships[i]); err != nil {
				return err
			}
		}
		g, err := parseGUID(text)
		if err != nil {
			return err
		}
		c.members[i] = pkey.Member{GUID: g, Mode: mode}
	}
	return nil
}

func (c *change) checkQoS() error { return c.qos.over(defaultQoS()).Validate() }

// parseGUID takes 16 digits with or without 0x: of what guid.Parse reads, UFM knows no
// more than that.
func parseGUID(s string) (guid.GUID, error) {
	if len(s) != 16 && len(s) != 18 {
		return 0, fmt.Errorf("guid %q: write 16 hex digits, with or without 0x", clip(s))
	}
	return guid.Parse(s)
}

// parseMembership is stricter than pkey.ParseMembership: UFM knows two words.
func parseMembership(s string) (pkey.Membership, error) {
	switch s {
	case "full":
		return pkey.Full, nil
	case "limited":
		return pkey.Limited, nil
	}
	return 0, fmt.Errorf("membership %q is not one of ['full', 'limited']", clip(s))
}

func orTrue(b *bool) bool { return b == nil || *b }
