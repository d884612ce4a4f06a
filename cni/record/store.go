package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Store is a folder of records. Different devices may be written at the same time; for
// one device the caller keeps order by its lock.
type Store struct{ dir string }

// NewStore is the store in dir, which Write makes.
func NewStore(dir string) *Store { return &Store{dir} }

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

// Name of a file: container@interface@device.json. A container ID has no @, nor has a
// device; an interface may.
const (
	separator = "@"
	suffix    = ".json"
)

func fileName(r *Record) (string, error) {
	name := r.ContainerID + separator + r.IfName + separator + r.Device + suffix
	got, ok := parseName(name)
	switch {
	case !ok, got.Key() != r.Key(), got.Device != r.Device, strings.ContainsAny(name, "/\x00"):
		return "", fmt.Errorf("attachment %q of device %q cannot be the name of a file", r.Key(), r.Device)
	case len(name) > 250: // 255, less what a temporary name adds
		return "", fmt.Errorf("the container ID has %d characters, which is too long for the name of a file", len(r.ContainerID))
	}
	return name, nil
}

func parseName(name string) (*Record, bool) {
	rest, ok := strings.CutSuffix(name, suffix)
	if !ok || strings.HasPrefix(name, ".") {
		return nil, false
	}
	container, rest, ok := strings.Cut(rest, separator)
	last := strings.LastIndex(rest, separator)
	if !ok || last < 0 {
		return nil, false
	}
	r := &Record{ContainerID: container, IfName: rest[:last], Device: rest[last+1:]}
	return r, r.ContainerID != "" && r.IfName != "" && r.Device != ""
}

// Write puts the record on the disk, whole or not at all, before it returns.
func (s *Store) Write(r *Record) error {
	name, err := fileName(r)
	if err != nil {
		return err
	}
	r.Version = version
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Key(), err)
	}
	if err := s.write(name, text); err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Key(), err)
	}
	r.own, r.files, r.Torn = true, []string{filepath.Join(s.dir, name)}, nil
	return nil
}

func (s *Store) write(name string, text []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// Always the same temporary name: what a death leaves behind is written over.
	temporary, file := filepath.Join(s.dir, "."+name), filepath.Join(s.dir, name)
	if err := writeSynced(temporary, text); err != nil {
		return err
	}
	_, missing := os.Lstat(file)
	if err := os.Rename(temporary, file); err != nil {
		return err
	}
	if missing == nil {
		// A power cut may bring the former content back. It is whole, and of another
		// boot either way.
		return nil
	}
	return syncDir(s.dir)
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Remove forgets the record, wherever it was read from.
func (s *Store) Remove(r *Record) error {
	var errs []error
	for _, file := range r.files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing the record of %s: %w", r.Key(), err))
		}
	}
	return errors.Join(errs...)
}

// All reads every record; torn ones are among them.
func (s *Store) All() ([]*Record, error) { return s.where(func(*Record) bool { return true }) }

// Of reads the records of an attachment: none or one, unless something went wrong.
func (s *Store) Of(k Key) ([]*Record, error) {
	return s.where(func(r *Record) bool { return r.Key() == k })
}

// OfDevice reads the records that say they have the device.
func (s *Store) OfDevice(device string) ([]*Record, error) {
	return s.where(func(r *Record) bool { return r.Device == device })
}

// OfContainer reads the records of a container, one for each of its interfaces.
func (s *Store) OfContainer(id string) ([]*Record, error) {
	return s.where(func(r *Record) bool { return r.ContainerID == id })
}

// where reads the records whose file names are wanted; foreign files are passed over.
func (s *Store) where(wanted func(*Record) bool) ([]*Record, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the records: %w", err)
	}
	var found []*Record
	for _, e := range entries {
		named, ok := parseName(e.Name())
		if !ok || !wanted(named) {
			continue
		}
		if r := s.read(named, e.Name()); r != nil {
			found = append(found, r)
		}
	}
	return found, nil
}

// read is nil for a file that has just gone.
func (s *Store) read(named *Record, name string) *Record {
	file := filepath.Join(s.dir, name)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r := &Record{}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	switch {
	case err != nil:
	case r.Version != version:
		err = fmt.Errorf("its form is version %d, this program writes %d", r.Version, version)
	case r.Key() != named.Key() || r.Device != named.Device:
		err = errors.New("it is about another attachment than its name")
	}
	if err != nil {
		r = named
		r.Torn = fmt.Errorf("reading the record %s: %w", name, err)
	}
	r.own, r.files = true, []string{file}
	return r
}
