package scenarios

import (
	"errors"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/plugin"
)

// BadInput goes through what people and tenants write.
func BadInput(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	for name, c := range map[string]struct {
		spoil func(*pod)
		code  uint
		says  string // the field's name among it
	}{
		"no device":             {func(p *pod) { p.with("deviceID", nil) }, types.ErrInvalidNetworkConfig, "deviceID"},
		"unknown device":        {func(p *pod) { p.with("deviceID", "0000:99:00.0") }, types.ErrInvalidNetworkConfig, "deviceID"},
		"a device that is none": {func(p *pod) { p.with("deviceID", "../../x") }, types.ErrInvalidNetworkConfig, "deviceID"},
		"a number for a device": {func(p *pod) { p.with("deviceID", 7) }, types.ErrInvalidNetworkConfig, "deviceID"},
		"GUID of zeros":         {func(p *pod) { p.arg("guid", "00:00:00:00:00:00:00:00") }, types.ErrInvalidNetworkConfig, "args.cni.guid"},
		"GUID of ones":          {func(p *pod) { p.arg("guid", "ff:ff:ff:ff:ff:ff:ff:ff") }, types.ErrInvalidNetworkConfig, "args.cni.guid"},
		"GUID of 6 bytes":       {func(p *pod) { p.arg("guid", "00:11:22:33:44:55") }, types.ErrInvalidNetworkConfig, "args.cni.guid"},
		"GUID of 9 bytes":       {func(p *pod) { p.arg("guid", "00:11:22:33:44:55:66:77:88") }, types.ErrInvalidNetworkConfig, "args.cni.guid"},
		"GUID in a list":        {func(p *pod) { p.arg("guid", []string{"x"}) }, types.ErrInvalidNetworkConfig, "args.cni.guid"},
		"capability GUID":       {func(p *pod) { p.with("runtimeConfig", map[string]any{"infinibandGUID": "x"}) }, types.ErrInvalidNetworkConfig, "runtimeConfig.infinibandGUID"},
		"top-level GUID": {func(p *pod) {
			p.arg("guid", "")
			p.with("guid", "invalid GUID")
		}, types.ErrInvalidNetworkConfig, "guid"},
		"pkey 0":                  {func(p *pod) { p.with("pkey", "0x0") }, types.ErrInvalidNetworkConfig, "pkey"},
		"pkey 0x7fff":             {func(p *pod) { p.with("pkey", "0x7fff") }, types.ErrInvalidNetworkConfig, "pkey"},
		"pkey with the top bit":   {func(p *pod) { p.with("pkey", "0x9000") }, types.ErrInvalidNetworkConfig, "pkey"},
		"pkey of 17 bits":         {func(p *pod) { p.with("pkey", 65537) }, types.ErrInvalidNetworkConfig, "pkey"},
		"pkey in decimal":         {func(p *pod) { p.with("pkey", "1000") }, types.ErrInvalidNetworkConfig, "0x3e8"},
		"annotated pkey":          {func(p *pod) { p.arg("pkey", "0x8000") }, types.ErrInvalidNetworkConfig, "args.cni.pkey"},
		"annotated pkeys":         {func(p *pod) { p.arg("ibfabric.io/pkeys", "0x5:both") }, types.ErrInvalidNetworkConfig, "args.cni.ibfabric.io/pkeys"},
		"annotated pkeys, a list": {func(p *pod) { p.arg("ibfabric.io/pkeys", []string{"0x5"}) }, types.ErrInvalidNetworkConfig, "args.cni.ibfabric.io/pkeys"},
		"link state":              {func(p *pod) { p.with("link_state", "up") }, types.ErrInvalidNetworkConfig, "link_state"},
		"dhcp":                    {func(p *pod) { p.with("ipam", map[string]any{"type": "dhcp"}) }, types.ErrInvalidNetworkConfig, "ipam.type"},
		"isolation, a word":       {func(p *pod) { p.with("rdmaIsolation", "yes") }, types.ErrInvalidNetworkConfig, "rdmaIsolation"},
		"fabricTimeout":           {func(p *pod) { p.with("fabricTimeout", "soon") }, types.ErrInvalidNetworkConfig, "fabricTimeout"},
		"negative fabricTimeout":  {func(p *pod) { p.with("fabricTimeout", "-1s") }, types.ErrInvalidNetworkConfig, "fabricTimeout"},
		"fabricPolicy":            {func(p *pod) { p.with("fabricPolicy", "ignore") }, types.ErrInvalidNetworkConfig, "fabricPolicy"},
		"args.cni is a list":      {func(p *pod) { p.with("args", map[string]any{"cni": []int{1}}) }, types.ErrInvalidNetworkConfig, "args.cni"},
		"vfio that is not":        {func(p *pod) { p.with("vfioPciMode", true) }, types.ErrInvalidNetworkConfig, "vfioPciMode"},
		"controller not done":     {func(p *pod) { p.arg("mellanox.infiniband.app", "") }, types.ErrTryAgainLater, "mellanox.infiniband.app"},
		"controller without GUID": {func(p *pod) { p.arg("guid", "") }, types.ErrInvalidNetworkConfig, "args.cni.guid"},
		"namespace that is none":  {func(p *pod) { p.ns = "/var/run/netns/never-was" }, types.ErrInvalidNetNS, "CNI_NETNS"},
		"a name without room": {func(p *pod) {
			p.with("ipoibChildren", true)
			p.ifname = "a-longer-name"
		}, types.ErrInvalidNetworkConfig, "ipoibChildren"},
	} {
		p := n.pod("c1", 0, 0x0200000000000100)
		c.spoil(p)
		var err error
		verbs := n.rehearse(func() { _, err = n.add(p) })
		var got *types.Error
		if !errors.As(plugin.ToCNI(err), &got) || got.Code != c.code || !strings.Contains(got.Msg, c.says) {
			t.Errorf("%s: got %v, want code %d and %q", name, err, c.code, c.says)
		}
		for _, verb := range verbs {
			if changes(verb) {
				t.Errorf("%s: %s was called", name, verb)
			}
		}
	}
	n.untouched("after bad input")
}

// changes reports whether a verb changes something.
func changes(verb string) bool {
	switch verb {
	case "Unbind", "Bind", "SetVFGUID", "SetVFLinkState", "SetVFEthernet", "MoveRDMA", "RenameRDMA", "AddChild", "DeleteNetdev",
		"MoveNetdev", "RenameNetdev", "SetNetdevUp", "SetNetdevMTU", "SetNetdevAddr",
		"Configure", "RouteBySource", "UnrouteBySource", "ipam ADD":
		return true
	}
	return false
}
