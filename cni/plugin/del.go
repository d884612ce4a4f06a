package plugin

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// Del makes it so that the attachment is not there, whatever is left of it and as often
// as it is asked. It needs neither a namespace nor a configuration that can still be
// read. incumbent reads what the plugin that this one replaces remembers; it can be nil.
func Del(ctx context.Context, e *Env, req Request, incumbent func(record.Key) (*record.Record, error)) error {
	recs, err := e.find(ctx, req, incumbent)
	if err != nil {
		return err
	}
	// A container that failed only for want of the fabric comes back under another name,
	// and waits less the more of its rails have kept what was done.
	retry, err := e.keptFor(req.ContainerID)
	errs := []error{err}
	for _, rec := range recs {
		errs = append(errs, e.del(ctx, req, rec, retry))
	}
	return errors.Join(errs...)
}

// find gives the records of an attachment: its own, else the incumbent's, else what can
// be said without any.
func (e *Env) find(ctx context.Context, req Request, incumbent func(record.Key) (*record.Record, error)) ([]*record.Record, error) {
	recs, err := e.Store.Of(req.Key())
	if err != nil || len(recs) > 0 || incumbent == nil {
		return recs, err
	}
	old, err := incumbent(req.Key())
	if err != nil {
		e.Log.Warn("going on without it", zap.Error(err))
	}
	if old != nil && !isDevice(old.Device) {
		// A cache file can hold anything, and this would become a path.
		e.Log.Warn("the cache file names no device; only its address is given back", zap.String("device", old.Device))
		old.Device, old.Steps = "", []string{record.StepIPAM}
	}
	if old == nil {
		old = e.guess(ctx, req)
	}
	return []*record.Record{old}, nil
}

func isDevice(text string) bool {
	_, err := host.ParsePCI(text)
	if err != nil {
		_, err = host.ParseAuxiliary(text)
	}
	return err == nil
}

func (e *Env) del(ctx context.Context, req Request, rec *record.Record, retry bool) error {
	rec.NetNS = cmp.Or(rec.NetNS, string(req.NetNS))
	rec.CNIArgs = cmp.Or(rec.CNIArgs, req.Args)
	rec.CNIPath = cmp.Or(rec.CNIPath, req.Path)
	if len(rec.Config) == 0 {
		rec.Config = req.Config
	}
	if rec.Device != "" {
		release, err := e.Locks.Device(ctx, rec.Device)
		if err != nil {
			return err
		}
		defer release()
	}
	if done, err := e.deleted(rec); done || err != nil {
		return err
	}
	if err := e.salvage(ctx, rec); err != nil {
		return err
	}
	undo := e.Engine().Revert
	if retry {
		undo = e.Engine().Leave
	}
	err := undo(ctx, rec)
	if err == nil {
		e.Log.Info("detached", zap.String("device", rec.Device), zap.Strings("steps", rec.Steps))
	}
	return err
}

// deleted reports whether another DEL has done this one's work while it waited for the
// device's lock: the device may be another pod's by now.
func (e *Env) deleted(rec *record.Record) (bool, error) {
	if !rec.Stored() {
		return false, nil // salvage sees to what comes from another program
	}
	now, err := e.Store.Of(rec.Key())
	return !slices.ContainsFunc(now, func(r *record.Record) bool { return r.Device == rec.Device }), err
}

// guess is the record of an attachment of which nothing is written: lost with the disk,
// or never begun. If its namespace has the device, the device is its; then that is
// brought home. Else only IPAM is asked, which knows for itself.
func (e *Env) guess(ctx context.Context, req Request) *record.Record {
	rec := &record.Record{ContainerID: req.ContainerID, IfName: req.IfName, NetNS: string(req.NetNS), Config: req.Config}
	if IPAMType(req.Config) != "" {
		rec.Steps = []string{record.StepIPAM}
	}
	var conf struct {
		DeviceID string `json:"deviceID"`
	}
	_ = Decode(req.Config, &conf) // without a device there is nothing to find
	pci, err := host.ParsePCI(conf.DeviceID)
	if err != nil || req.NetNS == host.Home {
		return rec
	}
	_, noNetdev := e.Kernel.Netdev(ctx, req.NetNS, pci)
	_, noRDMA := e.Kernel.RDMADevice(ctx, req.NetNS, pci)
	_, atHome := e.Kernel.RDMADevice(ctx, host.Home, pci) // in shared mode it is everywhere
	if noNetdev == nil || noRDMA == nil && atHome != nil {
		rec.Device = string(pci)
		rec.Steps = append(everyDeviceStep(), rec.Steps...)
	}
	return rec
}

// salvage keeps the device out of it when another attachment has got it since: what is
// torn, or comes from another program, cannot say whether the device is still its own.
func (e *Env) salvage(ctx context.Context, rec *record.Record) error {
	if rec.Torn == nil && rec.Stored() || rec.Device == "" {
		return nil
	}
	if rec.Torn != nil {
		e.Log.Warn("undoing by the name of the record alone", zap.Error(rec.Torn))
	}
	taken, err := e.taken(ctx, rec)
	if taken {
		e.Log.Info("the device is left alone: it is another's, or new since the boot", zap.String("device", rec.Device))
		rec.Disown()
	}
	return err
}

// taken reports whether the device of a record is not the attachment's any more.
func (e *Env) taken(ctx context.Context, rec *record.Record) (bool, error) {
	others, err := e.Store.OfDevice(rec.Device)
	if err != nil || slices.ContainsFunc(others, func(o *record.Record) bool { return o.Key() != rec.Key() }) {
		return true, err
	}
	if rec.Stored() {
		return false, nil
	}
	if rec.WrittenBefore(e.Booted) {
		return true, nil
	}
	if rec.Plugin == sriovType {
		holder := e.Incumbents.SriovHolder(rec.Device)
		if holder != "" && holder != rec.NetNS {
			there, err := e.Kernel.HasNetNS(ctx, host.NetNS(holder))
			if there || err != nil {
				return true, err
			}
		}
	}
	return e.Incumbents.Superseded(rec)
}

// sriovType is the CNI type of sriov-cni, which alone writes down whose a device is.
const sriovType = "sriov"

// everyDeviceStep lists what a plugin may have done to a device; each plugin knows those
// that are its own.
func everyDeviceStep() []string {
	return []string{record.StepDevice, record.StepLinkState, record.StepGUID, record.StepSettings, record.StepEthernet, record.StepRDMA, record.StepNetdev, StepRoutes}
}
