// Command bench measures how long pods wait for their GUIDs and partitions: ibfabric, beside
// the least that any program has to do (test/bench/bare) and ib-kubernetes, in the same run,
// against a real API server and ufm-sim, whose changes take 200 ms, one at a time. Before
// that, how long an ADD of the CNI takes over a fake kernel, on which nothing else waits.
// `make bench` runs it. It prints a table, and writes all it measured to build/bench.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// ufmChange is about what a UFM of a few hundred nodes takes for a change.
const ufmChange = 200 * time.Millisecond

// newCRD is how old a CRD must be: the API server holds back each creation of a younger one's
// objects for two seconds.
const newCRD = 2500 * time.Millisecond

type options struct {
	only          string
	noPeer, quick bool
	peerLimit     time.Duration
	keep          string
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "`cases` to run, by commas: "+names(cases(false)))
	flag.BoolVar(&o.noPeer, "no-peer", false, "leave ib-kubernetes out")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the pods")
	flag.DurationVar(&o.peerLimit, "peer-limit", 90*time.Second, "time that ib-kubernetes gets for pods to come, and for them to go")
	flag.StringVar(&o.keep, "keep", "", "`folder` to keep the contenders' logs in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	chosen, err := choose(cases(o.quick), o.only)
	if err != nil {
		return err
	}
	root, err := sourceTree(ctx)
	if err != nil {
		return err
	}
	rep := Report{Date: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), UFMChangeMS: ufmChange.Milliseconds()}
	pods := slices.DeleteFunc(slices.Clone(chosen), func(c testCase) bool { return c.CNI })
	if len(pods) < len(chosen) { // first, before the builds and a cluster put load on the machine
		if rep.CNI, err = measureCNI(ctx, root, cniRounds); err != nil {
			return err
		}
	}
	if len(pods) > 0 {
		err = rep.controllers(ctx, root, pods, o)
	}
	fmt.Print("\n", rep.text()) // after a failure too: what is measured is measured
	return errors.Join(err, rep.write(filepath.Join(root, "build", "bench.json")))
}

// controllers measures the contenders over a cluster.
func (r *Report) controllers(ctx context.Context, root string, chosen []testCase, o options) error {
	dir, err := os.MkdirTemp("", "ibfabric-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	defer os.RemoveAll(dir)
	all, err := contenders(ctx, root, dir, o)
	if err != nil {
		return err
	}
	bed, err := startCluster(ctx, filepath.Join(dir, "cluster"))
	if err != nil {
		return err
	}
	defer bed.Stop()
	if r.Versions, err = versions(ctx, root, bed, all); err != nil {
		return err
	}
	logs := dir
	if o.keep != "" {
		logs = o.keep
	}
	return r.fill(ctx, bed, logs, chosen, all)
}

func (r *Report) fill(ctx context.Context, bed *testbed.Cluster, logs string, chosen []testCase, all []contender) error {
	number := 0
	for _, c := range chosen {
		for _, who := range all {
			if who.peer && c.NoPeer || who.name == bareName && c.OnlyOurs {
				continue
			}
			number++
			fmt.Fprintf(os.Stderr, "bench: %s, %s\n", c.Title, who.name)
			res, err := measure(ctx, bed, logs, c, who, number)
			if err != nil {
				return err
			}
			r.Results = append(r.Results, res)
		}
	}
	return nil
}

// contenders are those that run, one launcher with all of them.
func contenders(ctx context.Context, root, dir string, o options) ([]contender, error) {
	all, err := build(ctx, root, dir, o)
	launcher := programs.NewLauncher()
	for i := range all {
		all[i].launcher = launcher
	}
	return all, err
}

func build(ctx context.Context, root, dir string, o options) ([]contender, error) {
	stop := report(func() string { return "building the contenders" })
	err := programs.Build(ctx, dir, false, "cmd/ibfabric-controller", "test/bench/bare")
	stop()
	if err != nil {
		return nil, err
	}
	all := []contender{bareLoop(dir), ibfabric(dir)}
	if o.noPeer {
		return all, nil
	}
	peer, err := ibKubernetes(ctx, root, o.peerLimit)
	switch {
	case errors.Is(err, errNoCompiler):
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: ib-kubernetes needs gcc (%v). Nothing is measured of it. ***\n\n", err)
		return all, nil
	case err != nil:
		return nil, fmt.Errorf("%w (-no-peer leaves ib-kubernetes out)", err)
	}
	return append(all, peer), nil
}

func startCluster(ctx context.Context, dir string) (*testbed.Cluster, error) {
	bed, err := testbed.Run(ctx, dir, testbed.WithLog(os.Stderr))
	if err != nil {
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	if err := prepare(ctx, bed); err != nil {
		bed.Stop()
		return nil, err
	}
	return bed, nil
}

func prepare(ctx context.Context, bed *testbed.Cluster) error {
	if err := rig.InstallKinds(ctx, bed); err != nil {
		return err
	}
	if err := bed.CreateNode(ctx, nodeName); err != nil {
		return fmt.Errorf("make a node: %w", err)
	}
	time.Sleep(newCRD)
	return nil
}

// sourceTree is the folder of go.mod, wherever in the tree one stands.
func sourceTree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
