package opensm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	// header comes first and tells our file from others.
	header = "# Written by ufm-sim, which reads it when it starts. Change partitions through ufm-sim, not here.\n"

	// defaultPartition is what OpenSM does by itself when there is a file, said aloud, and
	// with IPoIB: ports can reach the subnet manager and not each other.
	defaultPartition = "Default=0x7fff, ipoib, defmember=limited : ALL=limited, ALL_SWITCHES=full, SELF=full ;\n"

	// membersALine keeps lines below maxLine. OpenSM reads 4,094 characters of a line and
	// takes the rest for another one, with half a GUID at its start.
	membersALine = 100
	maxLine      = 4000

	maxName = 31 // OpenSM's buffer has 32 bytes
)

// Render writes partitions as OpenSM reads them: for each one or more lines that are
// whole definitions, which OpenSM merges by PKey. The management partition is not
// written from parts; parts must be in order of PKey and members in order of GUID.
func Render(parts []ufmsim.Partition) ([]byte, error) {
	body := []byte(header + defaultPartition)
	var last pkey.PKey
	for _, p := range parts {
		if p.PKey == pkey.Default && len(p.Members) == 0 {
			continue
		}
		if err := check(p); err != nil {
			return nil, fmt.Errorf("partition %s: %w", p.PKey, err)
		}
		if p.PKey <= last {
			return nil, fmt.Errorf("partition %s comes after %s", p.PKey, last)
		}
		last = p.PKey
		body = appendPartition(body, p)
	}
	return body, nil
}

// appendPartition groups members by index 0, which OpenSM knows as a flag of a
// definition, not of a member. An empty partition is a line without members.
func appendPartition(body []byte, p ufmsim.Partition) []byte {
	var plain, index0 []pkey.Member
	for _, m := range p.Members {
		if m.Index0 {
			index0 = append(index0, m)
		} else {
			plain = append(plain, m)
		}
	}
	if len(p.Members) == 0 {
		return appendLine(body, p, "", nil)
	}
	for chunk := range slices.Chunk(plain, membersALine) {
		body = appendLine(body, p, "", chunk)
	}
	for chunk := range slices.Chunk(index0, membersALine) {
		body = appendLine(body, p, ", indx0", chunk)
	}
	return body
}

// appendLine repeats the partition's flags: of several lines OpenSM takes the last one's
// service level.
func appendLine(body []byte, p ufmsim.Partition, flag string, members []pkey.Member) []byte {
	if p.IPoIB {
		flag += ", ipoib"
	}
	body = fmt.Appendf(body, "%s=%s%s, mtu=%d, rate=%d, sl=%d :",
		p.Name, p.PKey, flag, mtuCodes()[p.QoS.MTULimit], rateCodes()[p.QoS.RateLimit], p.QoS.ServiceLevel)
	for i, m := range members {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, " 0x"+m.GUID.Hex()+"="+m.Membership.String()...)
	}
	return append(body, " ;\n"...)
}

// check refuses what would not be one partition of one tenant on lines of its own.
func check(p ufmsim.Partition) error {
	if !p.PKey.IsValid() {
		return errors.New("not a PKey that a tenant can have")
	}
	if !validName(p.Name) {
		return fmt.Errorf("name %.60s: use a letter and up to %d more letters, digits, dots, _ and -", strconv.Quote(p.Name), maxName-1)
	}
	if err := p.QoS.Validate(); err != nil {
		return err
	}
	var last guid.GUID
	for _, m := range p.Members {
		switch {
		case !m.GUID.IsValid() || m.GUID <= last:
			return fmt.Errorf("guid %s: not valid, or out of order after %s", m.GUID, last)
		case m.Membership != pkey.Full && m.Membership != pkey.Limited:
			return fmt.Errorf("guid %s: membership %d is neither full nor limited", m.GUID, m.Membership)
		}
		last = m.GUID
	}
	return nil
}

func validName(name string) bool {
	for i, r := range []byte(name) {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		if !letter && (i == 0 || !('0' <= r && r <= '9') && r != '_' && r != '-' && r != '.') {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

// mtuCodes are OpenSM's numbers for UFM's mtu_limit (IBTA 14.2.5.6: 4 is 2,048 bytes, 5
// is 4,096).
func mtuCodes() map[int]int { return map[int]int{2: 4, 4: 5} }

// rateCodes are OpenSM's numbers for UFM's rate_limit in Gb/s (IBTA 15.2.5.16).
func rateCodes() map[float64]int {
	return map[float64]int{
		2.5: 2, 5: 5, 10: 3, 14: 11, 20: 6, 25: 15, 30: 4, 40: 7, 56: 12, 60: 8,
		80: 9, 100: 16, 112: 13, 120: 10, 168: 14, 200: 17, 300: 18,
	}
}
