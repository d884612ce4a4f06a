package ufm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

const (
	pathPKeys  = "/resources/pkeys"
	pathRemove = "/actions/remove_guids_from_pkey"
	// urlLimit is the longest URL sent, in bytes. Apache takes 8,190; a proxy may take less.
	urlLimit = 4 << 10
)

// Partitions reads all partitions with their members, the management partition among them.
// One that UFM lists and whose members cannot be read has its Err set and hides no other;
// when not one can be read, that is an error.
//
// The list is asked for with guids_data alone: together with qos_conf, UFM leaves out one
// of the two (nvbugs 5409095).
func (c *Client) Partitions(ctx context.Context) ([]pkey.Partition, error) {
	var list listing
	from, err := c.do(ctx, call{
		op: "list partitions", method: http.MethodGet, path: pathPKeys + "?guids_data=true",
		read: func(body []byte) (err error) { list, err = decodeList(body); return err },
	})
	if err != nil {
		return nil, err
	}
	c.complain(pathPKeys, from, list.odd)
	if err := c.fillIn(ctx, list, from); err != nil {
		return nil, err
	}
	sound := func(p pkey.Partition) bool { return p.Err == nil }
	if parts := list.partitions; len(parts) > 0 && !slices.ContainsFunc(parts, sound) {
		return nil, parts[0].Err // it is no list of partitions, or not of a UFM we know
	}
	return list.partitions, nil
}

// fillIn asks for each partition that a list only names, as some versions do. Without its
// members it would read as an empty one, and its GUIDs as free.
func (c *Client) fillIn(ctx context.Context, list listing, from string) error {
	for i := range list.partitions {
		p := &list.partitions[i]
		if list.bare[p.PKey] {
			one, err := c.partitionAt(ctx, p.PKey, from)
			if err != nil && !isOfOne(err) {
				return err
			}
			one.PKey, one.Err = p.PKey, err
			*p = one
		}
		p.From = from
	}
	return nil
}

// isOfOne reports whether a failed read speaks of the one partition that was asked for.
// No answer, 401 or a gateway's 502 would meet the next one too.
func isOfOne(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case BadAnswer, BadRequest, NotFound:
		return true
	default:
		return e.Status == http.StatusInternalServerError
	}
}

// Partition reads one partition. One that UFM does not know has no members, and is no
// error: UFM drops a partition with its last member.
func (c *Client) Partition(ctx context.Context, p pkey.PKey) (pkey.Partition, error) {
	return c.partitionAt(ctx, p, "")
}

func (c *Client) partitionAt(ctx context.Context, p pkey.PKey, at string) (pkey.Partition, error) {
	var found pkey.Partition
	var odd oddities
	path := pathPKeys + "/" + p.String()
	from, err := c.do(ctx, call{
		op: "read pkey " + p.String(), method: http.MethodGet, path: path + "?guids_data=true", at: at,
		read: func(body []byte) (err error) { found, odd, err = decodeOne(p, body); return err },
	})
	if isKind(err, NotFound) {
		// Usually 200 and {}. But anything that serves HTTP says 404, and here it would
		// mean that all these GUIDs are free: what says so must at least be a UFM.
		_, err = c.version(ctx, from)
		found = pkey.Partition{PKey: p, IPoIB: true}
	}
	if err != nil {
		return pkey.Partition{}, err
	}
	c.complain(path, from, odd)
	found.From = from
	return found, nil
}

// Add puts the GUIDs of b into p, which UFM makes when there is none. GUIDs that are in it
// already take the mode of b. It returns the address that answered, "" when b is empty.
//
// It is POST /resources/pkeys and never /pkeys/add, which has harmed UFMs. One membership
// goes for all: UFM 6.19 ignores a list of them, and makes everybody a full member.
func (c *Client) Add(ctx context.Context, p pkey.PKey, b pkey.Batch) (from string, err error) {
	op := fmt.Sprintf("add %s to pkey %s", count(b.GUIDs), p)
	names, err := checkChange(p, b.GUIDs)
	if err != nil {
		return "", reject(op, err)
	}
	if len(names) == 0 {
		return "", nil
	}
	// Exactly these fields: UFM refuses a body with one that it does not know.
	body, err := json.Marshal(struct {
		PKey       string   `json:"pkey"`
		Index0     bool     `json:"index0"`
		IPoIB      bool     `json:"ip_over_ib"`
		Membership string   `json:"membership"`
		GUIDs      []string `json:"guids"`
	}{p.String(), b.Index0, b.IPoIB, b.Membership.String(), names})
	if err != nil {
		return "", reject(op, err)
	}
	from, err = c.do(ctx, call{op: op, method: http.MethodPost, path: pathPKeys, body: body})
	if e := (*Error)(nil); errors.As(err, &e) && e.Kind == NotFound && strings.Contains(strings.ToLower(e.Detail), "guid") {
		// POST makes the partition it does not find; a 404 that speaks of a GUID is about
		// one of ours that UFM has not seen, and the others may go without it.
		e.Kind = BadRequest
	}
	return answered(from, err)
}

// Remove takes guids out of p. Those that are not in it are no error, nor is a partition
// that UFM does not know. It returns the address that answered, "" when guids is empty.
func (c *Client) Remove(ctx context.Context, p pkey.PKey, guids []guid.GUID) (from string, err error) {
	op := fmt.Sprintf("remove %s from pkey %s", count(guids), p)
	names, err := checkChange(p, guids)
	if err != nil {
		return "", reject(op, err)
	}
	if len(names) == 0 {
		return "", nil
	}
	r := call{op: op, method: http.MethodDelete, path: pathPKeys + "/" + p.String() + "/guids/" + strings.Join(names, ",")}
	if c.urlLength(r.path) > urlLimit {
		r.method, r.path = http.MethodPost, pathRemove
		r.body, err = json.Marshal(struct {
			PKey  string   `json:"pkey"`
			GUIDs []string `json:"guids"`
		}{p.String(), names})
		if err != nil {
			return "", reject(op, err)
		}
	}
	from, err = c.do(ctx, r)
	if isKind(err, NotFound) || isKind(err, BadRequest) && c.noneIn(ctx, p, guids, from) {
		return from, nil
	}
	return answered(from, err)
}

// noneIn reports whether UFM shows none of guids in p. What UFM says to removing a GUID
// that is not there is written down nowhere; when it says no, what it shows decides.
func (c *Client) noneIn(ctx context.Context, p pkey.PKey, guids []guid.GUID, at string) bool {
	now, err := c.partitionAt(ctx, p, at)
	if err != nil {
		return false
	}
	in := make(map[guid.GUID]bool, len(now.Members))
	for _, m := range now.Members {
		in[m.GUID] = true
	}
	for _, g := range guids {
		if in[g] {
			return false
		}
	}
	return true
}

// checkChange refuses what must not be sent, and spells the GUIDs for UFM. A PKey is sent
// as UFM prints it, 0x2fb: it is compared as text by who knows whom.
func checkChange(p pkey.PKey, guids []guid.GUID) ([]string, error) {
	if !p.IsValid() {
		return nil, fmt.Errorf("pkey %s: only %s to %s can be changed", p, pkey.Min, pkey.Max)
	}
	names := make([]string, len(guids))
	for i, g := range guids {
		if !g.IsValid() {
			return nil, fmt.Errorf("guid %s is no GUID of a port", g)
		}
		names[i] = g.Hex()
	}
	return names, nil
}

// urlLength is the length of the longest URL that path becomes, in bytes.
func (c *Client) urlLength(path string) int {
	longest := 0
	for _, e := range c.endpoints {
		longest = max(longest, len(e.base))
	}
	return longest + len("/ufmRestV3") + len(path)
}

// answered gives the address only of a change that UFM answered with success.
func answered(from string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return from, nil
}

func count(guids []guid.GUID) string {
	if len(guids) == 1 {
		return "guid " + guids[0].String()
	}
	return fmt.Sprintf("%d guids", len(guids))
}

// complain logs what could not be read in an answer, once for as long as it is the same.
func (c *Client) complain(path, from string, odd oddities) {
	c.oddMu.Lock()
	defer c.oddMu.Unlock()
	if c.odd[path] == odd {
		return
	}
	c.odd[path] = odd
	if odd == (oddities{}) {
		delete(c.odd, path)
		return
	}
	c.log.Warn("ufm's answer has parts that cannot be read; they are left out",
		zap.String("address", from), zap.String("path", path),
		zap.Int("pkeys", odd.pkeys), zap.Int("guids", odd.guids), zap.Int("memberships", odd.memberships))
}
