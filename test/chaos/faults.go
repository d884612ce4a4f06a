package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// play does the plan: each track its steps in order, all tracks at once.
func (w *world) play(ctx context.Context) error {
	var wg sync.WaitGroup
	start := time.Now()
	errs := make([]error, len(w.plan.Tracks))
	for i, steps := range w.plan.Tracks {
		wg.Go(func() {
			for _, s := range steps {
				time.Sleep(time.Until(start.Add(s.At)))
				if errs[i] = w.do(ctx, s); errs[i] != nil || ctx.Err() != nil {
					return
				}
				w.counts.add(string(s.Kind), 1)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// do does one step. An error is one of the test's own: what the API server says to a
// call in the middle of this is of no interest.
func (w *world) do(ctx context.Context, s Step) error {
	dice := s.random()
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	switch s.Kind {
	case PodsCreate:
		w.pods.create(ctx, s.N, dice)
	case PodsDelete:
		w.pods.remove(ctx, s.N, dice)
	case PodsFinish:
		w.pods.finish(ctx, s.N, dice)
	case PodsRun:
		w.pods.run(ctx, s.N, dice)
	case PodsUnfinalize:
		w.pods.unfinalize(ctx, s.N, dice)
	case NetworkEdit:
		_ = w.networks.write(call, dice.IntN(networkCount), dice)
	case NetworkDelete:
		_ = w.networks.remove(call, dice.IntN(networkCount))
	case NetworkMake:
		_ = w.networks.makeMissing(call, dice)
	case APIKill, APIPause:
		return w.hitAPI(ctx, s)
	case ReplicaKill, ReplicaStop, ReplicaPause, ReplicaAdd, ReplicaRemove:
		w.hitReplica(s, dice)
	default:
		return w.hitUFM(s, dice)
	}
	return nil
}

func (w *world) hitAPI(ctx context.Context, s Step) error {
	if s.Kind == APIPause {
		w.bed.PauseAPIServer()
		time.Sleep(s.For)
		w.bed.ResumeAPIServer()
		return nil
	}
	w.bed.StopAPIServer()
	time.Sleep(s.For)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.bed.StartAPIServer(ctx); err != nil {
		return fmt.Errorf("start the API server again: %w", err)
	}
	return nil
}

const mostReplicas = 3

func (w *world) hitReplica(s Step, dice *rand.Rand) {
	switch s.Kind {
	case ReplicaKill:
		w.replicas.hit(dice, os.Kill)
	case ReplicaStop:
		w.replicas.hit(dice, syscall.SIGTERM)
	case ReplicaPause:
		if p := w.replicas.hit(dice, syscall.SIGSTOP); p != nil {
			time.Sleep(s.For)
			_ = p.Signal(syscall.SIGCONT)
		}
	case ReplicaAdd:
		if w.replicas.count() < mostReplicas {
			w.replicas.add()
		}
	case ReplicaRemove:
		if w.replicas.count() > 1 {
			w.replicas.remove(dice)
		}
	}
}

// hitUFM does something to the UFM that answers now. A fault that counts calls stays
// until it has hit them, one that lasts until its time is over.
func (w *world) hitUFM(s Step, dice *rand.Rand) error {
	u := w.ufms.now()
	switch s.Kind {
	case UFMRestart:
		return u.srv.Restart(s.For)
	case UFMWipe:
		return w.ufms.wipe()
	case UFMFork:
		w.ufms.fork()
		return nil
	case UFMSwitch:
		return w.ufms.failOver(s.For)
	case UFMSlow:
		u.sim.SetTiming(ufmsim.Timing{Change: time.Duration(s.N) * milli, Apply: time.Duration(s.N) * milli})
		time.Sleep(s.For)
		u.sim.SetTiming(ufmsim.Timing{Change: ufmChange})
		return nil
	case UFMUnknown:
		q := ufmsim.Quirks{UnknownGUID: "404"}
		if err := u.sim.SetQuirks(q); err != nil {
			return err
		}
		time.Sleep(s.For)
		return u.sim.SetQuirks(ufmsim.Quirks{})
	}
	f := fault(s, dice)
	id, err := u.sim.Inject(f)
	if err == nil && f.Count == 0 {
		time.Sleep(s.For)
		u.sim.ClearFaults(id)
	}
	return err
}

func fault(s Step, dice *rand.Rand) ufmsim.Fault {
	change := []ufmsim.Op{ufmsim.OpAdd, ufmsim.OpRemove, ufmsim.OpAnyChange}[dice.IntN(3)]
	f := ufmsim.Fault{Op: change, Count: s.N}
	switch s.Kind {
	case UFM503:
		f = ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503}
	case UFM500:
		f = ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 500, Op: change, Probability: 0.5}
	case UFM400:
		f.Kind, f.Status, f.Op, f.PKey = ufmsim.FaultStatus, 400, ufmsim.OpAdd, firstPKey+pkey.PKey(dice.IntN(pkeyCount))
	case UFMHang:
		f.Kind, f.Op = ufmsim.FaultHang, ""
	case UFMLost:
		f.Kind = ufmsim.FaultLost
	case UFMLate:
		f.Kind, f.Delay = ufmsim.FaultLate, s.For
	case UFMMangled:
		f.Kind = []ufmsim.FaultKind{ufmsim.FaultHTML, ufmsim.FaultTruncate, ufmsim.FaultTypes, ufmsim.FaultHuge}[dice.IntN(4)]
	}
	return f
}
