package multus

import "fmt"

// The plugins' parts of a NAD, their keys in Spiderpool's order: a NAD that it made stays
// as it is, to the byte, when ibfabric takes over.

type ibsriovPlugin struct {
	Type          string `json:"type"`
	PKey          string `json:"pkey"`
	LinkState     string `json:"link_state"`
	RDMAIsolation bool   `json:"rdmaIsolation"`
	Wait          bool   `json:"ibKubernetesEnabled"`
	IPAM          any    `json:"ipam,omitempty"`
}

// The ib-sriov plugin isolates the RDMA device itself, in one transaction with the rest;
// chaining the rdma plugin behind it would move the device twice.
func (n IBSRIOVNetwork) plugins(ipam any) ([]any, []any) {
	p := ibsriovPlugin{Type: IBSRIOV, LinkState: n.LinkState, RDMAIsolation: n.RDMAIsolation, Wait: n.Wait, IPAM: ipam}
	if n.PKey != 0 {
		p.PKey = n.PKey.String() // always text: ib-kubernetes reads no number
	}
	return []any{p}, nil
}

type sriovPlugin struct {
	VLAN      int64  `json:"vlan"`
	MinTxRate int64  `json:"min_tx_rate"`
	MaxTxRate int64  `json:"max_tx_rate"`
	Type      string `json:"type"`
	IPAM      any    `json:"ipam,omitempty"`
}

type rdmaPlugin struct {
	Type string `json:"type"`
}

type tuningPlugin struct {
	Type string `json:"type"`
	MTU  int64  `json:"mtu"`
}

// For sriov the isolation is a plugin of its own: sriov-cni has no such field, would pass
// over it without a word, and the pod would see every RDMA device of the node.
func (n SRIOVNetwork) plugins(ipam any) (main, last []any) {
	main = []any{sriovPlugin{VLAN: n.VLAN, MinTxRate: n.MinTxRate, MaxTxRate: n.MaxTxRate, Type: SRIOV, IPAM: ipam}}
	if n.RDMAIsolation {
		main = append(main, rdmaPlugin{"rdma"})
	}
	if n.MTU > 0 {
		last = []any{tuningPlugin{"tuning", n.MTU}}
	}
	return main, last
}

func (n IPoIBNetwork) plugins(ipam any) ([]any, []any) {
	return []any{struct {
		Type   string `json:"type"`
		Master string `json:"master"`
		IPAM   any    `json:"ipam,omitempty"`
	}{IPoIB, n.Master, ipam}}, nil
}

type linkPlugin struct {
	Type   string `json:"type"`
	Master string `json:"master"`
	Mode   string `json:"mode,omitempty"`
	MTU    int64  `json:"mtu,omitempty"`
	IPAM   any    `json:"ipam,omitempty"`
}

type ifacerPlugin struct {
	VLAN       int64    `json:"vlanID,omitempty"`
	Type       string   `json:"type"`
	Interfaces []string `json:"interfaces,omitempty"`
	Bond       *Bond    `json:"bond,omitempty"`
}

func (n LinkNetwork) plugins(ipam any) (main, last []any) {
	p := linkPlugin{Type: n.Kind, Master: n.order(), MTU: n.MTU, IPAM: ipam}
	if n.Kind == MACVLAN {
		p.Mode = "bridge"
	}
	if n.VLAN != 0 {
		p.Master = fmt.Sprintf("%s.%d", p.Master, n.VLAN)
	}
	if n.made() {
		main = append(main, ifacerPlugin{n.VLAN, ifacerType, n.Masters, n.Bond})
	}
	return append(main, p), nil
}

// made reports whether the master must be made on the node first: a VLAN or a bond.
func (n LinkNetwork) made() bool { return n.VLAN != 0 || len(n.Masters) > 1 }

type spiderpoolIPAM struct {
	Type              string   `json:"type"`
	IPv4              []string `json:"default_ipv4_ippool,omitempty"`
	IPv6              []string `json:"default_ipv6_ippool,omitempty"`
	MatchMasterSubnet bool     `json:"match_master_subnet,omitempty"`
}

// block is the ipam block of the main plugin, nil for none.
func (i IPAM) block() any {
	switch {
	case i.Disabled:
		return nil
	case i.Config != nil:
		return i.Config
	}
	return spiderpoolIPAM{spiderpoolType, i.IPv4, i.IPv6, i.MatchMasterSubnet}
}
