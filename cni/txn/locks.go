package txn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Locks are files that the kernel unlocks when their holder dies, however it dies. They
// belong on a file system that a reboot empties (/var/run/cni/ibfabric).
type Locks struct {
	Dir  string
	Wait time.Duration // how long to wait for a lock
}

// BusyError says that a lock was not to be had in time.
type BusyError struct {
	What   string
	Waited time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("another call of the plugin has been at work on %s for %v", e.What, e.Waited)
}

// Device locks one device for the whole of an ADD or DEL. Give it back by release.
func (l Locks) Device(ctx context.Context, device string) (release func(), err error) {
	return l.lock(ctx, "device "+device, filepath.Base(device)+".lock")
}

// Rebind locks what a rebind disturbs on the whole node: the names of RDMA devices and
// netdevs are handed out anew. Hold it around unbind and bind only.
func (l Locks) Rebind(ctx context.Context) (release func(), err error) {
	return l.lock(ctx, "a driver", "rebind.lock")
}

func (l Locks) lock(ctx context.Context, what, name string) (func(), error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for locks: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, l.Wait)
	defer cancel()
	// A lock file is never removed: whoever waits for it would lock a file without a name.
	lock := flock.New(filepath.Join(l.Dir, name))
	_, err := lock.TryLockContext(bounded, 10*time.Millisecond)
	switch {
	case err == nil:
		return func() { _ = lock.Close() }, nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil, &BusyError{What: what, Waited: l.Wait}
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
	default:
		return nil, fmt.Errorf("locking %s: %w", what, err)
	}
}
