package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/ibsriov"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// BenchmarkADD is the plugin's own time for an ADD without IPAM and without a rebind: 64
// at once, as a node that starts all its pods. "memory" is the plugin alone, "disk" has
// the waiting for fsync in it, three for each ADD.
func BenchmarkADD(b *testing.B) {
	b.Run("disk", func(b *testing.B) { benchmarkADD(b, b.TempDir()) })
	b.Run("memory", func(b *testing.B) {
		dir, err := os.MkdirTemp("/dev/shm", "ibfabric-bench-")
		if err != nil {
			b.Skipf("no file system in memory: %v", err)
		}
		defer os.RemoveAll(dir)
		benchmarkADD(b, dir)
	})
}

func benchmarkADD(b *testing.B, dir string) {
	lab := newFakeLab(hostfake.Options{})
	env := &plugin.Env{
		Kernel: lab.Kernel(), Store: record.NewStore(filepath.Join(dir, "records")),
		Locks: txn.Locks{Dir: filepath.Join(dir, "locks"), Wait: time.Minute},
		Log:   zap.NewNop(), Now: time.Now, Settle: time.Second, Undo: ibsriov.Undo,
	}
	var mu sync.Mutex
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		var wg sync.WaitGroup
		for i, vf := range lab.VFs() {
			port, err := lab.Kernel().Port(b.Context(), "", vf)
			if err != nil {
				b.Fatal(err)
			}
			req := plugin.Request{
				ContainerID: fmt.Sprintf("c%d-%d", n, i), IfName: "net1", NetNS: lab.NewNetNS(fmt.Sprintf("c%d-%d", n, i)),
				Config: fmt.Appendf(nil, `{"cniVersion":"1.0.0","name":"gpu1","deviceID":"%s","rdmaIsolation":true,"args":{"cni":{"guid":"%s"}}}`, vf, port.GUID),
			}
			wg.Go(func() {
				start := time.Now()
				_, err := ibsriov.Add(b.Context(), env, req)
				elapsed := time.Since(start)
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				took = append(took, elapsed)
				mu.Unlock()
			})
		}
		wg.Wait()
		b.StopTimer()
		for i := range lab.VFs() {
			req := plugin.Request{ContainerID: fmt.Sprintf("c%d-%d", n, i), IfName: "net1"}
			if err := ibsriov.Del(b.Context(), env, req); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/ADD-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/ADD-p99")
}
