package doctor

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/install"
	"github.com/ibfabric/ibfabric/cni/node/nodefake"
	"github.com/ibfabric/ibfabric/guid"
)

func TestAHealthyNodeHasNothingToMend(t *testing.T) {
	for name, p := range map[string]*patient{"InfiniBand": infiniBand(t), "RoCE": roce(t)} {
		r := p.examine()
		if !r.OK || len(mends(r)) > 0 {
			t.Errorf("%s:\n%s", name, r.Table(false))
		}
	}
	if got := roce(t).examine().NotHere; !cmp.Equal(got, []string{"subnet-manager", "vf-guids", "pkeys", "acs"}) {
		t.Errorf("a RoCE node has no occasion for %v", got)
	}
	if got := infiniBand(t).examine().NotHere; !cmp.Equal(got, []string{"acs"}) {
		t.Errorf("an InfiniBand node without GPUs has no occasion for %v", got)
	}
}

// TestEachThingBrokenAloneIsItsOwnRow breaks one thing of a healthy node at a time: one
// row, and no other, says so, shows what was seen, and gives a command.
func TestEachThingBrokenAloneIsItsOwnRow(t *testing.T) {
	for _, c := range []struct {
		name        string
		on          func(*testing.T) *patient
		broken      func(*patient)
		check       string
		says, mends string
	}{
		{"a kernel too old", infiniBand, func(p *patient) { p.Write("proc/sys/kernel/osrelease", "4.18.0-553.el8") },
			"driver", "Linux 4.18.0-553.el8 with its own drivers", "boot Linux 5.3 or later"},
		{"OFED on a kernel too old", infiniBand, func(p *patient) {
			p.Write("proc/sys/kernel/osrelease", "4.15.0-20-generic")
			p.Load("mlx_compat")
			p.Write("sys/module/mlx5_core/version", "24.01-0.3.3")
		}, "driver", "OFED 24.01-0.3.3", "OFED alone is not enough"},
		{"a module not loaded", roce, func(p *patient) { p.Unload("rdma_ucm") }, "modules", "not loaded: rdma_ucm", "modprobe -a rdma_ucm"},
		{"no modules at all", roce, func(p *patient) { p.Unload("rdma_ucm"); p.Remove("proc/modules") }, "modules", "loads no modules", "boot a kernel"},
		{"a card without driver", infiniBand, func(p *patient) {
			p.Remove(nodefake.Device(pf, "driver"))
			p.Remove(nodefake.Device(pf, "infiniband"))
		}, "cards", pf + " has no driver", "echo " + pf + " > /sys/bus/pci/drivers_probe"},
		{"a card without RDMA device", infiniBand, func(p *patient) { p.Remove(nodefake.Device(pf, "infiniband")) },
			"cards", "has driver mlx5_core, but no RDMA device", "modprobe mlx5_ib"},
		{"a rail that is Ethernet", infiniBand, func(p *patient) { p.Write(port+"link_layer", "Ethernet") },
			"link-layer", "mlx5_0/1 is Ethernet, networks are for InfiniBand", "mlxconfig -y -d 17:00.0 set LINK_TYPE_P1=1"},
		{"a rail that is InfiniBand", roce, func(p *patient) {
			p.Write(port+"link_layer", "InfiniBand")
			p.Write(port+"lid", "0x5")
			p.Write(port+"sm_lid", "0x1")
			p.Write(port+"pkeys/0", "0x7fff")
			p.Write(port+"pkeys/1", "0x0000")
			p.Load("ib_ipoib")
		}, "link-layer", "mlx5_0/1 is InfiniBand, networks are for Ethernet", "set LINK_TYPE_P1=2"},
		{"a port that is down", infiniBand, func(p *patient) {
			p.Write(port+"state", "1: DOWN")
			p.Write(port+"phys_state", "2: Polling")
		}, "ports", "mlx5_0/1 is DOWN (Polling)", "ibstat mlx5_0 1"},
		{"a RoCE port that is down", roce, func(p *patient) {
			p.Write(port+"state", "1: DOWN")
			p.Write(port+"phys_state", "3: Disabled")
		}, "ports", "mlx5_0/1 is DOWN (Disabled)", "ip link set dev ens0 up"},
		{"no subnet manager", infiniBand, func(p *patient) {
			p.Write(port+"state", "2: INIT")
			p.Write(port+"lid", "0x0")
			p.Write(port+"sm_lid", "0x0")
		}, "subnet-manager", "mlx5_0/1 is INIT with LID 0", "sminfo -C mlx5_0 -P 1"},
		{"a subnet manager that went away", infiniBand, func(p *patient) { p.Write(port+"sm_lid", "0x0") },
			"subnet-manager", "ACTIVE with LID 16, has heard of no subnet manager", "start UFM or opensm"},
		{"shared mode", infiniBand, func(p *patient) { p.Mode = host.Shared }, "rdma-mode", "shared; networks isolate", "rdma system set netns exclusive"},
		{"exclusive until the reboot", infiniBand, func(p *patient) { p.Remove("etc/modprobe.d/ib_core.conf") },
			"rdma-mode-boot", "shared after a reboot, the kernel's default", "options ib_core netns_mode=0"},
		{"exclusive until a later file", infiniBand, func(p *patient) { p.Write("etc/modprobe.d/z.conf", "options ib-core foo=1 netns_mode=1") },
			"rdma-mode-boot", "shared after a reboot, as configured", "/etc/modprobe.d/zz-ib_core.conf"},
		{"no VFs", infiniBand, func(p *patient) {
			for _, pci := range []string{pf, second} {
				p.Remove(nodefake.Device(pci, "virtfn0"))
				p.Remove(nodefake.Device(pci, "virtfn1"))
			}
		}, "vfs", pf + ": none of 16 VFs", "echo 12 > /sys/bus/pci/devices/" + pf + "/sriov_numvfs"},
		{"a VF without driver", infiniBand, func(p *patient) { p.Remove(nodefake.Device("0000:17:00.2", "driver")) },
			"vf-drivers", "VF 1 of 0000:17:00.0 (0000:17:00.2) has none", "echo 0000:17:00.2 > /sys/bus/pci/drivers_probe"},
		{"a GUID of zeros", infiniBand, func(p *patient) { p.SetGUID(pf, 1, 0) }, "vf-guids", "1 of 2 VFs have none", "ip link set dev ib0 vf 1 node_guid"},
		{"a GUID of ones", infiniBand, func(p *patient) { p.SetGUID(pf, 1, ^guid.GUID(0)) }, "vf-guids", "1 of 2 VFs have none", "ibKubernetesEnabled"},
		{"one GUID twice", infiniBand, func(p *patient) { p.SetGUID(pf, 1, 7); p.SetGUID(second, 0, 7) },
			"vf-guids", "00:00:00:00:00:00:00:07 is the GUID of both 0000:17:00.2 and 0000:86:00.1", "give one of them another"},
		{"a full PKey table", infiniBand, func(p *patient) {
			for i := range 128 {
				p.Write(fmt.Sprintf("%spkeys/%d", port, i), "0x8001")
			}
		}, "pkeys", "mlx5_0/1: all 128 entries are in use", "/sys/class/infiniband/mlx5_0/ports/1/pkeys/*"},
		{"a plugin missing", infiniBand, func(p *patient) { p.plugin(2, install.Missing, "", "") },
			"cni-names", "rdma missing in /opt/cni/bin", "ibfabric-cni install --cni-bin-dir /opt/cni/bin"},
		{"a foreign plugin", infiniBand, func(p *patient) {
			p.plugin(0, install.Foreign, "github.com/k8snetworkplumbingwg/ib-sriov-cni/cmd/ib-sriov-cni", "v1.3.0")
		}, "cni-names", "ib-sriov is ib-sriov-cni v1.3.0 in /opt/cni/bin", "--foreign=replace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.on(t)
			c.broken(p)
			r := p.examine()
			fits(t, r)
			for _, name := range mends(r) {
				if name != c.check {
					t.Errorf("%s is said to be broken too", name)
				}
			}
			row := find(t, r, c.check)
			if r.OK || row.State != Mend || !strings.Contains(row.Seen, c.says) || !strings.Contains(strings.Join(row.Mend, "\n"), c.mends) {
				t.Errorf("ok %t, want %q and %q in %+v", r.OK, c.says, c.mends, row)
			}
		})
	}
}

func TestWhatFollowsFromAMissingModuleIsSaidWithIt(t *testing.T) {
	p := infiniBand(t)
	p.Unload("ib_ipoib")
	if got := mends(p.examine()); !cmp.Equal(got, []string{"modules", "vf-guids", "vf-guids"}) {
		t.Errorf("without ib_ipoib: %v", got)
	}
	p = infiniBand(t)
	p.Unload("ib_core")
	if got := mends(p.examine()); !cmp.Equal(got, []string{"modules", "rdma-mode"}) {
		t.Errorf("without ib_core: %v", got)
	}
}

// TestWhatCannotBeReadIsNeverInOrder hides one file after the other, for root too.
func TestWhatCannotBeReadIsNeverInOrder(t *testing.T) {
	for file, check := range map[string]string{
		"proc/sys/kernel/osrelease": "driver", "sys/module": "modules", "proc/cmdline": "rdma-mode-boot",
		"etc/modprobe.d/ib_core.conf": "rdma-mode-boot", "sys/bus/pci/devices": "cards", nodefake.Device(pf, "vendor"): "cards",
		nodefake.Device(pf, "sriov_totalvfs"): "cards", nodefake.Device(pf, "infiniband"): "cards",
		port + "link_layer": "ports", port + "state": "ports", port + "phys_state": "ports", port + "lid": "ports",
		port + "sm_lid": "ports", port + "pkeys": "ports", port + "pkeys/127": "ports",
	} {
		t.Run(file, func(t *testing.T) {
			p := infiniBand(t)
			p.Unreadable(file)
			r := p.examine()
			row := find(t, r, check)
			if row.State != Mend || !strings.Contains(row.Seen, "cannot be read") || !strings.Contains(row.Seen, "too many levels") {
				t.Errorf("%+v", row)
			}
			fits(t, r)
		})
	}
	p := infiniBand(t)
	p.plugins[1].Err = fs.ErrPermission
	if row := find(t, p.examine(), "cni-names"); row.State != Mend || !strings.Contains(row.Seen, "permission denied") {
		t.Errorf("%+v", row)
	}
	p = infiniBand(t)
	p.Write(port+"state", "what")
	if row := find(t, p.examine(), "ports"); row.State != Mend {
		t.Errorf("a state that is no number: %+v", row)
	}
}

func TestWithoutACardOnlyTheCardAndThePluginsAreToBeMended(t *testing.T) {
	p := newPatient(nodefake.Bare(t))
	p.plugin(0, install.Missing, "", "")
	r := p.examine()
	if got := mends(r); !cmp.Equal(got, []string{"cards", "cni-names"}) {
		t.Errorf("%v in\n%s", got, r.Table(false))
	}
	if row := find(t, r, "rdma-mode"); row.State != Info {
		t.Errorf("%+v", row)
	}
}

func TestAnIdleCardBesidesIsNoTrouble(t *testing.T) {
	p := infiniBand(t)
	p.Card(node.Ethernet, "c1", 2)
	p.Remove(nodefake.Device("0000:c1:00.0", "virtfn0"))
	p.Remove(nodefake.Device("0000:c1:00.0", "virtfn1"))
	p.Write(nodefake.Device("0000:c1:00.0", "infiniband/mlx5_2/ports/1/state"), "1: DOWN")
	r := p.examine()
	if row := find(t, r, "ports"); !r.OK || row.State != Info || !strings.Contains(row.Seen, "mlx5_2/1 is DOWN") {
		t.Errorf("ok %t, %+v", r.OK, row)
	}
}

func TestNetworksDecideWhatTheNodeIsToBe(t *testing.T) {
	p := newPatient(nodefake.InfiniBand(t))
	p.Mode = host.Shared
	if got := mends(p.examine()); !cmp.Equal(got, []string{"rdma-mode"}) {
		t.Errorf("without networks the guide's way counts, exclusive on InfiniBand: %v", got)
	}
	p.reads(t, `{"type":"ib-sriov"}`)
	if got := mends(p.examine()); len(got) > 0 {
		t.Errorf("a network without isolation is content with shared mode: %v", got)
	}
	p.reads(t, `{"items":[{"metadata":{"namespace":"a","name":"b"},"spec":{"config":"{\"plugins\":[{\"type\":\"sriov\"},{\"type\":\"rdma\"}]}"}},{"spec":{}}]}`)
	if got := mends(p.examine()); !cmp.Equal(got, []string{"link-layer", "rdma-mode"}) {
		t.Errorf("a RoCE network with the plugin rdma: %v", got)
	}
	if !p.want.Exclusive || !cmp.Equal(p.want.Layers, []string{node.InfiniBand, node.Ethernet}) || p.want.Networks != 2 {
		t.Errorf("%+v", p.want)
	}
	if err := p.want.SetLayer("IB"); err == nil {
		t.Error("IB is taken for a link layer")
	}
	if err := p.want.Read([]byte(`{"items":[{"metadata":{"namespace":"a","name":"b"},"spec":{"config":"{"}}]}`)); err == nil || !strings.Contains(err.Error(), "a/b") {
		t.Errorf("%v does not name the network", err)
	}
}

func TestZeroGUIDsAreRightWhereTheControllerGivesThem(t *testing.T) {
	p := newPatient(nodefake.InfiniBand(t))
	p.SetGUID(pf, 0, 0)
	if row := find(t, p.examine(), "vf-guids"); row.State != Info || !strings.Contains(row.Seen, "--config") {
		t.Errorf("nobody knows who gives GUIDs: %+v", row)
	}
	p.reads(t, `{"type":"ib-sriov","rdmaIsolation":true,"ibKubernetesEnabled":true}`)
	if row := find(t, p.examine(), "vf-guids"); row.State != Info {
		t.Errorf("%+v", row)
	}
	p.reads(t, `{"type":"ib-sriov"}`)
	if row := find(t, p.examine(), "vf-guids"); row.State != Mend {
		t.Errorf("one network without a controller: %+v", row)
	}
}

// Who pastes the commands on each node must not give one GUID twice, nor one of a controller's.
func TestProposedGUIDsAreTheVFsOwn(t *testing.T) {
	proposed := map[string]string{}
	for _, card := range []guid.GUID{0xb8599f0300a1b2c0, 0xb8599f0300a1b2c1, 0x0002c90300a1b2c0, 0x506b4bfffea1b2c0} {
		for vf := range 2 {
			p := infiniBand(t)
			p.Write(nodefake.Device(pf, "infiniband/mlx5_0/node_guid"), card.Sysfs())
			p.SetGUID(pf, vf, 0)
			r := p.examine()
			fits(t, r)
			command, _, _ := strings.Cut(find(t, r, "vf-guids").Mend[0], " ")
			text, _ := strings.CutPrefix(command, "G=")
			g, err := guid.Parse(text)
			if name := fmt.Sprintf("VF %d of %s", vf, card); err != nil || g>>56 == 0x02 || g>>56&0x02 == 0 || proposed[text] != "" {
				t.Errorf("%s: %q, %v, before for %q", name, command, err, proposed[text])
			} else {
				proposed[text] = name
			}
		}
	}
	p := infiniBand(t)
	p.Remove(nodefake.Device(pf, "infiniband/mlx5_0/node_guid"))
	p.SetGUID(pf, 1, 0)
	if got := find(t, p.examine(), "vf-guids").Mend[0]; !strings.HasPrefix(got, "# G: ") {
		t.Errorf("of a card that tells no GUID: %q", got)
	}
}

func TestDriversAndModesThatAreRightInOtherWays(t *testing.T) {
	p := infiniBand(t)
	p.Write("proc/sys/kernel/osrelease", "5.15.0-20-generic")
	p.Load("mlx_compat")
	p.Write("sys/module/mlx5_core/version", "24.01-0.3.3")
	p.Unload("ib_umad")
	p.Write("lib/modules/5.15.0-20-generic/modules.builtin", "kernel/drivers/infiniband/core/ib_umad.ko\nkernel/x/a-b.ko")
	p.Remove("etc/modprobe.d/ib_core.conf")
	p.Write("proc/cmdline", "quiet ib_core.netns_mode=N")
	r := p.examine()
	if !r.OK || !strings.Contains(find(t, r, "driver").Seen, "OFED 24.01-0.3.3") {
		t.Error(r.Table(false))
	}
	p.Write("proc/cmdline", "quiet")
	p.Write("usr/lib/modprobe.d/rdma.conf", "options ib_core netns_mode=0")
	if r := p.examine(); !r.OK {
		t.Error(r.Table(false))
	}
	p.Write("etc/modprobe.d/rdma.conf", "# hides the one of the package")
	if r := p.examine(); r.OK {
		t.Error("a file of /etc does not hide the one of its name in /usr/lib")
	}
}

func TestANodeWithoutRDMANetlinkSaysSo(t *testing.T) {
	p := infiniBand(t)
	p.Mode = ""
	if row := find(t, p.examine(), "rdma-mode"); row.State != Mend || !strings.Contains(row.Seen, "ib_core") {
		t.Errorf("%+v", row)
	}
}
