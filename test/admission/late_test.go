package admission

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"

	"gomodules.xyz/jsonpatch/v2"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	whadmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// injector is another's webhook, which puts pods with the label inject on a network.
func (w *world) injector(configuration, network string) {
	w.t.Helper()
	answer := whadmission.HandlerFunc(func(context.Context, whadmission.Request) whadmission.Response {
		return whadmission.Patched("", jsonpatch.NewOperation("add", "/metadata/annotations", map[string]string{attach.NetworksAnnotation: network}))
	})
	cert, ca := serving(w.t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: &whadmission.Webhook{Handler: answer}}
	go func() { _ = server.Serve(listener) }() // until Close
	w.t.Cleanup(func() { _ = server.Close() })

	url := fmt.Sprintf("https://localhost:%d/", listener.Addr().(*net.TCPAddr).Port)
	fail, none, all := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.AllScopes
	hook := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: configuration},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "inject.example.com", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:   admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"inject": w.ns}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: &all},
			}},
		}},
	}
	if err := w.api.Create(w.ctx(), hook); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.api.Delete(context.Background(), hook) })
	testbed.Eventually(w.t, "the other webhook works", func() (bool, string) {
		pod := w.draft("probe", "", w.wantsInjection)
		err := w.api.Create(w.ctx(), pod, client.DryRunAll)
		return err == nil && pod.Annotations[attach.NetworksAnnotation] == network, fmt.Sprint(err)
	})
}

func (w *world) wantsInjection(p *corev1.Pod) { p.Labels = map[string]string{"inject": w.ns} }

func TestNetworksThatAnotherWebhookInjectsAreCaught(t *testing.T) {
	w := newWorldWithARail(t)
	w.bridge()
	// Spiderpool's and most others' names come before ours.
	w.injector("spiderpool-controller", "rail1")
	w.wantGate(w.pod("injected", "", w.wantsInjection))
	w.inUFM(0x5, w.configured("injected")...)
	w.running("injected")
}

func TestNetworksThatAreInjectedBehindUsAreCaughtTheSecondTime(t *testing.T) {
	w := newWorldWithARail(t)
	w.bridge()
	w.injector("zzz-behind", "bridge,rail1")
	w.wantGate(w.pod("changed", "bridge", w.wantsInjection))
	// With no networks at first, nobody asked us: the API server calls no webhook for the
	// first time when it goes round again. The pod is served ungated.
	w.wantFree(w.pod("late", "", w.wantsInjection, out))
	testbed.Eventually(t, "UFM holds both", func() (bool, string) {
		members := w.sim.Members(0x5)
		return len(members) == 2, fmt.Sprint(members)
	})
}
