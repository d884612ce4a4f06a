package admission

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestAThousandGatedPodsGetTheirGUIDsAndThenTheirNodes(t *testing.T) {
	const pods, partitions = 1000, 10
	w := newWorld(t)
	w.install()
	w.start()
	for i := range partitions {
		w.network(fmt.Sprintf("rail-%d", i), pkey.PKey(0x100+i).String())
	}
	var group errgroup.Group
	group.SetLimit(16)
	begin := time.Now()
	for i := range pods {
		group.Go(func() error {
			pod := w.draft(fmt.Sprintf("train-%d", i), fmt.Sprintf("rail-%d", i%partitions))
			if err := w.api.Create(w.ctx(), pod); err != nil {
				return err
			}
			if !w.isGated(pod) {
				return fmt.Errorf("pod %s came without the gate", pod.Name)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	made := time.Since(begin)
	var list corev1.PodList
	// How long they need is the machine's: what counts is that it gets on.
	for done, running := 0, 0; done < pods; done = running {
		testbed.Eventually(t, "more pods run", func() (bool, string) {
			if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
				return false, err.Error()
			}
			running = 0
			for i := range list.Items {
				if p := &list.Items[i]; p.Spec.NodeName != "" && p.Status.Phase == corev1.PodRunning {
					running++
				}
			}
			return running >= min(done+100, pods), fmt.Sprintf("%d of %d run", running, pods)
		})
	}
	t.Logf("%d pods made in %.1f s, all running after %.1f s", pods, made.Seconds(), time.Since(begin).Seconds())
	w.eachHasItsOwn(list.Items, pods)
}

// eachHasItsOwn wants every pod configured, with a GUID of its own that UFM holds.
func (w *world) eachHasItsOwn(pods []corev1.Pod, want int) {
	w.t.Helper()
	held := map[guid.GUID]bool{}
	for _, p := range w.sim.Partitions() {
		for _, m := range p.Members {
			held[m.GUID] = true
		}
	}
	seen := map[guid.GUID]string{}
	for i := range pods {
		elements, err := attach.ParseAnnotation(w.ns, pods[i].Annotations[attach.NetworksAnnotation])
		if err != nil || len(elements) != 1 || !elements[0].Configured || !held[elements[0].GUID] {
			w.t.Errorf("pod %s runs with %s", pods[i].Name, pods[i].Annotations[attach.NetworksAnnotation])
			continue
		}
		if other, twice := seen[elements[0].GUID]; twice {
			w.t.Errorf("pods %s and %s have one GUID", other, pods[i].Name)
		}
		seen[elements[0].GUID] = pods[i].Name
	}
	if len(seen) != want {
		w.t.Errorf("%d GUIDs for %d pods", len(seen), want)
	}
}

// BenchmarkPodsWebhook asks the webhook as the API server does, 200 times a second whatever
// it answers, about pods with eight rails. It prints what the API server would wait:
//
//	go test ./test/admission -run '^$' -bench PodsWebhook -benchtime 4000x
func BenchmarkPodsWebhook(b *testing.B) {
	const rate = 200
	w := newWorld(b)
	w.install()
	w.start()
	networks := ""
	for i := range 8 {
		name := fmt.Sprintf("rail%d", i+1)
		w.network(name, "0x5")
		networks += "," + name
	}
	review := w.review(b, w.draft("train", networks[1:]))
	url := fmt.Sprintf("https://localhost:%d/pods", w.port)
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	if err := ask(caller, url, review); err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	took := make([]time.Duration, 0, b.N)
	var group errgroup.Group
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		group.Go(func() error {
			begin := time.Now()
			err := ask(caller, url, review)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(begin))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	for name, share := range map[string]int{"p50-ms": 50, "p99-ms": 99, "max-ms": 100} {
		b.ReportMetric(float64(took[(len(took)-1)*share/100].Microseconds())/1000, name)
	}
}

// review is what the API server asks about a pod.
func (w *world) review(t testing.TB, pod *corev1.Pod) []byte {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	review := admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "1", Namespace: w.ns, Name: pod.Name, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw},
	}}
	review.APIVersion, review.Kind = admissionv1.SchemeGroupVersion.String(), "AdmissionReview"
	text, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ask wants an answer that gates the pod.
func ask(caller *http.Client, url string, review []byte) error {
	answer, err := caller.Post(url, "application/json", bytes.NewReader(review))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var got admissionv1.AdmissionReview
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	if got.Response == nil || !bytes.Contains(got.Response.Patch, []byte("schedulingGates")) {
		return fmt.Errorf("no gate in %+v", got.Response)
	}
	return nil
}
