package txn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestALockIsWaitedForUntilTheDeadline(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := Locks{Dir: dir, Wait: 30 * time.Second}
		release, err := l.Device(t.Context(), "0000:17:00.2")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := l.Device(t.Context(), "0000:17:00.3"); err != nil {
			t.Errorf("another device: %v", err)
		} else {
			other()
		}
		var busy *BusyError
		if _, err := l.Device(t.Context(), "0000:17:00.2"); !errors.As(err, &busy) || busy.Waited != l.Wait {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, fmt.Errorf("the runtime gave up"))
		defer cancel()
		if _, err := l.Device(ctx, "0000:17:00.2"); err == nil || !strings.Contains(err.Error(), "the runtime gave up") {
			t.Errorf("cancelled: %v", err)
		}
		time.AfterFunc(5*time.Second, release)
		again, err := l.Device(t.Context(), "0000:17:00.2")
		if err != nil {
			t.Fatal(err)
		}
		again()
	})
}
