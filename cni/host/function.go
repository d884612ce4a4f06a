//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Device implements Functions.
func (h *Host) Device(_ context.Context, pci PCI) (Device, error) {
	return readDevice(h.paths.Sysfs, pci)
}

// Unbind implements Functions.
func (h *Host) Unbind(ctx context.Context, pci PCI) error {
	err := writeFile(filepath.Join(functionDir(h.paths.Sysfs, pci), "driver/unbind"), string(pci))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = h.Device(ctx, pci); err == nil {
			return nil // it has no driver
		}
	}
	if err != nil {
		return fmt.Errorf("unbinding %s from its driver: %w", pci, err)
	}
	return nil
}

// Bind implements Functions.
func (h *Host) Bind(ctx context.Context, pci PCI, driver string) error {
	d, err := h.Device(ctx, pci)
	switch {
	case err != nil:
		return err
	case d.Driver == driver:
		return nil
	case d.Driver != "":
		return fmt.Errorf("binding %s to %s: it is bound to %s", pci, driver, d.Driver)
	}
	// By the driver's own folder: drivers_probe would pick one, and vfio-pci may be it.
	path := filepath.Join(h.paths.Sysfs, "bus/pci/drivers", filepath.Base(driver), "bind")
	if err := writeFile(path, string(pci)); err != nil {
		return fmt.Errorf("binding %s to %s: %w", pci, driver, err)
	}
	return nil
}

// writeFile writes into an attribute of sysfs, which is never created.
func writeFile(path, text string) error {
	return retry(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	})
}
