package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/preflight"
)

const ib = `{"type":"ib-sriov","pkey":"0x5"}`

func handler(t testing.TB) *Pods {
	return &Pods{Gate: gateName, Selector: compute(t), Networks: cacheOf(
		nad("team-a", "rail1", ib), nad("shared", "rail1", ib),
		nad("team-a", "bridge", `{"type":"bridge"}`), nad("team-a", "file", ""),
		nad("team-a", "storage", ib, "fabric", "storage"),
		nad("team-a", "mistyped", `{"type":"ib-sriov","pkey":"1000"}`), nad("team-a", "junk", `{"type":`),
	)}
}

func gates(p *corev1.Pod) (names []string) {
	for _, g := range p.Spec.SchedulingGates {
		names = append(names, g.Name)
	}
	return names
}

func TestPodsOnInfiniBandOfThisFabricAreGated(t *testing.T) {
	onNode := func(p *corev1.Pod) { p.Spec.NodeName = "node-0" }
	onHost := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	mirror := func(p *corev1.Pod) { p.Annotations[corev1.MirrorPodAnnotationKey] = "x" }
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"by name":                           {pod("rail1"), true},
		"in another namespace":              {pod("shared/rail1@net7"), true},
		"in the JSON form":                  {pod(`[{"name":"rail1","namespace":"shared"}]`), true},
		"the second of two":                 {pod("bridge,rail1"), true},
		"beside one that is not there":      {pod("later,rail1"), true},
		"of a network that must be mended":  {pod("mistyped"), true},
		"with a field that must be":         {pod(`[{"name":"rail1","infiniband-guid":"zz"}]`), true},
		"without networks":                  {pod(""), false},
		"on Ethernet":                       {pod("bridge"), false},
		"of another fabric":                 {pod("storage"), false},
		"of a file on the node":             {pod("file"), false},
		"whose network is not there":        {pod("later"), false},
		"whose network nobody can read":     {pod("junk"), false},
		"whose annotation nobody can read":  {pod(`[{"name":`), false},
		"whose element names nothing":       {pod(`[{"name":5},7]`), false},
		"with a node":                       {pod("rail1", onNode), false},
		"of the host":                       {pod("rail1", onHost), false},
		"that mirrors one of the kubelet's": {pod("rail1", mirror), false},
	} {
		t.Run(name, func(t *testing.T) {
			req := create(t, "team-a", tc.pod)
			got := apply(t, req.Object.Raw, handler(t).Handle(t.Context(), req))
			want := tc.pod.DeepCopy()
			if tc.want {
				want.Labels = map[string]string{ManagedLabel: "true"}
				want.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: gateName}}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTheGateComesBehindThoseOfOthersAndOnce(t *testing.T) {
	kueue := func(p *corev1.Pod) {
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/admission"}}
		p.Labels = map[string]string{"job": "llm", ManagedLabel: "no"}
	}
	req := create(t, "team-a", pod("rail1", kueue))
	once := apply(t, req.Object.Raw, handler(t).Handle(t.Context(), req))
	if d := cmp.Diff([]string{"kueue.x-k8s.io/admission", gateName}, gates(once)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"job": "llm", ManagedLabel: "true"}, once.Labels); d != "" {
		t.Error(d)
	}
	req = create(t, "team-a", once) // the API server goes round again
	if again := handler(t).Handle(t.Context(), req); !again.Allowed || len(again.Patches) > 0 {
		t.Errorf("the second answer changes something: %v", again.Patches)
	}
}

// What this program does not know of a pod must survive it.
func TestFieldsOfALaterKubernetesStay(t *testing.T) {
	req := create(t, "team-a", nil)
	req.Object.Raw = []byte(`{"metadata":{"labels":null,"annotations":{"k8s.v1.cni.cncf.io/networks":"rail1"},"later":1},
		"spec":{"schedulingGates":[],"later":{"x":2},"containers":[{"name":"main","later":3}]}}`)
	answer := handler(t).Handle(t.Context(), req)
	for _, op := range answer.Patches {
		if op.Operation != "add" || !strings.HasPrefix(op.Path, "/metadata/labels") && !strings.HasPrefix(op.Path, "/spec/schedulingGates") {
			t.Errorf("it also does %s", op.Json())
		}
	}
	if got := apply(t, req.Object.Raw, answer); len(gates(got)) != 1 || got.Labels[ManagedLabel] != "true" {
		t.Errorf("gates %v, labels %v", gates(got), got.Labels)
	}
}

func TestAPodPassesWhenNothingCanBeSaid(t *testing.T) {
	broken := handler(t)
	broken.Networks = nads{err: errors.New("the cache is not filled yet")}
	nobody := handler(t)
	nobody.Gate = ""
	for name, h := range map[string]*Pods{"no cache": broken, "no gate": nobody} {
		if answer := h.Handle(t.Context(), create(t, "team-a", pod("rail1"))); !answer.Allowed || len(answer.Patches) > 0 {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	req := create(t, "team-a", nil)
	req.Object.Raw = []byte(`{"spec":7}`)
	if answer := handler(t).Handle(t.Context(), req); !answer.Allowed {
		t.Errorf("a pod that cannot be read: %+v", answer)
	}
	req = update(t, "team-a", pod("rail1"), pod("rail1"))
	if answer := handler(t).Handle(t.Context(), req); !answer.Allowed || len(answer.Patches) > 0 {
		t.Errorf("an update: %+v", answer)
	}
}

func TestAStepBeforeTheGateGivesNetworksAndResources(t *testing.T) {
	h := handler(t)
	h.Inject = func(_ context.Context, namespace string, p *corev1.Pod) (Change, error) {
		return Change{
			Annotations: map[string]string{attach.NetworksAnnotation: namespace + "/rail1"},
			Resources: map[int]corev1.ResourceList{
				0: {"example.com/vf": resource.MustParse("2")},
				1: {"example.com/vf": resource.MustParse("1")},
				7: {"example.com/none": resource.MustParse("1")},
			},
			Warnings: []string{"it was injected"},
		}, nil
	}
	before := pod("", func(p *corev1.Pod) {
		p.Annotations = map[string]string{"note": "mine"}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side", Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{"cpu": resource.MustParse("4")},
		}})
	})
	req := create(t, "team-a", before)
	answer := h.Handle(t.Context(), req)
	if d := cmp.Diff([]string{"it was injected"}, answer.Warnings); d != "" {
		t.Error(d)
	}
	got := apply(t, req.Object.Raw, answer)
	if d := cmp.Diff(map[string]string{"note": "mine", attach.NetworksAnnotation: "team-a/rail1"}, got.Annotations); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{gateName}, gates(got)); d != "" {
		t.Errorf("what was injected counts for the gate: %s", d)
	}
	two, one := corev1.ResourceList{"example.com/vf": resource.MustParse("2")}, corev1.ResourceList{"example.com/vf": resource.MustParse("1")}
	want := []corev1.ResourceRequirements{
		{Limits: two, Requests: two},
		{Limits: corev1.ResourceList{"cpu": resource.MustParse("4"), "example.com/vf": resource.MustParse("1")}, Requests: one},
	}
	if d := cmp.Diff(want, []corev1.ResourceRequirements{got.Spec.Containers[0].Resources, got.Spec.Containers[1].Resources}); d != "" {
		t.Error(d)
	}
}

func TestAStepBeforeTheGateCanRefuse(t *testing.T) {
	h := handler(t)
	h.Inject = func(context.Context, string, *corev1.Pod) (Change, error) {
		return Change{}, errors.New("there is no group gpu; choose gpu-a")
	}
	answer := h.Handle(t.Context(), create(t, "team-a", pod("rail1")))
	if answer.Allowed || answer.Result.Message != "there is no group gpu; choose gpu-a" {
		t.Errorf("%+v", answer)
	}
}

func TestAPodAtTheGateSaysNothingOfNetworksThatNobodyJudges(t *testing.T) {
	h := handler(t)
	h.Networks = cacheOf(nad("team-a", "rail1", `{"type":"ib-sriov"}`), nad("team-a", "bridge", `{"type":"bridge"}`), nad("team-a", "foreign", `{"type":"ib-sriov"}`, "fabric", "storage"))
	const g = `"infiniband-guid":"02:00:00:00:00:00:00:01"`
	for _, other := range []string{
		`{"name":"bridge",` + g + `}`, `{"name":"later",` + g + `}`, `{"name":"foreign",` + g + `,"cni-args":{"pkey":"0x5"}}`,
		`{"name":"foreign","cni-args":{"mellanox.infiniband.app":"configured"}}`, `{"name":"foreign",` + g + `,"Infiniband-GUID":""}`,
	} {
		answer := h.Handle(t.Context(), create(t, "team-a", pod(`[{"name":"rail1"},`+other+`]`)))
		if answer.Allowed {
			t.Errorf("%s beside a network of ours passes", other)
		}
		byItself := pod(`[`+other+`]`, func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: gateName}} })
		if answer := h.Handle(t.Context(), create(t, "team-a", byItself)); answer.Allowed {
			t.Errorf("%s with our gate, written by hand, passes", other)
		}
	}
	for _, fine := range []string{
		`[{"name":"rail1",` + g + `},{"name":"bridge"},{"name":"foreign"}]`, `[{"name":"rail1",` + g + `},{"name":"foreign","cni-args":{"guid":"02:00:00:00:00:00:00:02"}}]`, "rail1,bridge,later,,"} {
		if answer := h.Handle(t.Context(), create(t, "team-a", pod(fine))); !answer.Allowed {
			t.Errorf("%s: %s", fine, answer.Result.Message)
		}
	}
}

// The controller takes the word of a pod at its gate for a controller's.
func TestAPodComesToTheGateWithoutTheWordConfigured(t *testing.T) {
	for _, text := range []string{
		`[{"name":"rail1","cni-args":{"mellanox.infiniband.app":"configured","guid":"02:00:00:00:00:00:00:01"}},{"name":"bridge"}]`,
		`[{"name":"rail1","cni-args":{"a":1,"a":2,"mellanox.infiniband.app":"configured","guid":"zz"}}]`,
		`[{"name":"rail1","CNI-args":{"mellanox.infiniband.app":"configured"}},{"name":"rail1","interface":"net1","cni-args":{"mellanox.infiniband.app":"configured"}}]`,
	} {
		req := create(t, "team-a", pod(text))
		answer := handler(t).Handle(t.Context(), req)
		got := apply(t, req.Object.Raw, answer)
		if networks := got.Annotations[attach.NetworksAnnotation]; strings.Contains(networks, "configured") || !strings.Contains(networks, "rail1") {
			t.Errorf("%s becomes %s", text, networks)
		}
		if d := cmp.Diff([]string{wordTaken}, answer.Warnings); d != "" || len(gates(got)) != 1 {
			t.Errorf("%s: gates %v, %s", text, gates(got), d)
		}
	}
}

// counting counts how often a network is read.
type counting struct {
	nads
	reads *int
}

func (c counting) Get(ctx context.Context, key client.ObjectKey, obj client.Object, o ...client.GetOption) error {
	*c.reads++
	return c.nads.Get(ctx, key, obj, o...)
}

func TestANetworkIsReadOnceHoweverOftenAPodNamesIt(t *testing.T) {
	h, reads := handler(t), 0
	h.Networks = counting{cacheOf(nad("team-a", "bridge", `{"type":"bridge"}`), nad("team-a", "rail1", `{"type":"ib-sriov"}`)), &reads}
	h.Handle(t.Context(), create(t, "team-a", pod(strings.Repeat("bridge,", 10_000))))
	pinned := make([]string, 10_000)
	for i := range pinned {
		pinned[i] = fmt.Sprintf(`{"name":"rail1","infiniband-guid":"02:00:00:00:00:00:%02x:%02x"}`, i>>8, i&0xff)
	}
	h.Handle(t.Context(), create(t, "team-a", pod("["+strings.Join(pinned, ",")+"]")))
	if reads > 4 {
		t.Errorf("two networks were read %d times", reads)
	}
}

func TestNobodyIsGatedWhileNobodyWouldLiftTheGate(t *testing.T) {
	h, away := handler(t), true
	h.Away = func() bool { return away }
	if got := apply(t, create(t, "team-a", pod("rail1")).Object.Raw, h.Handle(t.Context(), create(t, "team-a", pod("rail1")))); len(gates(got)) > 0 {
		t.Errorf("it has gates %v", gates(got))
	}
	byItself := pod(`[{"name":"bridge","infiniband-guid":"02:00:00:00:00:00:00:01"}]`, func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: gateName}} })
	if answer := h.Handle(t.Context(), create(t, "team-a", byItself)); answer.Allowed {
		t.Error("one that brings the gate along is not looked at")
	}
	away = false
	if got := apply(t, create(t, "team-a", pod("rail1")).Object.Raw, h.Handle(t.Context(), create(t, "team-a", pod("rail1")))); len(gates(got)) != 1 {
		t.Errorf("it has gates %v", gates(got))
	}
}

// onePool is a cluster of Spiderpool with pool gpu1.
type onePool struct{}

func (onePool) Missing(names []string) []string {
	return preflight.Pools{"gpu1": true}.Missing(names)
}

func (onePool) Advise(missing []string) string { return preflight.Pools{"gpu1": true}.Advise(missing) }

func TestWhoNamesAPoolThatIsNotThereIsWarned(t *testing.T) {
	of := func(pool string) string {
		return `{"type":"bridge","ipam":{"type":"spiderpool","default_ipv4_ippool":["` + pool + `"]}}`
	}
	p, n := handler(t), &Networks{Selector: compute(t), Pools: onePool{}}
	p.Pools = onePool{}
	for pool, want := range map[string]int{"gpu1": 0, "gpu2": 1} {
		named := func(x *corev1.Pod) { x.Annotations["ipam.spidernet.io/ippool"] = `{"ipv4":["` + pool + `"]}` }
		for what, answer := range map[string]admission.Response{
			"a pod":                       p.Handle(t.Context(), create(t, "team-a", pod("rail1", named))),
			"a network":                   n.Handle(t.Context(), create(t, "team-a", nad("team-a", "x", of(pool)))),
			"a network of another fabric": n.Handle(t.Context(), create(t, "team-a", nad("team-a", "x", of(pool), "fabric", "storage"))),
		} {
			if !answer.Allowed || len(answer.Warnings) != want {
				t.Errorf("%s of pool %s: %+v", what, pool, answer)
			}
		}
	}
}
