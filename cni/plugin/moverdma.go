package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// RDMAStep moves the RDMA device into the pod. For InfiniBand it comes before
// NetdevStep: the move makes the netdev anew. For RoCE it comes after.
func (e *Env) RDMAStep(rec *record.Record) txn.Step {
	return txn.Step{
		Name: record.StepRDMA,
		Do: func(ctx context.Context) error {
			// Again, as a rebind since has made another one, under another index.
			d, err := e.AwaitRDMA(ctx, host.PCI(rec.Device))
			if err != nil {
				return err
			}
			if err := txn.NeedNetNS(ctx, e.Kernel, rec); err != nil {
				return err
			}
			name, err := e.moveRDMA(ctx, rec, host.Home, d, host.NetNS(rec.NetNS))
			if err == nil {
				e.Log.Info("RDMA device moved", zap.String("device", rec.Device), zap.String("rdma", name))
			}
			return err
		},
		Undo: func(ctx context.Context) error { return UnlessGone(e.rdmaHome(ctx, rec)) },
	}
}

func (e *Env) rdmaHome(ctx context.Context, rec *record.Record) error {
	pci, pod := host.PCI(rec.Device), host.NetNS(rec.NetNS)
	// At home, or on its way there: DeviceStep waits. In shared mode it never left.
	if _, err := e.Kernel.RDMADevice(ctx, host.Home, pci); err == nil || pod == host.Home {
		return e.restoreRDMA(ctx, rec)
	}
	// The request must come from the namespace that has it: no other sees it.
	d, err := e.Kernel.RDMADevice(ctx, pod, pci)
	if err != nil {
		return err
	}
	if _, err := e.moveRDMA(ctx, rec, pod, d, host.Home); err != nil {
		return err
	}
	return e.restoreRDMA(ctx, rec)
}

// moveRDMA moves a device under its name, or under one that no other has, and says which.
// Since Linux 7.3 names are a namespace's: a rebind takes the name of a device that is in a
// pod, and where the two meet the kernel refuses the move.
func (e *Env) moveRDMA(ctx context.Context, rec *record.Record, from host.NetNS, d host.RDMADevice, to host.NetNS) (name string, err error) {
	err = e.Kernel.MoveRDMA(ctx, from, d.Index, to)
	if !errors.Is(err, syscall.EEXIST) {
		return d.Name, err
	}
	name = unusedName(rec, d.Index)
	if err := e.Kernel.RenameRDMA(ctx, from, d.Index, name); err != nil {
		return d.Name, err
	}
	return name, e.Kernel.MoveRDMA(ctx, from, d.Index, to)
}

// unusedName has the device's index in it, which is unique on the node, and is far from the
// kernel's own names, which count up from 0. Its beginning stays, as applications choose
// devices by it (NCCL_IB_HCA=mlx5), but is never a name that a pod made up.
func unusedName(rec *record.Record, index uint32) string {
	return fmt.Sprint(strings.TrimRight(cmp.Or(rec.Original.RDMA, "ibfab"), "0123456789"), 1000+index)
}

// restoreRDMA gives the RDMA device at home its former name, which a rebind, a move or the
// end of its namespace may have changed.
func (e *Env) restoreRDMA(ctx context.Context, rec *record.Record) error {
	name := rec.Original.RDMA
	if name == "" {
		return nil
	}
	d, err := e.Kernel.RDMADevice(ctx, host.Home, host.PCI(rec.Device))
	if err != nil || d.Name == name {
		return err
	}
	// That another device has the name by now is no reason to fail.
	if err := e.Kernel.RenameRDMA(ctx, host.Home, d.Index, name); err != nil {
		e.Log.Info("the RDMA device keeps another name", zap.String("device", rec.Device), zap.String("rdma", d.Name), zap.Error(err))
	}
	return nil
}
