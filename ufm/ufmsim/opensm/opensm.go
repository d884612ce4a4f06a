// Package opensm lets a ufmsim.Sim drive OpenSM: its partitions become partitions.conf,
// and a change counts as applied when OpenSM has swept the fabric with it.
//
// The file is the state too: it is read back at the start, so a restart loses nothing.
// A mistake in it would be dangerous. OpenSM gives up a file with a line that it cannot
// read and makes every port a full member of the default partition instead, which ends
// the isolation of all tenants. So nothing is written that does not read back as meant.
package opensm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// Config says where OpenSM is found.
type Config struct {
	Partitions string        // OpenSM's partition_config_file
	Log        string        // OpenSM's log_file
	Signal     Signal        // tells OpenSM to read Partitions again
	Timeout    time.Duration // how long a sweep may take before it is asked for again; 0: DefaultTimeout
}

// DefaultTimeout leaves time for a sweep of the largest fabrics.
const DefaultTimeout = 5 * time.Minute

// Manager is one OpenSM's partitions. It is a ufmsim.SubnetManager.
type Manager struct {
	cfg  Config
	lock *flock.Flock
}

var _ ufmsim.SubnetManager = (*Manager)(nil)

// New takes hold of the partition file, which no other Manager may have.
func New(cfg Config) (*Manager, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	lock := flock.New(cfg.Partitions + ".lock")
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", cfg.Partitions, err)
	}
	if !held {
		return nil, fmt.Errorf("%s is another ufm-sim's, which still runs; end it first", cfg.Partitions)
	}
	return &Manager{cfg, lock}, nil
}

// Close lets go of the partition file.
func (m *Manager) Close() error {
	if err := m.lock.Unlock(); err != nil {
		return fmt.Errorf("unlocking %s: %w", m.cfg.Partitions, err)
	}
	return nil
}

// Load reads what Store wrote. A file that is not there is made, without tenants: from
// then on OpenSM makes ports limited members of the default partition, not full ones. A
// file that somebody else wrote, or changed, is an error and stays as it is.
func (m *Manager) Load() ([]ufmsim.Partition, error) {
	body, err := os.ReadFile(m.cfg.Partitions)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, m.Store(nil)
	}
	if err != nil {
		return nil, err
	}
	parts, err := Read(body)
	if err != nil {
		return nil, fmt.Errorf("%s is left as it is: %w", m.cfg.Partitions, err)
	}
	return parts, nil
}

// Store writes the file, when it is certain that OpenSM reads what is meant.
func (m *Manager) Store(parts []ufmsim.Partition) error {
	body, err := Render(parts)
	if err != nil {
		return fmt.Errorf("%w: %w", ufmsim.ErrUnfit, err)
	}
	if err := proofread(body, parts); err != nil {
		return fmt.Errorf("%w: %w", ufmsim.ErrUnfit, err)
	}
	return ufmsim.WriteWhole(m.cfg.Partitions, body, 0o644)
}

// proofread says whether a file reads back as the partitions that it was made of.
func proofread(body []byte, parts []ufmsim.Partition) error {
	back, err := Read(body)
	if err != nil {
		return fmt.Errorf("the file would not be read by OpenSM, and was not written: %w", err)
	}
	want := tenants(parts)
	if len(back) != len(want) {
		return fmt.Errorf("the file would have %d partitions and not %d, and was not written", len(back), len(want))
	}
	for i := range want {
		if !same(back[i], want[i]) {
			return fmt.Errorf("the file would not have partition %s as it is, and was not written", want[i].PKey)
		}
	}
	return nil
}

func same(a, b ufmsim.Partition) bool {
	return a.PKey == b.PKey && a.Name == b.Name && a.IPoIB == b.IPoIB && a.QoS == b.QoS && slices.Equal(a.Members, b.Members)
}

// Apply signals OpenSM and waits until it has swept with what is stored.
func (m *Manager) Apply(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	log, err := openLog(m.cfg.Log)
	if err != nil {
		return fmt.Errorf("OpenSM's log (is it log_file of opensm.conf, and OpenSM running?): %w", err)
	}
	defer log.close()
	if err := sweep(within, log, m.cfg.Signal); err != nil {
		if ctx.Err() == nil && within.Err() != nil {
			err = fmt.Errorf("no \"SUBNET UP\" in %s within %s of the signal: is OpenSM master, and force_log_flush TRUE? %w", m.cfg.Log, m.cfg.Timeout, err)
		}
		return err
	}
	return nil
}

// ours says whether a file begins as those do that this package writes.
func ours(body []byte) bool { return bytes.HasPrefix(body, []byte(header)) }
