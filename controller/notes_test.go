package controller

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
)

// mailbox counts the Events that pods got.
type mailbox struct {
	n    int
	last string
}

func (m *mailbox) Eventf(_, _ runtime.Object, _, _, _, note string, args ...any) {
	m.n++
	m.last = fmt.Sprintf(note, args...)
}

// nobodysPods is an API server that nobody watches: what the cache has, a test puts there.
type nobodysPods struct{ corev1client.PodInterface }

func (n nobodysPods) Pods(string) corev1client.PodInterface { return n }

// desk is a controller that works on a pod when it is told to, and has no networks and no
// UFM.
type desk struct {
	*Controller
	t    *testing.T
	mail *mailbox
}

func newDesk(t *testing.T) desk {
	t.Helper()
	pods, err := NewPodCache(nobodysPods{})
	if err != nil {
		t.Fatal(err)
	}
	mail := &mailbox{}
	c, err := New(Config{
		Fabric: "default", GUIDs: []guid.Range{{First: 1, Last: 9}}, Policy: Sync, FabricWorkers: 1, FabricTimeout: time.Second,
	}, Deps{Pods: pods, Record: record.New(zap.NewNop(), mail), Now: time.Now, After: time.After})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.partitions.ShutDown(); c.pods.ShutDown() })
	return desk{c, t, mail}
}

// sees is a pod as the watch brings it: one that cannot be read, so that it is refused.
func (d desk) sees(uid types.UID) *corev1.Pod {
	d.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "train-0", UID: uid, Annotations: map[string]string{attach.NetworksAnnotation: "{}"},
	}}
	slim, err := stripPod(pod)
	if err == nil {
		err = d.podCache.informer.GetStore().Add(slim)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return pod
}

// ends takes a pod out of the cache and tells the controller, as the watch does.
func (d desk) ends(pod *corev1.Pod) {
	d.t.Helper()
	slim, err := stripPod(pod)
	if err == nil {
		err = d.podCache.informer.GetStore().Delete(slim)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	var handler toolscache.ResourceEventHandler = d.podHandler()
	handler.OnDelete(slim)
}

func (d desk) worksOn(pod *corev1.Pod) {
	d.t.Helper()
	if _, err := d.syncPod(d.t.Context(), keyOf(pod)); err != nil {
		d.t.Fatal(err)
	}
}

func TestANetworkWakesThePodsThatMayNameIt(t *testing.T) {
	for text, wakes := range map[string]bool{
		"rail1": true, `[{"name":"rail1"}]`: true, `[{"name":"r\u0061il1"}]`: true, "rail2": false,
	} {
		d := newDesk(t)
		pod := d.sees("u1")
		pod.Annotations[attach.NetworksAnnotation] = text
		slim, err := stripPod(pod)
		if err == nil {
			err = d.podCache.informer.GetStore().Update(slim)
		}
		if err != nil {
			t.Fatal(err)
		}
		d.networkChanged(types.NamespacedName{Namespace: "team", Name: "rail1"})
		if got := d.pods.Len() == 1; got != wakes {
			t.Errorf("%s is woken: %v", text, got)
		}
	}
}

func TestAPodThatEndsWhileItIsWorkedOnIsToldOnce(t *testing.T) {
	d := newDesk(t)
	pod := d.sees("u1")
	d.worksOn(pod)
	asks, why := d.wanted(t.Context(), pod)
	d.ends(pod) // while its worker is at work once more
	if err := d.refusePod(d.t.Context(), pod, asks.unjudged, why); why == nil || err != nil {
		t.Fatal(why, err)
	}
	if d.mail.n != 1 {
		t.Errorf("for one reason it was told %d times", d.mail.n)
	}
}

func TestWhatWasSaidOfAPodThatIsGoneIsForgotten(t *testing.T) {
	d := newDesk(t)
	pod := d.sees("u1")
	d.worksOn(pod)
	d.ends(pod)
	if d.pods.Len() != 1 {
		t.Fatal("its worker does not hear of its end")
	}
	d.worksOn(pod)
	if len(d.notes.said)+len(d.notes.pods) != 0 {
		t.Errorf("of a pod that is gone is left %v", d.notes.said)
	}

	// A partition has a last word, when the pod's worker is through.
	d.tell(pod, record.PodWaiting, record.Fields{Detail: "UFM refuses it"})
	late := d.notes.ofPods(d.isOver)
	if len(late) != 1 || late[0] != keyOf(pod) {
		t.Fatalf("nobody finds what was said last: %v", late)
	}
	d.worksOn(pod)
	if len(d.notes.said)+len(d.notes.pods) != 0 {
		t.Errorf("of a pod that is gone is left %v", d.notes.said)
	}
}

func TestAPodOfAReusedNameHearsWhatItsPredecessorHeard(t *testing.T) {
	d := newDesk(t)
	former := d.sees("u1")
	d.worksOn(former)
	now := d.sees("u2")
	d.worksOn(now)
	d.worksOn(now)
	if d.mail.n != 2 || len(d.notes.said) != 1 || d.notes.said["u2"] == nil {
		t.Errorf("two pods were told %d times, and of %v is known what was said", d.mail.n, d.notes.said)
	}
}

func TestWhatWasSaidIsKeptWhileAPartitionMaySaySomething(t *testing.T) {
	d := newDesk(t)
	pod := d.sees("u1")
	row := ledger.Row{GUID: 1, Pod: keyOf(pod), UID: "u1", Interface: "net1", Seen: true, Sent: true}
	d.ledger.Put(row)
	refused := record.Fields{Detail: "UFM refuses it"}
	d.tellRow(row, record.UFMRejected, refused)
	d.ends(pod)
	d.worksOn(pod)
	d.tellRow(row, record.UFMRejected, refused)
	if d.mail.n != 1 || len(d.notes.ofPods(d.isOver)) != 0 {
		t.Errorf("it was told %d times", d.mail.n)
	}
	d.ledger.Drop(1)
	d.worksOn(pod)
	if len(d.notes.said) != 0 {
		t.Errorf("with its last row gone is left %v", d.notes.said)
	}
}
