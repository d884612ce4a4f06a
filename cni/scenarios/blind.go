package scenarios

import (
	"context"

	"github.com/ibfabric/ibfabric/cni/host"
)

// blindKernel is one whose namespaces have paths that cannot be seen from here.
type blindKernel struct{ host.Kernel }

func (blindKernel) HasNetNS(_ context.Context, ns host.NetNS) (bool, error) {
	return ns == host.Home, nil
}

func (blindKernel) SeesNetNS(context.Context, host.NetNS) (bool, error) { return false, nil }
