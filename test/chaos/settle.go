package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
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

// settle takes all troubles away and waits until everything is as it should be.
func (w *world) settle(ctx context.Context) error {
	if err := w.mend(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wrong := []string{"nothing was looked at"}; ; pause(ctx, 300*milli) {
		if ctx.Err() != nil {
			return fmt.Errorf("it does not settle within %s:\n  %s", patience, strings.Join(wrong[:min(20, len(wrong))], "\n  "))
		}
		now, err := w.unsettled(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			wrong = []string{err.Error()}
		case err == nil && len(now) == 0:
			return nil
		case err == nil:
			wrong = now
		}
	}
}

// narrowLeft are the pods that stay at the end where GUIDs are few: a failover can bring
// members back that no row explains, whose GUIDs nobody gets.
const narrowLeft = 30

// mend ends what the plan left behind: faults, terminating pods, missing networks.
func (w *world) mend(ctx context.Context) error {
	if err := w.ufms.mend(); err != nil {
		return fmt.Errorf("mend UFM: %w", err)
	}
	w.replicas.signalAll(syscall.SIGCONT)
	if w.plan.Restart {
		w.replicas.signalAll(os.Kill)
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
	if w.plan.Narrow {
		w.pods.remove(ctx, max(0, len(w.history.present())-narrowLeft), dice)
	}
	return nil
}

// unsettled says what is not yet as it should be.
func (w *world) unsettled(ctx context.Context) ([]string, error) {
	w.pods.unfinalize(ctx, podNames, Step{}.random())
	list, err := w.kube.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var wrong []string
	live := map[guid.GUID]types.UID{}
	want := map[place]pkey.Mode{}
	j := newJudge(w.history, w.networks, w.ufms)
	have := w.members()
	for i := range list.Items {
		pod := &list.Items[i]
		if isFinished(pod) {
			continue
		}
		elements, err := attach.ParseAnnotation(w.ns, pod.Annotations[attach.NetworksAnnotation])
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			if !e.Configured {
				if e.GUID == 0 || !w.cannotHave(e.GUID, pod.UID, have) {
					wrong = append(wrong, fmt.Sprintf("pod %s is not configured", pod.Name))
				}
				continue
			}
			live[e.GUID] = pod.UID
			for _, c := range e.Recorded {
				want[place{e.GUID, c.PKey}] = c.Mode
			}
		}
	}
	wrong = append(wrong, compare(want, have, j)...)
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

func compare(want, have map[place]pkey.Mode, j *judge) []string {
	var wrong []string
	stranger := map[guid.GUID]bool{}
	for _, part := range j.spells[0].of.first {
		for _, m := range part.Members {
			stranger[m.GUID] = true
		}
	}
	for at, mode := range want {
		if is, ok := have[at]; !ok || is != mode {
			wrong = append(wrong, fmt.Sprintf("%s is not in %s as %s", at.guid, at.pkey, mode))
		}
	}
	for at := range have {
		if _, ok := want[at]; !ok && !stranger[at.guid] && !j.excusable(at) {
			wrong = append(wrong, fmt.Sprintf("%s stands in %s, and no live pod has it", at.guid, at.pkey))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// wrongRows holds the ledger against the live pods: one row for each of their GUIDs, and
// none assigned beside those.
func (w *world) wrongRows(ctx context.Context, live map[guid.GUID]types.UID) ([]string, error) {
	var list v1alpha1.LedgerList
	if err := w.api.List(ctx, &list, client.InNamespace(w.ns)); err != nil {
		return nil, err
	}
	var wrong []string
	rows := map[guid.GUID]int{}
	for _, l := range list.Items {
		for _, r := range l.Spec.Rows {
			g, err := guid.Parse(r.GUID)
			if err != nil {
				return nil, err
			}
			rows[g]++
			if uid := live[g]; r.State == v1alpha1.Assigned && uid != r.PodUID {
				wrong = append(wrong, fmt.Sprintf("the ledger gives %s to %s, which does not have it", g, r.Pod))
			} else if uid != "" && r.State != v1alpha1.Assigned {
				wrong = append(wrong, fmt.Sprintf("the ledger says that %s is %s, and it is a live pod's", g, r.State))
			}
		}
	}
	for g := range live {
		if rows[g] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s of a live pod has %d rows", g, rows[g]))
		}
	}
	return wrong, nil
}
