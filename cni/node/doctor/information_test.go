package doctor

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/install"
	"github.com/ibfabric/ibfabric/cni/node/nodefake"
)

// What the doctor shows and leaves to its reader.

func TestGCThatDoesNotRunIsForInformation(t *testing.T) {
	for name, c := range map[string]struct {
		ago  time.Duration
		err  error
		want State
	}{
		"just now": {time.Minute, nil, OK}, "long ago": {GCEvery, nil, Info}, "never": {-1, nil, Info}, "not known": {0, fs.ErrPermission, Info},
	} {
		p := infiniBand(t)
		n := Node{Facts: p.Look(), Plugins: p.plugins, Version: "v1.2.0", Collected: node.Fact[time.Duration]{Value: c.ago, Err: c.err}}
		got := find(t, Examine(n, p.want), "gc")
		if command := len(got.Mend) > 0 && got.Mend[0] == "ibfabric-cni gc"; got.State != c.want || command != (c.want == Info && c.err == nil) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestGPUsAndBridgesAreInformation(t *testing.T) {
	for _, redirect := range []bool{true, false} {
		p := infiniBand(t)
		p.GPU(redirect)
		p.Write(nodefake.Device(pf, "iommu_group/type"), "DMA-FQ")
		r := p.examine()
		fits(t, r)
		says := map[bool]string{true: "1 of 1 PCI bridges redirect", false: "none of 1 PCI bridges"}[redirect]
		if row := find(t, r, "acs"); row.State != Info || !strings.Contains(row.Seen, says) {
			t.Errorf("redirect %t: %+v", redirect, row)
		}
		for check, says := range map[string]string{"nvidia_peermem": "GPUs: 1", "gdrdrv": "GPUs: 1", "iommu": "translates"} {
			if row := find(t, r, check); row.State != Info || !strings.Contains(row.Seen, says) || len(row.Mend) == 0 {
				t.Errorf("%+v", row)
			}
		}
		p.Load("nvidia_peermem")
		p.Write(nodefake.Device("0000:3a:00.0", "config"), strings.Repeat("\x00", 64))
		r = p.examine()
		if !strings.Contains(find(t, r, "nvidia_peermem").Seen, "loaded") || !strings.Contains(find(t, r, "acs").Seen, "not known") || !r.OK {
			t.Error(r.Table(false))
		}
	}
}

// Linux 5.3 and 5.4 serve pods, but say zeros of every VF: that is nothing to mend.
func TestAKernelThatTellsNoGUIDsIsInformation(t *testing.T) {
	p := infiniBand(t)
	p.Write("proc/sys/kernel/osrelease", "5.4.0-216-generic")
	p.SetGUID(pf, 0, 0)
	p.SetGUID(pf, 1, 0)
	r := p.examine()
	fits(t, r)
	if got := find(t, r, "vf-guids"); !r.OK || got.State != Info || !strings.Contains(got.Seen, "does not tell") {
		t.Errorf("ok %t, %+v", r.OK, got)
	}
}

func TestAnOlderVersionOfOursIsInformation(t *testing.T) {
	p := infiniBand(t)
	p.plugin(1, install.Ours, install.Program, "v1.1.0")
	r := p.examine()
	if row := find(t, r, "cni-names"); !r.OK || row.State != Info || !strings.Contains(row.Seen, "sriov is ibfabric v1.1.0 in /opt/cni/bin, this is v1.2.0") {
		t.Errorf("%+v", row)
	}
}
