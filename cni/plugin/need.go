package plugin

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
)

// NeedNetNS refuses what is no network namespace of a pod, and tells one that is from all
// others of this boot ("" before Linux 5.14).
func (e *Env) NeedNetNS(ctx context.Context, ns host.NetNS) (id string, err error) {
	there, err := e.Kernel.HasNetNS(ctx, ns)
	if err != nil {
		return "", err
	}
	// Of the host's namespace nothing could be told apart, and DEL would find all at home.
	if there && ns != host.Home {
		return e.Kernel.NetNSID(ctx, ns)
	}
	return "", &Error{Code: types.ErrInvalidNetNS, Field: "CNI_NETNS", Err: fmt.Errorf("%q is no network namespace", string(ns))}
}

// NeedExclusive refuses isolation where RDMA devices belong to all namespaces.
func (e *Env) NeedExclusive(ctx context.Context) error {
	mode, err := e.Kernel.RDMAMode(ctx)
	if err != nil || mode == host.Exclusive {
		return err
	}
	return Invalid("rdmaIsolation", "the RDMA device is to be the pod's alone, but the node's RDMA subsystem is in %s mode; run `rdma system set netns exclusive` while no pod runs, or set `options ib_core netns_mode=0` for the next boot", mode)
}
