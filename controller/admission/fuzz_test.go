package admission

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/ibfabric/ibfabric/test/admission/broken"
)

// serve answers a body as the API server would get it, with panics let through.
func serve(h admission.Handler, body []byte) *httptest.ResponseRecorder {
	hook := (&admission.Webhook{Handler: h}).WithRecoverPanic(false)
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	out := httptest.NewRecorder()
	hook.ServeHTTP(out, req)
	return out
}

// No body can panic a webhook, and each gets one answer that the API server can read.
func FuzzEveryReviewIsAnswered(f *testing.F) {
	for _, n := range broken.Networks() {
		if len(n.Config) < 1<<10 {
			f.Add(body(f, annotated(n.Config, n.Annotations)))
		}
	}
	f.Add(body(f, pod("rail1,bridge,later")))
	f.Add(body(f, pod(`[{"name":"rail1","cni-args":{"guid":"zz"}}]`)))
	f.Add([]byte(`{"request":{"operation":"UPDATE","object":{"spec":{"config":7}},"oldObject":null}}`))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`))
	f.Add([]byte(`null`))
	handlers := []admission.Handler{handler(f), door(f, "0x1-0x7000"), &Networks{Selector: compute(f), Grants: book{}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, h := range handlers {
			out := serve(h, text)
			var review admissionv1.AdmissionReview
			if err := json.Unmarshal(out.Body.Bytes(), &review); err != nil || review.Response == nil {
				t.Fatalf("answer %q: %v", out.Body, err)
			}
		}
	})
}

// What may be anything is the config and the annotation: whatever stands there, an answer
// that changes a pod is a patch that applies, and asked again it changes nothing more.
func FuzzAPatchAppliesAndIsEnough(f *testing.F) {
	for _, networks := range []string{"rail1", "bridge", `[{"name":"rail1","interface":"x"}]`, ",rail1@", `["rail1"]`} {
		f.Add(networks, `{"type":"ib-sriov"}`, "job")
	}
	f.Fuzz(func(t *testing.T, networks, config, label string) {
		h := handler(t)
		h.Networks = cacheOf(nad("team-a", "rail1", config), nad("team-a", "bridge", `{"type":"bridge"}`))
		p := pod(networks)
		p.Labels = map[string]string{label: label}
		req := create(t, "team-a", p)
		answer := h.Handle(t.Context(), req)
		if !answer.Allowed {
			return // it says of another network what only a controller may say
		}
		once := apply(t, req.Object.Raw, answer)
		if again := h.Handle(t.Context(), create(t, "team-a", once)); len(again.Patches) > 0 {
			t.Errorf("the second answer changes %v", again.Patches)
		}
	})
}

func body(t testing.TB, object any) []byte {
	review := admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "1", Namespace: "team-a", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: marshal(t, object)},
	}}
	review.APIVersion, review.Kind = "admission.k8s.io/v1", "AdmissionReview"
	return marshal(t, review)
}

// plugin is what the CNI plugin and libcni take out of a config for one pod.
type plugin struct {
	Type, GUID    string
	RuntimeConfig struct{ InfinibandGUID string }
	Args          struct{ CNI map[string]any }
	Plugins       []plugin
}

// A network that passes gives no GUID to its pods, and does not call them configured.
func FuzzNoNetworkBringsAGUID(f *testing.F) {
	for _, config := range []string{
		`{"type":"ib-sriov","guid":"x"}`, `{"type":"ib-sriov","ARGS":{"Cni":{"guid":"x"}},"args":{}}`,
		`{"plugins":[{"type":"ib-sriov","runtimeconfig":{"infinibandguid":"x"}},{"type":"tuning"}]}`,
		`{"type":"ib-sriov","args":[{"cni":{"guid":"x"}}]}`, `{"type":"ib-sriov","args":{"cni":{"mellanox.infiniband.app":"configured"}}}`,
	} {
		f.Add(config)
	}
	f.Fuzz(func(t *testing.T, config string) {
		if answer := door(t, "").Handle(t.Context(), create(t, "team-a", nad("team-a", "rail1", config))); !answer.Allowed {
			return
		}
		var conf plugin
		if json.Unmarshal([]byte(config), &conf) != nil {
			return // the plugin does not read it either
		}
		for _, p := range append(conf.Plugins, conf) {
			args := p.Args.CNI
			if p.Type == "ib-sriov" && (p.GUID+p.RuntimeConfig.InfinibandGUID != "" || given(args["guid"]) || given(args["mellanox.infiniband.app"])) {
				t.Errorf("it passed: %+v", p)
			}
		}
	})
}

func given(v any) bool { return v != nil && v != "" }
