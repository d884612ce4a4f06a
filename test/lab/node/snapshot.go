//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/lab/node/control"
)

// bootTime is far more than a node needs to boot to its snapshot, on a busy machine too.
const bootTime = 20 * time.Minute

// Snapshot is a node that has booted: its modules are loaded and containerd runs with its
// images. It has no name, no address and no cards yet.
type Snapshot struct {
	machine *guest.Machine
	system  guest.System
	file    string
}

// Cards of a node, in the order of their PCI addresses.
const (
	InfiniBandCard = 0
	RoCECard       = 1
	cardCount      = 2
)

// Prepare gives the snapshot of a node with a kernel of that series. It is made once for
// all that a node is made of, from kernel and kubelet to the lab's own programs; those
// that nobody has used for a day go.
func Prepare(ctx context.Context, kernel string, log func(string)) (*Snapshot, error) {
	p, err := gather(ctx, kernel, log)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", guest.ErrUnavailable, err)
	}
	cache = filepath.Join(cache, "ibfabric/lab/nodes")
	s := &Snapshot{machine: p.machine, system: guest.System{CPUs: 2, Memory: 2048, Cards: cardCount}}
	key, err := p.key(s.system)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, key)
	s.system.Image, s.file = filepath.Join(dir, "image"), filepath.Join(dir, "snapshot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(cache, "lock"))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return nil, fmt.Errorf("waiting for another run's snapshot: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	now := time.Now()
	if err := os.Chtimes(s.file, now, now); err == nil { // it is there, and used
		return s, nil
	}
	if err := removeUnused(cache, now.Add(-24*time.Hour)); err != nil {
		return nil, err
	}
	begun := time.Now()
	log("lab: booting a node, once for its snapshot …")
	if err := s.make(ctx, p); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("making the node's snapshot: %w", err)
	}
	log(fmt.Sprintf("lab: the node's snapshot: %s", time.Since(begun).Round(time.Second)))
	return s, nil
}

// Release is the kernel's, as uname -r gives it.
func (s *Snapshot) Release() string { return s.machine.Release }

// removeUnused keeps the cache from growing by a gigabyte with each change. Other runs, of
// other trees, may be using what they have made.
func removeUnused(cache string, since time.Time) error {
	files, err := filepath.Glob(filepath.Join(cache, "*", "snapshot"))
	for _, file := range files {
		if stat, statErr := os.Stat(file); statErr == nil && stat.ModTime().Before(since) {
			err = errors.Join(err, os.RemoveAll(filepath.Dir(file)))
		}
	}
	return err
}

func (s *Snapshot) make(ctx context.Context, p *parts) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	if err := p.write(s.system.Image); err != nil {
		return err
	}
	live, err := s.machine.Start(s.system)
	if err != nil {
		return err
	}
	defer live.Kill()
	stop := context.AfterFunc(ctx, live.Kill)
	defer stop()
	if err := control.Greet(live.Control); err != nil {
		live.Kill()
		return errors.Join(err, context.Cause(ctx), agentsWords(live.Console()), live.Ended())
	}
	return live.Save(ctx, s.file)
}

// agentsWords are what the node's first program said, which a panic would hide.
func agentsWords(console string) error {
	var said []error
	for line := range strings.Lines(console) {
		if strings.Contains(line, "lab node:") {
			said = append(said, errors.New(strings.TrimSpace(line)))
		}
	}
	return errors.Join(said...)
}
