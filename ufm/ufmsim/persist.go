package ufmsim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

const stateVersion = 1

// stateFile is what a state file holds; partitions are written as REST shows them.
type stateFile struct {
	Version     int                           `json:"version"`
	LastUpdated time.Time                     `json:"last_updated"`
	Partitions  map[pkey.PKey]storedPartition `json:"partitions"`
}

type storedPartition struct {
	GUIDs []struct {
		GUID       string `json:"guid"`
		Index0     bool   `json:"index0"`
		Membership string `json:"membership"`
	} `json:"guids"`
	IPoIB bool      `json:"ip_over_ib"`
	Name  string    `json:"partition"`
	QoS   *pkey.QoS `json:"qos_conf"`

	// Shown on the management partition only.
	Index0     bool   `json:"index0"`
	Membership string `json:"membership"`
}

// save writes what REST shows.
func (s *Sim) save() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	// Read under the lock above, so that a later write never holds an older state.
	return WriteWhole(s.cfg.StateFile, s.encodeState(), 0o600)
}

// WriteWhole writes a file beside its place, syncs and renames it: whenever the machine
// stops, and whoever reads it meanwhile, there is a whole file, old or new.
func WriteWhole(path string, body []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write beside it: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(body)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("put in place: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

func (s *Sim) encodeState() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := &encoder{guids: true, qos: true}
	updated := s.lastUpdated
	// A UFM that starts tells the subnet manager all: what waits now is applied then.
	if n := len(s.pending); n > 0 {
		updated = s.pending[n-1].due
	}
	e.text(fmt.Sprintf(`{"version":%d,"last_updated":"%s","partitions":`, stateVersion, updated.Format(time.RFC3339Nano)))
	e.object(s.model)
	e.text("}\n")
	return e.buf
}

// load reads a state file. One that is not there is a new start, and made at once, so
// that a path that cannot be written shows now; one that is not whole is an error and
// stays as it is, for somebody to look at.
func (s *Sim) load(path string) error {
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.save()
	}
	if err != nil {
		return err
	}
	var f stateFile
	if err := decodeStrictly(body, &f); err != nil {
		return fmt.Errorf("torn or not ufm-sim's, and left as it is; move it away to start empty: %w", err)
	}
	if f.Version != stateVersion {
		return fmt.Errorf("version %d, want %d: written by another ufm-sim", f.Version, stateVersion)
	}
	for k, stored := range f.Partitions {
		p, err := stored.partition()
		if err != nil {
			return fmt.Errorf("pkey %s: %w", k, err)
		}
		s.model.partitions[k] = p
	}
	s.fabric, s.lastUpdated = s.model.clone(), f.LastUpdated
	return nil
}

func (sp storedPartition) partition() (*partition, error) {
	p := &partition{name: sp.Name, ipoib: sp.IPoIB, qos: defaultQoS()}
	if sp.QoS != nil {
		p.qos = *sp.QoS
	}
	for _, row := range sp.GUIDs {
		g, err := parseGUID(row.GUID)
		if err != nil {
			return nil, err
		}
		m, err := parseMembership(row.Membership)
		if err != nil {
			return nil, err
		}
		p.set(pkey.Member{GUID: g, Mode: pkey.Mode{Membership: m, Index0: row.Index0}})
	}
	return p, nil
}
