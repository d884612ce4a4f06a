package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// Store is a folder of records. Different devices may be written at the same time; for
// one device the caller keeps order by its lock.
type Store struct{ dir string }

// NewStore is the store in dir, which Write makes.
func NewStore(dir string) *Store { return &Store{dir} }

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

// Name of a file: container@interface@device.json, or container@interface@device@guid.json
// where a GUID was given. A container ID has no @, nor has a device; an interface may. No
// device is called by 16 hex digits. The name has all that records are looked for by, so
// that nobody must read those of others: at a start of 64 pods that took most of the time.
const (
	separator = "@"
	suffix    = ".json"
)

func fileName(r *Record) (string, error) {
	name := r.ContainerID + separator + r.IfName + separator + r.Device
	if r.GUID != 0 {
		name += separator + guid.GUID(r.GUID).Hex()
	}
	name += suffix
	got, ok := parseName(name)
	switch {
	case !ok, !named(r, got), strings.ContainsAny(name, "/\x00"):
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
	r := &Record{}
	if rest, ok = r.cutGUID(rest); !ok {
		return nil, false
	}
	if r.ContainerID, rest, ok = strings.Cut(rest, separator); !ok {
		return nil, false
	}
	r.IfName, r.Device, ok = cutLast(rest)
	// A device becomes a part of paths, and no file name has a slash.
	return r, ok && r.ContainerID != "" && r.IfName != "" && r.Device != "" && !strings.HasPrefix(r.Device, ".")
}

// cutGUID takes the GUID from the end of a name, if there is one. A name has one form only:
// a GUID that nobody would have written makes it a foreign file.
func (r *Record) cutGUID(name string) (rest string, ok bool) {
	rest, last, ok := cutLast(name)
	if !ok || len(last) != 16 || r.GUID.UnmarshalText([]byte(last)) != nil {
		return name, true
	}
	return rest, r.GUID != 0 && guid.GUID(r.GUID).Hex() == last
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// named reports whether a file called as name says is about r.
func named(r, name *Record) bool {
	return r.Key() == name.Key() && r.Device == name.Device && r.GUID == name.GUID
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
	// Synced before it gets its name: after a power cut a name could stand before no content.
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

// OfGUID reads the records of devices that were given the GUID.
func (s *Store) OfGUID(g GUID) ([]*Record, error) {
	return s.where(func(r *Record) bool { return r.GUID == g })
}

// where reads the records whose file names are wanted; foreign files are passed over.
func (s *Store) where(wanted func(*Record) bool) ([]*Record, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the records: %w", err)
	}
	var found []*Record
	for _, e := range entries {
		name, ok := parseName(e.Name())
		if !ok || !wanted(name) || !e.Type().IsRegular() {
			continue
		}
		if r := s.read(name, e.Name()); r != nil {
			found = append(found, r)
		}
	}
	return found, nil
}

// read is nil for a file that has just gone.
func (s *Store) read(name *Record, base string) *Record {
	file := filepath.Join(s.dir, base)
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
	case !named(r, name):
		err = errors.New("it is about another attachment than its name")
	}
	if err != nil {
		r = name
		r.Torn = fmt.Errorf("reading the record %s: %w", base, err)
	}
	r.own, r.files = true, []string{file}
	return r
}
