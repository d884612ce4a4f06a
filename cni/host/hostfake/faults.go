package hostfake

import (
	"context"
	"sync"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// Faults stands before a kernel, this package's or a real one, and lets a verb fail or
// the program die in it. It counts verbs from 0.
type Faults struct {
	kernel host.Kernel

	mu    sync.Mutex
	verbs []string
	plan  func(n int, verb string) Fault
}

// Fault is what happens at a verb. The zero value is nothing.
type Fault struct {
	Err  error // the verb gives this error
	Kill bool  // the program ends
	Late bool  // after the verb has done its work, not before
}

var _ host.Kernel = (*Faults)(nil)

// NewFaults lets everything through until Plan is called.
func NewFaults(kernel host.Kernel) *Faults { return &Faults{kernel: kernel} }

// Plan sets what happens from now on and begins to count anew; nil is nothing.
func (s *Faults) Plan(plan func(n int, verb string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.verbs = plan, nil
}

// Verbs are the names of the verbs since the last Plan.
func (s *Faults) Verbs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.verbs...)
}

// killed is what a death looks like from inside the test.
type killed struct{}

// Survive runs f and reports whether it was killed in a verb. Deferred calls run, as
// they would not in a real death: they may only give up what a process gives up anyway.
func Survive(f func() error) (dead bool, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case killed:
			dead = true
		default:
			panic(r)
		}
	}()
	return false, f()
}

// Point makes a step outside the kernel, such as the call of another plugin, a verb.
func (s *Faults) Point(verb string, f func() error) error {
	_, err := at(s, verb, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func at[T any](s *Faults, verb string, f func() (T, error)) (T, error) {
	s.mu.Lock()
	fault := Fault{}
	if s.plan != nil {
		fault = s.plan(len(s.verbs), verb)
	}
	s.verbs = append(s.verbs, verb)
	s.mu.Unlock()

	var zero T
	if !fault.Late {
		if fault.Kill {
			panic(killed{})
		}
		if fault.Err != nil {
			return zero, fault.Err
		}
	}
	v, err := f()
	if fault.Late && fault.Kill {
		panic(killed{})
	}
	if fault.Late && fault.Err != nil {
		return zero, fault.Err
	}
	return v, err
}

func (s *Faults) do(verb string, f func() error) error { return s.Point(verb, f) }

func (s *Faults) BootID(ctx context.Context) (string, error) {
	return at(s, "BootID", func() (string, error) { return s.kernel.BootID(ctx) })
}

func (s *Faults) HasNetNS(ctx context.Context, ns host.NetNS) (bool, error) {
	return at(s, "HasNetNS", func() (bool, error) { return s.kernel.HasNetNS(ctx, ns) })
}

func (s *Faults) SeesNetNS(ctx context.Context, ns host.NetNS) (bool, error) {
	return at(s, "SeesNetNS", func() (bool, error) { return s.kernel.SeesNetNS(ctx, ns) })
}

func (s *Faults) NetNSID(ctx context.Context, ns host.NetNS) (string, error) {
	return at(s, "NetNSID", func() (string, error) { return s.kernel.NetNSID(ctx, ns) })
}

func (s *Faults) RDMAMode(ctx context.Context) (host.RDMAMode, error) {
	return at(s, "RDMAMode", func() (host.RDMAMode, error) { return s.kernel.RDMAMode(ctx) })
}

func (s *Faults) Device(ctx context.Context, pci host.PCI) (host.Device, error) {
	return at(s, "Device", func() (host.Device, error) { return s.kernel.Device(ctx, pci) })
}

func (s *Faults) Unbind(ctx context.Context, pci host.PCI) error {
	return s.do("Unbind", func() error { return s.kernel.Unbind(ctx, pci) })
}

func (s *Faults) Bind(ctx context.Context, pci host.PCI, driver string) error {
	return s.do("Bind", func() error { return s.kernel.Bind(ctx, pci, driver) })
}

func (s *Faults) VFConfig(ctx context.Context, vf host.VF) (host.VFConfig, error) {
	return at(s, "VFConfig", func() (host.VFConfig, error) { return s.kernel.VFConfig(ctx, vf) })
}

func (s *Faults) SetVFGUID(ctx context.Context, vf host.VF, node, port guid.GUID) error {
	return s.do("SetVFGUID", func() error { return s.kernel.SetVFGUID(ctx, vf, node, port) })
}

func (s *Faults) SetVFLinkState(ctx context.Context, vf host.VF, state host.LinkState) error {
	return s.do("SetVFLinkState", func() error { return s.kernel.SetVFLinkState(ctx, vf, state) })
}

func (s *Faults) SetVFEthernet(ctx context.Context, vf host.VF, to host.Ethernet) error {
	return s.do("SetVFEthernet", func() error { return s.kernel.SetVFEthernet(ctx, vf, to) })
}

func (s *Faults) Netdev(ctx context.Context, ns host.NetNS, pci host.PCI) (host.Netdev, error) {
	return at(s, "Netdev", func() (host.Netdev, error) { return s.kernel.Netdev(ctx, ns, pci) })
}

func (s *Faults) MoveNetdev(ctx context.Context, from host.NetNS, index int, to host.NetNS, name string) error {
	return s.do("MoveNetdev", func() error { return s.kernel.MoveNetdev(ctx, from, index, to, name) })
}

func (s *Faults) RenameNetdev(ctx context.Context, ns host.NetNS, index int, name string) error {
	return s.do("RenameNetdev", func() error { return s.kernel.RenameNetdev(ctx, ns, index, name) })
}

func (s *Faults) SetNetdevUp(ctx context.Context, ns host.NetNS, index int, up bool) error {
	return s.do("SetNetdevUp", func() error { return s.kernel.SetNetdevUp(ctx, ns, index, up) })
}

func (s *Faults) Configure(ctx context.Context, ns host.NetNS, name string, result *types100.Result) error {
	return s.do("Configure", func() error { return s.kernel.Configure(ctx, ns, name, result) })
}

func (s *Faults) SetNetdevMTU(ctx context.Context, ns host.NetNS, index, mtu int) error {
	return s.do("SetNetdevMTU", func() error { return s.kernel.SetNetdevMTU(ctx, ns, index, mtu) })
}

func (s *Faults) SetNetdevAddr(ctx context.Context, ns host.NetNS, index int, addr host.MAC) error {
	return s.do("SetNetdevAddr", func() error { return s.kernel.SetNetdevAddr(ctx, ns, index, addr) })
}

func (s *Faults) Configured(ctx context.Context, ns host.NetNS, name string, result *types100.Result, bySource bool) error {
	return s.do("Configured", func() error { return s.kernel.Configured(ctx, ns, name, result, bySource) })
}

func (s *Faults) HasDefaultRoute(ctx context.Context, ns host.NetNS, v6 bool) (bool, error) {
	return at(s, "HasDefaultRoute", func() (bool, error) { return s.kernel.HasDefaultRoute(ctx, ns, v6) })
}

func (s *Faults) RouteBySource(ctx context.Context, ns host.NetNS, name string, result *types100.Result) error {
	return s.do("RouteBySource", func() error { return s.kernel.RouteBySource(ctx, ns, name, result) })
}

func (s *Faults) UnrouteBySource(ctx context.Context, ns host.NetNS, index int) error {
	return s.do("UnrouteBySource", func() error { return s.kernel.UnrouteBySource(ctx, ns, index) })
}

func (s *Faults) AddChild(ctx context.Context, ns host.NetNS, parent int, name string, entry uint16) error {
	return s.do("AddChild", func() error { return s.kernel.AddChild(ctx, ns, parent, name, entry) })
}

func (s *Faults) DeleteNetdev(ctx context.Context, ns host.NetNS, index int) error {
	return s.do("DeleteNetdev", func() error { return s.kernel.DeleteNetdev(ctx, ns, index) })
}

func (s *Faults) RDMADevice(ctx context.Context, ns host.NetNS, pci host.PCI) (host.RDMADevice, error) {
	return at(s, "RDMADevice", func() (host.RDMADevice, error) { return s.kernel.RDMADevice(ctx, ns, pci) })
}

func (s *Faults) MoveRDMA(ctx context.Context, from host.NetNS, index uint32, to host.NetNS) error {
	return s.do("MoveRDMA", func() error { return s.kernel.MoveRDMA(ctx, from, index, to) })
}

func (s *Faults) RenameRDMA(ctx context.Context, ns host.NetNS, index uint32, name string) error {
	return s.do("RenameRDMA", func() error { return s.kernel.RenameRDMA(ctx, ns, index, name) })
}

func (s *Faults) Port(ctx context.Context, ns host.NetNS, pci host.PCI) (host.Port, error) {
	return at(s, "Port", func() (host.Port, error) { return s.kernel.Port(ctx, ns, pci) })
}

// Announce passes it on: it fails nothing, so that there is nothing to inject.
func (s *Faults) Announce(ctx context.Context, ns host.NetNS, name string, result *types100.Result) error {
	return s.kernel.Announce(ctx, ns, name, result)
}
