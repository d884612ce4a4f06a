//go:build linux

package guest

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestASavedGuestGoesOnWhereItWas(t *testing.T) {
	m, _ := ready(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "counter")
	if err := Compile(t.Context(), program, "build", "github.com/ibfabric/ibfabric/test/lab/guest/testdata/counter"); err != nil {
		t.Fatal(err)
	}
	s := System{Image: filepath.Join(dir, "image"), Memory: 256}
	image, err := NewImage(s.Image)
	if err != nil {
		t.Fatal(err)
	}
	image.Put("/init", program)
	if err := image.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	l, err := m.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ctx, l.Kill)()
	first := bufio.NewReader(l.Control)
	wantLine(t, l, first, "ready")
	say(t, l.Control)
	wantLine(t, l, first, "1")
	saved := filepath.Join(dir, "saved")
	if err := l.Save(ctx, saved); err != nil {
		t.Fatal(err)
	}
	if l.Ended() == nil {
		t.Error("a saved guest runs on")
	}
	for range 2 { // each for itself
		l, err := m.Restore(ctx, s, saved)
		if err != nil {
			t.Fatal(err)
		}
		defer context.AfterFunc(ctx, l.Kill)()
		say(t, l.Control)
		wantLine(t, l, bufio.NewReader(l.Control), "2")
		l.Kill()
	}
}

func TestWhatIsNoSnapshotIsAnErrorWithQEMUsWords(t *testing.T) {
	m, _ := ready(t)
	file := filepath.Join(t.TempDir(), "saved")
	if err := writeWhole(file, []byte("no snapshot at all")); err != nil {
		t.Fatal(err)
	}
	_, err := m.Restore(t.Context(), System{Image: "/dev/null"}, file)
	if err == nil || !strings.Contains(err.Error(), "restoring the guest") || !strings.Contains(err.Error(), "qemu") {
		t.Errorf("%v", err)
	}
}

func say(t *testing.T, line net.Conn) {
	t.Helper()
	if _, err := line.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
}

func wantLine(t *testing.T, l *Live, from *bufio.Reader, want string) {
	t.Helper()
	got, err := from.ReadString('\n')
	if strings.TrimSpace(got) != want {
		t.Fatalf("the guest says %q (%v), want %q; its console:\n%s", got, err, want, l.Console())
	}
}
