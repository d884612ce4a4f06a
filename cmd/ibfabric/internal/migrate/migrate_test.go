package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
	}
}

func table(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTheReports are those of both kinds of installation, and their values, which the test
// of the chart in deploy/tools renders. docs/cli.md shows the first.
func TestTheReports(t *testing.T) {
	for name, f := range map[string]Facts{"standalone": standalone(), "operator": operated()} {
		r := Examine(f, now())
		if !r.OK || r.Done || r.Values == nil {
			t.Errorf("%s: ok %t, done %t, values %v", name, r.OK, r.Done, r.Values)
			continue
		}
		golden(t, name+".golden", table(t, r))
		values, err := r.Values.YAML(r.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".values.yaml", values)
	}
}

// TestEachStepIsKnownByWhatItDid goes through both kinds of move, and forgets everything
// between two looks.
func TestEachStepIsKnownByWhatItDid(t *testing.T) {
	for name, world := range map[string]func() Facts{"standalone": standalone, "operator": operated} {
		t.Run(name, func(t *testing.T) {
			f := world()
			look := func(next, command string) Report {
				t.Helper()
				r := Examine(f, now())
				i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.State == StepNext })
				switch {
				case next == "":
					if !r.Done || i >= 0 {
						t.Errorf("the move is not done: %s", table(t, r))
					}
				case i < 0 || r.Steps[i].Name != next || !strings.Contains(strings.Join(r.Steps[i].Do, "\n"), command):
					t.Errorf("the next step is not %s with %q:\n%s", next, command, table(t, r))
				}
				for j, s := range r.Steps {
					if want := j < i || i < 0; (s.State == StepDone) != want {
						t.Errorf("step %s is %s", s.Name, s.State)
					}
				}
				return r
			}
			namespace := f.namespace()
			if r := look("install", "helm install ibfabric deploy/chart/ibfabric --namespace "+namespace+" -f values.yaml --set syncPolicy=dry-run,admission.enabled=false,node.enabled=false"); len(r.Back) > 0 {
				t.Errorf("there is a way back from nowhere: %v", r.Back)
			}
			install(&f, dryRun)
			r := look("stop", map[string]string{
				"standalone": "kubectl -n kube-system scale deployment ib-kubernetes --replicas=0\nkubectl -n kube-system wait --for=delete pod -l name=ib-kubernetes",
				"operator":   `kubectl patch nicclusterpolicies.mellanox.com nic-cluster-policy --type=json -p '[{"op":"remove","path":"/spec/ibKubernetes"}]'`,
			}[name])
			if strings.Contains(strings.Join(r.Steps[2].Do, "\n"), "scale deployment") == (name == "operator") {
				t.Errorf("what network-operator would undo: %v", r.Steps[2].Do)
			}
			back(t, r, "helm uninstall ibfabric")

			pods := f.Pods.Value
			stop(&f)
			f.Pods.Value = pods
			look("stop", "wait --for=delete pod") // they have not ended yet
			f.Pods.Value = pods[:4]
			r = look("take over", "ibfabric plan     # what it would change: additions for pods that wait, and nothing else\nhelm upgrade ibfabric")
			back(t, r, map[string]string{"standalone": "scale deployment ib-kubernetes --replicas=1", "operator": "--patch-file ib-kubernetes.json"}[name])

			takeOver(&f)
			f.Ledger.Value = f.Ledger.Value[:2]
			look("take over", "logs deployment/ibfabric-controller") // one is not in the ledger yet
			f.Ledger.Value = nil
			takeOver(&f)
			look("nodes", "helm upgrade")
			move(&f)
			look("nodes", "kubectl label node gpu-1 ibfabric.io/cni=yes")
			move(&f, "gpu-1")
			r = look("nodes", "kubectl label node gpu-2 ibfabric.io/cni=yes")
			back(t, r, "kubectl drain gpu-1 --ignore-daemonsets", "kubectl label node gpu-1 ibfabric.io/cni-", "ibfabric-cni install --restore", "--set admission.enabled=false", "scale deployment ibfabric-controller --replicas=0")
			move(&f, "gpu-2")
			f.Overview.Value.Drift = 1
			look("verify", "ibfabric doctor")
			f.Overview.Value.Drift = 0
			look("", "")
		})
	}
}

// back sees commands in this order on the way back.
func back(t *testing.T, r Report, commands ...string) {
	t.Helper()
	text := strings.Join(r.Back, "\n")
	for _, c := range commands {
		_, rest, ok := strings.Cut(text, c)
		if !ok {
			t.Errorf("the way back has no %q, or not in this order: %v", c, r.Back)
		}
		text = rest
	}
}

// TestEachFaultHasItsRow spoils one thing after the other.
func TestEachFaultHasItsRow(t *testing.T) {
	container := func(f *Facts) *corev1.Container { return &f.Incumbents.Value[0].Spec.Template.Spec.Containers[0] }
	config := func(name, value string) func(*Facts) {
		return func(f *Facts) { f.ConfigMaps[key("kube-system", "ib-kubernetes-config")].Value[name] = value }
	}
	ufm := func(edit func(map[string][]byte)) func(*Facts) {
		return func(f *Facts) {
			f.Secrets[key("kube-system", "ib-kubernetes-ufm-secret")] = Fact[Secret]{Value: newSecret(secret(edit))}
		}
	}
	addPod := func(name string, age int, elements string) func(*Facts) {
		return func(f *Facts) { f.Pods.Value = append(f.Pods.Value, pod(name, age, elements)) }
	}
	for name, test := range map[string]struct {
		spoil func(*Facts)
		state State
		says  string // in a row and its mend; "" where there is none
		also  string // in the values or the settings
	}{
		"nothing":           {func(*Facts) {}, OK, "", "syncPeriod: 30s"},
		"a slow round":      {config(periodic, "300"), OK, "", "syncPeriod: 300s"},
		"no round":          {config(periodic, "0"), Mend, `DAEMON_PERIODIC_UPDATE is "0"`, ""},
		"words for a round": {config(periodic, "5s"), Mend, `DAEMON_PERIODIC_UPDATE is "5s"`, ""},
		"another plugin":    {config(smPlugin, "nico"), Mend, `DAEMON_SM_PLUGIN is "nico": ibfabric has ufm and noop`, ""},
		"no plugin":         {config(smPlugin, ""), Mend, "DAEMON_SM_PLUGIN is not set", ""},
		"noop":              {config(smPlugin, "noop"), OK, "", "plugin: noop"},
		"half a GUID":       {config(rangeStart, "02:00"), Mend, "not 8 bytes in hex", ""},
		"a range backwards": {config(rangeEnd, "01:00:00:00:00:00:00:00"), Mend, "GUID_POOL_RANGE_START and GUID_POOL_RANGE_END", ""},
		"a narrow range":    {config(rangeEnd, "02:00:00:00:00:00:00:01"), Mend, "guid 02:00:00:00:00:00:00:02 is outside this controller's range", ""},
		"no range":          {func(f *Facts) { config(rangeStart, "")(f); config(rangeEnd, "")(f) }, OK, "", "not set: both take"},
		"no ConfigMap":      {func(f *Facts) { f.ConfigMaps[key("kube-system", "ib-kubernetes-config")] = Fact[Map]{Err: absentErr()} }, Mend, "DAEMON_SM_PLUGIN is not set", ""},
		"a key by another name": {func(f *Facts) {
			config("START", "02:00:00:00:00:00:00:00")(f)
			container(f).Env[3].ValueFrom.ConfigMapKeyRef.Key = "START"
		}, OK, "", "start: \"02:00:00:00:00:00:00:00\""},
		"no Secret": {func(f *Facts) {
			f.Secrets[key("kube-system", "ib-kubernetes-ufm-secret")] = Fact[Secret]{Err: absentErr()}
		}, Mend, "secret kube-system/ib-kubernetes-ufm-secret is not there", ""},
		"Secret forbidden": {func(f *Facts) {
			f.Secrets[key("kube-system", "ib-kubernetes-ufm-secret")] = Fact[Secret]{Err: errors.New("forbidden")}
		}, Mend, "kubectl -n kube-system auth can-i get secret/ib-kubernetes-ufm-secret", ""},
		"the guide's user": {ufm(func(d map[string][]byte) { d["UFM_USER"] = d[ufmUsername]; delete(d, ufmUsername) }), OK, "", "ufm.secret: ib-kubernetes-ufm-secret"},
		"no console": {func(f *Facts) {
			install(f, dryRun)
			f.Overview.Err = fault.New(fault.Unreachable, "nobody leads", nil, "kubectl get lease")
		}, Info, "ibfabric cannot be asked, and what it does is not known: nobody leads; kubectl get lease", ""},
		"two of them":       {func(f *Facts) { f.Incumbents.Value = append(f.Incumbents.Value, f.Incumbents.Value[0]) }, Info, "there are 2 ib-kubernetes", ""},
		"no user":           {ufm(func(d map[string][]byte) { delete(d, ufmUsername) }), Mend, "UFM_USERNAME must be a key of the Secret ib-kubernetes-ufm-secret", ""},
		"no password":       {ufm(func(d map[string][]byte) { delete(d, ufmPassword) }), Mend, "ibfabric ufm secret --controller-namespace kube-system --name ib-kubernetes-ufm-secret --ufm-address ufm.example.com", ""},
		"no certificate":    {ufm(func(d map[string][]byte) { delete(d, ufmCertificate) }), Mend, "openssl s_client -connect ufm.example.com:443", ""},
		"a bad certificate": {ufm(func(d map[string][]byte) { d[ufmCertificate] = []byte("junk") }), Mend, "UFM_CERTIFICATE cannot be used", ""},
		"a common name":     {ufm(func(d map[string][]byte) { d[ufmCertificate] = []byte(certificates().common) }), OK, "", "exactly this one is taken"},
		"no TLS":            {ufm(func(d map[string][]byte) { d[ufmScheme] = []byte("http") }), Info, "without TLS", "ufmPorts:\n  - 80"},
		"another port":      {ufm(func(d map[string][]byte) { d[ufmPort] = []byte("8443") }), OK, "", "ufmPorts:\n  - 8443"},
		"no port":           {ufm(func(d map[string][]byte) { d[ufmPort] = []byte("https") }), Mend, `UFM_PORT is "https"`, ""},
		"a password for all to read": {func(f *Facts) {
			c := container(f)
			c.Env[6] = corev1.EnvVar{Name: ufmPassword, Value: password}
		}, Mend, "UFM_PASSWORD does not stand in the Secret", ""},
		"an address in the Deployment": {func(f *Facts) { container(f).Env[7] = corev1.EnvVar{Name: ufmAddress, Value: "ufm9"} }, OK, "", "address: ufm9"},
		"a setting of its own":         {func(f *Facts) { container(f).Env = append(container(f).Env, corev1.EnvVar{Name: "X", Value: password}) }, OK, "", "ibfabric has no such setting"},
		"storage for all": {func(f *Facts) {
			container(f).Env = append(container(f).Env, corev1.EnvVar{Name: "DEFAULT_LIMITED_PARTITION", Value: "0x20"})
		}, Mend, "kubectl -n team-a annotate network-attachment-definitions rail2 ibfabric.io/also=0x20:limited", ""},
		"no IPoIB": {func(f *Facts) {
			container(f).Env = append(container(f).Env, corev1.EnvVar{Name: "ENABLE_IP_OVER_IB", Value: "false"})
		}, Mend, "rail1 ibfabric.io/ip-over-ib=false", ""},
		"machines": {func(f *Facts) { f.Pods.Value[0].Labels = map[string]string{"kubevirt.io": "virt-launcher"} }, Info, "virtual machines", "system:serviceaccount:kubevirt:kubevirt-controller"},

		"a decimal PKey":     {func(f *Facts) { f.Networks.Value[1] = nad("rail2", `{"type":"ib-sriov","pkey":"17"}`) }, Mend, "kubectl -n team-a edit network-attachment-definitions rail2", ""},
		"its pods":           {func(f *Facts) { f.Networks.Value[1] = nad("rail2", `{"type":"ib-sriov","pkey":"17"}`) }, Mend, "pod team-a/train-1, interface net2: ", ""},
		"an edited network":  {func(f *Facts) { f.Networks.Value[1] = nad("rail2", `{"type":"ib-sriov","pkey":"0x12"}`) }, Mend, "pod team-a/train-1, interface net2: the pod says that it is in pkey 0x11, which network team-a/rail2 does not give", ""},
		"a deleted network":  {func(f *Facts) { f.Networks.Value = f.Networks.Value[:1] }, Mend, "network team-a/rail2 does not exist any more", ""},
		"one GUID twice":     {addPod("copy-0", 50, configured("rail1", 1, "0x10")), Mend, "pod team-a/copy-0, interface net1: guid 02:00:00:00:00:00:00:01 is pod team-a/train-0's too, which is older", ""},
		"configured by hand": {addPod("hand-0", 50, `{"name":"rail1","cni-args":{"mellanox.infiniband.app":"configured"}}`), Mend, "it is called configured and has no guid", ""},
		"a broken GUID":      {addPod("bad-0", 50, `{"name":"rail1","cni-args":{"mellanox.infiniband.app":"configured","guid":"02"}}`), Mend, "not 8 bytes in hex", ""},
		"a broken list":      {addPod("bad-0", 50, `{"name":"rail1","cni-args":{"mellanox.infiniband.app":`), Mend, "pod team-a/bad-0: networks annotation: not JSON", ""},
		"a pod that is over": {func(f *Facts) {
			addPod("copy-0", 50, configured("rail1", 1, "0x10"))(f)
			f.Pods.Value[len(f.Pods.Value)-1].Status.Phase = corev1.PodSucceeded
		}, OK, "", ""},
		"another's ledger": {func(f *Facts) { stop(f); takeOver(f); f.Ledger.Value[0].PodUID = "other" }, Mend, "is pod team-a/train-0's by the ledger", ""},

		"no Deployments for you": {func(f *Facts) { f.Incumbents.Err = errors.New("forbidden") }, Mend, "kubectl auth can-i list deployments.apps -A", ""},
		"no pods for you":        {func(f *Facts) { f.Pods.Err = errors.New("forbidden") }, Mend, "kubectl auth can-i list pods -A", ""},
		"installed all the same": {func(f *Facts) { ufm(func(d map[string][]byte) { delete(d, ufmCertificate) })(f); install(f, dryRun) }, Info, "without UFM_CERTIFICATE", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := standalone()
			test.spoil(&f)
			r := Examine(f, now())
			if want := test.state != Mend; r.OK != want {
				t.Errorf("nothing to mend: %t\n%s", r.OK, table(t, r))
			}
			found := test.says == ""
			for _, row := range r.Rows {
				found = found || row.State == test.state && strings.Contains(row.Seen+"; "+strings.Join(row.Mend, "; "), test.says)
				if row.State == Mend && len(row.Mend) == 0 {
					t.Errorf("nothing mends %+v", row)
				}
			}
			if !found {
				t.Errorf("no row %s says %q:\n%s", test.state, test.says, table(t, r))
			}
			said := everything(t, r)
			if !strings.Contains(said, test.also) {
				t.Errorf("nothing says %q:\n%s", test.also, said)
			}
			if strings.Contains(said, password) {
				t.Errorf("it says the password:\n%s", said)
			}
		})
	}
}

// everything is all forms of a report in one text.
func everything(t *testing.T, r Report) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	said := table(t, r) + string(text)
	if r.Values != nil {
		values, err := r.Values.YAML(r.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		said += values
	}
	return said
}

// TestWhatIsReadOfASecretHasNoCredential looks into the value itself.
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
