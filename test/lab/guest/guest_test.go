//go:build linux

package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ibfabric/ibfabric/test/lab/guest/serial"
)

func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(play(os.Getenv(inside), os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// inside names the part that this binary plays in the guest.
const inside = "IBFABRIC_IN_GUEST"

func play(part string, args []string) int {
	switch part {
	case "words":
		fmt.Println("my arguments are", args)
		fmt.Fprintln(os.Stderr, "and this is an error")
		err := errors.Join(os.MkdirAll("/out/a", 0o755), os.WriteFile("/out/a/b.txt", []byte("kept\r\n\x00"), 0o600))
		if text, readErr := os.ReadFile("/given/file"); err != nil || readErr != nil || string(text) != "given" {
			fmt.Println(err, readErr, string(text))
			return 1
		}
		return 3
	case "line":
		line, err := serial.Open(Line)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Fprintln(line, "ready")
		text, err := bufio.NewReader(io.TeeReader(line, line)).ReadString('\n')
		fmt.Printf("%q %v\n", text, err)
		return 0
	case "panic":
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "hang":
		fmt.Println("hanging")
		time.Sleep(time.Hour)
	case "host": // not in the guest: a process that is killed while its guest runs
		m, err := Prepare(context.Background(), Config{Kernel: kernelUsed})
		if err == nil {
			_, err = m.Run(context.Background(), Program{Binary: args[0], Env: []string{inside + "=hang"}, Output: os.Stdout})
		}
		fmt.Println(err)
	}
	return 1
}

const kernelUsed = "6.12"

// ready gives a machine, and this test's own binary for it.
func ready(t *testing.T) (m *Machine, binary string) {
	t.Helper()
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: boots a virtual machine; make lab runs it (IBFABRIC_LAB=1)")
	}
	m, err := Prepare(t.Context(), Config{Kernel: kernelUsed, Modules: []string{"veth"}, Log: func(line string) { t.Log(line) }})
	if errors.Is(err, ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(t.TempDir(), "guest.test")
	if err := Compile(t.Context(), binary, "test", "-c", "."); err != nil {
		t.Fatal(err)
	}
	return m, binary
}

func TestTheLineCarriesBytesBothWays(t *testing.T) {
	t.Parallel()
	m, binary := ready(t)
	sent := string([]byte{3, 4, 17, 19, 127, 200, '\r', 0}) + strings.Repeat("0123456789", 500) + "\n"
	var out bytes.Buffer
	_, err := m.Run(t.Context(), Program{
		Binary: binary, Env: []string{inside + "=line"}, Output: &out,
		Talk: func(_ context.Context, line net.Conn) error {
			from := bufio.NewReader(line)
			ready, err := from.ReadString('\n')
			if err != nil || ready != "ready\n" {
				return fmt.Errorf("it begins with %q, %w", ready, err)
			}
			if _, err := io.WriteString(line, sent); err != nil {
				return err
			}
			back, err := from.ReadString('\n')
			if back != sent {
				t.Errorf("%q came back", back)
			}
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%q <nil>\n", sent); out.String() != want {
		t.Errorf("the guest read %q", out.String())
	}
}

func TestAProgramsWordsCodeAndFilesComeBack(t *testing.T) {
	t.Parallel()
	m, binary := ready(t)
	given := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(given, []byte("given"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	result, err := m.Run(t.Context(), Program{
		Binary: binary, Args: []string{"one", "two words"}, Env: []string{inside + "=words"},
		Files: map[string]string{"/given/file": given}, Output: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 3 {
		t.Errorf("exit code %d, want 3", result.ExitCode)
	}
	if want := "my arguments are [one two words]\nand this is an error\n"; out.String() != want {
		t.Errorf("output %q, want %q", out.String(), want)
	}
	if got := string(result.Files["a/b.txt"]); got != "kept\r\n\x00" || len(result.Files) != 1 {
		t.Errorf("files: %q", result.Files)
	}
}

func TestAKernelPanicIsAnErrorWithTheConsole(t *testing.T) {
	m, binary := ready(t)
	_, err := m.Run(t.Context(), Program{Binary: binary, Env: []string{inside + "=panic"}})
	if err == nil || !strings.Contains(err.Error(), "Kernel panic") || !strings.Contains(err.Error(), "sysrq") {
		t.Errorf("got %v", err)
	}
}

func TestAGuestThatHangsEndsAtItsDeadline(t *testing.T) {
	m, binary := ready(t)
	ctx, giveUp := context.WithCancel(t.Context())
	_, err := m.Run(ctx, Program{Binary: binary, Env: []string{inside + "=hang"}, Output: whenSaid("hanging", giveUp)})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("given up: %v", err)
	}
	if ctx.Err() == nil {
		t.Error("it did not come so far")
	}
	_, err = m.Run(t.Context(), Program{Binary: binary, Env: []string{inside + "=hang"}, Deadline: time.Second})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("at the deadline: %v", err)
	}
	if left := children(os.Getpid()); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}

// whenSaid does something when a text is written.
func whenSaid(text string, do func()) io.Writer {
	return hearing(func(line []byte) {
		if bytes.Contains(line, []byte(text)) {
			do()
		}
	})
}

type hearing func(line []byte)

func (h hearing) Write(line []byte) (int, error) {
	h(line)
	return len(line), nil
}

func TestNoGuestOutlivesItsStarter(t *testing.T) {
	_, binary := ready(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	starter := exec.Command(binary, binary)
	starter.Env = append(os.Environ(), inside+"=host")
	starter.Stdout, starter.SysProcAttr = in, diesWithUs()
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	defer starter.Wait()
	defer starter.Process.Kill()
	if said, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatalf("the guest never said that it hangs: %d bytes, %v", said, err)
	}
	guests := children(starter.Process.Pid)
	if len(guests) != 1 {
		t.Fatalf("the starter's children are %v, want QEMU", guests)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); syscall.Kill(guests[0], 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("QEMU runs still")
		}
	}
}

// children are the processes that a process started, from all of its threads.
func children(pid int) (found []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = append(found, child)
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestAKernelThatDebianDoesNotHaveIsNamed(t *testing.T) {
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: asks Debian's mirror; make lab runs it (IBFABRIC_LAB=1)")
	}
	_, err := Prepare(t.Context(), Config{Kernel: "5.4"})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "5.4") {
		t.Errorf("got %v", err)
	}
}

func TestAMachineWithoutWhatItTakesSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Prepare(t.Context(), Config{Kernel: kernelUsed, Cache: t.TempDir()})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "apt-get is missing") {
		t.Errorf("got %v", err)
	}
}
