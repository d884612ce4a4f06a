package testbed

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const victimDir = "TESTBED_VICTIM_DIR"

// TestVictim is no test of its own: it is the process that the test below kills.
func TestVictim(t *testing.T) {
	dir := os.Getenv(victimDir)
	if dir == "" {
		t.Skip("only the next test runs this, in a process of its own")
	}
	c, err := Run(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("\nup " + c.port.address() + " " + c.etcdPort.address() + "\n")
	select {}
}

func TestKilledTestTakesItsClusterAlong(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimDir+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for lines := bufio.NewScanner(out); len(addresses) == 0 && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "up "); ok {
			addresses = strings.Fields(rest)
		}
	}
	if len(addresses) == 0 {
		t.Fatal("the victim did not come up")
	}
	cancel() // SIGKILL: it can clean up nothing
	_ = cmd.Wait()
	for _, address := range addresses {
		Eventually(t, "nobody listens at "+address, func() (bool, string) {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err != nil, "connected"
		})
	}
}
