// Command build makes the programs of the test bed (etcd, kube-apiserver and their like)
// from their sources, each at the version that test/testbed/tools pins, into a cache folder
// outside the tree. It prints that folder as the last line of its standard output; what is
// not of the control plane has a folder of its own, and a line.
//
//	go run ./test/testbed/build [program...]
//
// The name node stands for all programs of a real node (see test/lab/node).
// A first run takes minutes (Kubernetes is large); a run with nothing to do, no time.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/test/testbed/internal/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dirs, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
	for _, dir := range dirs {
		fmt.Println(dir)
	}
}

// run builds what is missing of the named programs, or of the default ones, and returns the
// folders that they are in.
func run(ctx context.Context, names []string) (dirs []string, err error) {
	control, err := plan.Load()
	if err != nil {
		return nil, err
	}
	node, err := plan.LoadNode()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = plan.Default()
	}
	if i := slices.Index(names, "node"); i >= 0 {
		names = slices.Replace(slices.Clone(names), i, i+1, plan.OfNode()...)
	}
	var ofNode []string
	ofControl := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := node.Program(name)
		if err == nil {
			ofNode = append(ofNode, name)
		}
		return err == nil
	})
	for _, part := range []struct {
		plan  plan.Plan
		names []string
	}{{node, ofNode}, {control, ofControl}} {
		if len(part.names) == 0 {
			continue
		}
		if err := ensure(ctx, part.plan, part.names); err != nil {
			return nil, err
		}
		dirs = append(dirs, part.plan.Dir)
	}
	return dirs, nil
}

func ensure(ctx context.Context, p plan.Plan, names []string) error {
	var programs []plan.Program
	for _, n := range names {
		q, err := p.Program(n)
		if err != nil {
			return err
		}
		programs = append(programs, q)
	}
	if len(plan.Missing(p.Dir, names)) == 0 {
		return nil
	}
	unlock, err := lock(p.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	return buildAll(ctx, p, programs)
}

// buildAll builds what is missing now: another run may have built some while we waited for the lock.
func buildAll(ctx context.Context, p plan.Plan, programs []plan.Program) error {
	if err := sweep(p.Dir); err != nil {
		return err
	}
	var todo []plan.Program
	for _, q := range programs {
		if len(plan.Missing(p.Dir, []string{q.Name})) > 0 {
			todo = append(todo, q)
		}
	}
	start := time.Now()
	for i, q := range todo {
		done := report(fmt.Sprintf("building %s (%d of %d)", q.Name, i+1, len(todo)))
		err := build(ctx, p, q)
		done(err == nil)
		if err != nil {
			return fmt.Errorf("building %s: %w", q.Name, err)
		}
	}
	if len(todo) > 0 {
		fmt.Fprintf(os.Stderr, "testbed: %d built in %.0f s\n", len(todo), time.Since(start).Seconds())
	}
	return nil
}

// sweep removes what a killed build left. The lock is held: nobody is building here.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	for _, folder := range left {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	return err
}

// lock keeps a second run from building the same at once. The kernel drops it with its holder.
func lock(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache folder (IBFABRIC_CACHE moves it): %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the cache: %w", err)
	}
	fd := int(f.Fd())
	if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		done := report("waiting for another build in " + dir)
		err = syscall.Flock(fd, syscall.LOCK_EX)
		done(err == nil)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
