package cli

import (
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/clusterfake"
	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// TestErrorsNameTheMend breaks one thing after the other.
func TestErrorsNameTheMend(t *testing.T) {
	view := &api.Permission{User: "o'neil", Verb: "get", Path: "/ibfabric/v1/overview"}
	for name, test := range map[string]struct {
		args  []string
		spoil func(*fake)
		code  int
		says  []string
	}{
		"usage":             {[]string{"stauts"}, nil, 2, []string{`unknown command "stauts"`, "Did you mean this", "ibfabric --help"}},
		"flag":              {[]string{"status", "--nope"}, nil, 2, []string{"unknown flag: --nope"}},
		"arguments":         {[]string{"explain"}, nil, 2, []string{"accepts 1 arg"}},
		"output":            {[]string{"status", "-o", "xml"}, nil, 2, []string{`no output "xml"`, "# write table, json or yaml"}},
		"state":             {[]string{"pods", "--state", "lost"}, nil, 2, []string{`--state "lost"`, "waiting"}},
		"a decimal pkey":    {[]string{"partitions", "1000"}, nil, 2, []string{"0x3e8"}},
		"a bad guid":        {[]string{"release", "zz", "--yes"}, nil, 2, []string{"zz"}},
		"a pod's name":      {[]string{"explain", "a/b/c"}, nil, 2, []string{"NAMESPACE/NAME"}},
		"unknown pod":       {[]string{"explain", "nobody"}, nil, 4, []string{"/ibfabric/v1/pods/team-a/nobody"}},
		"no kubeconfig":     {[]string{"status", "--kubeconfig", "nowhere"}, nil, 3, []string{"find the cluster", "kubectl config get-contexts"}},
		"no context":        {[]string{"status", "--context", "nowhere"}, nil, 3, []string{`"nowhere"`, "kubectl config get-contexts"}},
		"no journal":        {[]string{"status"}, func(f *fake) { f.cluster = clusterfake.New(f.t); f.kubeconfig = f.cluster.Kubeconfig() }, 3, []string{"no controller has led", "kubectl get journals.ibfabric.io -A"}},
		"no such fabric":    {[]string{"status", "--fabric", "x"}, nil, 2, []string{`no fabric "x"`, "--fabric ib --controller-namespace kube-system"}},
		"several fabrics":   {[]string{"status"}, func(f *fake) { f.cluster.Lead("storage", "controller-9", f.console) }, 2, []string{"several fabrics", "--fabric ib", "--fabric storage"}},
		"journals, no":      {[]string{"status"}, func(f *fake) { f.cluster.Forbid("list"); f.cluster.Forbid("list-all") }, 5, []string{"create role ibfabric-find --verb=get,list --resource=journals.ibfabric.io", "kubectl auth whoami"}},
		"port-forward, no":  {[]string{"status"}, func(f *fake) { f.cluster.Forbid("portforward") }, 5, []string{"--verb=create,get --resource=pods/portforward", "-n kube-system"}},
		"pod gone":          {[]string{"status"}, func(f *fake) { f.cluster.Gone("controller-0") }, 3, []string{"nobody leads fabric ib", "kube-system/controller-0, which led last, is gone", "get lease ibfabric-ib"}},
		"console gone":      {[]string{"status"}, func(f *fake) { f.console.Stop() }, 3, []string{"nobody leads fabric ib", "controller-0_1, does not answer", "get lease ibfabric-ib"}},
		"no console":        {[]string{"status"}, func(f *fake) { f.cluster.Edit("ib", func(j *v1alpha1.Journal) { j.Spec.Console = nil }) }, 3, []string{"serves no console", "--console-address"}},
		"another namespace": {[]string{"status"}, func(f *fake) { f.cluster.Edit("ib", func(j *v1alpha1.Journal) { j.Spec.Console.Namespace = "team-b" }) }, 6, []string{"not written by a controller"}},
		"wrong CA": {[]string{"status"}, func(f *fake) {
			f.cluster.Edit("ib", func(j *v1alpha1.Journal) { j.Spec.Console.CABundle = otherCA(f.t) })
		}, 3, []string{"certificate"}},
		"wrong name": {[]string{"status"}, func(f *fake) {
			f.cluster.Edit("ib", func(j *v1alpha1.Journal) { j.Spec.Console.ServerName = "evil.test" })
		}, 3, []string{"evil.test"}},
		"no leader":         {[]string{"status"}, func(f *fake) { f.console.Refuse(&api.Error{Code: 503, Message: "this replica does not lead"}) }, 3, []string{"this replica does not lead", "logs deployment/ibfabric-controller"}},
		"not known":         {[]string{"status"}, func(f *fake) { f.console.Refuse(&api.Error{Code: 401, Message: "who are you"}) }, 5, []string{"kubectl auth whoami"}},
		"not allowed":       {[]string{"status"}, func(f *fake) { f.console.Refuse(&api.Error{Code: 403, Message: "no", Permission: view}) }, 5, []string{"kubectl apply -f deploy/console/20-users.yaml", "kubectl create clusterrolebinding ibfabric-viewer-o-neil --clusterrole=ibfabric-viewer", `--user='o'\''neil'`}},
		"not a fit time":    {[]string{"status"}, func(f *fake) { f.console.Refuse(&api.Error{Code: 409, Message: "the sync policy is dry-run"}) }, 6, []string{"the sync policy is dry-run"}},
		"acting as another": {[]string{"status"}, func(f *fake) { f.kubeconfig = actingAs(f.t, f.kubeconfig) }, 2, []string{"act as somebody"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			if test.spoil != nil {
				test.spoil(f)
			}
			r := f.run(test.args...)
			if r.code != test.code || r.out != "" {
				t.Errorf("exit code %d, want %d; stdout %q", r.code, test.code, r.out)
			}
			for _, text := range test.says {
				if !strings.Contains(r.err, text) {
					t.Errorf("it does not say %q:\n%s", text, r.err)
				}
			}
			if strings.Contains(r.err+r.out, clusterfake.Token) {
				t.Error("the token is in what it says")
			}
		})
	}
}

// TestWhoMayNotListAllNamespacesGetsTheDefaultOne is a user with a Role in kube-system.
func TestWhoMayNotListAllNamespacesGetsTheDefaultOne(t *testing.T) {
	f := newFake(t)
	f.cluster.Forbid("list-all")
	if r := f.run("plan"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	f.cluster.Forbid("list")
	if r := f.run("plan", "--fabric", "ib", "--controller-namespace", "kube-system"); r.code != 0 { // get is enough
		t.Errorf("%+v", r)
	}
}

// TestTheConsoleMayBeReachedDirectly, with everything given and with the journal's help.
func TestTheConsoleMayBeReachedDirectly(t *testing.T) {
	f := newFake(t)
	f.cluster.Forbid("portforward")
	if r := f.run("plan", "--address", f.console.Address()); r.code != 0 {
		t.Errorf("with the journal's CA: %+v", r)
	}
	f.cluster.Forbid("list")
	f.cluster.Forbid("list-all")
	ca := writeFile(t, "ca.crt", string(f.console.CA()))
	if r := f.run("plan", "--address", f.console.Address(), "--ca", ca, "--server-name", "example.com"); r.code != 0 {
		t.Errorf("with nothing of the journal: %+v", r)
	}
	if r := f.run("plan", "--address", f.console.Address(), "--ca", writeFile(t, "other.crt", otherCA(t)), "--server-name", "example.com"); r.code != 3 {
		t.Errorf("with another CA: %+v", r)
	}
}
