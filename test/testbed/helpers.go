package testbed

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// patience bounds Eventually. It is no measure of anything: on a busy machine all that is
// waited for comes within it, and in a failing test it is time lost once.
const patience = 60 * time.Second

//go:embed networkattachment.yaml
var nadCRD []byte

// Namespace makes a namespace of the test's own and gives its name, so that tests can share a
// cluster. It stays: without a controller-manager a namespace cannot go.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(t.Name()), "-")
	ns, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: strings.Trim(name[:min(40, len(name))], "-") + "-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	return ns.Name
}

// CreatePod makes a pod with one container that nothing has to pull, and ends at once when it is
// deleted; edit may change it before.
func (c *Cluster) CreatePod(t testing.TB, namespace, name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	atOnce, no := int64(0), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &atOnce,
			AutomountServiceAccountToken:  &no,
			Containers:                    []corev1.Container{{Name: "main", Image: "none", ImagePullPolicy: corev1.PullNever}},
		},
	}
	for _, e := range edit {
		e(pod)
	}
	made, err := c.client.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating pod %s/%s: %v", pod.Namespace, pod.Name, err)
	}
	return made
}

// Allowed waits until a user, by itself or as one of groups, may do that: roles count a moment
// after they are written. The role that a test writes last is the one to ask about.
func (c *Cluster) Allowed(t testing.TB, user string, groups []string, that authorizationv1.SubjectAccessReviewSpec) {
	t.Helper()
	that.User, that.Groups = user, groups
	Eventually(t, user+" has its rights", func() (bool, string) {
		review := &authorizationv1.SubjectAccessReview{Spec: that}
		answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, fmt.Sprint(answer, err)
	})
}

// InstallNADCRD installs the CustomResourceDefinition of NetworkAttachmentDefinition.
func (c *Cluster) InstallNADCRD(ctx context.Context) error { return c.Apply(ctx, nadCRD) }

// CreateNAD makes a NetworkAttachmentDefinition with that CNI configuration and annotations,
// which may be nil, or replaces what it says.
func (c *Cluster) CreateNAD(t testing.TB, namespace, name, config string, annotations map[string]string) {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "k8s.cni.cncf.io/v1",
		"kind":       "NetworkAttachmentDefinition",
		"metadata":   map[string]any{"namespace": namespace, "name": name, "annotations": annotations},
		"spec":       map[string]any{"config": config},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), text); err != nil {
		t.Fatalf("creating NetworkAttachmentDefinition %s/%s (InstallNADCRD first): %v", namespace, name, err)
	}
}

// Eventually waits until cond holds and fails the test when that takes far too long, with the
// state that cond last gave.
func Eventually(t testing.TB, what string, cond func() (bool, string)) {
	t.Helper()
	if err := eventually(patience, cond); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func eventually(limit time.Duration, cond func() (bool, string)) error {
	pause := 10 * time.Millisecond
	for end := time.Now().Add(limit); ; {
		ok, state := cond()
		if ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %s; last state: %s", limit, state)
		}
		time.Sleep(pause)
		pause = min(pause*2, 200*time.Millisecond)
	}
}
