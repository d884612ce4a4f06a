// Package common stands in for the part of OpenShift's machine-config-operator that
// sriov-network-operator renders configurations of machines with. Networks have none, and the
// real one would bring hundreds of packages.
package common

import (
	"errors"

	machineconfig "github.com/openshift/api/machineconfiguration/v1"
)

var errStandIn = errors.New("this is built without OpenShift's machine configurations")

// TranspileCoreOSConfigToIgn gives an error.
func TranspileCoreOSConfigToIgn(_, _ []string) (any, error) { return nil, errStandIn }

// MachineConfigFromIgnConfig gives an error.
func MachineConfigFromIgnConfig(_, _ string, _ any) (*machineconfig.MachineConfig, error) {
	return nil, errStandIn
}
