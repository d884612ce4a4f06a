package control

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestAClaimSurvivesItsLeaderAndWhatIsDoneToItByHand(t *testing.T) {
	w := newWorld(t)
	w.network("gpu1", "")
	first := w.start(append(quick(), claimRange)...)
	w.claim("a", rails("gpu1"))
	a, _ := w.claimed("a")
	w.claim("b", rails("gpu1"))
	first.kill() // wherever it was with b
	w.claim("c", rails("gpu1"))
	w.deleteClaim("a")
	w.succeed(claimRange)
	w.claimGone(a)
	_, pb := w.claimed("b")
	c, pc := w.claimed("c")
	if pb == pc {
		t.Errorf("b and c both have %s", pb)
	}

	// A Partition that an administrator deletes is replaced by another.
	b, _ := w.readClaim("b")
	if err := w.api.Delete(w.ctx(), &v1alpha1.Partition{ObjectMeta: metav1.ObjectMeta{Name: b.Status.Partition}}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "claim b has another pkey", func() (bool, string) {
		now, err := w.readClaim("b")
		return err == nil && meta.IsStatusConditionTrue(now.Status.Conditions, v1alpha1.ConditionReady) && now.Status.PKey != pb.String(), fmt.Sprintf("%+v", now.Status)
	})
	_, pb = w.claimed("b")
	if text := w.nad("b-gpu1").Spec.Config; !strings.Contains(text, pb.String()) {
		t.Errorf("its network says %s, want %s", text, pb)
	}

	// A claim whose finalizer is taken away leaves nothing behind.
	must(t, rig.Edit(w.ctx(), w.api, c, func(c *v1alpha1.PartitionClaim) { c.Finalizers = nil }))
	w.deleteClaim("c")
	w.claimGone(c)
}

func TestAHundredClaimsHaveAHundredPKeysAndCostAnIdleControllerNothing(t *testing.T) {
	const many = 100
	w := newWorld(t)
	w.network("gpu1", "")
	w.network("gpu2", "")
	api, env := w.apiFront()
	first := w.lead(env, claimRange, "--log-level=info", "--summary-period=2s")
	for i := range many {
		w.claim(fmt.Sprint("c", i), rails("gpu1", "gpu2"))
	}
	seen := map[pkey.PKey]string{}
	for i := range many {
		c, p := w.claimed(fmt.Sprint("c", i))
		if other := seen[p]; other != "" {
			t.Errorf("claims %s and %s both have %s", other, c.Name, p)
		}
		seen[p] = c.Name
	}
	w.summaries(2) // what was still on its way has come; the first summary may be due right now
	before := len(api.requests(isWrite))
	w.summaries(2)
	first.stop()
	w.lead(env, claimRange, "--log-level=info", "--summary-period=2s") // it finds all as it should be
	w.summaries(2)
	for _, r := range api.requests(isWrite)[before:] {
		if strings.Contains(r.URL.Path, "partition") || strings.Contains(r.URL.Path, "network-attachment") {
			t.Errorf("an idle controller wrote: %s %s", r.Method, r.URL.Path)
		}
	}
	for i := range many {
		w.deleteClaim(fmt.Sprint("c", i))
	}
	// A claim has a Partition and two networks, and two networks are nobody's copies.
	for left := many - 10; left >= 0; left -= 10 {
		testbed.Eventually(t, fmt.Sprintf("all but %d are gone", left), func() (bool, string) {
			var claims v1alpha1.PartitionClaimList
			var parts v1alpha1.PartitionList
			var nads nadv1.NetworkAttachmentDefinitionList
			for _, list := range []client.ObjectList{&claims, &nads} {
				if err := w.api.List(w.ctx(), list, client.InNamespace(w.ns)); err != nil {
					return false, err.Error()
				}
			}
			err := w.api.List(w.ctx(), &parts, client.MatchingLabels{"fabric": w.ns})
			copies := len(nads.Items) - 2
			return err == nil && len(claims.Items)+len(parts.Items)+copies <= 4*left, fmt.Sprint(len(claims.Items), len(parts.Items), copies, err)
		})
	}
	w.nad("gpu1")
	w.nad("gpu2")
}

func TestAClaimWithoutAnyPKeyToGetIsToldSo(t *testing.T) {
	w := newWorld(t)
	w.network("gpu1", "")
	w.start("--pkey-range=0x1000")
	w.claim("first", rails("gpu1"))
	w.claimed("first")
	w.claim("second", rails("gpu1"))
	w.claimStands("second", metav1.ConditionFalse, "widen --pkey-range")
	w.event("second", "ClaimRefused", "widen --pkey-range")
	w.deleteClaim("first")
	w.claimed("second")
}

func TestTheClaimsOfANamespaceAreBoundedByItsQuota(t *testing.T) {
	w := withJobs(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "claims"}}
	quota.Spec.Hard = corev1.ResourceList{"count/partitionclaims.ibfabric.io": resource.MustParse("2")}
	if err := w.api.Create(w.ctx(), quota); err != nil {
		t.Fatal(err)
	}
	w.quotaCounts(client.ObjectKeyFromObject(quota))
	w.start(claimRange)
	w.claim("a", nil)
	w.claim("b", nil)
	if _, err := w.tryClaim("c", nil); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("a third claim of two: %v", err)
	}
	_, _ = w.claimed("b")
	w.deleteClaim("a")
	testbed.Eventually(t, "there is room again", func() (bool, string) {
		_, err := w.tryClaim("c", nil)
		return err == nil, fmt.Sprint(err)
	})
}

func TestTheClaimExamplesWork(t *testing.T) {
	w := withJobs(t)
	files, err := filepath.Glob("../../deploy/examples/claim/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = w.bed.Apply(w.ctx(), text)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if filepath.Base(file) == "00-admin.yaml" {
			w.quotaCounts(types.NamespacedName{Namespace: "team-a", Name: "partition-claims"})
		}
	}
	w.startWith(nil, claimRange, "--network-selector=", "--claim-sources-from=spiderpool")
	w.ns = "team-a"
	c, p := w.claimed("train")
	pods := w.podsOf("train")
	w.inUFM(p, append(w.configured(pods[0]), w.configured(pods[1])...)...)
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "train"}}
	if err := w.api.Delete(w.ctx(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	w.inUFM(p)
	w.deleteClaim("train")
	w.claimGone(c)
}
