//go:build linux

package guest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// boot runs QEMU until it ends or ctx does; channel reads the guest's second serial port
// meanwhile. What the first one printed comes back, in an error's case too.
func (m *Machine) boot(ctx context.Context, image []byte, p Program, channel func(io.Reader) error, result *Result) (console string, err error) {
	dir, err := os.MkdirTemp("", "ibfabric-lab-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, image, 0o600); err != nil {
		return "", err
	}
	consoleOut, consoleIn, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer consoleOut.Close()
	channelOut, channelIn, err := os.Pipe()
	if err != nil {
		_ = consoleIn.Close()
		return "", err
	}
	defer channelOut.Close()
	line, lineEnd, err := socketPair()
	if err != nil {
		return "", err
	}

	words := append(m.qemu[1:len(m.qemu):len(m.qemu)], arguments(m.kernel, initrd, p)...)
	cmd := exec.CommandContext(ctx, m.qemu[0], words...)
	cmd.ExtraFiles = []*os.File{consoleIn, channelIn, lineEnd} // 3, 4 and 5 in QEMU
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	cmd.SysProcAttr = diesWithUs()

	var text bytes.Buffer
	var heard, said error
	var readers sync.WaitGroup
	readers.Go(func() { _, _ = io.Copy(&text, consoleOut) })
	readers.Go(func() {
		heard = channel(channelOut)
		_, _ = io.Copy(io.Discard, channelOut) // QEMU must not block on a full pipe
	})
	talking, hangUp := context.WithCancel(ctx)
	defer hangUp()
	readers.Go(func() { said = talk(talking, line, p.Talk) })
	err = runOnOneThread(cmd, func() {
		_ = consoleIn.Close()
		_ = channelIn.Close()
		_ = lineEnd.Close()
	})
	if cmd.ProcessState != nil {
		result.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	hangUp()
	readers.Wait()
	if err != nil {
		return text.String() + complaint.String(), fmt.Errorf("QEMU: %w", err)
	}
	return text.String() + complaint.String(), errors.Join(heard, said)
}

// socketPair gives a connection, and its other end for a program.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, other := os.NewFile(uintptr(fds[0]), "line"), os.NewFile(uintptr(fds[1]), "line")
	defer ours.Close() // the connection has a file of its own
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = other.Close()
		return nil, nil, err
	}
	return conn, other, nil
}

// talk hands the line over until ctx ends, and then closes it.
func talk(ctx context.Context, line net.Conn, with func(context.Context, net.Conn) error) error {
	defer line.Close()
	if with == nil {
		<-ctx.Done()
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = line.Close() })()
	if err := with(ctx, line); err != nil && ctx.Err() == nil {
		return fmt.Errorf("talking with the guest: %w", err)
	}
	return nil
}

// runOnOneThread starts a program and waits for it, politely to others; started is
// called once it has its files. The kernel kills the program when the thread that
// started it ends, so the thread stays.
func runOnOneThread(cmd *exec.Cmd, started func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started()
		if err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 10)
			err = cmd.Wait()
		}
		done <- err
	}()
	return <-done
}

// diesWithUs has the kernel kill a program when its starter dies.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// arguments are QEMU's.
func arguments(kernel, initrd string, p Program) []string {
	args := append(hardware(1, cmp.Or(p.Memory, 1024), kernel, initrd),
		"-add-fd", "fd=3,set=1", "-chardev", "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console",
		"-add-fd", "fd=4,set=2", "-chardev", "file,id=channel,path=/dev/fdset/2,append=on", "-serial", "chardev:channel",
		// With an interrupt of its own: the usual one is the first port's.
		"-chardev", "socket,id=line,fd=5", "-device", "isa-serial,chardev=line,index=2,irq=5",
	)
	return append(args, cards(max(1, p.Cards))...)
}

// hardware is what every guest has. Of several CPUs the kernel starts one; the others are
// the guest's to start, see [System].CPUs.
func hardware(cpus, memory int, kernel, initrd string) []string {
	args := []string{
		"-machine", "q35", "-smp", fmt.Sprint(cpus), "-m", fmt.Sprint(memory),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-kernel", kernel, "-initrd", initrd,
		// no_timer_check: on a busy machine the check of the timer fails now and then.
		// rcu_expedited: unbinding and ending namespaces wait for hundreds of grace periods.
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check nokaslr rcupdate.rcu_expedited=1 maxcpus=1",
	}
	if hasKVM() {
		return append(args, "-accel", "kvm", "-cpu", "host")
	}
	return append(args, "-accel", "tcg", "-cpu", "Nehalem")
}

// cards are Intel's 82576, QEMU's only one with SR-IOV, each behind a port of its own: two
// on one bus collide.
func cards(n int) (args []string) {
	for i := range n {
		args = append(args, "-netdev", fmt.Sprintf("user,id=n%d,restrict=on", i),
			"-device", fmt.Sprintf("pcie-root-port,id=r%d,chassis=%d,slot=%d", i, i+1, i+1),
			"-device", fmt.Sprintf("igb,netdev=n%d,bus=r%d,romfile=", i, i))
	}
	return args
}

// hasKVM asks the CPU too: under some hypervisors /dev/kvm is there for guests of
// another kind.
func hasKVM() bool {
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = file.Close()
	flags, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && (strings.Contains(string(flags), " vmx") || strings.Contains(string(flags), " svm"))
}

// buildInit compiles the guest's first program.
func (m *Machine) buildInit(ctx context.Context) (string, error) {
	file, err := os.CreateTemp("", "ibfabric-lab-init-*")
	if err != nil {
		return "", err
	}
	_ = file.Close()
	return file.Name(), m.log.step("lab: compiling the guest's init", func() error {
		return Compile(ctx, file.Name(), "build", "github.com/ibfabric/ibfabric/test/lab/guest/init")
	})
}

// Compile makes a static program for the guest: verb is the words after go, as
// "test", "-c" or "build", and the package comes last.
func Compile(ctx context.Context, file string, words ...string) error {
	pkg := words[len(words)-1]
	cmd := exec.CommandContext(ctx, "go", append(words[:len(words)-1:len(words)-1], "-o", file, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("compiling %s: %w", pkg, err)
	}
	return nil
}
