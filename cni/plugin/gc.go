package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// GC puts back what no valid attachment of the network owns, addresses included. An
// attachment whose namespace exists is left alone whether it is called valid or not:
// Multus names those of the cluster's own network only.
func GC(ctx context.Context, e *Env, req Request, plugin string) error {
	var conf types.PluginConf
	if err := json.Unmarshal(req.Config, &conf); err != nil {
		return &Error{Code: types.ErrDecodingFailure, Err: err}
	}
	all, err := e.Store.All()
	if err != nil {
		return err
	}
	// The list grows by what is left alone, and IPAM gets it like that: it would give away
	// the address of an attachment that nobody has called valid.
	valid := conf.ValidAttachments
	errs := []error{e.Sweep(ctx, 0, "")}
	for _, rec := range all {
		if rec.Torn != nil || rec.Plugin != plugin || rec.Network != conf.Name {
			continue // a torn record does not say whose it is: Collect sees to it
		}
		a := types.GCAttachment{ContainerID: rec.ContainerID, IfName: rec.IfName}
		if slices.Contains(valid, a) {
			continue
		}
		kept, err := e.collect(ctx, rec)
		if errs = append(errs, err); kept {
			valid = append(valid, a)
		}
	}
	if IPAMType(req.Config) != "" {
		config, err := withValid(req.Config, valid)
		if err == nil {
			err = e.IPAM.GC(ctx, &record.Record{Config: config, CNIPath: req.Path})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// withValid is a configuration with other attachments called valid.
func withValid(config []byte, valid []types.GCAttachment) ([]byte, error) {
	var m map[string]json.RawMessage
	err := json.Unmarshal(config, &m)
	if err != nil {
		return nil, err
	}
	if valid == nil {
		valid = []types.GCAttachment{} // none, and not: not said
	}
	if m["cni.dev/valid-attachments"], err = json.Marshal(valid); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// Collect does what GC does, for all networks and from the records alone. It must run
// where the paths of network namespaces are the runtime's.
func Collect(ctx context.Context, e *Env) error {
	all, err := e.Store.All()
	errs := []error{err, e.Sweep(ctx, 0, "")}
	for _, rec := range all {
		_, err := e.collect(ctx, rec)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// collect undoes one attachment unless it is in use, and reports whether it is left.
func (e *Env) collect(ctx context.Context, rec *record.Record) (left bool, err error) {
	if used, err := e.inUse(ctx, rec); used || err != nil {
		return true, err
	}
	release, err := e.Locks.Device(ctx, rec.Device)
	if err != nil {
		return true, err
	}
	defer release()
	// What was read without the lock may be done with, by a DEL or the next ADD.
	recs, err := e.Store.Of(rec.Key())
	if err != nil {
		return true, err
	}
	for _, now := range recs {
		if now.Device != rec.Device {
			continue
		}
		// It may be another by now that bears its name.
		if used, err := e.inUse(ctx, now); used || err != nil {
			return true, err
		}
		if err := e.salvage(ctx, now); err != nil {
			return true, err
		}
		e.nameWriter(ctx, now)
		if err := e.Engine().Revert(ctx, now); err != nil {
			return true, fmt.Errorf("putting back device %s of container %s: %w", now.Device, now.ContainerID, err)
		}
		e.Log.Info("put back what nobody owns", zap.Stringer("attachment", now.Key()), zap.String("network", now.Network), zap.String("device", now.Device))
	}
	return false, nil
}

// nameWriter has a torn record of a RoCE VF say that sriov wrote it, by the netdev that is at
// home by now: what undoes InfiniBand would leave it the pod's VLAN and trust.
func (e *Env) nameWriter(ctx context.Context, rec *record.Record) {
	if rec.Torn == nil || rec.Plugin != "" {
		return
	}
	if n, err := e.Kernel.Netdev(ctx, host.Home, host.PCI(rec.Device)); err == nil && len(n.Addr) == len(host.MAC{}) {
		rec.Plugin = sriovType
	}
}

// inUse reports whether an attachment must be left alone: its namespace exists or, where
// the path does not say so, its devices do not come home, as they do when a namespace
// ends. A namespace whose path is gone lives as long as a process is in it.
func (e *Env) inUse(ctx context.Context, rec *record.Record) (bool, error) {
	boot, err := e.Kernel.BootID(ctx)
	if err != nil || rec.Torn == nil && rec.BootID != boot {
		return false, err // no namespace outlives a boot, whatever is at its path now
	}
	if rec.Torn == nil {
		if there, err := txn.HasNetNS(ctx, e.Kernel, rec); there || err != nil {
			return there, err
		}
	}
	device, err := e.Kernel.Device(ctx, host.PCI(rec.Device))
	switch {
	case errors.Is(err, host.ErrNotFound), err == nil && device.Driver == "":
		return false, nil // nothing that could be in a namespace
	case err != nil:
		return true, err
	case device.UserSpace():
		gone, err := e.netNSGone(ctx, rec)
		if err == nil && !gone {
			err = fmt.Errorf("device %s of container %s is left to its DEL or the next ADD, as nothing here says that its pod is gone: driver %s shows no devices, and network namespace %q cannot be looked for; if this is gc in a container, mount the folder of that path there", rec.Device, rec.ContainerID, device.Driver, rec.NetNS)
		}
		return !gone, err
	}
	if _, err = Await(ctx, e.Settle, func() (any, error) { return nil, e.isHome(ctx, rec) }); err != nil {
		return true, fmt.Errorf("device %s of container %s is left alone, as it is not back in the host's namespace: %w; a process may be keeping the namespace", rec.Device, rec.ContainerID, err)
	}
	return false, nil
}

// netNSGone reports whether a namespace that is not at its path has certainly ended. Of a VF
// that a program drives itself no device comes home to say so: a virtual machine with it may
// live on in a namespace whose path is another's to see.
func (e *Env) netNSGone(ctx context.Context, rec *record.Record) (bool, error) {
	switch {
	case rec.Torn != nil:
		return false, nil // it does not know its path
	case rec.NetNS == "":
		return true, nil // an undo has forgotten it, as it had ended
	}
	return e.Kernel.SeesNetNS(ctx, host.NetNS(rec.NetNS))
}

// isHome reports by an error what of a device's attachment is not in the host's namespace.
func (e *Env) isHome(ctx context.Context, rec *record.Record) error {
	pci := host.PCI(rec.Device)
	if rec.Torn != nil || slices.Contains(rec.Steps, record.StepRDMA) {
		if _, err := e.Kernel.RDMADevice(ctx, host.Home, pci); err != nil {
			return err
		}
	}
	if rec.Torn != nil || slices.Contains(rec.Steps, record.StepNetdev) {
		if _, err := e.Kernel.Netdev(ctx, host.Home, pci); err != nil {
			return err
		}
	}
	return nil
}
