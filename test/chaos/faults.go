package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// play does the plan: each track its steps in order, all tracks at once. What a track has not
// come to when the time is over, since its steps took longer than was drawn, it leaves out.
func (w *world) play(ctx context.Context) error {
	var wg sync.WaitGroup
	start := time.Now()
	errs := make([]error, len(w.plan.Tracks))
	for i, steps := range w.plan.Tracks {
		wg.Go(func() {
			for _, s := range steps {
				time.Sleep(time.Until(start.Add(s.At)))
				if time.Since(start) > w.plan.Duration {
					return
				}
				var n int
				if n, errs[i] = w.do(ctx, s); errs[i] != nil || ctx.Err() != nil {
					return
				}
				w.counts.add(s.Kind, n)
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

// do does one step, and says how many it hit. An error is one of the test's own: what the
// API server says to a call in the middle of this is of no interest.
func (w *world) do(ctx context.Context, s Step) (hit int, err error) {
	dice := s.random()
	share := (len(w.history.present())*s.N + 99) / 100
	switch s.Kind {
	case PodsCreate:
		return w.pods.create(ctx, s.N*w.plan.Pods/100, dice), nil
	case PodsDelete:
		return w.pods.remove(ctx, share, dice), nil
	case PodsFinish:
		return w.pods.finish(ctx, share, dice), nil
	case PodsRun:
		return w.pods.run(ctx, share, dice), nil
	case PodsUnfinalize:
		return w.pods.unfinalize(ctx, share, dice), nil
	case NetworkEdit, NetworkDelete, NetworkMake:
		return w.changeNetwork(ctx, s, dice), nil
	case APIKill, APIPause, EtcdSlow:
		return 1, w.hitAPI(ctx, s, dice)
	case NodeLose, NodeReboot, NodeDelete:
		return 1, w.hitNode(ctx, s, dice)
	case ReplicaKill, ReplicaStop, ReplicaPause, ReplicaAdd, ReplicaRemove, ReplicaClock:
		return w.hitReplica(s, dice), nil
	case LeaseDelete:
		return w.deleteLease(ctx), nil
	}
	return 1, w.hitUFM(s, dice)
}

func (w *world) changeNetwork(ctx context.Context, s Step, dice *rand.Rand) (hit int) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var err error
	switch i := dice.IntN(networkCount); s.Kind {
	case NetworkEdit:
		err = w.networks.write(ctx, i, dice)
	case NetworkDelete:
		err = w.networks.remove(ctx, i)
	default:
		err = w.networks.makeMissing(ctx, dice)
	}
	if err != nil {
		return 0
	}
	return 1
}

func (w *world) hitAPI(ctx context.Context, s Step, dice *rand.Rand) error {
	defer w.chronicle.say("the API server answers again")
	switch s.Kind {
	case EtcdSlow:
		w.chronicle.say("etcd is slow")
		for end := time.Now().Add(s.For); time.Now().Before(end); time.Sleep(between(dice, 10*milli, 150*milli)) {
			w.bed.PauseEtcd()
			time.Sleep(between(dice, 50*milli, 800*milli))
			w.bed.ResumeEtcd()
		}
		return nil
	case APIPause:
		w.chronicle.say("the API server is paused")
		w.bed.PauseAPIServer()
		time.Sleep(s.For)
		w.bed.ResumeAPIServer()
		return nil
	}
	w.chronicle.say("the API server is killed")
	w.bed.StopAPIServer()
	time.Sleep(s.For)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := w.bed.StartAPIServer(ctx); err != nil {
		return fmt.Errorf("start the API server again: %w", err)
	}
	return nil
}

const mostReplicas = 3

func (w *world) hitReplica(s Step, dice *rand.Rand) (hit int) {
	var p *programs.Process
	switch s.Kind {
	case ReplicaKill:
		p = w.replicas.hit(dice, syscall.SIGKILL)
	case ReplicaStop:
		p = w.replicas.hit(dice, syscall.SIGTERM)
	case ReplicaPause:
		if p = w.replicas.hit(dice, syscall.SIGSTOP); p != nil {
			time.Sleep(s.For)
			w.chronicle.say("the paused controller goes on")
			p.Signal(syscall.SIGCONT)
		}
	case ReplicaAdd:
		return w.replicas.add(mostReplicas)
	case ReplicaRemove:
		return w.replicas.remove(dice)
	case ReplicaClock:
		return w.replicas.setClock(dice)
	}
	if p == nil {
		return 0 // it is just being started again
	}
	return 1
}

func (w *world) deleteLease(ctx context.Context) (hit int) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if err := w.kube.CoordinationV1().Leases(w.ns).Delete(ctx, "ibfabric-"+w.ns, metav1.DeleteOptions{}); err != nil {
		return 0 // nobody leads, or the API server is away
	}
	w.chronicle.say("the lease is deleted")
	return 1
}

// hitUFM does something to the UFM that answers now. A fault that counts calls stays
// until it has hit them, one that lasts until its time is over.
func (w *world) hitUFM(s Step, dice *rand.Rand) error {
	if s.Kind == UFMCalm {
		time.Sleep(s.For)
		return nil
	}
	u := w.ufms.now()
	_, what := s.Kind.about()
	w.chronicle.say("%s: %s (%d, %s)", u.name, what, s.N, s.For.Round(milli))
	switch s.Kind {
	case UFMRestart:
		return u.srv.Restart(s.For)
	case UFMWipe:
		return w.ufms.wipe()
	case UFMFork:
		w.ufms.fork()
		return nil
	case UFMSwitch:
		return w.ufms.failOver(s.For, s.N == 0)
	case UFMExpire:
		return w.ufms.expire(s.For)
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
