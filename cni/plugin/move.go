package plugin

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// NetdevStep moves the netdev into the pod under the interface's name and raises it.
func (e *Env) NetdevStep(rec *record.Record) txn.Step {
	return txn.Step{
		Name: record.StepNetdev,
		Do:   func(ctx context.Context) error { return e.netdevIn(ctx, rec) },
		Undo: func(ctx context.Context) error { return UnlessGone(e.netdevHome(ctx, rec)) },
	}
}

func (e *Env) netdevIn(ctx context.Context, rec *record.Record) error {
	pci, pod := host.PCI(rec.Device), host.NetNS(rec.NetNS)
	// After a move of the RDMA device the netdev is here or there, and may take a moment.
	n, err := Await(ctx, e.Settle, func() (host.Netdev, error) {
		n, err := e.Kernel.Netdev(ctx, pod, pci)
		if errors.Is(err, host.ErrNotFound) {
			return e.netdevFromHome(ctx, rec)
		}
		return n, err
	})
	if err != nil {
		return err
	}
	// Where the kernel has made it in the pod it has a name of the kernel's choice. Before
	// Linux 6.2 a netdev that is up keeps its name.
	if n.Name != rec.IfName {
		if err := e.Kernel.SetNetdevUp(ctx, pod, n.Index, false); err != nil {
			return err
		}
		if err := e.Kernel.RenameNetdev(ctx, pod, n.Index, rec.IfName); err != nil {
			return err
		}
	}
	if err := e.Kernel.SetNetdevUp(ctx, pod, n.Index, true); err != nil {
		return err
	}
	e.Log.Info("netdev moved", zap.String("device", rec.Device), zap.String("ifname", rec.IfName))
	return nil
}

// netdevFromHome moves the netdev and finds it again: its index can be another one there.
func (e *Env) netdevFromHome(ctx context.Context, rec *record.Record) (host.Netdev, error) {
	pci, pod := host.PCI(rec.Device), host.NetNS(rec.NetNS)
	n, err := e.Kernel.Netdev(ctx, host.Home, pci)
	if err != nil {
		return n, err
	}
	if err := e.Kernel.SetNetdevUp(ctx, host.Home, n.Index, false); err != nil {
		return n, err
	}
	if err := txn.NeedNetNS(ctx, e.Kernel, rec); err != nil {
		return n, err
	}
	if err := e.Kernel.MoveNetdev(ctx, host.Home, n.Index, pod, rec.IfName); err != nil {
		return n, err
	}
	return e.Kernel.Netdev(ctx, pod, pci)
}

func (e *Env) netdevHome(ctx context.Context, rec *record.Record) error {
	pci, pod := host.PCI(rec.Device), host.NetNS(rec.NetNS)
	if pod == host.Home {
		return nil
	}
	n, err := e.Kernel.Netdev(ctx, pod, pci)
	if err != nil {
		return err
	}
	if err := e.Kernel.SetNetdevUp(ctx, pod, n.Index, false); err != nil {
		return err
	}
	name := rec.Original.Name
	if name != "" {
		err = e.Kernel.MoveNetdev(ctx, pod, n.Index, host.Home, name)
	}
	if name == "" || errors.Is(err, syscall.EEXIST) {
		// The index is unique in the pod only, but no other program uses this prefix.
		err = e.Kernel.MoveNetdev(ctx, pod, n.Index, host.Home, fmt.Sprintf("ibfab%d", n.Index))
	}
	return err
}

// UnlessGone drops host.ErrNotFound: what is not there any more needs no undoing.
func UnlessGone(err error) error {
	if errors.Is(err, host.ErrNotFound) {
		return nil
	}
	return err
}
