package ibsriov

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/guid"
)

// grace is how long a port may be other than it should: the subnet manager takes ports
// down for a moment when it sweeps.
const grace = 5 * time.Second

// Check proves again what ADD proved.
func Check(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	return plugin.Check(ctx, env, req, env.Incumbents.FromIBSriov, func(ctx context.Context, rec *record.Record) error {
		return newJob(env, rec).checkGUID(ctx)
	})
}

func (j *job) checkGUID(ctx context.Context) error {
	d, err := j.Kernel.Device(ctx, j.pci)
	if err != nil || !d.IsVF() {
		return err
	}
	// What the PF holds counts by itself: it is what the VF gets at its next rebind or reset.
	var errs []error
	if g := guid.GUID(j.rec.GUID); g != 0 {
		config, err := j.Kernel.VFConfig(ctx, d.VF)
		if err == nil && !tellsNothing(config) && (config.NodeGUID != g || config.PortGUID != g) {
			err = fmt.Errorf("the PF holds node GUID %s and port GUID %s for %s, want %s", config.NodeGUID, config.PortGUID, j.pci, g)
		}
		errs = append(errs, err)
	}
	if d.Driver != host.VFIO {
		errs = append(errs, j.checkPort(ctx))
	}
	return errors.Join(errs...)
}

// checkPort looks where the RDMA device is now, which has its own sysfs there.
func (j *job) checkPort(ctx context.Context) error {
	at := host.Home
	if slices.Contains(j.rec.Steps, record.StepRDMA) {
		at = j.pod()
	}
	start := j.Now()
	for {
		port, err := j.Kernel.Port(ctx, at, j.pci)
		if err != nil {
			return err
		}
		wrong := drift(port, j.rec)
		if wrong == "" {
			return nil
		}
		if j.Now().Sub(start) >= grace {
			return errors.New(wrong)
		}
		if err := plugin.Sleep(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %w", wrong, err)
		}
	}
}

// drift says in what a port differs from the record.
func drift(port host.Port, rec *record.Record) string {
	var wrong []string
	if g := guid.GUID(rec.GUID); g != 0 && port.GUID != g {
		wrong = append(wrong, fmt.Sprintf("the port's GUID is %s, want %s", port.GUID, g))
	}
	if rec.Proved && port.State != host.PortActive {
		wrong = append(wrong, fmt.Sprintf("the port is %s, want ACTIVE (its LID is %d)", port.State, port.LID))
	}
	for _, k := range rec.PKeys {
		switch i := slices.Index(port.PKeys, k.Entry); {
		case i < 0:
			wrong = append(wrong, fmt.Sprintf("pkey entry %#04x is not in the port's table %#04x", k.Entry, port.PKeys))
		case k.Index == 0 && i != 0:
			// Programs use index 0 unless told otherwise.
			wrong = append(wrong, fmt.Sprintf("pkey entry %#04x was at index 0 and is at %d", k.Entry, i))
		}
	}
	return strings.Join(wrong, "; ")
}
