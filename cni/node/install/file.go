package install

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// mode is that of a plugin: everybody may run it, root may replace it.
const mode = 0o755

// besidePrefix begins the names of files that are still being written. They are in the
// bin directory itself, so that the rename stays on one file system and the file has the
// directory's security label.
const besidePrefix = ".ibfabric-new-"

// copyBeside writes a runnable copy of source into dir and onto the disk; the caller
// renames or removes it.
func copyBeside(dir, source string) (path string, err error) {
	in, err := os.Open(source)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.CreateTemp(dir, besidePrefix+"*")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	// Not before the content is there, and with no regard to the umask.
	err = errors.Join(err, out.Chmod(mode), out.Sync(), out.Close())
	if err != nil {
		_ = os.Remove(out.Name())
		return "", fmt.Errorf("writing a copy of %s: %w", source, err)
	}
	return out.Name(), nil
}

func sameContent(a, b string) (bool, error) {
	x, err := checksum(a)
	if err != nil {
		return false, err
	}
	y, err := checksum(b)
	return bytes.Equal(x, y), err
}

func checksum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("comparing plugins: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("comparing plugins: reading %s: %w", path, err)
	}
	return h.Sum(nil), nil
}

// syncDir puts a rename onto the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
