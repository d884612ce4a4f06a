package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/multus"
)

// configsOf is what is known of a cluster's configs.
type configsOf struct {
	all   []multus.Candidate
	its   bool // Spiderpool's
	err   error
	asked int
}

func (c *configsOf) Candidates() ([]multus.Candidate, bool, error) {
	c.asked++
	return c.all, !c.its, c.err
}

// spaces are namespaces by what their annotations say.
type spaces map[string]map[string]string

func (s spaces) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	annotations, ok := s[key.Name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, key.Name)
	}
	obj.(*metav1.PartialObjectMetadata).Annotations = annotations
	return nil
}

func (s spaces) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nobody lists namespaces for a pod")
}

// railsOf are n rails of a group, each with a resource of its own.
func railsOf(group string, n int) (all []multus.Candidate) {
	for i := range n {
		all = append(all, multus.Candidate{Config: multus.Config{
			Name: types.NamespacedName{Namespace: "spiderpool", Name: fmt.Sprintf("gpu%d", i+1)}, CNIType: multus.IBSRIOV,
			Annotations: map[string]string{multus.RDMAInject: group},
			Main:        multus.IBSRIOVNetwork{ResourceName: fmt.Sprintf("x/gpu%d", i+1)},
		}})
	}
	return all
}

func injector(group string, n int) *Injector {
	return &Injector{Configs: &configsOf{all: railsOf(group, n)}, Namespaces: spaces{"team-a": nil}}
}

// podOf has annotations, in pairs, and containers that ask for resources.
func podOf(annotations []string, containers ...corev1.ResourceRequirements) *corev1.Pod {
	pod := &corev1.Pod{}
	for i := 0; i+1 < len(annotations); i += 2 {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, annotations[i], annotations[i+1])
	}
	for _, r := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Resources: r})
	}
	return pod
}

func limits(pairs ...any) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Limits: list(pairs...)}
}

func list(pairs ...any) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i+1 < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i].(string))] = *resource.NewQuantity(int64(pairs[i+1].(int)), resource.DecimalSI)
	}
	return l
}

const both = `[{"name":"gpu1","namespace":"spiderpool"},{"name":"gpu2","namespace":"spiderpool"}]`

func TestAPodThatAsksGetsAllNetworksAndWhatTheyTake(t *testing.T) {
	c, err := injector("gpu", 2).Inject(t.Context(), "team-a", podOf([]string{multus.RDMAInject, "gpu"}, limits(), limits()))
	if err != nil {
		t.Fatal(err)
	}
	want := Change{
		Annotations: map[string]string{attach.NetworksAnnotation: both}, Resources: map[int]corev1.ResourceList{0: list("x/gpu1", 1, "x/gpu2", 1)},
		InfiniBand: make([]map[string]string, 2), // which have no labels
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestANamespaceAsksForItsPodsUnlessTheySaySomethingThemselves(t *testing.T) {
	i := injector("gpu", 2)
	i.Namespaces = spaces{"team-a": {multus.RDMAInject: "gpu"}, "team-b": nil}
	for name, tc := range map[string]struct {
		namespace string
		says      []string
		want      string
	}{
		"asks":                            {"team-a", nil, both},
		"asks, and the pod wants nothing": {"team-a", []string{multus.RDMAInject, ""}, ""},
		"says nothing":                    {"team-b", nil, ""},
		"is not in the cache yet":         {"team-c", nil, ""},
		"and the pod asks":                {"team-c", []string{multus.RDMAInject, "gpu"}, both},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := i.Inject(t.Context(), tc.namespace, podOf(tc.says, limits()))
			if err != nil || c.Annotations[attach.NetworksAnnotation] != tc.want {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestWhatContainersHaveIsRaisedAndNeverLowered(t *testing.T) {
	one := []multus.Resource{{Name: "x/pool", Count: 2}, {Name: "x/own", Count: 1}}
	request := corev1.ResourceRequirements{Requests: list("x/pool", 2)}
	const huge = 1<<63 - 1
	for name, tc := range map[string]struct {
		have []corev1.ResourceRequirements
		want map[int]corev1.ResourceList
	}{
		"nothing":                         {[]corev1.ResourceRequirements{limits(), limits()}, map[int]corev1.ResourceList{0: list("x/pool", 2, "x/own", 1)}},
		"one of two":                      {[]corev1.ResourceRequirements{limits("x/pool", 1)}, map[int]corev1.ResourceList{0: list("x/pool", 2, "x/own", 1)}},
		"more than needed":                {[]corev1.ResourceRequirements{limits("x/pool", 3, "x/own", 2)}, map[int]corev1.ResourceList{}},
		"the second container has some":   {[]corev1.ResourceRequirements{limits("cpu", 1), limits("x/pool", 1)}, map[int]corev1.ResourceList{0: list("x/own", 1), 1: list("x/pool", 2)}},
		"each container has one":          {[]corev1.ResourceRequirements{limits("x/pool", 1), limits("x/pool", 1, "x/own", 1)}, map[int]corev1.ResourceList{}},
		"by request alone":                {[]corev1.ResourceRequirements{request}, map[int]corev1.ResourceList{0: list("x/own", 1)}},
		"more than can be added together": {[]corev1.ResourceRequirements{limits("x/pool", huge), limits("x/pool", huge, "x/own", 1)}, map[int]corev1.ResourceList{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resources(podOf(nil, tc.have...).Spec.Containers, one)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := resources(nil, one); err == nil {
		t.Error("a pod without containers was given something")
	}
}

// A pod may pass twice, and through Spiderpool's webhook too, whose form is a comma list.
func TestWhatWasGivenIsNotGivenTwice(t *testing.T) {
	i := injector("gpu", 2)
	for name, networks := range map[string]string{"by us": both, "by Spiderpool": "spiderpool/gpu1,spiderpool/gpu2"} {
		pod := podOf([]string{multus.RDMAInject, "gpu", attach.NetworksAnnotation, networks}, limits("x/gpu1", 1, "x/gpu2", 1))
		c, err := i.Inject(t.Context(), "team-a", pod)
		if err != nil || c.Annotations != nil || len(c.Resources) > 0 {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestBesideSpiderpoolsControllerNothingIsGivenAndNothingRefused(t *testing.T) {
	i := &Injector{Configs: &configsOf{its: true}, Namespaces: spaces{}}
	c, err := i.Inject(t.Context(), "team-a", podOf([]string{multus.RDMAInject, "nothing like it"}, limits()))
	if err != nil || c.Annotations != nil || c.Resources != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAPodThatCannotBeGivenWhatItAsksForIsRefused(t *testing.T) {
	asks := podOf([]string{multus.RDMAInject, "gpus"}, limits())
	_, err := injector("gpu", 2).Inject(t.Context(), "team-a", asks)
	if err == nil || !strings.Contains(err.Error(), "there are gpu (spiderpool/gpu1, spiderpool/gpu2)") {
		t.Errorf("a group that is not there: %v", err)
	}
	i := &Injector{Configs: &configsOf{err: multus.ErrNotRead}, Namespaces: spaces{}}
	if _, err := i.Inject(t.Context(), "team-a", asks); !errors.Is(err, multus.ErrNotRead) {
		t.Errorf("before the configs are known: %v", err)
	}
}

func TestAPodThatAsksForNothingCostsALook(t *testing.T) {
	configs := &configsOf{err: multus.ErrNotRead}
	i := &Injector{Configs: configs, Namespaces: spaces{"team-a": nil}}
	c, err := i.Inject(t.Context(), "team-a", podOf([]string{attach.NetworksAnnotation, "rail"}, limits()))
	if err != nil || c.Annotations != nil || configs.asked > 0 {
		t.Errorf("%+v, %v, and the configs were asked for %d times", c, err, configs.asked)
	}
}

func TestANamespaceThatIsNotServedIsToldSo(t *testing.T) {
	i := injector("gpu", 2)
	i.Served = multus.Namespaces{Exclude: []string{"team-a"}}
	c, err := i.Inject(t.Context(), "team-a", podOf([]string{multus.RDMAInject, "gpu"}, limits()))
	if err != nil || c.Annotations != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "namespace team-a is not among those") {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWhatCannotTakeANetworkIsGivenNone(t *testing.T) {
	i := injector("gpu", 2)
	i.Namespaces = spaces{"team-a": {multus.RDMAInject: "gpu"}}
	onHost := func(annotations ...string) *corev1.Pod {
		p := podOf(annotations, limits())
		p.Spec.HostNetwork = true
		return p
	}
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		told int
	}{
		"an exporter of its namespace": {onHost(), 0},
		"one that asks itself":         {onHost(multus.RDMAInject, "gpu"), 1},
		"a static pod":                 {podOf([]string{corev1.MirrorPodAnnotationKey, "hash"}, limits()), 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := i.Inject(t.Context(), "team-a", tc.pod)
			if err != nil || c.Annotations != nil || len(c.Resources) > 0 || len(c.Warnings) != tc.told {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestAPodIsGatedForNetworksThatItIsGivenBeforeTheyAreMade(t *testing.T) {
	i := injector("gpu", 2)
	h := &Pods{Gate: gateName, Selector: compute(t), Networks: cacheOf(), Inject: i.Inject}
	asks := podOf([]string{multus.RDMAInject, "gpu"}, limits())
	gatedBy := func() []string {
		t.Helper()
		req := create(t, "team-a", asks)
		return gates(apply(t, req.Object.Raw, h.Handle(t.Context(), req)))
	}
	if d := cmp.Diff([]string{gateName}, gatedBy()); d != "" {
		t.Error(d)
	}
	for at := range 2 { // and not for those of another fabric
		i.Configs.(*configsOf).all[at].Config.Labels = map[string]string{"fabric": "storage"}
	}
	if got := gatedBy(); len(got) > 0 {
		t.Errorf("%q", got)
	}
}
