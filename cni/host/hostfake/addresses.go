package hostfake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/host"
)

// Configure implements host.Addresses.
func (k *Kernel) Configure(_ context.Context, ns host.NetNS, name string, result *types100.Result) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := k.named(ns, name); err != nil {
		return err
	}
	c := k.addresses[address{ns, name}]
	for _, ip := range result.IPs {
		c.ips += ip.Address.String() + " "
	}
	for _, r := range result.Routes {
		if ones, _ := r.Dst.Mask.Size(); ones == 0 {
			c.default4, c.default6 = c.default4 || r.Dst.IP.To4() != nil, c.default6 || r.Dst.IP.To4() == nil
		}
	}
	k.addresses[address{ns, name}] = c
	return nil
}

// named is the index of the netdev that has a name.
func (k *Kernel) named(ns host.NetNS, name string) (int, error) {
	for _, f := range k.functions {
		if k.has(ns) && f.dev != nil && f.dev.netdev.ns == ns && f.dev.netdev.Name == name {
			return f.dev.netdev.Index, nil
		}
	}
	return 0, fmt.Errorf("netdev %s in %s: %w", name, ns, host.ErrNotFound)
}

// Configured implements host.Addresses.
func (k *Kernel) Configured(_ context.Context, ns host.NetNS, name string, result *types100.Result, bySource bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	index, err := k.named(ns, name)
	if err != nil {
		return err
	}
	for _, ip := range result.IPs {
		if !strings.Contains(k.addresses[address{ns, name}].ips, ip.Address.String()+" ") {
			return fmt.Errorf("addresses of %s: %s is missing", name, ip.Address.String())
		}
		if table, ok := k.rules[rule{ns, ip.Address.IP.String()}]; bySource && (!ok || table != index) {
			return fmt.Errorf("addresses of %s: the rule for packets from %s is missing", name, ip.Address.IP)
		}
	}
	return nil
}

// HasDefaultRoute implements host.Addresses.
func (k *Kernel) HasDefaultRoute(_ context.Context, ns host.NetNS, v6 bool) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for a, c := range k.addresses {
		if a.ns == ns && (v6 && c.default6 || !v6 && c.default4) {
			return true, nil
		}
	}
	return false, nil
}

// RouteBySource implements host.Addresses.
func (k *Kernel) RouteBySource(_ context.Context, ns host.NetNS, name string, result *types100.Result) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	index, err := k.named(ns, name)
	if err != nil {
		return err
	}
	k.dropRules(ns, index)
	for _, ip := range result.IPs {
		k.rules[rule{ns, ip.Address.IP.String()}] = index
	}
	return nil
}

// UnrouteBySource implements host.Addresses.
func (k *Kernel) UnrouteBySource(_ context.Context, ns host.NetNS, index int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.has(ns) {
		return fmt.Errorf("network namespace %s: %w", ns, host.ErrNotFound)
	}
	k.dropRules(ns, index)
	return nil
}

func (k *Kernel) dropRules(ns host.NetNS, index int) {
	there := map[int]bool{}
	for _, f := range k.functions {
		if f.dev != nil && f.dev.netdev.ns == ns {
			there[f.dev.netdev.Index] = true
		}
	}
	maps.DeleteFunc(k.rules, func(r rule, table int) bool { return r.ns == ns && (table == index || !there[table]) })
}

// Rules are the source addresses that have a table of their own in a namespace.
func (k *Kernel) Rules(ns host.NetNS) (list []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for r := range k.rules {
		if r.ns == ns {
			list = append(list, r.ip)
		}
	}
	return list
}

// Announce implements host.Addresses.
func (k *Kernel) Announce(_ context.Context, ns host.NetNS, name string, result *types100.Result) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := k.named(ns, name); err != nil {
		return err
	}
	for _, ip := range result.IPs {
		k.announced = append(k.announced, ip.Address.IP.String())
	}
	return nil
}

// Announced are the addresses that were announced, in their order.
func (k *Kernel) Announced() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.announced)
}
