package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// Check looks whether an attachment is still as ADD left it and says all that is not: what
// every plugin's has, and what more tells of the plugin's own. incumbent is as in Del:
// nothing can be said of what another program attached.
func Check(ctx context.Context, e *Env, req Request, incumbent func(record.Key) (*record.Record, error), more func(context.Context, *record.Record) error) error {
	rec, err := e.checked(ctx, req, incumbent)
	if rec == nil || err != nil {
		return err
	}
	errs := []error{e.checkDevices(ctx, rec)}
	if more != nil {
		errs = append(errs, more(ctx, rec))
	}
	if slices.Contains(rec.Steps, record.StepIPAM) {
		errs = append(errs, e.checkAddresses(ctx, req, rec))
	}
	return errors.Join(errs...)
}

// checked finds the record of a complete attachment.
func (e *Env) checked(ctx context.Context, req Request, incumbent func(record.Key) (*record.Record, error)) (*record.Record, error) {
	recs, err := e.Store.Of(req.Key())
	if err != nil {
		return nil, err
	}
	if len(recs) == 0 && incumbent != nil {
		if old, err := incumbent(req.Key()); old != nil || err != nil {
			e.Log.Info("attached by the plugin that was here before: not checked")
			return nil, err
		}
	}
	if len(recs) == 0 {
		return nil, &Error{Code: types.ErrUnknownContainer, Err: fmt.Errorf("interface %s of container %s has no record on this node; it was not attached here, or was detached", req.IfName, req.ContainerID)}
	}
	rec := recs[0] // the key of an attachment is the name of its file but for device and GUID
	boot, err := e.Kernel.BootID(ctx)
	switch {
	case err != nil:
		return nil, err
	case rec.Torn != nil:
		return nil, rec.Torn
	case !rec.Ready:
		return nil, fmt.Errorf("interface %s of container %s is not attached: its ADD or its DEL did not come to an end", rec.IfName, rec.ContainerID)
	case rec.BootID != boot:
		return nil, fmt.Errorf("interface %s of container %s was attached before the node booted", rec.IfName, rec.ContainerID)
	case rec.NetNS != string(req.NetNS):
		return nil, &Error{Code: types.ErrInvalidNetNS, Field: "CNI_NETNS", Err: fmt.Errorf("is %s, but the interface was attached to %s", req.NetNS, rec.NetNS)}
	}
	_, err = e.NeedNetNS(ctx, req.NetNS)
	return rec, err
}

// checkDevices looks for what the steps of the record have moved.
func (e *Env) checkDevices(ctx context.Context, rec *record.Record) error {
	pci, pod := host.PCI(rec.Device), host.NetNS(rec.NetNS)
	var errs []error
	if slices.Contains(rec.Steps, record.StepNetdev) {
		// By its device: something else in the pod may bear the interface's name.
		n, err := e.Kernel.Netdev(ctx, pod, pci)
		switch {
		case err != nil:
			errs = append(errs, err)
		case n.Name != rec.IfName:
			errs = append(errs, fmt.Errorf("the netdev of %s is called %s in the pod, want %s", pci, n.Name, rec.IfName))
		case !n.Up:
			errs = append(errs, fmt.Errorf("interface %s is down", n.Name))
		}
	}
	if slices.Contains(rec.Steps, record.StepRDMA) {
		// In shared mode every namespace shows it, so that being in the pod proves nothing.
		if _, err := e.Kernel.RDMADevice(ctx, pod, pci); err != nil {
			errs = append(errs, err)
		} else if d, err := e.Kernel.RDMADevice(ctx, host.Home, pci); err == nil {
			errs = append(errs, fmt.Errorf("the host sees the pod's RDMA device %s: the RDMA subsystem is no longer in exclusive mode", d.Name))
		}
	}
	return errors.Join(errs...)
}

// checkAddresses compares the interface with the answer of ADD, which the runtime hands
// back, and asks IPAM whether the addresses are still its.
func (e *Env) checkAddresses(ctx context.Context, req Request, rec *record.Record) error {
	result, err := Previous(req.Config)
	if err != nil {
		return err
	}
	// Behind other plugins of a chain it has their interfaces and addresses in it, too.
	own := &types100.Result{}
	for _, ip := range result.IPs {
		if i := ip.Interface; i == nil || *i >= 0 && *i < len(result.Interfaces) && result.Interfaces[*i].Name == rec.IfName {
			own.IPs = append(own.IPs, ip)
		}
	}
	bySource := slices.Contains(rec.Steps, StepRoutes)
	asked := *rec
	asked.Config = req.Config // IPAM wants to see the answer, too
	return errors.Join(e.Kernel.Configured(ctx, host.NetNS(rec.NetNS), rec.IfName, own, bySource), e.IPAM.Check(ctx, &asked))
}
