//go:build linux

package guest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// Program is what a guest is booted for.
type Program struct {
	Binary     string            // a static program of this machine's
	Args       []string          // after its name
	Env        []string          // KEY=value; nothing is inherited
	Files      map[string]string // put into the guest, by absolute path: a file of this machine's
	ModuleArgs string            // parameters of the caller's module
	Cards      int               // PFs with seven VFs each; 0: one
	Memory     int               // MiB; 0: 1024
	Deadline   time.Duration     // of boot and program together; 0: five minutes
	Output     io.Writer         // what the program prints, line by line; nil: nowhere
	// Talk is the other end of the guest's [Line] while the guest runs; ctx ends, and the line
	// with it, when the guest does. An error of it is one of the run, which goes on to its end.
	Talk func(ctx context.Context, line net.Conn) error
}

// Line is the guest's serial port for [Program].Talk; open it by serial.Open. The guest speaks
// first: what it is told before it has opened the port is lost or changed.
const Line = "/dev/ttyS2"

// Result is what became of it.
type Result struct {
	ExitCode int
	Files    map[string][]byte // what it left in /out, by path below that
	Boot     time.Duration     // until the program began
	Took     time.Duration     // all of it
	CPU      time.Duration     // QEMU's
}

// job is what the guest's init is told; init/main.go reads it.
type job struct {
	Modules    []string // base names in /lab/modules
	ModuleArgs string   // of the last one
	Args, Env  []string
	Mark       string // a line that says: the program begins; or that it has ended, with its exit code
}

// Run boots the machine for one program. A kernel panic, or a deadline that is over, is an
// error with the last lines of the guest's console.
func (m *Machine) Run(ctx context.Context, p Program) (*Result, error) {
	init, err := m.buildInit(ctx)
	if err != nil {
		return nil, err
	}
	defer os.Remove(init)
	j := job{ModuleArgs: p.ModuleArgs, Args: p.Args, Env: p.Env, Mark: rand.Text()}
	image, err := m.initramfs(init, p, &j)
	if err != nil {
		return nil, fmt.Errorf("writing the initramfs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Deadline, 5*time.Minute))
	defer cancel()
	result := &Result{Files: map[string][]byte{}}
	var console string
	err = m.log.step("lab: guest with kernel "+m.Release, func() (err error) {
		begun := time.Now()
		console, err = m.boot(ctx, image, p, func(r io.Reader) error { return listen(r, j.Mark, p.Output, begun, result) }, result)
		result.Took = time.Since(begun)
		return err
	})
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end in time (%w)", context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("guest with kernel %s: %w; its console's last lines:\n%s", m.Release, err, lastWords(console))
	}
	return result, nil
}

// initramfs writes the job and everything that it needs.
func (m *Machine) initramfs(init string, p Program, j *job) ([]byte, error) {
	var a archive
	put := func(to, from string, mode os.FileMode) error {
		text, err := os.ReadFile(from)
		a.file(to, mode, text)
		return err
	}
	errs := []error{put("/init", init, 0o755), put("/lab/program", p.Binary, 0o755)}
	for i, file := range m.modules {
		name := fmt.Sprintf("%02d-%s", i, path.Base(file))
		j.Modules = append(j.Modules, name)
		errs = append(errs, put("/lab/modules/"+name, file, 0o644))
	}
	for to, from := range p.Files {
		errs = append(errs, put(to, from, 0o755))
	}
	text, err := json.Marshal(j)
	a.file("/lab/job.json", 0o644, text)
	return a.bytes(), errors.Join(append(errs, err)...)
}

// listen hands on what the program prints, and reads what comes after its end.
func listen(from io.Reader, mark string, to io.Writer, begun time.Time, result *Result) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return errors.New("it ended without a result")
		}
		before, after, found := strings.Cut(line, mark)
		if to != nil && before != "" {
			if _, err := io.WriteString(to, before); err != nil {
				return fmt.Errorf("handing on the guest's output: %w", err)
			}
		}
		switch after = strings.TrimSpace(after); {
		case !found:
		case after == "begin":
			result.Boot = time.Since(begun)
		default:
			if result.ExitCode, err = strconv.Atoi(after); err != nil {
				return fmt.Errorf("the guest's exit code is %q: %w", after, err)
			}
			return files(lines, result.Files)
		}
	}
}

func files(from io.Reader, to map[string][]byte) error {
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var text bytes.Buffer
		if err == nil {
			_, err = io.Copy(&text, archive)
		}
		if err != nil {
			return fmt.Errorf("reading the guest's files: %w", err)
		}
		to[header.Name] = text.Bytes()
	}
}

// lastWords are the end of a console, from the panic on if there was one.
func lastWords(console string) string {
	if at := strings.Index(console, "Kernel panic"); at >= 0 {
		return console[strings.LastIndex(console[:at], "\n")+1:]
	}
	return lastLines(console, 30)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
