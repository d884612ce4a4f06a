package multus

import (
	"math"
	"slices"
)

// readCoordinator reads both the switch and the block. The block alone counts as a wish:
// nobody describes what is not to run.
func (c *Config) readCoordinator(spec *fields) {
	k := &c.Coordinator
	k.Enabled = spec.truth("enableCoordinator")
	b, said := spec.block("coordinator")
	if k.Said = said; !said {
		return
	}
	k.Mode = b.text("mode")
	if modes := []string{"", "auto", "underlay", "overlay", "disabled", "disable"}; !slices.Contains(modes, k.Mode) {
		b.refuse(b.at.Child("mode"), k.Mode, "write auto, underlay, overlay or disabled")
	}
	k.TunePodRoutes = b.truth("tunePodRoutes")
	k.TxQueueLen = b.number("txQueueLen", 0, math.MaxInt32)
	k.HostRuleTable = b.number("hostRuleTable", 0, math.MaxInt32)
	// The kernel has 0, 1 and 2; the coordinator takes a negative one for "leave it".
	k.PodRPFilter = b.number("podRPFilter", math.MinInt32, 2)
	k.VethMTU = b.number("vethMTU", 1, maxMTU)
	k.VethLink = b.text("vethLinkAddress")
	k.DefaultRoute = b.text("podDefaultRouteNIC")
	k.MACPrefix = b.text("podMACPrefix")
	k.HijackCIDR = b.texts("hijackCIDR")
	k.PolicyRoutes = b.routes("policyRoutes")
	k.DetectConflict, k.DetectGateway = b.truth("detectIPConflict"), b.truth("detectGateway")
	for _, elsewhere := range []string{"podCIDRType", "hostRPFilter"} {
		b.take(elsewhere) // for Spiderpool's own controller; no plugin reads it
	}
	b.done()
}

// routes is nil as soon as one of them is refused.
func (f *fields) routes(name string) []PolicyRoute {
	v, at := f.take(name)
	list, ok := v.([]any)
	if v != nil && !ok {
		f.refuse(at, v, "write a list, as in [{dst: 10.0.0.0/8, gw: 172.16.11.254}]")
	}
	var routes []PolicyRoute
	for i, item := range list {
		m, ok := item.(map[string]any)
		r := open(at.Index(i), m, f.found)
		route := PolicyRoute{Dst: r.text("dst"), Gw: r.text("gw")}
		if !ok || route.Dst == "" || route.Gw == "" {
			f.refuse(at.Index(i), item, "write dst and gw, as in {dst: 10.0.0.0/8, gw: 172.16.11.254}")
			return nil
		}
		r.done()
		routes = append(routes, route)
	}
	return routes
}

// coordinatorPlugin is the coordinator's part of a NAD. The order of its keys, and the
// spelling of podDefaultRouteNic, are Spiderpool's.
type coordinatorPlugin struct {
	PodMACPrefix       string        `json:"podMACPrefix,omitempty"`
	TxQueueLen         int64         `json:"txQueueLen"`
	DetectIPConflict   *bool         `json:"detectIPConflict,omitempty"`
	DetectGateway      *bool         `json:"detectGateway,omitempty"`
	VethLinkAddress    string        `json:"vethLinkAddress,omitempty"`
	VethMTU            *int64        `json:"vethMTU,omitempty"`
	TunePodRoutes      bool          `json:"tunePodRoutes"`
	Mode               string        `json:"mode"`
	Type               string        `json:"type"`
	PodDefaultRouteNIC string        `json:"podDefaultRouteNic,omitempty"`
	HijackCIDR         []string      `json:"hijackCIDR,omitempty"`
	PolicyRoutes       []PolicyRoute `json:"policyRoutes,omitempty"`
	HostRuleTable      *int64        `json:"hostRuleTable,omitempty"`
	PodRPFilter        *int64        `json:"podRPFilter,omitempty"`
}

// plugin fills in what Spiderpool's CRD has as defaults, since ours has none, and unlike
// Spiderpool hands on hostRuleTable, and podRPFilter whatever else is said.
func (k Coordinator) plugin() coordinatorPlugin {
	p := coordinatorPlugin{
		Type: coordinatorType, Mode: k.Mode, TxQueueLen: or(k.TxQueueLen, 0), TunePodRoutes: or(k.TunePodRoutes, true),
		PodMACPrefix: k.MACPrefix, VethLinkAddress: k.VethLink, VethMTU: k.VethMTU,
		PodDefaultRouteNIC: k.DefaultRoute, HijackCIDR: k.HijackCIDR, PolicyRoutes: k.PolicyRoutes,
		HostRuleTable: k.HostRuleTable, PodRPFilter: k.PodRPFilter,
		DetectIPConflict: k.DetectConflict, DetectGateway: k.DetectGateway,
	}
	switch k.Mode {
	case "":
		p.Mode = "auto"
	case "disabled":
		p.Mode = "disable" // the CRD has the one word, the plugin the other
	}
	return p
}
