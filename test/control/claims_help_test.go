package control

import (
	"fmt"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const claimRange = "--pkey-range=0x1000-0x10ff"

// rails are networks to copy, by their names.
func rails(names ...string) (list []v1alpha1.ClaimNetwork) {
	for _, name := range names {
		list = append(list, v1alpha1.ClaimNetwork{From: name})
	}
	return list
}

// claim makes a PartitionClaim, as a tenant would.
func (w *world) claim(name string, networks []v1alpha1.ClaimNetwork, edit ...func(*v1alpha1.PartitionClaim)) *v1alpha1.PartitionClaim {
	w.t.Helper()
	c, err := w.tryClaim(name, networks, edit...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) tryClaim(name string, networks []v1alpha1.ClaimNetwork, edit ...func(*v1alpha1.PartitionClaim)) (*v1alpha1.PartitionClaim, error) {
	c := &v1alpha1.PartitionClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: map[string]string{"fabric": w.ns, "other": "label"}},
		Spec:       v1alpha1.PartitionClaimSpec{Networks: networks},
	}
	for _, e := range edit {
		e(c)
	}
	err := w.api.Create(w.ctx(), c)
	return c, err
}

func (w *world) readClaim(name string) (*v1alpha1.PartitionClaim, error) {
	var c v1alpha1.PartitionClaim
	err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: name}, &c)
	return &c, err
}

// claimStands waits until a claim is ready, or not, and says something.
func (w *world) claimStands(name string, status metav1.ConditionStatus, says string) *v1alpha1.PartitionClaim {
	w.t.Helper()
	var c *v1alpha1.PartitionClaim
	testbed.Eventually(w.t, fmt.Sprintf("claim %s is Ready=%s and says %q", name, status, says), func() (bool, string) {
		var err error
		if c, err = w.readClaim(name); err != nil {
			return false, err.Error()
		}
		cond := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return cond != nil && cond.Status == status && strings.Contains(cond.Message, says) && c.Status.ObservedGeneration == c.Generation, fmt.Sprintf("%+v", c.Status)
	})
	return c
}

// claimed waits until a claim can be used, and gives its PKey.
func (w *world) claimed(name string) (*v1alpha1.PartitionClaim, pkey.PKey) {
	w.t.Helper()
	c := w.claimStands(name, metav1.ConditionTrue, "")
	p, err := pkey.Parse(c.Status.PKey)
	if err != nil {
		w.t.Fatal(err)
	}
	return c, p
}

func (w *world) deleteClaim(name string) {
	w.t.Helper()
	c := &v1alpha1.PartitionClaim{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	if err := w.api.Delete(w.ctx(), c); err != nil {
		w.t.Fatal(err)
	}
}

// claimGone waits until nothing of a claim is left.
func (w *world) claimGone(c *v1alpha1.PartitionClaim) {
	w.t.Helper()
	is := func(err error) bool { return apierrors.IsNotFound(err) }
	testbed.Eventually(w.t, "claim "+c.Name+", its networks and its Partition are gone", func() (bool, string) {
		_, err := w.readClaim(c.Name)
		ok := is(err) && is(w.api.Get(w.ctx(), types.NamespacedName{Name: c.Status.Partition}, &v1alpha1.Partition{}))
		for _, name := range c.Status.Networks {
			ok = ok && is(w.api.Get(w.ctx(), types.NamespacedName{Namespace: c.Namespace, Name: name}, &nadv1.NetworkAttachmentDefinition{}))
		}
		return ok, fmt.Sprint(err)
	})
}

func (w *world) nad(name string) *nadv1.NetworkAttachmentDefinition {
	w.t.Helper()
	var nad nadv1.NetworkAttachmentDefinition
	if err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: name}, &nad); err != nil {
		w.t.Fatal(err)
	}
	return &nad
}

// withJobs is a world on a cluster that runs Jobs, quotas and the collection of garbage.
func withJobs(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	bed := testbed.Start(t, testbed.WithControllerManager())
	if err := rig.InstallKinds(t.Context(), bed); err != nil {
		t.Fatal(err)
	}
	return worldOn(t, bed)
}

// job makes a Job of two pods on some networks; nobody schedules them.
func (w *world) job(name, networks string) *batchv1.Job {
	w.t.Helper()
	two := int32(2)
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	job.Spec.Completions, job.Spec.Parallelism = &two, &two
	job.Spec.Template.Annotations = map[string]string{attach.NetworksAnnotation: networks}
	job.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "none"}}}
	if err := w.api.Create(w.ctx(), job); err != nil {
		w.t.Fatal(err)
	}
	return job
}

func (w *world) podsOf(job string) (names []string) {
	w.t.Helper()
	testbed.Eventually(w.t, "job "+job+" has its pods", func() (bool, string) {
		var list corev1.PodList
		err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns), client.MatchingLabels{"job-name": job})
		names = nil
		for _, pod := range list.Items {
			names = append(names, pod.Name)
		}
		return len(names) == 2, fmt.Sprint(names, err)
	})
	return names
}

// quotaCounts waits until Kubernetes counts the claims of a quota. It learns of new kinds
// every half a minute, and looks at a quota again every five; or when that is edited.
func (w *world) quotaCounts(name types.NamespacedName) {
	w.t.Helper()
	edits := 0
	testbed.Eventually(w.t, "the quota counts", func() (bool, string) {
		var quota corev1.ResourceQuota
		if err := w.api.Get(w.ctx(), name, &quota); err != nil {
			return false, err.Error()
		}
		if _, counts := quota.Status.Used["count/partitionclaims.ibfabric.io"]; counts {
			return true, ""
		}
		edits++
		patch := fmt.Sprintf(`{"spec":{"hard":{"count/secrets":"%d"}}}`, 1000+edits)
		err := w.api.Patch(w.ctx(), &quota, client.RawPatch(types.MergePatchType, []byte(patch)))
		return false, fmt.Sprint(quota.Status, err)
	})
}
