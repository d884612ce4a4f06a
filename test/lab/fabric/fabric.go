// Package fabric runs a real subnet manager without hardware: OpenSM on ibsim, which
// simulates switches and HCAs down to the management datagrams. What OpenSM programs into
// a port's PKey table is read back from the port.
//
// The programs are Debian's and are fetched by name into the user's cache; nothing is
// installed. A small fabric is up in half a second.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
)

// startTime is far more than a program needs to begin.
const startTime = time.Minute

// Config says what to start.
type Config struct {
	Topology Topology
	// Quiet is OpenSM's log as it comes: ends of sweeps and not their beginnings.
	Quiet bool
}

// Fabric is a running ibsim with or without an OpenSM.
type Fabric struct {
	dir      string
	tools    *Tools
	topology Topology
	quiet    bool
	launcher *programs.Launcher
	sim      *process
	console  *console
	asking   sync.Mutex // one smpquery at a time: ibsim has room for ten clients

	mu sync.Mutex // protects what follows
	sm *process   // nil: stopped
}

// New starts ibsim. StartSM starts OpenSM; Close ends both.
func New(ctx context.Context, tools *Tools, c Config) (*Fabric, error) {
	dir, err := os.MkdirTemp("", "ibfabric-sm-")
	if err != nil {
		return nil, err
	}
	f := &Fabric{dir: dir, tools: tools, topology: c.Topology, quiet: c.Quiet, launcher: programs.NewLauncher()}
	if err := f.startSim(ctx); err != nil {
		f.Close()
		return nil, fmt.Errorf("starting ibsim: %w", err)
	}
	return f, nil
}

func (f *Fabric) startSim(ctx context.Context) error {
	files := map[string]string{"net": f.topology.net(), "modules.conf": "osm_state_mgr.c 0x07\n"}
	modules := f.file("modules.conf")
	if f.quiet {
		modules = f.file("none")
	}
	files["opensm.conf"] = fmt.Sprintf("log_file %s\nforce_log_flush TRUE\npartition_config_file %s\nper_module_logging_file %s\n",
		f.LogFile(), f.PartitionsFile(), modules)
	for name, text := range files {
		if err := os.WriteFile(f.file(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	cmd := f.command(context.Background(), "usr/bin/ibsim", append([]string{"-s"}, append(f.topology.limits(), f.file("net"))...)...)
	var err error
	if f.console, err = newConsole(cmd); err != nil {
		return err
	}
	if f.sim, err = f.start(cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return f.console.ask(ctx, fmt.Sprintf("Dump %q", SM), "dumped 1 nodes")
}

func (f *Fabric) file(name string) string { return filepath.Join(f.dir, name) }

// PartitionsFile is OpenSM's partition_config_file. It is not there at the start.
func (f *Fabric) PartitionsFile() string { return f.file("partitions.conf") }

// LogFile is OpenSM's log_file.
func (f *Fabric) LogFile() string { return f.file("opensm.log") }

// PIDFile holds OpenSM's process id.
func (f *Fabric) PIDFile() string { return f.file("opensm.pid") }

// StartSM starts OpenSM and waits until the subnet is up.
func (f *Fabric) StartSM(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sm != nil {
		return errors.New("OpenSM runs already")
	}
	before := f.Sweeps()
	cmd := f.client(context.Background(), "usr/sbin/opensm", "-F", f.file("opensm.conf"))
	out, err := os.Create(f.file("opensm.out"))
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // the program holds its own
	cmd.Stdout, cmd.Stderr = out, out
	if f.sm, err = f.start(cmd); err != nil {
		return fmt.Errorf("starting OpenSM: %w", err)
	}
	if err := os.WriteFile(f.PIDFile(), fmt.Appendln(nil, cmd.Process.Pid), 0o644); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		select {
		case <-f.sm.done:
			text, _ := os.ReadFile(out.Name())
			return false, fmt.Errorf("OpenSM ended: %s: %s", cmd.ProcessState, text)
		default:
			return f.Sweeps() > before, nil
		}
	})
}

// StopSM ends OpenSM as a crash does: by SIGTERM it may hang.
func (f *Fabric) StopSM() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sm != nil {
		f.sm.kill()
		f.sm = nil
	}
}

// Reload sends SIGHUP to OpenSM, which reads its partitions again.
func (f *Fabric) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sm == nil {
		return errors.New("OpenSM does not run")
	}
	return f.sm.cmd.Process.Signal(syscall.SIGHUP)
}

// Close ends everything and removes its files.
func (f *Fabric) Close() {
	f.StopSM()
	if f.sim != nil {
		f.sim.kill()
	}
	f.launcher.Close()
	_ = os.RemoveAll(f.dir)
}

// Sweeps counts how often OpenSM has said that it is done.
func (f *Fabric) Sweeps() int {
	text, err := os.ReadFile(f.LogFile())
	if err != nil {
		return 0
	}
	return strings.Count(string(text), "-> SUBNET UP")
}

// command is a program of the fabric's; client one that talks to it in place of a card.
func (f *Fabric) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := f.tools.command(ctx, f.dir, program, args...)
	cmd.Env = append(cmd.Env, "IBSIM_SOCKNAME="+filepath.Base(f.dir))
	return cmd
}

func (f *Fabric) client(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := f.command(ctx, program, args...)
	cmd.Env = append(cmd.Env, "SIM_HOST="+SM, "OSM_TMP_DIR="+f.dir, "OSM_CACHE_DIR="+f.dir,
		"LD_PRELOAD="+filepath.Join(f.tools.root, libDir, "umad2sim", "libumad2sim.so"))
	return cmd
}

// process is a program that runs and dies with this one.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (f *Fabric) start(cmd *exec.Cmd) (*process, error) {
	if err := f.launcher.Launch(cmd); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// until asks again and again, until it is so or ctx ends.
func until(ctx context.Context, so func() (bool, error)) error {
	for {
		if done, err := so(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
