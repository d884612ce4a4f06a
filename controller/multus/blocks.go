package multus

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

const maxMTU = 1 << 16 // no link has more; the kernel says what its own has

func readIBSRIOV(c *Config, b *fields) Main {
	n := IBSRIOVNetwork{
		ResourceName:  b.resource(),
		PKey:          b.pkey(),
		LinkState:     b.text("linkState"),
		RDMAIsolation: or(b.truth("rdmaIsolation"), true),
	}
	switch n.LinkState {
	case "":
		n.LinkState = "enable"
	case "auto", "enable", "disable":
	default:
		b.refuse(b.at.Child("linkState"), n.LinkState, "write auto, enable or disable")
	}
	// Without the wait a pod could start before UFM has its GUID, and nobody would know.
	partition := n.PKey != 0 || c.Annotations[attach.PartitionAnnotation] != ""
	n.Wait = or(b.truth("enableIbKubernetes", "ibKubernetesEnabled"), partition)
	if partition && !n.Wait {
		b.found.warn(b.at.Child("enableIbKubernetes"), "pods will not wait for their partition, since it is false; remove it unless that is meant")
	}
	return n
}

// pkey reads a PKey: a text in hex, or a number, which counts by its value.
func (f *fields) pkey() pkey.PKey {
	v, at := f.take("pkey")
	raw, err := json.Marshal(v)
	if err != nil {
		f.refuse(at, v, `write it as a string of hex, as in "0x1000"`)
		return 0
	}
	p, err := pkey.ParseJSON(raw)
	if err != nil {
		f.refuse(at, v, reason(err))
		return 0
	}
	if _, number := whole(v); number {
		f.found.warn(at, "the number %s is taken by its value, which is PKey %s; write %q", raw, p, p)
	}
	return p
}

// reason is an error of pkey without the value, which the field error repeats.
func reason(err error) string {
	if _, why, ok := strings.Cut(err.Error(), `: `); ok {
		return why
	}
	return err.Error()
}

func readSRIOV(_ *Config, b *fields) Main {
	n := SRIOVNetwork{
		ResourceName: b.resource(),
		VLAN:         or(b.number("vlanID", 0, 4094), 0),
		MTU:          or(b.number("mtu", 0, maxMTU), 0),
		MinTxRate:    or(b.number("minTxRateMbps", 0, 1<<31-1), 0),
		MaxTxRate:    or(b.number("maxTxRateMbps", 0, 1<<31-1), 0),
		// Isolation is what enableRdma always did.
		RDMAIsolation: or(b.truth("rdmaIsolation", "enableRdma"), false),
	}
	// A roof of 0 is none, so a floor may stand without one.
	if n.MaxTxRate > 0 && n.MinTxRate > n.MaxTxRate {
		b.refuse(b.at.Child("minTxRateMbps"), n.MinTxRate, "it is above maxTxRateMbps; write at most that, or leave maxTxRateMbps out for no bound")
	}
	return n
}

// resource reads the name of a resource that the network cannot be without.
func (f *fields) resource() string {
	name := f.text("resourceName")
	if at := f.at.Child("resourceName"); name == "" {
		f.found.errs = append(f.found.errs, field.Required(at, "write the resource of the VFs as the node's allocatable shows it, as in spidernet.io/gpu1sriov"))
	} else {
		f.checkResource(at, name)
	}
	return name
}

// checkResource refuses what no device plugin can offer, and the pod would wait for.
func (f *fields) checkResource(at *field.Path, name string) {
	if !strings.Contains(name, "/") || len(validation.IsQualifiedName(name)) > 0 {
		f.refuse(at, name, "write prefix/name, as the node's allocatable shows it, as in spidernet.io/gpu1sriov")
	}
}

func readIPoIB(_ *Config, b *fields) Main {
	n := IPoIBNetwork{Master: b.text("master")}
	if n.Master == "" {
		b.found.errs = append(b.found.errs, field.Required(b.at.Child("master"), "write the node's IPoIB interface, as in ib0"))
	}
	return n
}

func readLink(c *Config, b *fields) Main {
	n := LinkNetwork{
		Kind: c.CNIType, Masters: b.texts("master"), Bond: b.bond(),
		VLAN: or(b.number("vlanID", 0, 4094), 0), MTU: or(b.number("mtu", 0, maxMTU), 0),
		ResourceName: b.text("rdmaResourceName"),
	}
	switch at := b.at.Child("master"); {
	case len(n.Masters) == 0:
		b.found.errs = append(b.found.errs, field.Required(at, `write the node's interface, as in ["ens6f0np0"]`))
	case len(n.Masters) > 1 && n.Bond == nil:
		b.found.errs = append(b.found.errs, field.Required(b.at.Child("bond"), "several masters are bonded; write the bond's name and mode, or leave one master"))
	}
	// The older generation has a switch beside the name.
	rdma := b.truth("enableRdma")
	switch {
	case !or(rdma, true):
		n.ResourceName = ""
	case rdma != nil && n.ResourceName == "":
		b.found.errs = append(b.found.errs, field.Required(b.at.Child("rdmaResourceName"), "enableRdma is true; write the resource of the shared RDMA device, or remove enableRdma"))
	case n.ResourceName != "":
		b.checkResource(b.at.Child("rdmaResourceName"), n.ResourceName)
	}
	return n
}

func (f *fields) bond() *Bond {
	b, said := f.block("bond")
	if !said {
		return nil
	}
	bond := Bond{Name: b.text("name"), Mode: or(b.number("mode", 0, 6), 0), Options: b.text("options")}
	if bond.Name == "" {
		b.found.errs = append(b.found.errs, field.Required(b.at.Child("name"), "write the name of the interface that the bond makes, as in bond0"))
	}
	b.done()
	return &bond
}

func (c *Config) readPools(b *fields) {
	pools, said := b.block("ippools")
	if !said {
		return
	}
	c.IPAM.IPv4, c.IPAM.IPv6 = pools.texts("ipv4"), pools.texts("ipv6")
	c.IPAM.MatchMasterSubnet = or(pools.truth("matchMasterSubnet"), false)
	// Spiderpool passes over it elsewhere, and its author gets addresses of another subnet.
	if c.IPAM.MatchMasterSubnet && c.CNIType != SRIOV {
		pools.refuse(pools.at.Child("matchMasterSubnet"), true, "it is for sriov alone; remove it")
	}
	pools.done()
}

// readIPAM reads where addresses come from. spec.ipam is not Spiderpool's: it is the way
// to every other IPAM plugin, whose block passes through as it is.
func (c *Config) readIPAM(spec *fields) {
	c.IPAM.Disabled = or(spec.truth("disableIPAM"), false)
	v, at := spec.take("ipam")
	pools := len(c.IPAM.IPv4)+len(c.IPAM.IPv6) > 0
	if c.IPAM.Disabled && pools {
		spec.found.warn(spec.at.Child("disableIPAM"), "the pods get no addresses, and the ippools have no effect")
	}
	if v == nil {
		return
	}
	block, _ := v.(map[string]any)
	kind, _ := block["type"].(string)
	switch {
	case kind == "" || kind == "none":
		spec.refuse(at, v, `write the block of an IPAM plugin with its type, as in {type: nv-ipam, poolName: gpu1}; for no addresses write disableIPAM: true instead`)
	case c.IPAM.Disabled:
		spec.found.errs = append(spec.found.errs, field.Forbidden(at, "disableIPAM is true; leave one of them"))
	case pools:
		spec.found.errs = append(spec.found.errs, field.Forbidden(at, "ippools are Spiderpool's; leave one of them"))
	case kind == "dhcp" && slices.Contains([]string{IBSRIOV, IPoIB}, c.CNIType):
		spec.refuse(at.Child("type"), kind, "dhcp does not work on InfiniBand; write host-local, whereabouts, nv-ipam or another")
	default:
		raw, err := json.Marshal(block)
		if err != nil {
			spec.refuse(at, v, "write only what JSON can hold")
		}
		c.IPAM.Config = raw
	}
}

// or is what is said, or else what goes unsaid.
func or[T any](said *T, unsaid T) T {
	if said == nil {
		return unsaid
	}
	return *said
}
