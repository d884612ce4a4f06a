package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

func TestWhatIsReadOfASecretHasNoCredential(t *testing.T) {
	s := newSecret(secret(func(d map[string][]byte) { d["UFM_TOKEN"] = []byte(password) }))
	f := standalone()
	f.Incumbents.Value[0].Spec.Template.Spec.Containers[0].Env[6] = corev1.EnvVar{Name: ufmPassword, Value: password}
	if all, _ := f.settings(); all.get(ufmPassword).value != "" || !all.get(ufmPassword).set {
		t.Errorf("a password in the Deployment is kept, or lost: %t", all.get(ufmPassword).set)
	}
	if text := fmt.Sprintf("%+v %s", s, s.Certificate); strings.Contains(text, password) || strings.Contains(text, "admin") || !strings.Contains(text, "UFM_TOKEN") {
		t.Error(text)
	}
}

// TestAPolicyWithoutASecretWantsOne is how old versions of network-operator may have it.
func TestAPolicyWithoutASecretWantsOne(t *testing.T) {
	f := operated()
	delete(f.Policies.Value[0].Object["spec"].(map[string]any)["ibKubernetes"].(map[string]any), "ufmSecret")
	r := Examine(f, now())
	if got := table(t, r); r.OK || !strings.Contains(got, "ibfabric ufm secret --controller-namespace nvidia-network-operator --name ibfabric-ufm") || r.Values.UFM.Secret != "ibfabric-ufm" {
		t.Error(got)
	}
}

// TestAnEmptyClusterIsSentToTheInstallation, and is no fault.
func TestAnEmptyClusterIsSentToTheInstallation(t *testing.T) {
	r := Examine(Facts{}, now())
	if got := table(t, r); !r.OK || len(r.Steps) > 0 || r.Values != nil || !strings.Contains(got, "docs/install.md") {
		t.Errorf("%+v\n%s", r, got)
	}
}

// TestADeploymentThatOnlyRestsComesBack is one with no ready pod, which is to have some.
func TestADeploymentThatOnlyRestsComesBack(t *testing.T) {
	f := standalone()
	install(&f, dryRun)
	stop(&f)
	f.Incumbents.Value[0].Spec.Replicas = ptr.To[int32](1)
	r := Examine(f, now())
	if s := r.Steps[2]; s.State != StepNext || !strings.Contains(strings.Join(s.Do, "\n"), "--replicas=0") {
		t.Errorf("%+v", s)
	}
}

// TestALeaseCountsWhereThereIsNoDeployment is an ib-kubernetes that somebody runs otherwise.
func TestALeaseCountsWhereThereIsNoDeployment(t *testing.T) {
	f := standalone()
	stop(&f)
	f.Incumbents.Value = nil
	install(&f, dryRun)
	f.Leases.Value = leases(now().Add(-10 * time.Second))
	if r := Examine(f, now()); r.Steps[2].State != StepNext {
		t.Errorf("%+v", r.Steps)
	}
	f.Leases.Value = leases(now().Add(-time.Hour))
	if r := Examine(f, now()); r.Steps[2].State != StepDone {
		t.Errorf("%+v", r.Steps)
	}
}

// next is the name of the step that is due.
func next(r Report) string {
	for _, s := range r.Steps {
		if s.State == StepNext {
			return s.Name
		}
	}
	return ""
}

// TestAPolicyStartsItAgain is the moment between two rounds of network-operator.
func TestAPolicyStartsItAgain(t *testing.T) {
	f := operated()
	install(&f, dryRun)
	f.Incumbents.Value, f.Pods.Value = nil, f.Pods.Value[:4]
	if r := Examine(f, now()); next(r) != "stop" {
		t.Error(table(t, r))
	}
}

// TestADryRunTakesNothingOver, whoever wrote the ledger before, and where its console cannot
// be asked.
func TestADryRunTakesNothingOver(t *testing.T) {
	f := standalone()
	stop(&f)
	takeOver(&f)
	rows := f.Ledger.Value
	install(&f, dryRun)
	f.Ledger.Value, f.Overview.Err = rows, errors.New("no way")
	if r := Examine(f, now()); next(r) != "take over" {
		t.Error(table(t, r))
	}
	f.Controllers.Value[0].Spec.Template.Spec.Containers[0].Args = nil
	if r := Examine(f, now()); next(r) != "nodes" { // the ledger is witness enough
		t.Error(table(t, r))
	}
}

// TestANodeIsMovedWhenItsInstallationIsThrough is a pod that waits in its init container.
func TestANodeIsMovedWhenItsInstallationIsThrough(t *testing.T) {
	f := standalone()
	stop(&f)
	takeOver(&f)
	move(&f, "gpu-1")
	f.Pods.Value[len(f.Pods.Value)-1].Status.Phase = corev1.PodPending
	r := Examine(f, now())
	if !strings.Contains(table(t, r), "kubectl label node gpu-1 ibfabric.io/cni=yes") {
		t.Error(table(t, r))
	}
}

// TestNothingMovesTheCursor has texts of tenants, and of a Secret, that would.
func TestNothingMovesTheCursor(t *testing.T) {
	f := standalone()
	f.Networks.Value[0].Spec.Config = `{"type":"ib-sriov","pkey":"\u001b[2Jevil"}`
	f.Secrets[key("kube-system", "ib-kubernetes-ufm-secret")] = Fact[Secret]{Value: newSecret(secret(func(d map[string][]byte) {
		d[ufmAddress] = []byte("ufm\x1b[2J")
		delete(d, ufmCertificate)
	}))}
	install(&f, dryRun)
	f.Overview.Err = errors.New("\x1b[31mevil")
	if got := table(t, Examine(f, now())); strings.ContainsAny(got, "\x1b\r") || strings.Count(got, "?[2J") < 2 {
		t.Errorf("%q", got)
	}
}

// TestValuesAreReadBack by programs, from the report.
func TestValuesAreReadBack(t *testing.T) {
	r := Examine(operated(), now())
	text, err := json.Marshal(r)
	var back Report
	if err != nil || json.Unmarshal(text, &back) != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Error(diff)
	}
	var v Values
	out, err := r.Values.YAML("x")
	if err != nil || yaml.UnmarshalStrict([]byte(out), &v) != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestThePageHasEveryField keeps the table of the page in step.
func TestThePageHasEveryField(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/migrate-from-ib-kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	for field, fate := range fieldFate() {
		if !strings.Contains(string(page), fmt.Sprintf("| `%s` | %s |\n", field, fate)) {
			t.Errorf("docs/migrate-from-ib-kubernetes.md lacks the field: | `%s` | %s |", field, fate)
		}
	}
	for _, field := range []string{"ibKubernetes.periodicUpdateSeconds", "ibKubernetes.pKeyGUIDPoolRangeStart", "ibKubernetes.pKeyGUIDPoolRangeEnd", "ibKubernetes.ufmSecret", "nodeAffinity"} {
		if !strings.Contains(string(page), "| `"+field+"` |") {
			t.Errorf("docs/migrate-from-ib-kubernetes.md lacks the field %s", field)
		}
	}
}
