package claim

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
)

func TestAConfigKeepsEveryByteButItsPKey(t *testing.T) {
	for _, tc := range []struct{ config, want string }{
		{`{"type":"ib-sriov"}`, `{"type":"ib-sriov","pkey":"0x1000"}`},
		{`{"type":"ib-sriov","pkey":"0x5"}`, `{"type":"ib-sriov","pkey":"0x1000"}`},
		{` { "pkey" : 17 , "type":"ib-sriov" } `, ` { "pkey" : "0x1000" , "type":"ib-sriov" } `},
		{`{"pkey":null,"type":"ib-sriov"}`, `{"pkey":"0x1000","type":"ib-sriov"}`},
		{`{"PKey":"","type":"ib\u002dsriov","x":1e400}`, `{"PKey":"0x1000","type":"ib\u002dsriov","x":1e400}`},
		{
			`{"name":"ü","plugins":[{"type":"tuning","pkey":"0x7"},{"type" : "ib-sriov","ipam":{"pkey":"0x8"}},3]}`,
			`{"name":"ü","plugins":[{"type":"tuning","pkey":"0x7"},{"type" : "ib-sriov","pkey":"0x1000","ipam":{"pkey":"0x8"}},3]}`,
		},
	} {
		got, err := setPKey(tc.config, 0x1000)
		if err != nil || got != tc.want {
			t.Errorf("%s\nbecame %s (%v)\nwant   %s", tc.config, got, err, tc.want)
		}
	}
	for _, config := range []string{``, `{`, `null`, `7`, `[]`, `{"type":"macvlan"}`, `{"plugins":{"type":"ib-sriov"}}`, `{"plugins":["ib-sriov"]}`, `{"type":["ib-sriov"]}`, `{"a":1}{"type":"ib-sriov"}`} {
		if got, err := setPKey(config, 0x1000); !errors.Is(err, errNoPlugin) {
			t.Errorf("%s became %s (%v)", config, got, err)
		}
	}
}

// configs are NADs' configs, with oddities that two readers may see two things in.
func configs() *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"})
	pair := rapid.Custom(func(t *rapid.T) string {
		key := rapid.SampledFrom([]string{`"type"`, `"Type"`, `"pkey"`, `"PKEY"`, `"pke\u0079"`, `"name"`, `"plugins"`}).Draw(t, "key")
		value := rapid.SampledFrom([]string{`"ib-sriov"`, `"ib\u002dsriov"`, `"macvlan"`, `"0x5"`, `5`, `null`, `{"pkey":"0x6"}`, `[{"type":"ib-sriov"}]`, `[]`}).Draw(t, "value")
		return space.Draw(t, "before") + key + space.Draw(t, "mid") + ":" + value + space.Draw(t, "after")
	})
	object := rapid.Map(rapid.SliceOfN(pair, 0, 4), func(pairs []string) string { return "{" + strings.Join(pairs, ",") + "}" })
	chain := rapid.Map(rapid.SliceOfN(object, 0, 3), func(list []string) string { return `{"plugins": [` + strings.Join(list, " , ") + `]}` })
	return rapid.OneOf(object, chain, rapid.String())
}

func source(config string, annotations map[string]string) *nadv1.NetworkAttachmentDefinition {
	nad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "rail", Annotations: annotations}}
	nad.Spec.Config = config
	return nad
}

func train() *v1alpha1.PartitionClaim {
	return &v1alpha1.PartitionClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "train", UID: "8d3c"}}
}

func TestACopyIsInTheClaimsPartitionForWhoeverReadsItOrIsRefused(t *testing.T) {
	all := configs()
	rapid.Check(t, func(t *rapid.T) {
		config := all.Draw(t, "config")
		out, err := copied(train(), source(config, nil), "copy", 0x1000)
		if err != nil {
			if !errors.As(err, &refusedError{}) {
				t.Fatalf("%s: %v is no refusal", config, err)
			}
			return
		}
		if !json.Valid([]byte(out.Spec.Config)) {
			t.Fatalf("%s became %s", config, out.Spec.Config)
		}
		n, err := attach.ParseNetwork(types.NamespacedName{Namespace: "team", Name: "copy"}, out.Spec.Config, out.Annotations)
		if err != nil || len(n.Claims) != 1 || n.Claims[0].PKey != 0x1000 {
			t.Fatalf("%s became %s, read as %+v: %v", config, out.Spec.Config, n, err)
		}
		if again, err := setPKey(out.Spec.Config, 0x1000); err != nil || again != out.Spec.Config {
			t.Fatalf("%s became %s, and that %s: %v", config, out.Spec.Config, again, err)
		}
	})
}

func TestAConfigThatTwoReadersWouldReadInTwoWaysIsRefused(t *testing.T) {
	for _, config := range []string{
		`{"type":"ib-sriov","pkey":"0x5","PKEY":"0x6"}`,
		`{"type":"macvlan","plugins":[{"type":"ib-sriov"}]}`,
		`{"plugins":[{"type":"ib-sriov"},{"type":"ib-sriov"}]}`,
	} {
		if out, err := copied(train(), source(config, nil), "copy", 0x1000); err == nil {
			t.Errorf("%s became %s", config, out.Spec.Config)
		}
	}
}

func TestACopyHasWhatItsSourceHasButThePartition(t *testing.T) {
	from := source(`{"type":"ib-sriov"}`, map[string]string{
		attach.PartitionAnnotation: "blue", attach.AlsoAnnotation: "0x20:limited", lastApplied: "{}", "k8s.v1.cni.cncf.io/resourceName": "vf",
	})
	from.Labels, from.Finalizers = map[string]string{"fabric": "compute"}, []string{"theirs"}
	out, err := copied(train(), from, "copy", 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Annotations) != 2 || out.Annotations[attach.AlsoAnnotation] == "" || out.Labels["fabric"] != "compute" || len(out.Finalizers) != 0 {
		t.Errorf("the copy is %+v", out.ObjectMeta)
	}
	if !owns("8d3c", out) || owns("other", out) || from.Annotations[attach.PartitionAnnotation] != "blue" {
		t.Errorf("the copy is %+v, of %+v", out.ObjectMeta, from.ObjectMeta)
	}
}
