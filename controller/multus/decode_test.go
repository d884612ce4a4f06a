package multus

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAnUnknownFieldIsKeptAndWarnedOf(t *testing.T) {
	c := decode(t, ib("guid: x, pkey: '0x5'", "later: {a: [1]}"))
	want := map[string]any{"spec.ibsriov.guid": "x", "spec.later": map[string]any{"a": []any{float64(1)}}}
	if diff := cmp.Diff(want, c.Unknown); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"spec.ibsriov.guid: this field is not known and has no effect",
		"spec.later: this field is not known and has no effect",
	}, c.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestWhatMeansAnotherThingThanItSeemsIsWarnedOf(t *testing.T) {
	for spec, want := range map[string]string{
		ib("pkey: 1000", ""):                              `spec.ibsriov.pkey: the number 1000 is taken by its value, which is PKey 0x3e8; write "0x3e8"`,
		ib("pkey: 0x1000, enableIbKubernetes: false", ""): "pods will not wait for their partition",
		ib("ippools: {ipv4: [a]}", ""):                    "spec.disableIPAM: the pods get no addresses, and the ippools have no effect",
	} {
		if c := decode(t, spec); !strings.Contains(strings.Join(c.Warnings, "\n"), want) {
			t.Errorf("%s: %q", spec, c.Warnings)
		}
	}
	if c := decode(t, ib(`pkey: "0x1000"`, "")); len(c.Warnings) > 0 {
		t.Errorf("%q", c.Warnings)
	}
}

func TestAllMistakesAreToldAtOnceButNotWithoutEnd(t *testing.T) {
	_, err := Decode(object(t, `{cniType: ib-sriov, disableIPAM: 1, ibsriov: {pkey: "5", linkState: up}}`))
	for _, field := range []string{"spec.disableIPAM", "spec.ibsriov.pkey", "spec.ibsriov.linkState", "spec.ibsriov.resourceName"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not in %v", field, err)
		}
	}
	spec := map[string]any{"cniType": "ib-sriov"}
	for _, name := range []string{"sriov", "ipoib", "macvlan", "ipvlan", "vlan", "ovs", "pkey", "ippools"} {
		spec[name] = strings.Repeat("\x1b[31m", 1<<16)
	}
	_, err = Decode(&unstructured.Unstructured{Object: map[string]any{"spec": spec}})
	if err == nil || !strings.Contains(err.Error(), "(and 3 more)") {
		t.Fatalf("%v", err)
	}
	wantFit(t, err)
}

func TestWithAnErrorItIsKnownWhoseItIs(t *testing.T) {
	u := object(t, "{cniType: sriov, sriov: {}}")
	u.SetAnnotations(map[string]string{RDMAInject: "gpu"})
	c, err := Decode(u)
	if err == nil || c.Name.String() != "gpu/rail1" || c.UID != "u-1" || c.CNIType != SRIOV || len(c.groups(RDMAInject)) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAnObjectWithoutASpecIsACustomConfig(t *testing.T) {
	for _, o := range []map[string]any{nil, {}, {"spec": nil}, {"spec": map[string]any{}}} {
		if c, err := Decode(&unstructured.Unstructured{Object: o}); err != nil || c.CNIType != Custom {
			t.Errorf("%v: %+v, %v", o, c, err)
		}
	}
	if _, err := Decode(&unstructured.Unstructured{Object: map[string]any{"spec": "x"}}); err == nil || !strings.Contains(err.Error(), "spec: Invalid") {
		t.Errorf("%v", err)
	}
}

func TestNumbersCountInEveryFormThatADecoderGives(t *testing.T) {
	for _, v := range []any{4096, int64(4096), float64(4096), json.Number("4096")} {
		u := object(t, ib("", ""))
		u.Object["spec"].(map[string]any)["ibsriov"].(map[string]any)["pkey"] = v
		c, err := Decode(u)
		if err != nil || c.Main.(IBSRIOVNetwork).PKey != 0x1000 {
			t.Errorf("%T: %+v, %v", v, c.Main, err)
		}
	}
}
