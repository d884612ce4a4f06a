//go:build linux

// Package serial opens a serial port of the guest's as a plain pipe.
package serial

import (
	"os"

	"golang.org/x/sys/unix"
)

// Open gives the port as it is: no line ends added, nothing echoed.
func Open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	settings, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	if err == nil {
		settings.Iflag, settings.Oflag, settings.Lflag = 0, 0, 0
		settings.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
		settings.Cc[unix.VMIN], settings.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(int(file.Fd()), unix.TCSETS, settings)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// Drain waits until everything written is out.
func Drain(file *os.File) error { return unix.IoctlSetInt(int(file.Fd()), unix.TCSBRK, 1) }
