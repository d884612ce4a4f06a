package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/record"
)

// ipam hands out an address to each attachment and forgets none by itself.
type ipam struct {
	mu     sync.Mutex
	given  map[record.Key]bool
	calls  int
	faults *hostfake.Faults
}

func (i *ipam) Add(_ context.Context, rec *record.Record) (*types100.Result, error) {
	var result *types100.Result
	err := i.faults.Point("ipam ADD", func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.calls++
		i.given[rec.Key()] = true
		address := net.IPNet{IP: net.IPv4(10, 0, byte(i.calls>>8), byte(i.calls)), Mask: net.CIDRMask(16, 32)}
		result = &types100.Result{
			CNIVersion: "1.0.0",
			IPs:        []*types100.IPConfig{{Address: address, Gateway: net.IPv4(10, 0, 255, 254)}},
			Routes:     []*types.Route{{Dst: net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}},
		}
		return nil
	})
	return result, err
}

func (i *ipam) Del(_ context.Context, rec *record.Record) error {
	return i.faults.Point("ipam DEL", func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.given, rec.Key())
		return nil
	})
}

func (i *ipam) Check(_ context.Context, rec *record.Record) error {
	return i.faults.Point("ipam CHECK", func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		if !i.given[rec.Key()] {
			return fmt.Errorf("%s has no address", rec.Key())
		}
		return nil
	})
}

func (i *ipam) Status(context.Context, *record.Record) error {
	return i.faults.Point("ipam STATUS", func() error { return nil })
}

// GC forgets all but the valid attachments, as host-local does.
func (i *ipam) GC(_ context.Context, rec *record.Record) error {
	return i.faults.Point("ipam GC", func() error {
		var conf types.PluginConf
		if err := json.Unmarshal(rec.Config, &conf); err != nil {
			return err
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		maps.DeleteFunc(i.given, func(k record.Key, _ bool) bool {
			return !slices.Contains(conf.ValidAttachments, types.GCAttachment{ContainerID: k.ContainerID, IfName: k.IfName})
		})
		return nil
	})
}

func (i *ipam) left() []record.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.SortedFunc(maps.Keys(i.given), func(a, b record.Key) int { return strings.Compare(a.String(), b.String()) })
}

// lose has the address of a pod be none of this plugin's.
func (i *ipam) lose(p *pod) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.given, record.Key{ContainerID: p.id, IfName: p.ifname})
}
