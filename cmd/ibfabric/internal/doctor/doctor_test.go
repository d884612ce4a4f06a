package doctor

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/internal/golden"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/pkey"
)

var update = flag.Bool("update", false, "write the golden file")

func blocked(f *Facts) { f.Overview.Value.Leader.Blocked = "ib-kubernetes works" }

// TestAHealthyClusterHasNothingToMend is the table as docs/cli.md shows it.
func TestAHealthyClusterHasNothingToMend(t *testing.T) {
	r := Examine(healthy(), now())
	if !r.OK {
		t.Error("something is to be mended")
	}
	got := r.Table(false)
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(line); n > 101 && !strings.Contains(line, "$ ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	golden.Compare(t, "healthy.golden", got, *update)
}

// TestEachFaultHasItsRow breaks one thing after the other. The other rows stay as they are.
func TestEachFaultHasItsRow(t *testing.T) {
	gone := &meta.NoKindMatchError{}
	for name, test := range map[string]struct {
		spoil func(*Facts)
		check string
		state State
		says  string // in what was seen and in the mend
	}{
		"no CRD":           {func(f *Facts) { f.CRDs.Value = f.CRDs.Value[1:] }, "crds", Mend, "ledgers.ibfabric.io is not there; kubectl apply --server-side -f deploy/crds/ledgers.ibfabric.io.yaml"},
		"CRD not served":   {func(f *Facts) { f.CRDs.Value[2].Status.Conditions = nil }, "crds", Mend, "partitions.ibfabric.io is not served"},
		"no NAD CRD":       {func(f *Facts) { f.CRDs.Value = f.CRDs.Value[:4] }, "crds", Mend, "Multus is not installed"},
		"CRDs forbidden":   {func(f *Facts) { f.CRDs.Err = errors.New("forbidden") }, "crds", Mend, "kubectl auth can-i list customresourcedefinitions"},
		"no multus":        {func(f *Facts) { f.DaemonSets.Value = f.DaemonSets.Value[1:] }, "multus", Mend, "first interface alone"},
		"multus not ready": {func(f *Facts) { f.DaemonSets.Value[0].Status.NumberReady = 1 }, "multus", Mend, "ready on 1 of 2 nodes; kubectl -n kube-system get pods -o wide | grep kube-multus-ds"},
		"plugin not ready": {func(f *Facts) { f.DaemonSets.Value[1].Status.NumberReady = 0 }, "device-plugin", Mend, "ready on 0 of 2 nodes"},
		"node failed":      {func(f *Facts) { setStatus(&f.States.Value[0], "Failed", "no such card") }, "sriov-operator", Mend, "node gpu-1: Failed: no such card; kubectl -n sriov get sriovnetworknodestates gpu-1"},
		"node at work":     {func(f *Facts) { setStatus(&f.States.Value[0], "InProgress", "") }, "sriov-operator", Info, "being set up"},
		"operator away":    {func(f *Facts) { f.States.Value = nil }, "sriov-operator", Mend, "the operator does not work"},
		"bad network":      {func(f *Facts) { f.Networks.Value[0].Spec.Config = `{"type":"ib-sriov","pkey":"1000"}` }, "networks", Mend, "0x1000?; kubectl -n team-a edit network-attachment-definitions ib"},
		"no network":       {func(f *Facts) { f.Networks.Value = nil }, "networks", Info, "none of them"},
		"two policies":     {func(f *Facts) { f.Policies.Value = append(f.Policies.Value, policy("second")) }, "preflight", Mend, "kubectl -n sriov edit sriovnetworknodepolicy second"},
		"no resource":      {func(f *Facts) { f.Networks.Value[0].Annotations = nil }, "resources", Mend, "names no resource: its pods get no VF; kubectl -n team-a annotate network-attachment-definitions ib k8s.v1.cni.cncf.io/resourceName=RESOURCE; # RESOURCE is nvidia.com/ib_vfs"},
		"no node has it":   {func(f *Facts) { f.Networks.Value[0].Annotations[resourceAnnotation] = "x/y" }, "resources", Mend, "no node has x/y, which team-a/ib names"},
		"none left":        {func(f *Facts) { f.Nodes.Value = nil }, "resources", Mend, "no node has nvidia.com/ib_vfs"},
		"ib-kubernetes":    {func(f *Facts) { blocked(f); f.Incumbents.Value[0].Status.ReadyReplicas = 1 }, "ib-kubernetes", Mend, "kubectl -n kube-system scale deployment ib-kubernetes --replicas=0"},
		"its namesake":     {func(f *Facts) { f.Incumbents.Value[0].Status.ReadyReplicas = 1 }, "ib-kubernetes", Info, "does not take it for ib-kubernetes"},
		"before a leader":  {func(f *Facts) { f.Overview.Err = errors.New("nobody"); f.Incumbents.Value[0].Status.ReadyReplicas = 1 }, "ib-kubernetes", Mend, "runs 1 pods"},
		"it ends":          {func(f *Facts) { blocked(f); f.Incumbents.Value[0].Status.TerminatingReplicas = ptr.To[int32](1) }, "ib-kubernetes", Mend, "runs 1 pods"},
		"its lease": {func(f *Facts) {
			blocked(f)
			f.IncLeases.Value = []coordinationv1.Lease{lease(now().Add(-10 * time.Second))}
		}, "ib-kubernetes", Mend, "x holds the lease kube-system/ib-kubernetes-leader"},
		"no leader": {func(f *Facts) {
			f.Overview.Err = fault.New(fault.Unreachable, "nobody leads fabric ib", nil, "kubectl get lease")
		}, "controller", Mend, "nobody leads fabric ib; kubectl get lease"},
		"blocked":              {blocked, "controller", Mend, "does not begin: ib-kubernetes works"},
		"dry run":              {func(f *Facts) { f.Overview.Value.DryRun = true }, "controller", Info, "ibfabric plan"},
		"no admission":         {noAdmission, "admission", Info, "kubectl apply --server-side -f deploy/admission"},
		"no policy":            {func(f *Facts) { f.Admission.Value = nil }, "admission", Mend, "missing: policy ibfabric-pods, policy ibfabric-bindings"},
		"no caBundle":          {func(f *Facts) { f.Validating.Value[0].Webhooks[0].ClientConfig.CABundle = nil }, "admission", Mend, "has no caBundle"},
		"UFM away":             {func(f *Facts) { f.Overview.Value.UFM.Reads = api.Health{Error: "connection refused"} }, "ufm", Mend, "connection refused; curl -kI https://ufm1/"},
		"UFM in the clear":     {func(f *Facts) { f.Overview.Value.UFM.Target = "http://ufm1" }, "ufm", Mend, "UFM_HTTP_SCHEMA=https"},
		"UFM tells not all":    {func(f *Facts) { f.Overview.Value.UFM.Full.Unread = []pkey.PKey{0x10} }, "ufm", Mend, "members of 0x10"},
		"cannot connect":       {func(f *Facts) { f.UFM[0].Err = errors.New("timeout") }, "ufm-certificate", Info, "openssl s_client -connect ufm1:443"},
		"nobody can":           {func(f *Facts) { f.UFM[0].Err = errors.New("timeout"); f.Overview.Value.UFM.Reads.OK = false }, "ufm-certificate", Mend, "timeout"},
		"expired":              {func(f *Facts) { f.UFM[0].Certs[0].NotAfter = now().Add(-time.Hour) }, "ufm-certificate", Mend, "it has expired; # on UFM's host; ibfabric ufm cert ufm1 makes the same here:; openssl req -x509"},
		"ends soon":            {func(f *Facts) { f.UFM[0].Certs[0].NotAfter = now().Add(50 * time.Hour) }, "ufm-certificate", Mend, "it ends in 2 days"},
		"the Secret's place":   {func(f *Facts) { f.UFM[0].Certs[0].NotAfter = now() }, "ufm-certificate", Mend, "ibfabric ufm secret --controller-namespace kube-system --ufm-address ufm1"},
		"not yet":              {func(f *Facts) { f.UFM[0].Certs[0].NotBefore = now().Add(time.Hour) }, "ufm-certificate", Mend, "timedatectl"},
		"no SAN":               {func(f *Facts) { f.UFM[0].Certs[0].DNSNames = nil }, "ufm-certificate", Info, "no subjectAltName"},
		"another name":         {func(f *Facts) { f.UFM[0].Certs[0].DNSNames = []string{"ufm9"} }, "ufm-certificate", Mend, "it does not name ufm1; # on UFM's host"},
		"another signer":       {func(f *Facts) { f.UFM[0].Refused = x509.UnknownAuthorityError{} }, "ufm-certificate", Mend, "ibfabric ufm secret --certificate"},
		"nothing of the SM":    {func(f *Facts) { f.SM = nil }, "subnet-manager", Info, "curl -u USER https://ufm1/ufmRest/app/smconf -o smconf.json"},
		"weak keys":            {func(f *Facts) { f.SM.Weak = []string{"m_key is 0: any host can program ports"} }, "subnet-manager", Mend, "opensm.conf"},
		"full by default":      {func(f *Facts) { f.SM.Default = "full" }, "subnet-manager", Mend, "default_membership = limited"},
		"default not told":     {func(f *Facts) { f.SM.Default = "" }, "subnet-manager", Info, "--sm-conf"},
		"drift":                {func(f *Facts) { f.Overview.Value.Drift = 3 }, "fabric", Mend, "by 3 members; ibfabric drift"},
		"too many PKeys":       {func(f *Facts) { f.Overview.Value.Nodes.Over = 1 }, "fabric", Mend, "ibfabric nodes"},
		"unclaimed":            {func(f *Facts) { f.Overview.Value.Members.Unclaimed = 2 }, "fabric", Info, "ibfabric reclaim"},
		"held for lost nodes":  {func(f *Facts) { f.Overview.Value.StuckHolds = 2 }, "fabric", Info, "ibfabric release"},
		"no operator, no pool": {func(f *Facts) { f.States.Err, f.Policies.Err, f.Pools.Err = gone, gone, gone }, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			test.spoil(&f)
			r := Examine(f, now())
			if want := test.state != Mend; r.OK != want {
				t.Errorf("nothing to mend: %t", r.OK)
			}
			if test.check == "" {
				if !slices.Contains(r.NotHere, "sriov-operator") || !slices.Contains(r.NotHere, "preflight") {
					t.Errorf("there is no occasion for %v", r.NotHere)
				}
				return
			}
			found := slices.ContainsFunc(r.Rows, func(row Row) bool {
				return row.Check == test.check && row.State == test.state && strings.Contains(row.Seen+"; "+strings.Join(row.Mend, "; "), test.says)
			})
			if !found {
				t.Errorf("no row %s %s says %q:\n%s", test.check, test.state, test.says, r.Table(false))
			}
			for _, row := range r.Rows {
				if row.State == Mend && len(row.Mend) == 0 {
					t.Errorf("nothing mends %+v", row)
				}
			}
		})
	}
}

func setStatus(u *unstructured.Unstructured, status, failed string) {
	u.Object["status"] = map[string]any{"syncStatus": status, "lastSyncError": failed}
}

func noAdmission(f *Facts) {
	f.Validating.Value, f.Mutating.Value, f.Admission.Value, f.Bindings.Value = nil, nil, nil, nil
}

func lease(renewed time.Time) coordinationv1.Lease {
	return coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "ib-kubernetes-leader"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("x"), LeaseDurationSeconds: ptr.To[int32](60), RenewTime: &metav1.MicroTime{Time: renewed}},
	}
}

// TestAnOldLeaseIsNobodys is what a crash leaves.
func TestAnOldLeaseIsNobodys(t *testing.T) {
	f := healthy()
	f.IncLeases.Value = []coordinationv1.Lease{lease(now().Add(-61 * time.Second))}
	if r := Examine(f, now()); !r.OK {
		t.Error(r.Table(false))
	}
}

// TestReadSM never shows a key.
func TestReadSM(t *testing.T) {
	const key = "0x1234567890abcdef"
	for text, want := range map[string]SM{
		`{"m_key":"` + key + `","sm_key":"0x2","sa_key":"0x3","m_key_per_port":true}`:                {},
		`{"m_key":"0x0","sm_key":"0x1","sa_key":"0x1","m_key_per_port":false}`:                       {Weak: []string{"m_key is 0", "sm_key", "sa_key", "m_key_per_port"}},
		`{"0x7fff":{"guids":[],"membership":"limited","partition":"management"},"0x1":{"guids":[]}}`: {Default: "limited"},
		`{"0x7fff":{"guids":[],"membership":"full","partition":"management"}}`:                       {Default: "full"},
		`{"0x7fff":{"guids":[],"partition":"management"}}`:                                           {},
	} {
		var sm SM
		if err := sm.ReadSM([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if sm.Default != want.Default || len(sm.Weak) != len(want.Weak) {
			t.Errorf("%s: %+v", text, sm)
		}
		for i, w := range want.Weak {
			if !strings.HasPrefix(sm.Weak[i], w) {
				t.Errorf("%q, want %q", sm.Weak[i], w)
			}
		}
	}
	for _, text := range []string{"", "[]", "{}", "null", `{"m_key":"` + key, `{"` + key + `":1}`, `{"guids":[]}`} {
		var sm SM
		if err := sm.ReadSM([]byte(text)); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestProgramsGetTheReport reads the JSON back.
func TestProgramsGetTheReport(t *testing.T) {
	text, err := json.Marshal(Examine(healthy(), now()))
	var r Report
	if err != nil || json.Unmarshal(text, &r) != nil || !r.OK || len(r.Rows) < 10 {
		t.Errorf("%v %s", err, text)
	}
}

func hooks(name string, ca []byte) admissionv1.WebhookClientConfig {
	return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Name: name}, CABundle: ca}
}
