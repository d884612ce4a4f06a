package multus

import (
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Settings is what of Spiderpool a cluster has. The zero value is a cluster without it.
type Settings struct {
	// Coordinator: its agent runs on the nodes, and its plugins coordinator and ifacer
	// are there. The coordinator asks the agent at every ADD and DEL.
	Coordinator bool
	// SpiderpoolIPAM: its IPAM plugin has an agent to ask.
	SpiderpoolIPAM bool
}

// The plugins that come with Spiderpool.
const (
	coordinatorType = "coordinator"
	ifacerType      = "ifacer"
	spiderpoolType  = "spiderpool"
)

const (
	noCoordinator = `Spiderpool's coordinator does not run in this cluster; write enableCoordinator: false and leave coordinator out. A pod that is to answer on the interface it was asked on needs the plugin sbr instead: chainCNIJsonData: ['{"type":"sbr"}']`
	noIPAM        = "Spiderpool's IPAM does not run in this cluster; write disableIPAM: true for a network without IP addresses, or the block of another IPAM plugin into spec.ipam, as in {type: nv-ipam, poolName: gpu1}"
	noIfacer      = "Spiderpool's plugin ifacer, which makes VLANs and bonds, is not in this cluster; make the interface on the nodes and name it as the one master"
	noAddress     = "disableIPAM is true, and the coordinator refuses an interface without an IP address; leave one of them"
)

// missing refuses what the cluster cannot do: each of it would fail at every pod.
func (c Config) missing(s Settings) field.ErrorList {
	spec := field.NewPath("spec")
	if c.Main == nil {
		return missingIn(s, spec.Child("customCNI"), []byte(c.CustomCNI))
	}
	var errs field.ErrorList
	if c.coordinatorAsked() {
		switch at := spec.Child("enableCoordinator"); {
		case !s.Coordinator:
			errs = append(errs, field.Forbidden(at, noCoordinator))
		case c.IPAM.Disabled:
			errs = append(errs, field.Forbidden(at, noAddress))
		}
	}
	if err := c.missingIPAM(s, spec); err != nil {
		errs = append(errs, err)
	}
	block := spec.Child(strings.ReplaceAll(c.CNIType, "-", ""))
	if n, ok := c.Main.(LinkNetwork); ok && n.made() && !s.Coordinator {
		errs = append(errs, field.Forbidden(block.Child("master"), noIfacer))
	}
	for i, raw := range c.Chain {
		errs = append(errs, missingIn(s, spec.Child("chainCNIJsonData").Index(i), raw)...)
	}
	return errs
}

func (c Config) missingIPAM(s Settings, spec *field.Path) *field.Error {
	var other struct {
		Type string `json:"type"`
	}
	if c.IPAM.Disabled || s.SpiderpoolIPAM {
		return nil
	}
	if c.IPAM.Config == nil {
		at := spec.Child("ipam") // unsaid, which is Spiderpool's
		if len(c.IPAM.IPv4)+len(c.IPAM.IPv6) > 0 {
			at = spec.Child(strings.ReplaceAll(c.CNIType, "-", ""), "ippools")
		}
		return field.Forbidden(at, noIPAM)
	}
	if json.Unmarshal(c.IPAM.Config, &other) != nil || other.Type == spiderpoolType {
		return field.Forbidden(spec.Child("ipam"), noIPAM)
	}
	return nil
}

// missingIn looks into a plugin's own JSON, or that of a chain of them.
func missingIn(s Settings, at *field.Path, text []byte) (errs field.ErrorList) {
	type part struct {
		Type string `json:"type"`
		IPAM struct {
			Type string `json:"type"`
		} `json:"ipam"`
	}
	var conf struct {
		part
		Plugins []part `json:"plugins"`
	}
	// Parts of another shape stay unread: what they mean, their plugin says.
	_ = json.Unmarshal(text, &conf)
	for _, p := range append(conf.Plugins, conf.part) {
		switch {
		case p.Type == coordinatorType && !s.Coordinator:
			errs = append(errs, field.Forbidden(at, "it runs the coordinator. "+noCoordinator))
		case p.Type == ifacerType && !s.Coordinator:
			errs = append(errs, field.Forbidden(at, noIfacer))
		case p.IPAM.Type == spiderpoolType && !s.SpiderpoolIPAM:
			errs = append(errs, field.Forbidden(at, noIPAM))
		}
	}
	return errs
}

// coordinatorAsked reports whether somebody wrote that the coordinator is to run.
func (c Config) coordinatorAsked() bool { return or(c.Coordinator.Enabled, c.Coordinator.Said) }

// coordinated reports whether it runs: unless told, where it is and has an address to
// look at.
func (c Config) coordinated(s Settings) bool {
	return or(c.Coordinator.Enabled, s.Coordinator && !c.IPAM.Disabled)
}
