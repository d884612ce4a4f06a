package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
	"github.com/ibfabric/ibfabric/guid"
)

const (
	cniCards, cniVFs = 2, 32 // of the node: 64 ADDs at once
	cniRounds        = 40
	firstCNIGUID     = guid.GUID(0x0011000000000000)
)

// measureCNI takes the time of ADDs of ib-sriov, as many at once as the node has VFs. None
// asks for an address, and each VF has its GUID already, so that all of the time is the
// plugin's own and that of its records, which are on a disk and, for comparison, in memory.
// How long the records alone take is measured too, in turn with the ADDs: what is left of
// an ADD is the plugin. A runtime starts a process for each ADD; that is not in it.
func measureCNI(ctx context.Context, root string, rounds int) (*CNIReport, error) {
	node, err := newCNINode()
	if err != nil {
		return nil, err
	}
	r := &CNIReport{Rounds: rounds, AtOnce: len(node.vfs)}
	stop := report(func() string { return "ADDs of the CNI" })
	defer stop()
	for _, place := range []struct{ name, parent string }{
		{"memory", "/dev/shm"}, {"disk", filepath.Join(root, "build")}, // a temporary folder may be in memory
	} {
		if _, err := os.Stat(place.parent); place.name == "memory" && err != nil {
			fmt.Fprintf(os.Stderr, "bench: no file system in memory (%v): records on the disk only\n", err)
			continue
		}
		results, err := node.measureIn(ctx, place.parent, rounds)
		if err != nil {
			return nil, fmt.Errorf("measure ADDs with records in %s: %w", place.name, err)
		}
		for i := range results {
			results[i].Records = place.name
		}
		r.Results = append(r.Results, results...)
	}
	return r, nil
}

// cniNode is a node with InfiniBand VFs, whose kernel takes no time for anything.
type cniNode struct {
	kernel *hostfake.Kernel
	vfs    []host.PCI
	plugin cni.Plugin
}

func newCNINode() (*cniNode, error) {
	n := &cniNode{kernel: hostfake.New(hostfake.Options{})}
	for card := range cniCards {
		_, vfs := n.kernel.AddPF(0x17+card, cniVFs, firstCNIGUID+guid.GUID(card*cniVFs))
		n.vfs = append(n.vfs, vfs...)
	}
	var ok bool
	if n.plugin, ok = cni.Named("ib-sriov"); !ok {
		return nil, fmt.Errorf("there is no plugin ib-sriov")
	}
	return n, nil
}

func (n *cniNode) env(dir string) *plugin.Env {
	return &plugin.Env{
		Kernel: n.kernel, Store: record.NewStore(filepath.Join(dir, "records")), Kept: record.NewStore(filepath.Join(dir, "kept")),
		Locks: txn.Locks{Dir: filepath.Join(dir, "locks"), Wait: time.Minute},
		Log:   zap.NewNop(), Now: time.Now, Settle: time.Second, Undo: n.plugin.Undo,
	}
}

func (n *cniNode) measureIn(ctx context.Context, parent string, rounds int) ([]CNIResult, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "bench-cni-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	env, alone := n.env(dir), record.NewStore(filepath.Join(dir, "alone"))
	var records, adds []time.Duration
	for round := range rounds + 1 {
		pods := n.pods(round)
		wrote, err := n.atOnce(func(i int) error { return writeTwice(alone, env, pods[i]) })
		if err != nil {
			return nil, err
		}
		added, err := n.atOnce(func(i int) error { _, err := n.plugin.Add(ctx, env, pods[i]); return err })
		if err != nil {
			return nil, err
		}
		if err := n.clear(ctx, env, alone, pods); err != nil {
			return nil, err
		}
		if round > 0 { // the first makes folders and locks
			records, adds = append(records, wrote...), append(adds, added...)
		}
	}
	return []CNIResult{cniResult(recordsAlone, records), cniResult("ADD", adds)}, nil
}

// pods are the calls of a round. Each asks for the GUID that its VF has.
func (n *cniNode) pods(round int) (list []plugin.Request) {
	for i, vf := range n.vfs {
		id := fmt.Sprintf("%064x", round<<16|i) // as long as a runtime's
		list = append(list, plugin.Request{
			ContainerID: id, IfName: "net1", NetNS: n.kernel.NewNetNS(id), Args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=" + podName(i),
			Config: fmt.Appendf(nil, `{"cniVersion":"1.0.0","name":"gpu1","type":"ib-sriov","deviceID":%q,"rdmaIsolation":true,"args":{"cni":{"guid":%q}}}`, vf, firstCNIGUID+guid.GUID(i)),
		})
	}
	return list
}

// atOnce does something for every VF at the same time and takes the time of each.
func (n *cniNode) atOnce(do func(i int) error) ([]time.Duration, error) {
	took, errs := make([]time.Duration, len(n.vfs)), make([]error, len(n.vfs))
	var calls sync.WaitGroup
	start := make(chan struct{})
	for i := range n.vfs {
		calls.Go(func() {
			<-start
			began := time.Now()
			errs[i] = do(i)
			took[i] = time.Since(began)
		})
	}
	close(start)
	calls.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

// writeTwice is what an ADD writes: its record before the first change, and again when it
// is through.
func writeTwice(s *record.Store, env *plugin.Env, pod plugin.Request) error {
	rec := env.NewRecord(pod, "ib-sriov", "gpu1", "0000:17:00.1")
	rec.Steps = []string{record.StepDevice, record.StepGUID, record.StepRDMA, record.StepNetdev}
	if err := s.Write(rec); err != nil {
		return err
	}
	rec.Ready = true
	return s.Write(rec)
}

func (n *cniNode) clear(ctx context.Context, env *plugin.Env, alone *record.Store, pods []plugin.Request) error {
	for _, pod := range pods {
		if err := n.plugin.Del(ctx, env, pod); err != nil {
			return err
		}
		n.kernel.EndNetNS(pod.NetNS)
	}
	left, err := alone.All()
	if err != nil {
		return err
	}
	for _, rec := range left {
		if err := alone.Remove(rec); err != nil {
			return err
		}
	}
	return nil
}

func cniResult(what string, took []time.Duration) CNIResult {
	slices.Sort(took)
	ms := func(n int) float64 { return float64(percentile(took, n).Microseconds()) / 1000 }
	return CNIResult{What: what, Calls: len(took), P50MS: ms(50), P99MS: ms(99)}
}
