package scenarios

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/guid"
)

// fake has a name of its own: the method Kernel would hide a field of that name.
type fake = *hostfake.Kernel

// fakeLab is a node of the fake kernel: two InfiniBand cards of 32 VFs, and an Ethernet card.
type fakeLab struct {
	fake
	vfs, roce []host.PCI
}

func newFakeLab(o hostfake.Options) *fakeLab {
	lab := &fakeLab{fake: hostfake.New(o)}
	for _, bus := range []int{0x17, 0x3a} {
		_, vfs := lab.AddPF(bus, 32, guid.GUID(0x0011000000000000|bus<<8))
		lab.vfs = append(lab.vfs, vfs...)
	}
	_, lab.roce = lab.AddEthernetPF(0x5e, 8, true)
	return lab
}

func (l *fakeLab) Kernel() host.Kernel { return l.fake }

func (l *fakeLab) RoCE() []host.PCI { return l.roce }

func (l *fakeLab) VFs() []host.PCI { return l.vfs }

// TestOnTheFakeKernel runs all stories, on both generations of kernels, at the pace of
// the real ones: netdevs appear late, udev renames them, namespaces give devices back
// after seconds.
func TestOnTheFakeKernel(t *testing.T) {
	for _, generation := range hostfake.Generations() {
		for _, s := range All() {
			t.Run(string(generation)+"/"+s.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newFakeLab(hostfake.Options{
						Generation: generation, SMDelay: 3 * time.Second, BindTime: 300 * time.Millisecond,
						NetdevDelay: 100 * time.Millisecond, UdevDelay: 50 * time.Millisecond, ReturnDelay: 5 * time.Second,
					})
					time.Sleep(time.Minute) // the node has booted long ago
					s.Run(t, l)
				})
			})
		}
	}
}
