package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/internal/golden"
)

var update = flag.Bool("update", false, "write the golden files")

func same(t *testing.T, name, got string) {
	t.Helper()
	golden.Compare(t, name, got, *update)
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
		same(t, name+".golden", table(t, r))
		values, err := r.Values.YAML(r.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		same(t, name+".values.yaml", values)
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
