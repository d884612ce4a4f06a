package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// patience bounds the wait for calm. It is no measure of anything: a member that UFM
// refused is tried again after a minute, and a client that lost its server waits long.
const patience = 3 * time.Minute

// settle takes all troubles away and waits until everything is as it should be. What
// still is not when patience is over is returned.
func (w *world) settle(ctx context.Context) ([]violation, error) {
	w.setStage("settling")
	if err := w.mend(ctx); err != nil {
		return nil, err
	}
	// With thousands of pods two cores take their time, the API server's and the judge's.
	enough := patience + time.Duration(w.plan.Pods)*60*milli
	for end := time.Now().Add(enough); ; pause(ctx, 300*milli) {
		wrong, err := w.unsettled(ctx)
		if err == nil && len(wrong) > 0 {
			w.setStage(fmt.Sprintf("settling, %d to go (%.60s)", len(wrong), wrong[0]))
		}
		if err == nil && len(wrong) == 0 || ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if time.Now().After(end) {
			for i := range wrong {
				wrong[i].text = fmt.Sprintf("not settled within %s: %s", enough, wrong[i].text)
			}
			return wrong, err
		}
	}
}

// mend ends what the plan left behind: faults, terminating pods, missing networks.
func (w *world) mend(ctx context.Context) error {
	if err := w.ufms.mend(); err != nil {
		return fmt.Errorf("mend UFM: %w", err)
	}
	w.replicas.signalAll(syscall.SIGCONT)
	if w.plan.Restart {
		w.chronicle.say("all controllers are killed")
		w.replicas.signalAll(syscall.SIGKILL)
	}
	dice := Step{Seed: w.plan.Seed}.random()
	var err error
	for range 10 {
		if err = w.networks.makeMissing(ctx, dice); err == nil {
			break
		}
		pause(ctx, second)
	}
	if err != nil {
		return fmt.Errorf("make the networks again: %w", err)
	}
	return w.level(ctx, dice)
}

// level leaves a third of the pods, or makes some where too few are left. A failover can
// bring members back that no row explains, whose GUIDs nobody gets: for all pods there
// might be too few; and none at all would show nothing.
func (w *world) level(ctx context.Context, dice *rand.Rand) error {
	if err := w.untilSeen(ctx); err != nil {
		return err
	}
	live := 0
	for _, p := range w.history.present() {
		if !p.ended && !p.terminating {
			live++
		}
	}
	w.counts.add(PodsDelete, w.pods.remove(ctx, live-w.plan.Pods/3, dice))
	w.counts.add(PodsCreate, w.pods.create(ctx, w.plan.Pods/3-live, dice))
	return nil
}

// untilSeen waits until the watch has told of all that there is.
func (w *world) untilSeen(ctx context.Context) error {
	for end := time.Now().Add(patience); ; pause(ctx, 100*milli) {
		there := map[types.UID]bool{}
		list, err := w.kube.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
		if err == nil {
			for _, pod := range list.Items {
				there[pod.UID] = true
			}
			present := w.history.present()
			if len(present) == len(there) && !slices.ContainsFunc(present, func(p podState) bool { return !there[p.uid] }) {
				return nil
			}
			err = fmt.Errorf("there are %d pods, and the watch tells of %d", len(there), len(present))
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("wait for the watch to catch up: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// unsettled says what is not yet as it should be.
func (w *world) unsettled(ctx context.Context) ([]violation, error) {
	w.pods.unfinalize(ctx, w.pods.names, Step{}.random())
	w.pods.collect(ctx)
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	list, err := w.kube.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var wrong []violation
	live := map[guid.GUID]types.UID{}
	want := map[place]pkey.Mode{}
	have := w.members()
	for i := range list.Items {
		pod := &list.Items[i]
		if isFinished(pod) {
			continue
		}
		elements, err := attach.ParseAnnotation(w.ns, pod.Annotations[attach.NetworksAnnotation])
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", pod.Name, err)
		}
		for _, e := range elements {
			if !e.Configured {
				if pod.DeletionTimestamp != nil {
					continue // it was to go before it had anything, and is given nothing any more
				}
				if e.GUID == 0 || !w.cannotHave(e.GUID, pod.UID, have) {
					wrong = append(wrong, violation{time.Now(), e.GUID, pod.UID, fmt.Sprintf("pod %s (%s) is not configured", pod.Name, pod.UID)})
				}
				continue
			}
			live[e.GUID] = pod.UID
			for _, c := range e.Recorded {
				want[place{e.GUID, c.PKey}] = c.Mode
			}
		}
	}
	wrong = append(wrong, compare(want, have, newJudge(w))...)
	rows, err := w.wrongRows(ctx, live)
	return append(wrong, rows...), err
}

// cannotHave reports whether a pinned GUID is somebody else's: another pod was given it,
// or it stands in UFM and no row explains it.
func (w *world) cannotHave(g guid.GUID, uid types.UID, have map[place]pkey.Mode) bool {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	for at := range have {
		if at.guid == g {
			return true
		}
	}
	return slices.ContainsFunc(w.history.owners[g], func(t *tenure) bool { return !t.life.ended && t.life.uid != uid })
}

// members are what the UFM that answers now holds.
func (w *world) members() map[place]pkey.Mode {
	have := map[place]pkey.Mode{}
	for _, part := range w.ufms.now().sim.Partitions() {
		for _, m := range part.Members {
			have[place{m.GUID, part.PKey}] = m.Mode
		}
	}
	return have
}

func compare(want, have map[place]pkey.Mode, j *judge) []violation {
	var wrong wrongs
	stranger := map[guid.GUID]bool{}
	for _, part := range j.spells[0].of.first {
		for _, m := range part.Members {
			stranger[m.GUID] = true
		}
	}
	for at, mode := range want {
		if is, ok := have[at]; !ok || is != mode {
			wrong.say(at.guid, "%s is not in %s as %s", at.guid, at.pkey, mode)
		}
	}
	for at := range have {
		if _, ok := want[at]; !ok && !stranger[at.guid] && !j.excusable(at) {
			wrong.say(at.guid, "%s stands in %s, and no live pod has it", at.guid, at.pkey)
		}
	}
	return wrong
}

// wrongs collects what is wrong with GUIDs now.
type wrongs []violation

func (w *wrongs) say(g guid.GUID, format string, args ...any) {
	*w = append(*w, violation{at: time.Now(), guid: g, text: fmt.Sprintf(format, args...)})
}

// wrongRows holds the ledger against the live pods: one row for each of their GUIDs, and
// none assigned beside those.
func (w *world) wrongRows(ctx context.Context, live map[guid.GUID]types.UID) ([]violation, error) {
	var list v1alpha1.LedgerList
	if err := w.api.List(ctx, &list, client.InNamespace(w.ns)); err != nil {
		return nil, fmt.Errorf("list the ledger: %w", err)
	}
	var wrong wrongs
	rows := map[guid.GUID]int{}
	for _, l := range list.Items {
		for _, r := range l.Spec.Rows {
			g, err := guid.Parse(r.GUID)
			if err != nil {
				return nil, fmt.Errorf("ledger %s: %w", l.Name, err)
			}
			rows[g]++
			if uid := live[g]; r.State == v1alpha1.Assigned && uid != r.PodUID {
				wrong.say(g, "the ledger gives %s to %s, which does not have it", g, r.Pod)
			} else if uid != "" && r.State != v1alpha1.Assigned {
				wrong.say(g, "the ledger says that %s is %s, and it is a live pod's", g, r.State)
			}
		}
	}
	for g := range live {
		if rows[g] != 1 {
			wrong.say(g, "%s of a live pod has %d rows", g, rows[g])
		}
	}
	return wrong, nil
}
