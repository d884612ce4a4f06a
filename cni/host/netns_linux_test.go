package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestANamespaceThatWentIsNoNamespace(t *testing.T) {
	h := New(Paths{})
	alive := newNetNS(t)
	file := filepath.Join(t.TempDir(), "cni-left-behind")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[NetNS]bool{
		Home: true, alive: true, NetNS(file): false, "/var/run/netns/never-was": false, NetNS(file + "/x"): false,
	} {
		if got, err := h.HasNetNS(t.Context(), path); err != nil || got != want {
			t.Errorf("HasNetNS(%s) = %t, %v, want %t", path, got, err, want)
		}
	}
	if _, err := h.Netdev(t.Context(), "/var/run/netns/never-was", vfAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("looking there: %v, want ErrNotFound", err)
	}
	if _, err := h.RDMADevice(t.Context(), "/var/run/netns/never-was", vfAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("looking there for RDMA: %v, want ErrNotFound", err)
	}
}

func TestANamespaceIsToldFromTheNextOneAtItsPath(t *testing.T) {
	ctx, h := t.Context(), New(Paths{})
	alive, other := newNetNS(t), newNetNS(t)
	identify := func(n NetNS) string {
		t.Helper()
		id, err := h.NetNSID(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, second := identify(alive), identify(other)
	if first == "" {
		t.Skip("this kernel does not tell (before Linux 5.14)")
	}
	if first == second || identify(alive) != first {
		t.Errorf("two namespaces are %s and %s, then %s", first, second, identify(alive))
	}
	// As when the number of a process is given again: the path stays, what is there does not.
	err := errors.Join(unix.Unmount(string(alive), unix.MNT_DETACH), unix.Mount(string(other), string(alive), "none", unix.MS_BIND, ""))
	if err != nil {
		t.Fatal(err)
	}
	if there, err := h.HasNetNS(ctx, alive); !there || err != nil || identify(alive) != second {
		t.Errorf("there %t, %v, as %s, want %s", there, err, identify(alive), second)
	}
	file := filepath.Join(t.TempDir(), "cni-left-behind")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []NetNS{"/var/run/netns/never-was", NetNS(file)} {
		if id, err := h.NetNSID(ctx, path); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s is %q, %v, want ErrNotFound", path, id, err)
		}
	}
}

func TestAThreadIsInTheNamespaceForACallAndNoneStays(t *testing.T) {
	pod := newNetNS(t)
	inode := func(path string) uint64 {
		t.Helper()
		var stat unix.Stat_t
		if err := unix.Stat(path, &stat); err != nil {
			return 0 // a thread that has ended
		}
		return stat.Ino
	}
	failed := errors.New("refused")
	err := pod.within(func() error {
		if at := inode("/proc/thread-self/ns/net"); at != inode(string(pod)) {
			t.Errorf("the thread is in %d", at)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads %v, %v", threads, err)
	}
	for _, thread := range threads {
		if inode(thread) == inode(string(pod)) {
			t.Errorf("%s is still in the namespace", thread)
		}
	}
	if err := NetNS("/var/run/netns/never-was").within(func() error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("without a namespace: %v, want ErrNotFound", err)
	}
}

// A goroutine that asks where it is can be moved to another thread before it opens what it was
// told. The thread that it asked about may be in a pod by then, for another call.
func TestHomeIsHomeWhileOtherCallsAreInPods(t *testing.T) {
	pod := newNetNS(t)
	inode := func(handle netns.NsHandle) uint64 {
		var stat unix.Stat_t
		if err := unix.Fstat(int(handle), &stat); err != nil {
			t.Error(err)
		}
		return stat.Ino
	}
	home, err := Home.open()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	want := inode(home)
	stay := func() error { time.Sleep(time.Millisecond); return nil }
	var calls, collector sync.WaitGroup
	done := make(chan struct{})
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC() // which stops goroutines anywhere, as a busy node does
			}
		}
	})
	for range 16 {
		calls.Go(func() {
			for range 200 {
				if err := pod.within(stay); err != nil {
					t.Error(err)
				}
			}
		})
		calls.Go(func() {
			for range 5000 {
				at, err := Home.open()
				if err != nil {
					t.Error(err)
					return
				}
				if got := inode(at); got != want {
					t.Errorf("home is namespace %d, want %d", got, want)
				}
				at.Close()
			}
		})
	}
	calls.Wait()
	close(done)
	collector.Wait()
}
