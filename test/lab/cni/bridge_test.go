//go:build linux

package cni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/bridge"
	"github.com/ibfabric/ibfabric/test/lab/fabric"
	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/lab/guest/serial"
	"github.com/ibfabric/ibfabric/test/lab/ufm"
)

// Members of the story; the first is in its partition from the beginning.
const (
	memberGUID   guid.GUID = 0x0200_0000_0000_0100
	strangerGUID guid.GUID = 0x0200_0000_0000_0101
)

// asks begins a line of the guest's that tells the host to change the partition.
const asks = "the guest asks: "

// TestUFMToPod is the way of a membership: ufm-sim, OpenSM's partitions.conf, the port's
// table in the simulated fabric, the VF's in the guest, the plugin's proof.
func TestUFMToPod(t *testing.T) {
	needsLab(t)
	for _, kernel := range series() {
		t.Run("kernel "+kernel, func(t *testing.T) {
			t.Parallel()
			m := machine(t, kernel)
			f := newFabric(t)
			u := ufm.New(t, f)
			startSM(t, f)
			u.Add("0x10", `,"index0":true`, memberGUID)
			u.Add("0x20", `,"membership":"limited"`, memberGUID)
			u.Applied()
			plugin, err := ourPlugins(t.Context(), t.TempDir())
			must(t, err)
			runStories(t, m, guest.Program{
				Args:  []string{"-test.run", "TestInsideBridge"},
				Files: map[string]string{filepath.Join(pluginDir, ours, "ib-sriov"): plugin},
				Talk:  func(ctx context.Context, line net.Conn) error { return join(ctx, f, line) },
				Output: listener(said(kernel), func(what string) {
					switch what {
					case "admit":
						u.Add("0x10", `,"index0":true`, strangerGUID)
					case "expel":
						u.Remove("0x10", memberGUID)
					}
				}),
			})
		})
	}
}

func join(ctx context.Context, f *fabric.Fabric, line net.Conn) error {
	hca, err := bridge.NewClient(ctx, line)
	if err != nil {
		return err
	}
	b := bridge.Bridge{
		Fabric: f, HCA: hca, Name: func(vf int) string { return fabric.VFName(0, vf) },
		Log: func(line string) { fmt.Println("bridge:", line) },
	}
	return b.Run(ctx)
}

// listener does what the guest asks for, and hands on everything.
func listener(to io.Writer, do func(what string)) io.Writer {
	return writer(func(line []byte) (int, error) {
		if what, asked := strings.CutPrefix(strings.TrimSpace(string(line)), asks); asked {
			do(what)
		}
		return to.Write(line)
	})
}

// newFabric has a host with a port for each VF of the guest's.
func newFabric(t *testing.T) *fabric.Fabric {
	t.Helper()
	tools, err := fabric.Prepare(t.Context(), "")
	if errors.Is(err, fabric.ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	must(t, err)
	f, err := fabric.New(t.Context(), tools, fabric.Config{Topology: fabric.Topology{Leaves: 2, Spines: 1, Hosts: 1, VFs: 2 * vfsPerPF}})
	must(t, err)
	t.Cleanup(f.Close)
	return f
}

func startSM(t *testing.T, f *fabric.Fabric) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, f.StartSM(ctx))
}

// TestInsideBridge is the guest's side.
func TestInsideBridge(t *testing.T) {
	needsGuest(t)
	hca, err := bridge.OpenFakeib()
	must(t, err)
	line, err := serial.Open(guest.Line)
	must(t, err)
	go func() { _ = bridge.Serve(context.Background(), line, hca) }() // ends with the guest
	lab := New(t)
	play(t, lab, "a membership in UFM comes to the pod's port, and goes", func(t *testing.T) { membership(t, lab) })
}

func membership(t *testing.T, l *Lab) {
	cni := plugin(ours, "ib-sriov")
	member := l.attachment("member", 0, memberGUID)
	member.config["fabricTimeout"] = "10m" // the guest, the serial line and OpenSM share a machine
	if _, err := cni.call(t.Context(), "ADD", member); err != nil {
		t.Fatalf("ADD of a member: %v", err)
	}
	// As OpenSM has programmed it: the partition at index 0, the default one, the other.
	if p, err := l.host.Port(t.Context(), member.ns, l.VFs()[0]); err != nil || p.State != host.PortActive || !sameTable(p.PKeys, 0x8010, 0x7fff, 0x0020) || p.PKeys[0] != 0x8010 {
		t.Errorf("the member's port: %+v, %v", p, err)
	}

	stranger := l.attachment("stranger", 1, strangerGUID)
	stranger.config["fabricTimeout"] = "3s"
	if _, err := cni.call(t.Context(), "ADD", stranger); err == nil || !strings.Contains(err.Error(), "pkey 0x10") || !strings.Contains(err.Error(), "is not in the port's table") {
		t.Fatalf("ADD of one that is no member: %v", err)
	}
	fmt.Println(asks + "admit")
	stranger.config["fabricTimeout"] = "10m"
	if _, err := cni.call(t.Context(), "ADD", stranger); err != nil {
		t.Fatalf("ADD once it is a member: %v", err)
	}

	if _, err := cni.call(t.Context(), "CHECK", member); err != nil {
		t.Errorf("CHECK of a member: %v", err)
	}
	fmt.Println(asks + "expel")
	must(t, eventually("CHECK that fails", func() error {
		_, err := cni.call(t.Context(), "CHECK", member)
		if err == nil || !strings.Contains(err.Error(), "0x8010") {
			return fmt.Errorf("it says %v", err)
		}
		return nil
	}))
	for _, of := range []interfaceOf{member, stranger} {
		if _, err := cni.call(t.Context(), "DEL", of); err != nil {
			t.Errorf("DEL of %s: %v", of.id, err)
		}
	}
}

func sameTable(got []uint16, want ...uint16) bool {
	got = slices.DeleteFunc(slices.Clone(got), func(e uint16) bool { return e == 0 })
	slices.Sort(got)
	slices.Sort(want)
	return slices.Equal(got, want)
}

// attachment is a pod with VF number i in partition 0x10.
func (l *Lab) attachment(id string, i int, g guid.GUID) interfaceOf {
	return interfaceOf{id: id, ns: l.NewNetNS(id), config: map[string]any{
		"cniVersion": "1.0.0", "name": "gpu1", "type": "ib-sriov", "deviceID": string(l.VFs()[i]),
		"rdmaIsolation": true, "ibKubernetesEnabled": true, "pkey": "0x10", "link_state": "enable",
		"args": map[string]any{"cni": map[string]any{"guid": g.String(), "mellanox.infiniband.app": "configured", "pkey": "0x10"}},
	}}
}
