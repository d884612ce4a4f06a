//go:build linux

// Command init is the first program of the lab's guest: it loads modules, runs one program,
// hands out its exit code and files over the second serial port, and powers off. If it
// fails the kernel panics, and the console says why.
package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/test/lab/guest/serial"
)

// job is what guest.Run asks for.
type job struct {
	Modules    []string
	ModuleArgs string
	Args, Env  []string
	Mark       string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lab init:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := mountAll(); err != nil {
		return err
	}
	text, err := os.ReadFile("/lab/job.json")
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	for i, name := range j.Modules {
		args := ""
		if i == len(j.Modules)-1 {
			args = j.ModuleArgs
		}
		if err := load(name, args); err != nil {
			return fmt.Errorf("loading %s: %w", name, err)
		}
	}
	channel, err := serial.Open("/dev/ttyS1")
	if err != nil {
		return fmt.Errorf("opening the second serial port: %w", err)
	}
	fmt.Fprintf(channel, "%s begin\n", j.Mark)
	code := execute(j, channel)
	fmt.Fprintf(channel, "%s %d\n", j.Mark, code)
	if err := send(channel, "/out"); err != nil {
		return fmt.Errorf("sending files: %w", err)
	}
	// What is still in the port's buffer would be lost.
	if err := serial.Drain(channel); err != nil {
		return fmt.Errorf("emptying the serial port: %w", err)
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func mountAll() error {
	for _, m := range [][2]string{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
		{"tmpfs", "/out"}, {"debugfs", "/sys/kernel/debug"},
	} {
		if err := errors.Join(os.MkdirAll(m[1], 0o755), unix.Mount(m[0], m[1], m[0], 0, "")); err != nil {
			return fmt.Errorf("mounting %s: %w", m[1], err)
		}
	}
	return errors.Join(os.MkdirAll("/var", 0o755), os.Symlink("/run", "/var/run"))
}

func load(name, args string) error {
	file, err := os.Open(filepath.Join("/lab/modules", name))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), args, 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func execute(j job, out *os.File) int {
	cmd := exec.Command("/lab/program", j.Args...)
	cmd.Env = append([]string{"PATH=/lab/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp"}, j.Env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/tmp", out, out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	default:
		fmt.Fprintln(out, "lab init:", err)
		return 127
	}
}

// send writes a folder as a tar archive.
func send(to io.Writer, dir string) error {
	archive := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: strings.TrimPrefix(path, dir+"/"), Mode: 0o644, Size: int64(len(text))}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(text)
		return err
	})
	return errors.Join(err, archive.Close())
}
