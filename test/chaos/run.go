package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// holdTime is what the controllers are told, short enough for GUIDs to come round again.
const holdTime = 5 * second

// world is all that takes part in a run.
type world struct {
	plan Plan
	dir  string
	ns   string

	bed       *testbed.Cluster
	kube      kubernetes.Interface
	api       client.Client
	ufms      *ufms
	replicas  *replicas
	history   *history
	chronicle *chronicle
	networks  *networks
	pods      *pods
	nodes     *nodes
	counts    *counts
	settled   time.Duration // after the last fault

	mu    sync.Mutex // protects stage
	stage string     // what the run is at, for whoever waits
}

// Result is what came of a run.
type Result struct {
	Violations []string
	Stories    []string // of the first violations: all that is known of who suffered them
	Table      string   // what was done, how often, and what it came to
}

// Run plays a plan with controllers of a program, judges it, and keeps logs, journals and
// the chronicle in dir. An error is that the run itself failed. out gets a line every few
// seconds.
func Run(ctx context.Context, plan Plan, program, dir string, out io.Writer) (r Result, err error) {
	began := time.Now()
	w := &world{plan: plan, dir: dir, ns: "chaos", chronicle: &chronicle{}, counts: &counts{n: map[Kind]int{}}}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(ctx, program); err != nil {
		return Result{}, fmt.Errorf("set up: %w", err)
	}
	watching, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	watchers.Go(func() { w.history.follow(watching, w.kube, w.ns) })
	watchers.Go(func() { w.progress(watching, out) })
	for range plan.Replicas {
		w.replicas.add(plan.Replicas)
	}
	w.setStage("playing")
	if err := w.play(ctx); err != nil {
		return Result{}, fmt.Errorf("play the plan: %w", err)
	}
	calm := time.Now()
	wrong, failed := w.settle(ctx)
	w.settled = time.Since(calm)
	j := newJudge(w)
	wrong = append(append(j.rules(), wrong...), w.spoken()...)
	for i, v := range wrong {
		r.Violations = append(r.Violations, v.String())
		if i < storiesTold {
			r.Stories = append(r.Stories, w.story(v))
		}
	}
	r.Table = w.counts.table(w.outcome(j, len(wrong), time.Since(began)))
	return r, errors.Join(failed, w.write(r))
}

// storiesTold is for how many violations one learns what was before: the first is mostly
// the cause of the others.
const storiesTold = 3

// spoken are the controllers' words that no trouble excuses.
func (w *world) spoken() []violation {
	bad := regexp.MustCompile(`(?m)^.*(panic at |DATA RACE|^panic: |^fatal error: ).*$`)
	logs, _ := filepath.Glob(filepath.Join(w.dir, "controller-*.log")) // the pattern is a good one
	var found []violation
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if line := bad.Find(text); err == nil && line != nil {
			found = append(found, violation{at: time.Now(), text: fmt.Sprintf("rule 9: %s: %.300s", filepath.Base(log), line)})
		}
	}
	return found
}

// write leaves what was judged beside the controllers' logs.
func (w *world) write(r Result) error {
	var errs []error
	keep := func(name, text string) {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("keep %s: %w", name, err))
		}
	}
	keep("chronicle.txt", w.chronicle.String())
	keep("violations.txt", strings.Join(r.Violations, "\n"))
	for i, s := range r.Stories {
		keep(fmt.Sprintf("story-%d.txt", i+1), s)
	}
	for _, u := range w.ufms.every() {
		var b strings.Builder
		for _, e := range u.sim.Journal() {
			line, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("write the journal of %s: %w", u.name, err)
			}
			b.Write(append(line, '\n'))
		}
		keep(u.name+".journal", b.String())
	}
	return errors.Join(errs...)
}

func (w *world) setStage(stage string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage = stage
}

func (w *world) getStage() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stage
}

func (w *world) close() (err error) {
	if w.replicas != nil {
		err = w.replicas.close()
	}
	if w.ufms != nil {
		w.ufms.close()
	}
	if w.bed != nil {
		w.bed.Stop()
	}
	return err
}
