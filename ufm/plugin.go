package ufm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/Mellanox/ib-kubernetes/pkg/sm/plugins"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Plugin is a Client behind the interface of ib-kubernetes' subnet manager plugins, for
// programs that are written to it. That interface knows no contexts; Config.Timeout bounds
// each call.
type Plugin struct{ Client *Client }

var _ plugins.SubnetManagerClient = Plugin{}

// Name is "ufm", as ib-kubernetes' own plugin says.
func (Plugin) Name() string { return "ufm" }

// Spec is the version of the plugin interface.
func (Plugin) Spec() string { return "1.0" }

// Validate reports whether UFM can be reached and takes the credentials.
func (p Plugin) Validate() error {
	_, err := p.Client.Version(context.Background())
	return err
}

// AddGuidsToPKey makes guids full members with the PKey at index 0, as ib-kubernetes does.
func (p Plugin) AddGuidsToPKey(key int, guids []net.HardwareAddr) error {
	k, list, err := fromPlugin(key, guids)
	if err != nil {
		return reject(fmt.Sprintf("add %d guids to pkey %#x", len(guids), key), err)
	}
	_, err = p.Client.Add(context.Background(), k, pkey.Batch{Mode: pkey.Mode{Index0: true}, IPoIB: true, GUIDs: list})
	return err
}

// RemoveGuidsFromPKey takes guids out of a partition.
func (p Plugin) RemoveGuidsFromPKey(key int, guids []net.HardwareAddr) error {
	k, list, err := fromPlugin(key, guids)
	if err != nil {
		return reject(fmt.Sprintf("remove %d guids from pkey %#x", len(guids), key), err)
	}
	_, err = p.Client.Remove(context.Background(), k, list)
	return err
}

// ListGuidsInUse lists the members of all partitions, each once, in the colon form. It
// fails when those of one cannot be read: what it leaves out is taken for free.
func (p Plugin) ListGuidsInUse() ([]string, error) {
	partitions, err := p.Client.Partitions(context.Background())
	if err != nil {
		return nil, err
	}
	var list []string
	for _, part := range partitions {
		if part.Err != nil {
			return nil, part.Err
		}
		for _, m := range part.Members {
			list = append(list, m.GUID.String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// fromPlugin reads what ib-kubernetes passes: PKeys up to 0xfffe, with or without the
// membership bit.
func fromPlugin(key int, guids []net.HardwareAddr) (pkey.PKey, []guid.GUID, error) {
	if key < 0 || key > 0xffff {
		return 0, nil, fmt.Errorf("pkey %d has more than 16 bits", key)
	}
	list := make([]guid.GUID, len(guids))
	for i, addr := range guids {
		g, err := guid.Parse(addr.String())
		if err != nil {
			return 0, nil, err
		}
		list[i] = g
	}
	return pkey.PKey(key & 0x7fff), list, nil
}

// PluginFabric drives a subnet manager plugin of ib-kubernetes. It can only add and
// remove: the interface shows no members by PKey.
type PluginFabric struct{ plugin plugins.SubnetManagerClient }

// FromPlugin wraps a plugin.
func FromPlugin(p plugins.SubnetManagerClient) *PluginFabric { return &PluginFabric{p} }

// Add makes the GUIDs of b members of p. Only full membership, index 0 and IPoIB can be
// said to a plugin; another batch is rejected, since half of it would pass unseen.
// The context only keeps a call from starting: a plugin cannot be interrupted.
func (f *PluginFabric) Add(ctx context.Context, p pkey.PKey, b pkey.Batch) (string, error) {
	op := fmt.Sprintf("add %s to pkey %s", count(b.GUIDs), p)
	if b.Mode != (pkey.Mode{Membership: pkey.Full, Index0: true}) || !b.IPoIB {
		return "", reject(op, fmt.Errorf("plugin %s can only make full members with index 0 and ip_over_ib, not: %s, ip_over_ib %t", f.plugin.Name(), b.Mode, b.IPoIB))
	}
	return f.change(ctx, op, p, b.GUIDs, f.plugin.AddGuidsToPKey)
}

// Remove takes guids out of p.
func (f *PluginFabric) Remove(ctx context.Context, p pkey.PKey, guids []guid.GUID) (string, error) {
	return f.change(ctx, fmt.Sprintf("remove %s from pkey %s", count(guids), p), p, guids, f.plugin.RemoveGuidsFromPKey)
}

func (f *PluginFabric) change(ctx context.Context, op string, p pkey.PKey, guids []guid.GUID, do func(int, []net.HardwareAddr) error) (string, error) {
	name := cmp.Or(f.plugin.Name(), "plugin")
	if _, err := checkChange(p, guids); err != nil {
		return "", reject(op, err)
	}
	if err := ctx.Err(); err != nil {
		return "", &Error{Kind: Unavailable, Op: op, Address: name, Err: err}
	}
	if len(guids) == 0 {
		return "", nil
	}
	err := do(int(p), hardware(guids))
	if err == nil {
		return name, nil
	}
	if e := (*Error)(nil); errors.As(err, &e) { // a plugin that is this package's own
		return "", err
	}
	// An error of a plugin does not tell whether the change was made.
	return "", &Error{Kind: OutcomeUnknown, Op: op, Address: name, Err: err}
}

func hardware(guids []guid.GUID) []net.HardwareAddr {
	list := make([]net.HardwareAddr, len(guids))
	for i, g := range guids {
		addr := make(net.HardwareAddr, 8)
		for j := range addr {
			addr[j] = byte(g >> (56 - 8*j))
		}
		list[i] = addr
	}
	return list
}
