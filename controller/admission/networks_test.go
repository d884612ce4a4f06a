package admission

import (
	"fmt"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/admission/broken"
)

// book grants PKeys by name and number: of others there are no Partitions yet, and what is
// denied is denied.
type book struct{ denied, known map[string]pkey.PKey }

func (b book) Resolve(namespace string, claims []attach.Claim) ([]attach.Claim, error) {
	var out []attach.Claim
	for _, c := range claims {
		p, isDenied := b.denied[c.String()]
		known, isKnown := b.known[c.String()]
		switch {
		case isDenied:
			return nil, &grant.DeniedError{Namespace: namespace, PKey: p, Partition: "secret"}
		case isKnown:
			c.PKey = known
		case c.PKey == 0:
			return nil, fmt.Errorf("%w: there is no Partition %q", grant.ErrNotYet, c.Partition)
		}
		out = append(out, c)
	}
	return out, nil
}

func door(t testing.TB, scope string) *Networks {
	t.Helper()
	s, err := pkey.ParseScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	return &Networks{Selector: compute(t), Scope: s}
}

func annotated(config string, annotations map[string]string) *nadv1.NetworkAttachmentDefinition {
	n := nad("team-a", "rail1", config)
	n.Annotations = annotations
	return n
}

func TestWhatTheParserRefusesIsRefusedWithItsMend(t *testing.T) {
	all := broken.Networks()
	all["of nobody"] = broken.Network{Config: ib, Annotations: map[string]string{attach.AlsoAnnotation: "nobody"}, Mend: "name the PKey itself, as in 0x1000"}
	all["outside the scope"] = broken.Network{Config: broken.Keyed(`"0x7001"`), Mend: "choose one inside, or widen --pkey-scope"}
	for name, bad := range all {
		t.Run(name, func(t *testing.T) {
			answer := door(t, "0x1-0x7000").Handle(t.Context(), create(t, "team-a", annotated(bad.Config, bad.Annotations)))
			if answer.Allowed || !strings.Contains(answer.Result.Message, bad.Mend) || len(answer.Result.Message) > 1024 {
				t.Errorf("%.2000v; want it to say %q", answer.Result, bad.Mend)
			}
		})
	}
}

func TestAGUIDInANetworkIsRefusedHoweverItIsWritten(t *testing.T) {
	const g = `"02:00:00:00:00:00:00:01"`
	for _, config := range []string{
		`{"type":"ib-sriov","guid":` + g + `}`,
		`{"type":"ib-sriov","GUID":` + g + `}`,
		`{"type":"ib-sriov","gu\u0069d":` + g + `}`,
		`{"type":"ib-sriov","guid":` + g + `,"guid":""}`,
		`{"type":"ib-sriov","runtimeConfig":{"infinibandGUID":` + g + `}}`,
		`{"type":"ib-sriov","args":{"cni":{"guid":` + g + `}},"args":{}}`,
		`{"type":"ib-sriov","args":{"cni":{"mellanox.infiniband.app":"configured"}}}`,
		`{"plugins":[{"type":"tuning"},{"type":"ib-sriov","args":{"cni":{"pkey":"0x5"}}}]}`,
		`{"plugins":[{"type":"ib-sriov","args":{"cni":{"ibfabric.io/pkeys":"0x5:full"}}}]}`,
	} {
		answer := door(t, "").Handle(t.Context(), create(t, "team-a", nad("team-a", "rail1", config)))
		if answer.Allowed || !strings.Contains(answer.Result.Message, "pin a GUID in the pod's networks annotation") {
			t.Errorf("%s: %+v", config, answer.Result)
		}
	}
	deep := strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000)
	for _, config := range []string{
		`{"type":"ib-sriov","guid":"","args":{"cni":{"guid":null,"debug":true}},"runtimeConfig":{}}`,
		`{"type":"ib-sriov","args":{"other":{"guid":` + g + `}},"deep":` + deep + `}`,
		`{"type":"bridge","guid":` + g + `}`,
	} {
		if answer := door(t, "").Handle(t.Context(), create(t, "team-a", nad("team-a", "rail1", config))); !answer.Allowed {
			t.Errorf("%.100s: %+v", config, answer.Result)
		}
	}
}

func TestNetworksThatAreNotOursPass(t *testing.T) {
	for name, n := range map[string]*nadv1.NetworkAttachmentDefinition{
		"another plugin":         nad("team-a", "a", `{"type":"bridge","pkey":"1000"}`),
		"a file on the node":     nad("team-a", "a", ""),
		"another fabric":         nad("team-a", "a", broken.Keyed(`"1000"`), "fabric", "storage"),
		"another fabric's junk":  nad("team-a", "a", `{"type":`, "fabric", "storage"),
		"ours, as it should be":  nad("team-a", "a", ib),
		"ours, and nothing else": nad("team-a", "a", `{"type":"ib-sriov"}`),
	} {
		if answer := door(t, "0x1-0x10").Handle(t.Context(), create(t, "team-a", n)); !answer.Allowed {
			t.Errorf("%s: %+v", name, answer.Result)
		}
	}
}

func TestAnUpdateIsJudgedWhenItSaysSomethingElse(t *testing.T) {
	bad := func(edit func(*nadv1.NetworkAttachmentDefinition)) *nadv1.NetworkAttachmentDefinition {
		n := annotated(broken.Keyed(`"1000"`), map[string]string{attach.MembershipAnnotation: "limited"})
		edit(n)
		return n
	}
	old := bad(func(*nadv1.NetworkAttachmentDefinition) {})
	for name, tc := range map[string]struct {
		edit func(*nadv1.NetworkAttachmentDefinition)
		pass bool
	}{
		"a finalizer":             {func(n *nadv1.NetworkAttachmentDefinition) { n.Finalizers = []string{"x"} }, true},
		"a label":                 {func(n *nadv1.NetworkAttachmentDefinition) { n.Labels = map[string]string{"a": "b"} }, true},
		"an annotation of others": {func(n *nadv1.NetworkAttachmentDefinition) { n.Annotations["a"] = "b" }, true},
		"an annotation of ours":   {func(n *nadv1.NetworkAttachmentDefinition) { n.Annotations[attach.AlsoAnnotation] = "0x20" }, false},
		"one of ours less":        {func(n *nadv1.NetworkAttachmentDefinition) { n.Annotations = nil }, false},
		"the config":              {func(n *nadv1.NetworkAttachmentDefinition) { n.Spec.Config += " " }, false},
		"the mend":                {func(n *nadv1.NetworkAttachmentDefinition) { n.Spec.Config = ib }, true},
	} {
		if answer := door(t, "").Handle(t.Context(), update(t, "team-a", old, bad(tc.edit))); answer.Allowed != tc.pass {
			t.Errorf("%s: %+v", name, answer.Result)
		}
	}
	others := bad(func(n *nadv1.NetworkAttachmentDefinition) { n.Labels = map[string]string{"fabric": "storage"} })
	if answer := door(t, "").Handle(t.Context(), update(t, "team-a", others, old)); answer.Allowed {
		t.Error("a label made it ours, and nobody looked at it")
	}
}

func TestGrantsAreAskedForTheNetworksOwnNamespace(t *testing.T) {
	d := door(t, "0x1-0x1000")
	d.Grants = book{
		known:  map[string]pkey.PKey{"tenant": 0x10, "far": 0x2000},
		denied: map[string]pkey.PKey{"0x30": 0x30, "secret": 0x30},
	}
	for name, tc := range map[string]struct {
		config, partition, also string
		says                    string // of the refusal; "" passes
		warns                   bool
	}{
		"a pkey of nobody":             {config: ib},
		"a Partition":                  {config: `{"type":"ib-sriov"}`, partition: "tenant"},
		"a denied pkey":                {config: broken.Keyed(`"0x30"`), says: "namespace team-a may not use pkey 0x30"},
		"a denied Partition":           {config: `{"type":"ib-sriov"}`, partition: "secret", says: "ask its owner"},
		"denied besides":               {config: ib, also: "0x30", says: "may not use pkey 0x30"},
		"one that is not there yet":    {config: `{"type":"ib-sriov"}`, partition: "later", warns: true},
		"not there yet, and denied":    {config: `{"type":"ib-sriov"}`, partition: "later", also: "0x30", says: "may not use pkey 0x30"},
		"not there yet, and too far":   {config: `{"type":"ib-sriov"}`, partition: "later", also: "0x1001", says: "widen --pkey-scope"},
		"a Partition beyond the scope": {config: `{"type":"ib-sriov"}`, partition: "far", says: "pkey 0x2000 is outside"},
	} {
		t.Run(name, func(t *testing.T) {
			n := annotated(tc.config, map[string]string{attach.PartitionAnnotation: tc.partition, attach.AlsoAnnotation: tc.also})
			answer := d.Handle(t.Context(), create(t, "team-a", n))
			if answer.Allowed != (tc.says == "") || !answer.Allowed && !strings.Contains(answer.Result.Message, tc.says) {
				t.Errorf("%+v; want it to say %q", answer.Result, tc.says)
			}
			if tc.warns != (len(answer.Warnings) > 0) {
				t.Errorf("warnings %q", answer.Warnings)
			}
		})
	}
}

func TestAGUIDIsRefusedInANetworkOfNobodyToo(t *testing.T) {
	const pinned = `{"type":"ib-sriov","guid":"02:00:00:00:00:00:00:01","pkey":"1000"}`
	theirs := func(config string) *nadv1.NetworkAttachmentDefinition {
		return nad("team-a", "net", config, "fabric", "storage")
	}
	if answer := door(t, "").Handle(t.Context(), create(t, "team-a", theirs(pinned))); answer.Allowed {
		t.Error("it passes when it is made")
	}
	if answer := door(t, "").Handle(t.Context(), update(t, "team-a", theirs(`{"type":"ib-sriov"}`), theirs(pinned))); answer.Allowed {
		t.Error("it passes when it is changed")
	}
	if answer := door(t, "").Handle(t.Context(), update(t, "team-a", theirs(pinned), theirs(pinned))); !answer.Allowed {
		t.Error("one that is there cannot be labelled")
	}
}
