package sriov

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// carrierTime is how long an announcement waits for the link of a VF that was just raised.
const carrierTime = 200 * time.Millisecond

func remember(e host.Ethernet) *record.Ethernet {
	r := &record.Ethernet{
		VLAN: e.VLAN, VLANQoS: e.QoS, VLANProto: e.Proto,
		MinTxRate: e.MinRate, MaxTxRate: e.MaxRate, SpoofCheck: e.SpoofCheck, Trust: e.Trust,
	}
	if e.MAC != (host.MAC{}) {
		r.AdminMAC = e.MAC.String()
	}
	return r
}

func (j *job) setEthernet(ctx context.Context) error {
	if err := j.changeEthernet(ctx, j.device.VF, j.conf.apply); err != nil {
		return err
	}
	if j.conf.MAC == nil || j.device.UserSpace() {
		return nil
	}
	return j.takeNodeGUID(ctx)
}

// takeNodeGUID rebinds a VF whose RDMA device was made before the VF had an address. Such
// a device has no node GUID, and connections by rdma_cm do not work over it.
func (j *job) takeNodeGUID(ctx context.Context) error {
	p, err := j.Kernel.Port(ctx, host.Home, j.pci)
	if errors.Is(err, host.ErrNotFound) || err == nil && p.NodeGUID != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := j.Rebind(ctx, j.pci, j.rec.Original.Driver); err != nil {
		return err
	}
	_, err = j.AwaitRDMA(ctx, j.pci)
	return err
}

func (j *job) changeEthernet(ctx context.Context, vf host.VF, change func(host.Ethernet) host.Ethernet) error {
	config, err := j.Kernel.VFConfig(ctx, vf)
	if err != nil {
		return err
	}
	// The kernel takes the settings one by one, and some drivers reset the VF for each.
	to := change(config.Ethernet)
	if to == config.Ethernet {
		return nil
	}
	if err := j.Kernel.SetVFEthernet(ctx, vf, to); err != nil {
		return err
	}
	j.Log.Info("VF set up", zap.String("device", j.rec.Device), zap.Int("vlan", to.VLAN), zap.Stringer("mac", to.MAC))
	return nil
}

// restoreEthernet makes what the PF holds what it was. Where nobody knows, a pod's VLAN
// and rights must not stay; the address is no harm.
func (j *job) restoreEthernet(ctx context.Context) error {
	d, err := j.Kernel.Device(ctx, j.pci)
	if err != nil || !d.IsVF() {
		return plugin.UnlessGone(err)
	}
	return j.changeEthernet(ctx, d.VF, func(now host.Ethernet) host.Ethernet {
		was := j.rec.Original.Ethernet
		if was == nil {
			return host.Ethernet{MAC: now.MAC, SpoofCheck: true}
		}
		admin, _ := host.ParseMAC(was.AdminMAC) // zero, where there was none
		return host.Ethernet{
			MAC: admin, VLAN: was.VLAN, QoS: was.VLANQoS, Proto: was.VLANProto,
			MinRate: was.MinTxRate, MaxRate: was.MaxTxRate, SpoofCheck: was.SpoofCheck, Trust: was.Trust,
		}
	})
}

// tune gives the netdev in the pod its address and MTU. The PF's address does not change
// that of a netdev that is there already.
func (j *job) tune(ctx context.Context) error {
	n, err := j.Kernel.Netdev(ctx, j.pod(), j.pci)
	if err != nil {
		return err
	}
	// In the pod, since the move is the last that could have made it anew.
	if j.conf.MTU != 0 && n.MTU != j.conf.MTU {
		if err := j.Kernel.SetNetdevMTU(ctx, j.pod(), n.Index, j.conf.MTU); err != nil {
			return plugin.Invalid("mtu", "%w; the PF's own MTU may be smaller", err)
		}
	}
	if j.conf.MAC == nil || n.Addr.String() == j.conf.MAC.String() {
		return nil
	}
	// Not every driver changes the address of a netdev that is up.
	if err := j.Kernel.SetNetdevUp(ctx, j.pod(), n.Index, false); err != nil {
		return err
	}
	if err := j.Kernel.SetNetdevAddr(ctx, j.pod(), n.Index, *j.conf.MAC); err != nil {
		return err
	}
	return j.Kernel.SetNetdevUp(ctx, j.pod(), n.Index, true)
}

// announce tells others on the link of the pod's addresses, which another pod may have had
// on another VF. They find out by themselves in a while, so this fails no ADD.
func (j *job) announce(ctx context.Context) error {
	for start := j.Now(); ; {
		n, err := j.Kernel.Netdev(ctx, j.pod(), j.pci)
		if err != nil || n.Carrier || j.Now().Sub(start) >= carrierTime {
			break
		}
		if err := plugin.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	err := txn.NeedNetNS(ctx, j.Kernel, j.rec)
	if err == nil {
		err = j.Kernel.Announce(ctx, j.pod(), j.rec.IfName, j.ips)
	}
	if err != nil {
		j.Log.Warn("the addresses are not announced", zap.Error(err))
	}
	return nil
}

// restoreNetdev gives the netdev, once it is home, the address and MTU it had.
func (j *job) restoreNetdev(ctx context.Context) error {
	was := j.rec.Original.Ethernet
	if was == nil {
		return nil
	}
	d, err := j.Kernel.Device(ctx, j.pci)
	if err != nil || d.Driver == "" || d.UserSpace() {
		return plugin.UnlessGone(err) // a driver that binds gives both anew
	}
	n, err := j.AwaitNetdev(ctx, j.pci)
	if err != nil {
		return plugin.UnlessGone(err) // it is stuck where it is, and will be rebound
	}
	if mac, err := host.ParseMAC(was.EffectiveMAC); err == nil && n.Addr.String() != mac.String() {
		if err := j.Kernel.SetNetdevAddr(ctx, host.Home, n.Index, mac); err != nil {
			return fmt.Errorf("giving it its address back: %w", err)
		}
	}
	if was.MTU != 0 && n.MTU != was.MTU {
		return j.Kernel.SetNetdevMTU(ctx, host.Home, n.Index, was.MTU)
	}
	return nil
}
