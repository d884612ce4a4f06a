package attach

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/pkey"
)

func named(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func TestAnnotationIsReadAsMultusReadsIt(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []Element
	}{
		"none": {"", []Element{}},
		"comma list": {" ib , gpu/rail1@ib0,/c@", []Element{
			{Network: named("default", "ib"), Interface: "net1"},
			{Index: 1, Network: named("gpu", "rail1"), Interface: "ib0"},
			{Index: 2, Network: named("default", "c"), Interface: "net3"},
		}},
		"interfaces are counted over all elements": {`[{"name":"a"},{"name":"b","interface":"x"},{"name":"c","namespace":"n"}]`, []Element{
			{Network: named("default", "a"), Interface: "net1"},
			{Index: 1, Network: named("default", "b"), Interface: "x"},
			{Index: 2, Network: named("n", "c"), Interface: "net3"},
		}},
		"the old name of interface":                {`[{"name":"a","interfaceRequest":"ib0"}]`, []Element{{Network: named("default", "a"), Interface: "ib0"}}},
		"the old name of interface beside the new": {`[{"name":"a","interfaceRequest":"ib0","interface":"ib1"}]`, []Element{{Network: named("default", "a"), Interface: "ib1"}}},
		"keys in another case":                     {`[{"NAME":"a","NameSpace":"n","INTERFACE":"i"}]`, []Element{{Network: named("n", "a"), Interface: "i"}}},
		"nulls are none":                           {`[{"name":"a","namespace":null,"interface":null,"cni-args":null,"infiniband-guid":null}]`, []Element{{Network: named("default", "a"), Interface: "net1"}}},
		"a pinned GUID":                            {`[{"name":"a","infiniband-guid":"0x0200000000000001"}]`, []Element{{Network: named("default", "a"), Interface: "net1", GUID: 0x0200000000000001}}},
		"a GUID pinned in cni-args":                {`[{"name":"a","cni-args":{"guid":"02:00:00:00:00:00:00:01"}}]`, []Element{{Network: named("default", "a"), Interface: "net1", GUID: 0x0200000000000001}}},
		"what ib-kubernetes wrote":                 {`[{"name":"ib","namespace":"default","cni-args":{"guid":"02:00:00:00:00:00:00:00","mellanox.infiniband.app":"configured","pkey":"0x5"}}]`, []Element{{Network: named("default", "ib"), Interface: "net1", GUID: 0x0200000000000000, Configured: true, Recorded: []Claim{{PKey: 5, Mode: pkey.Mode{Index0: true}}}}}},
		"GUID only":                                {`[{"name":"a","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":""}}]`, []Element{{Network: named("default", "a"), Interface: "net1", GUID: 0x0200000000000001, Configured: true}}},
		"configured in another word":               {`[{"name":"a","cni-args":{"mellanox.infiniband.app":"Configured"}}]`, []Element{{Network: named("default", "a"), Interface: "net1"}}},
		"configured as a bool":                     {`[{"name":"a","cni-args":{"mellanox.infiniband.app":true}}]`, []Element{{Network: named("default", "a"), Interface: "net1"}}},
		"an empty list":                            {`[]`, []Element{}},
		"fields that are not for us":               {`[{"name":"a","mac":5,"x":{"name":1,"name":2}}]`, []Element{{Network: named("default", "a"), Interface: "net1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAnnotation("default", tc.text)
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("err %v, diff\n%s", err, diff)
			}
		})
	}
}

func TestOneBadElementHidesNoOther(t *testing.T) {
	for name, tc := range map[string]struct{ element, want string }{
		"no GUID":                     {`{"name":"a","infiniband-guid":"02:00"}`, `networks annotation, element 2: infiniband-guid: guid "02:00": not 8 bytes in hex; write 16 hex digits`},
		"GUID as a number":            {`{"name":"a","cni-args":{"guid":5}}`, `"guid" is 5, not a string; put it in quotes`},
		"pkey as a number":            {`{"name":"a","cni-args":{"pkey":7.5}}`, `"pkey" is 7.5, not a string`},
		"two GUIDs":                   {`{"name":"a","infiniband-guid":"0200000000000001","cni-args":{"guid":"0200000000000002"}}`, `infiniband-guid is 02:00:00:00:00:00:00:01, but cni-args.guid is 02:00:00:00:00:00:00:02; leave one`},
		"doubled GUID":                {`{"name":"a","infiniband-guid":"0200000000000001","Infiniband-Guid":"0200000000000002"}`, `"infiniband-guid" stands there 2 times`},
		"doubled GUID in cni-args":    {`{"name":"a","cni-args":{"guid":"0200000000000001","gu\u0069d":"0200000000000002"}}`, `"guid" stands there 2 times`},
		"doubled cni-args":            {`{"name":"a","cni-args":{},"CNI-ARGS":{"guid":"0200000000000001"}}`, `"cni-args" stands there 2 times`},
		"GUID in another case":        {`{"name":"a","cni-args":{"GUID":"0200000000000001"}}`, `nobody reads the key "GUID"; write it as "guid"`},
		"cni-args as a string":        {`{"name":"a","cni-args":"guid=1"}`, `cni-args is not an object; write it as "cni-args":{"guid":"…"}`},
		"no name":                     {`{}`, `name "" names no network`},
		"a name with its namespace":   {`{"name":"ns/a"}`, `its namespace apart`},
		"a namespace that is none":    {`{"name":"a","namespace":"N"}`, `namespace "N" is none`},
		"an interface too long":       {`{"name":"a","interface":"abcdefghijklmnop"}`, `use up to 15 characters`},
		"an interface with a slash":   {`{"name":"a","interface":"a/b"}`, `is no name of an interface`},
		"an interface that is a dot":  {`{"name":"a","interface":"."}`, `is no name of an interface`},
		"an interface of dots":        {`{"name":"a","interface":".."}`, `is no name of an interface`},
		"an interface of broken text": {`{"name":"a","interface":"a\ud800"}`, `is no name of an interface`},
		"an interface twice":          {`{"name":"a","interface":"net1"}`, `interface "net1" is that of element 1; give each element its own`},
		"null":                        {`null`, `not an object; write it as {"name":"…"}`},
		"a string":                    {`"a"`, `not an object`},
		"further without a first":     {`{"name":"a","cni-args":{"ibfabric.io/pkeys":"0x5:full"}}`, `ibfabric.io/pkeys begins with 0x5, but pkey is ""; remove both`},
		"another first":               {`{"name":"a","cni-args":{"pkey":"0x6","ibfabric.io/pkeys":"0x5:full"}}`, `begins with 0x5, but pkey is "0x6"`},
		"a record that is none":       {`{"name":"a","cni-args":{"pkey":"0x5","ibfabric.io/pkeys":"0x5"}}`, `membership is missing behind 0x5; write it as 0x5:full`},
		"a record with a bad pkey":    {`{"name":"a","cni-args":{"pkey":"1000"}}`, `did you mean 0x3e8`},
		"a record with two index 0s":  {`{"name":"a","cni-args":{"pkey":"0x5","ibfabric.io/pkeys":"0x5:full:index0,0x6:full:index0"}}`, `both want index 0`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAnnotation("default", `[{"name":"first"},`+tc.element+`,{"name":"last"}]`)
			if err != nil || len(got) != 3 {
				t.Fatalf("%d elements, %v", len(got), err)
			}
			wantProblem(t, got[1].Err, tc.want)
			if got[0].Err != nil || got[2].Err != nil || got[2].Network.Name != "last" {
				t.Errorf("the others: %+v, %+v", got[0], got[2])
			}
		})
	}
}

func TestABadPartOfACommaListHidesNoOther(t *testing.T) {
	for _, bad := range []string{"", "a/b/c", "a@b@c", "A", "ns/", "n s/a", "a@0123456789abcdef", "a@x y", "-a", "a.b", "a@b/c"} {
		got, err := ParseAnnotation("default", "first,"+bad+",last")
		if err != nil || len(got) != 3 || got[0].Err != nil || got[2].Err != nil {
			t.Fatalf("%q: %+v, %v", bad, got, err)
		}
		wantProblem(t, got[1].Err, "networks annotation, element 2: ")
	}
}

func TestWhatIsReadOfABadElementIsKept(t *testing.T) {
	got, err := ParseAnnotation("default", `[{"name":"a","interface":"ib0","cni-args":{"guid":"0200000000000001","mellanox.infiniband.app":"configured","pkey":"0x5","ibfabric.io/pkeys":"junk"}}]`)
	if err != nil || len(got) != 1 || got[0].Err == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if e := got[0]; e.GUID != 0x0200000000000001 || !e.Configured || e.Interface != "ib0" || len(e.Recorded) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestABadGUIDInOneFieldHidesNotTheOther(t *testing.T) {
	for _, arg := range []string{`5`, `"junk"`, `"0200000000000002"`} {
		got, err := ParseAnnotation("default", `[{"name":"a","infiniband-guid":"0200000000000001","cni-args":{"guid":`+arg+`}}]`)
		if err != nil || len(got) != 1 || got[0].Err == nil || got[0].GUID != 0x0200000000000001 {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
	}
}

func TestABadInterfaceTakesNoName(t *testing.T) {
	got, err := ParseAnnotation("default", `[{"name":"a","interface":5},{"name":"b","interface":"net1"}]`)
	if err != nil || len(got) != 2 || got[0].Err == nil || got[0].Interface != "" || got[1].Err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnAnnotationWithoutElementsIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"a"}`:    `networks annotation: not a list; write it as [{"name":"…"}]`,
		`"a"`:             `not a list`,
		`[{"name":"a"}`:   `networks annotation: not JSON at byte 13: unexpected end of JSON input`,
		`[{"name":"a"},]`: `not JSON at byte 15: `,
		`a,{"name":"b"}`:  `not JSON at byte 1: `,
		`[]x`:             `not JSON at byte 3: `,
	} {
		_, err := ParseAnnotation("default", text)
		wantProblem(t, err, want)
	}
}

func TestStatusShowsTheGUIDsOfIPoIBInterfaces(t *testing.T) {
	const mac = "00:00:10:49:fe:80:00:00:00:00:00:00:02:00:00:00:00:00:00:07"
	got := StatusGUIDs(`[{"name":"k8s-pod-network","interface":"eth0","mac":"0a:58:0a:f4:00:05","default":true},
		{"name":"gpu/rail1","interface":"net1","mac":"` + mac + `","ips":["172.16.11.2"]},
		{"name":"cluster-ib","mac":"` + mac + `"},
		{"name":"gpu/rail1","interface":"net2","mac":"` + strings.ToUpper(mac[:57]) + `08"},
		5, {"name":7}, {"name":"gpu/none","mac":"` + strings.Repeat("00:", 19) + `00"}, {"name":"gpu/junk","mac":"zz"}, {"name":"gpu/eui","mac":"02:00:00:00:00:00:00:01"}, null]`)
	want := []StatusGUID{
		{named("gpu", "rail1"), "net1", 0x0200000000000007},
		{named("", "cluster-ib"), "", 0x0200000000000007},
		{named("gpu", "rail1"), "net2", 0x0200000000000008},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, junk := range []string{"", "x", "{}", "null", "[", "[[]]"} {
		if got := StatusGUIDs(junk); len(got) > 0 {
			t.Errorf("%q: %v", junk, got)
		}
	}
}
