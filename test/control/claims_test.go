package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestAJobHasAPartitionOfItsOwnForAsLongAsItIsThere(t *testing.T) {
	w := withJobs(t)
	w.network("gpu1", "", "k8s.v1.cni.cncf.io/resourceName", "spidernet.io/gpu1")
	w.network("gpu2", "0x77", attach.AlsoAnnotation, "0x20:limited")
	w.start("--pkey-range=0x1000", "--hold=1s")
	job := w.job("train", "train-gpu1,second")
	networks := append(rails("gpu1"), v1alpha1.ClaimNetwork{From: w.ns + "/gpu2", Name: "second"})
	w.claim("train", networks, func(c *v1alpha1.PartitionClaim) {
		c.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	})
	c, p := w.claimed("train")
	if want := []string{"train-gpu1", "second"}; !slices.Equal(c.Status.Networks, want) {
		t.Errorf("it has the networks %v, want %v", c.Status.Networks, want)
	}
	for name, source := range map[string]string{"train-gpu1": "gpu1", "second": "gpu2"} {
		got, from := w.nad(name), w.nad(source)
		old := `"pkey":""`
		if source == "gpu2" {
			old = `"pkey":"0x77"`
		}
		if want := strings.Replace(from.Spec.Config, old, fmt.Sprintf(`"pkey":%q`, p), 1); got.Spec.Config != want {
			t.Errorf("%s: %s, want %s", name, got.Spec.Config, want)
		}
		if fmt.Sprint(got.Labels, got.Annotations) != fmt.Sprint(from.Labels, from.Annotations) {
			t.Errorf("%s: labels %v, annotations %v", name, got.Labels, got.Annotations)
		}
	}
	var part v1alpha1.Partition
	if err := w.api.Get(w.ctx(), types.NamespacedName{Name: c.Status.Partition}, &part); err != nil {
		t.Fatal(err)
	}
	if l := part.Labels; len(l) != 3 || l[v1alpha1.LabelClaim] != "train" || l[v1alpha1.LabelClaimNamespace] != w.ns {
		t.Errorf("its Partition has the labels %v", l)
	}
	pods := w.podsOf("train")
	first, second := w.configured(pods[0]), w.configured(pods[1])
	w.inUFM(p, append(first, second...)...)
	w.inUFM(0x20, first[1], second[1])
	w.inUFM(0x77)

	if err := w.api.Delete(w.ctx(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	w.claimGone(c)
	w.inUFM(p)
	w.logged("claim.gone", w.ns+"/train")
	w.claim("next", nil) // there is one PKey to have, and it comes free with the end of the hold
	if _, again := w.claimed("next"); again != p {
		t.Errorf("the next claim has %s, want %s", again, p)
	}
}

func TestAClaimThatIsDeletedGoesWithItsLastPod(t *testing.T) {
	w := newWorld(t)
	w.network("gpu1", "")
	w.start(claimRange)
	w.claim("train", rails("gpu1"))
	c, p := w.claimed("train")
	w.pod("live", "train-gpu1")
	g := w.configured("live")[0]
	w.deleteClaim("train")
	w.claimStands("train", metav1.ConditionFalse, "delete their pods")
	w.pod("late", "train-gpu1")
	w.event("late", "FabricWaiting", "is being deleted")
	w.someRounds()
	w.inUFM(p, g)
	w.nad("train-gpu1") // a node that starts anew puts the pod up with it
	w.deletePod("live")
	w.claimGone(c)
	w.inUFM(p)
	w.event("late", "FabricWaiting", "train-gpu1 does not exist")
	w.notConfigured("late") // although its PKey has no Partition any more
}

func TestAClaimsPKeyIsOfNoUseInOtherNamespaces(t *testing.T) {
	w := newWorld(t)
	w.network("gpu1", "")
	w.start(claimRange)
	w.claim("train", rails("gpu1"))
	_, p := w.claimed("train")
	thief := w.within(t)
	thief.ns = w.bed.Namespace(t)
	w.inNamespace(thief.ns, "by-number", p.String())
	thief.pod("a", "by-number")
	thief.event("a", "FabricRefused", "does not grant it")
	thief.pod("b", w.ns+"/train-gpu1")
	thief.event("b", "FabricRefused", "does not grant it")
	w.inUFM(p)
	// No namespace can call itself another: the API server puts its name there again.
	label := fmt.Sprintf(`{"metadata":{"labels":{"kubernetes.io/metadata.name":%q}}}`, w.ns)
	ns, err := w.bed.Client().CoreV1().Namespaces().Patch(w.ctx(), thief.ns, types.MergePatchType, []byte(label), metav1.PatchOptions{})
	if err == nil && ns.Labels[corev1.LabelMetadataName] != thief.ns {
		t.Errorf("a namespace can call itself %s", ns.Labels[corev1.LabelMetadataName])
	}
	w.pod("own", "train-gpu1")
	w.inUFM(p, w.configured("own")[0])
}

func TestANetworkOfSomebodyElseIsNeverTaken(t *testing.T) {
	w := newWorld(t)
	w.network("gpu1", "")
	w.network("gpu2", "")
	w.network("train-gpu1", "0x5")
	before := w.nad("train-gpu1")
	w.start(claimRange)
	w.claim("train", rails("gpu1", "gpu2"))
	c := w.claimStands("train", metav1.ConditionFalse, "network "+w.ns+"/train-gpu1 is there already")
	if want := []string{"train-gpu2"}; !slices.Equal(c.Status.Networks, want) {
		t.Errorf("it has %v, want %v", c.Status.Networks, want)
	}
	w.event("train", "ClaimRefused", "delete it, or make another claim")
	if now := w.nad("train-gpu1"); now.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was written: %+v", now)
	}
	w.claim("second", []v1alpha1.ClaimNetwork{{From: "gpu1", Name: "train-gpu2"}}) // nor of another claim
	w.claimStands("second", metav1.ConditionFalse, "network "+w.ns+"/train-gpu2 is there already")
	w.deleteNetwork("train-gpu1")
	w.claimed("train")
	w.deleteClaim("second")
	w.nad("train-gpu2")
}

func TestWhatAClaimMayCopy(t *testing.T) {
	w := newWorld(t)
	shared, secret := w.bed.Namespace(t), w.bed.Namespace(t)
	w.inNamespace(shared, "rail", "0x5")
	w.inNamespace(secret, "rail", "0x6")
	w.network("gpu1", "0x7", attach.MembershipAnnotation, "limited")
	w.rawNetwork("plain", `{"cniVersion":"0.3.1","type":"macvlan"}`)
	w.rawNetwork("broken", `{"type":"ib-sriov"`)
	w.start(claimRange, "--claim-sources-from=elsewhere,"+shared)
	for name, tc := range map[string]struct {
		networks []v1alpha1.ClaimNetwork
		says     string
	}{
		"secret":                {rails(secret + "/rail"), "claims may not copy networks of namespace " + secret},
		"nothing":               {rails(secret + "/none"), "claims may not copy networks of namespace " + secret},
		"plain":                 {rails("plain"), "it has no ib-sriov plugin"},
		"broken":                {rails("broken"), "not JSON"},
		"missing":               {rails("missing"), "network " + w.ns + "/missing does not exist: create it"},
		"twice":                 {rails("gpu1", "gpu1"), "two of spec.networks come to the name twice-gpu1"},
		"too-far":               {[]v1alpha1.ClaimNetwork{{From: "gpu1", Name: "A"}}, "REFUSED spec.networks[0].name"},
		strings.Repeat("x", 64): {nil, "REFUSED 63 characters"},
	} {
		_, err := w.tryClaim(name, tc.networks)
		if says, refused := strings.CutPrefix(tc.says, "REFUSED "); refused {
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", name, err, says)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w.claimStands(name, metav1.ConditionFalse, tc.says)
	}
	w.claim("both", rails("gpu1", shared+"/rail"))
	c, p := w.claimed("both")
	w.claim("copy", rails("both-gpu1"))
	w.claimStands("copy", metav1.ConditionFalse, "is a claim's own")
	w.pod("a", "both-gpu1,both-rail")
	guids := w.configured("a")
	w.inUFM(p, guids...)
	if text := w.get("a").Annotations[attach.NetworksAnnotation]; !strings.Contains(text, p.String()+":limited") {
		t.Errorf("the pod says %s", text)
	}
	w.rawNetwork("missing", w.nad("gpu1").Spec.Config)
	w.claimed("missing")
	other := func(c *v1alpha1.PartitionClaim) { c.Spec.Networks = nil }
	if err := rig.Edit(w.ctx(), w.api, c, other); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "make another claim") {
		t.Errorf("a claim could be changed: %v", err)
	}
}

func TestCopiesFollowTheirSourceForNewPods(t *testing.T) {
	w := newWorld(t)
	w.network("gpu1", "")
	w.start(claimRange)
	w.claim("train", rails("gpu1"))
	_, p := w.claimed("train")
	w.pod("live", "train-gpu1")
	g := w.configured("live")[0]
	w.network("gpu1", "0x5", attach.AlsoAnnotation, "0x20:limited", "ibfabric.io/index0", "true")
	w.event("train", "ClaimNetworkChanged", "network train-gpu1")
	w.event("live", "FabricNetworkChanged", "network "+w.ns+"/train-gpu1 now says") // who serves pods has seen it too
	w.pod("new", "train-gpu1")
	n := w.configured("new")[0]
	w.inUFM(p, g, n)
	w.inUFM(0x20, n)

	theft := func(n *nadv1.NetworkAttachmentDefinition) { // what a tenant writes into it does not last
		n.Spec.Config = strings.Replace(n.Spec.Config, p.String(), "0x6", 1)
	}
	if err := rig.Edit(w.ctx(), w.api, w.nad("train-gpu1"), theft); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the copy is as before", func() (bool, string) {
		text := w.nad("train-gpu1").Spec.Config
		return strings.Contains(text, p.String()), text
	})
	w.deleteNetwork("gpu1")
	w.claimStands("train", metav1.ConditionFalse, "until then network train-gpu1 stays as it is")
	w.nad("train-gpu1")
}
