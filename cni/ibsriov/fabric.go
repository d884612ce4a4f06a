package ibsriov

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// proveFabric waits until the subnet manager has done its part: the port is ACTIVE and
// its table shows every PKey. The VF is still at home, where its sysfs can be read.
func (j *job) proveFabric(ctx context.Context) error {
	switch {
	case j.vfio():
		return nil // said when it was inspected
	case j.conf.LinkState == host.Disable.String():
		j.Log.Info("link_state is disable: the GUID is set at the PF, the port stays down and is not waited for")
		return nil
	case j.conf.FabricTimeout == 0:
		j.Log.Info("fabricTimeout is 0: the fabric is not waited for")
		return nil
	}
	// Only now, with the port at home: sysfs of a pod's namespace can be read as well, but a
	// pod that waits with its devices in place could use them before it may.
	start := j.Now()
	missing, err := j.lacks(ctx)
	if err == nil && missing != "" { // as a rule; a VF that kept its GUID is ready at once
		missing, err = j.awaitFabric(ctx)
	}
	if err != nil {
		return err
	}
	if missing == "" {
		j.rec.Proved = true
		j.Log.Info("fabric proved", zap.String("device", j.rec.Device), zap.Stringer("guid", j.given()),
			zap.Any("pkeys", j.rec.PKeys), zap.Duration("took", j.Now().Sub(start)))
		return nil
	}
	if j.conf.FabricWarn {
		j.Log.Warn("the fabric is not ready; going on by fabricPolicy", zap.String("device", j.rec.Device), zap.String("missing", missing))
		return nil
	}
	// The GUID stays on the VF for the next try, which then has less to wait for.
	return &txn.PendingError{Err: plugin.Later("the fabric is not ready for %s, %v after the container's first interface began (fabricTimeout, for all of them): %s; look at the subnet manager and at the members of the partition, raise fabricTimeout if the subnet manager is slow, or set fabricPolicy to warn",
		j.pci, j.conf.FabricTimeout, missing)}
}

// firstADD is when the first of the container's interfaces began. All of them share one
// deadline: Multus adds them one after the other, and kubelet waits for the whole.
func (j *job) firstADD() (time.Time, error) {
	recs, err := j.Store.OfContainer(j.rec.ContainerID)
	if err != nil {
		return time.Time{}, err
	}
	first := j.rec.Created
	for _, r := range recs {
		if r.Torn == nil && r.BootID == j.rec.BootID && r.Created.Before(first) {
			first = r.Created
		}
	}
	return first, nil
}

// awaitFabric looks until nothing is missing or the deadline is over, at least once.
func (j *job) awaitFabric(ctx context.Context) (missing string, err error) {
	began, err := j.firstADD()
	if err != nil {
		return "", err
	}
	deadline := began.Add(j.conf.FabricTimeout)
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		now, err := j.lacks(ctx)
		if err != nil || now == "" {
			return now, err
		}
		if now != missing {
			j.Log.Debug("waiting for the fabric", zap.String("missing", now))
		}
		missing = now
		left := deadline.Sub(j.Now())
		if left <= 0 {
			return missing, nil
		}
		// Reading a table can be a question to the firmware for each of its entries.
		if err := plugin.Sleep(ctx, min(delay, left)); err != nil {
			return "", fmt.Errorf("waiting for the fabric (%s): %w", missing, err)
		}
	}
}

// lacks says which of port state, GUID and PKeys is not as it must be, "" for none, and
// notes where the PKeys are.
func (j *job) lacks(ctx context.Context) (string, error) {
	port, err := j.Kernel.Port(ctx, host.Home, j.pci)
	if errors.Is(err, host.ErrNotFound) {
		// It may be on its way back from a rebind.
		return "the RDMA device is not there", nil
	}
	if err != nil {
		return "", err
	}
	var missing []string
	if port.GUID != j.given() {
		missing = append(missing, fmt.Sprintf("the port's GUID is %s, want %s", port.GUID, j.given()))
	}
	if port.State != host.PortActive {
		missing = append(missing, fmt.Sprintf("the port is %s, want ACTIVE (its LID is %d)", port.State, port.LID))
	}
	var found []record.PKey
	for _, c := range j.conf.Claims {
		i, why := find(port.PKeys, c)
		if why != "" {
			missing = append(missing, why)
			continue
		}
		found = append(found, record.PKey{Entry: c.Entry(), Index: i})
	}
	j.rec.PKeys = found
	return strings.Join(missing, "; "), nil
}

// find looks for a claim in a port's table, or says how it is there instead.
func find(table []uint16, c Claim) (index int, why string) {
	const fullBit = 0x8000
	// A table can hold a key twice, once with either membership: the one asked for counts.
	for i, entry := range table {
		if entry == c.Entry() && (i == 0 || !c.Mode.Index0) {
			return i, ""
		}
		if entry&^fullBit != uint16(c.PKey) || why != "" {
			continue
		}
		if entry == c.Entry() {
			why = fmt.Sprintf("pkey %s is at index %d", c, i)
		} else {
			why = fmt.Sprintf("pkey %s is in the table with the other membership (%#04x)", c, entry)
		}
	}
	if why == "" {
		why = fmt.Sprintf("pkey %s is not in the port's table %#04x", c, table)
	}
	return 0, why
}
