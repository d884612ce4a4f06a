package attach

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/pkey"
)

var nad = types.NamespacedName{Namespace: "gpu", Name: "rail1"}

func fullAt0(p pkey.PKey) Claim {
	return Claim{PKey: p, Mode: pkey.Mode{Index0: true}, IPoIB: true}
}

func TestNetworkOfARealNAD(t *testing.T) {
	conflist := `{"cniVersion":"0.3.1","name":"ib-sriov","plugins":[{"type":"ib-sriov","pkey":"0x1000","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true,"ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}]}`
	for name, tc := range map[string]struct {
		config string
		want   Network
	}{
		"a chain that Spiderpool generated":  {conflist, Network{InfiniBand: true, Claims: []Claim{fullAt0(0x1000)}}},
		"one plugin":                         {`{"type":"ib-sriov","pkey":"0x5"}`, Network{InfiniBand: true, Claims: []Claim{fullAt0(5)}}},
		"pkey as a number":                   {`{"type":"ib-sriov","pkey":4096}`, Network{InfiniBand: true, Claims: []Claim{fullAt0(0x1000)}}},
		"GUID only, no pkey":                 {`{"type":"ib-sriov"}`, Network{InfiniBand: true}},
		"GUID only, empty pkey":              {`{"type":"ib-sriov","pkey":""}`, Network{InfiniBand: true}},
		"GUID only, null pkey":               {`{"type":"ib-sriov","pkey":null}`, Network{InfiniBand: true}},
		"GUID as a capability":               {`{"type":"ib-sriov","capabilities":{"infinibandGUID":true,"ips":true}}`, Network{InfiniBand: true, GUIDField: InTopLevel}},
		"capability switched off":            {`{"type":"ib-sriov","capabilities":{"infinibandGUID":false}}`, Network{InfiniBand: true}},
		"capability beside the chain":        {`{"capabilities":{"infinibandGUID":true},"plugins":[{"type":"ib-sriov"}]}`, Network{InfiniBand: true}},
		"keys in another case, as libcni":    {`{"TYPE":"ib-sriov","PKey":"0x5"}`, Network{InfiniBand: true, Claims: []Claim{fullAt0(5)}}},
		"keys with escapes":                  {`{"type":"ib-sriov","\u0070key":"0x5"}`, Network{InfiniBand: true, Claims: []Claim{fullAt0(5)}}},
		"behind another in a chain":          {`{"plugins":[{"type":"tuning"},{"type":"ib-sriov","pkey":"0x5"}]}`, Network{InfiniBand: true, Claims: []Claim{fullAt0(5)}}},
		"a type beside a chain without ours": {`{"type":"macvlan","plugins":[{"type":"tuning"}]}`, Network{}},
		"another plugin":                     {`{"type":"macvlan","pkey":"nonsense"}`, Network{}},
		"a chain of others":                  {`{"plugins":[{"type":"sriov"},{"type":"rdma"}]}`, Network{}},
		"no type at all":                     {`{}`, Network{}},
		"a file on the node":                 {``, Network{}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Name = nad
			got, err := ParseNetwork(nad, tc.config, nil)
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("err %v, diff\n%s", err, diff)
			}
		})
	}
}

func TestNetworkSaysHowItsPartitionsAreJoined(t *testing.T) {
	const with = `{"type":"ib-sriov","pkey":"0x5"}`
	const without = `{"type":"ib-sriov"}`
	limited := pkey.Mode{Membership: pkey.Limited}
	for name, tc := range map[string]struct {
		config      string
		annotations map[string]string
		want        []Claim
	}{
		"limited":        {with, map[string]string{MembershipAnnotation: "limited"}, []Claim{{PKey: 5, Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}, IPoIB: true}}},
		"not at index 0": {with, map[string]string{Index0Annotation: "false"}, []Claim{{PKey: 5, IPoIB: true}}},
		"without IPoIB":  {with, map[string]string{IPoIBAnnotation: "false"}, []Claim{{PKey: 5, Mode: pkey.Mode{Index0: true}}}},
		"all as default": {with, map[string]string{MembershipAnnotation: "full", Index0Annotation: "true", IPoIBAnnotation: "true"}, []Claim{fullAt0(5)}},
		"further ones": {with, map[string]string{AlsoAnnotation: "storage:limited, 0x20"}, []Claim{
			fullAt0(5), {Partition: "storage", Mode: limited, IPoIB: true}, {PKey: 0x20, IPoIB: true}}},
		"a Partition by name": {without, map[string]string{PartitionAnnotation: "tenant-a.prod", AlsoAnnotation: "0x20:full"}, []Claim{
			{Partition: "tenant-a.prod", Mode: pkey.Mode{Index0: true}, IPoIB: true}, {PKey: 0x20, IPoIB: true}}},
		"annotations of others": {with, map[string]string{"k8s.v1.cni.cncf.io/resourceName": "x/y"}, []Claim{fullAt0(5)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseNetwork(nad, tc.config, tc.annotations)
			if diff := cmp.Diff(tc.want, got.Claims); err != nil || diff != "" {
				t.Errorf("err %v, diff\n%s", err, diff)
			}
		})
	}
}

func TestNetworkRefusesAndSaysWhatToWrite(t *testing.T) {
	const ours = `{"type":"ib-sriov","pkey":"0x5"}`
	for name, tc := range map[string]struct {
		config      string
		annotations map[string]string
		want        string
	}{
		"not JSON":                   {`{"type":"ib-sriov",}`, nil, `network gpu/rail1: not JSON at byte 20: `},
		"a list":                     {`[]`, nil, `not a JSON object; write {"type":"ib-sriov",…}`},
		"null":                       {`null`, nil, `not a JSON object`},
		"a type that is no string":   {`{"type":5}`, nil, `"type" is 5, not a string; put it in quotes`},
		"plugins that are no list":   {`{"plugins":{"type":"ib-sriov"}}`, nil, `plugins is not a list; write "plugins":[{`},
		"a plugin that is no object": {`{"plugins":[null]}`, nil, `plugin 1 of the chain is not an object`},
		"two of ours in a chain":     {`{"plugins":[{"type":"tuning"},{"type":"ib-sriov","pkey":"0x5"},{"type":"ib-sriov","pkey":"0x6"}]}`, nil, `plugins 2 and 3 of its chain are both ib-sriov; leave one of them`},
		"decimal pkey":               {`{"type":"ib-sriov","pkey":"1000"}`, nil, `config: pkey "1000": a PKey is written in hex: did you mean 0x3e8`},
		"management partition":       {`{"type":"ib-sriov","pkey":"0x7fff"}`, nil, `management partition`},
		"fractional pkey":            {`{"type":"ib-sriov","pkey":7.5}`, nil, `write it as a string of hex`},
		"type and a chain of ours":   {`{"type":"macvlan","plugins":[{"type":"ib-sriov"}]}`, nil, `both the type "macvlan" and a chain of plugins with ib-sriov; remove the type`},
		"doubled pkey":               {`{"type":"ib-sriov","pkey":"0x1","PKEY":"0x2"}`, nil, `"pkey" stands there 2 times; leave one of them`},
		"doubled pkey by escape":     {`{"type":"ib-sriov","pkey":"0x1","\u0070key":"0x2"}`, nil, `"pkey" stands there 2 times`},
		"doubled pkey by Unicode":    {`{"type":"ib-sriov","pkey":"0x1","p` + "\u212a" + `ey":"0x2"}`, nil, `"pkey" stands there 2 times`},
		"doubled type":               {`{"type":"macvlan","Type":"ib-sriov"}`, nil, `"type" stands there 2 times`},
		"doubled type in the chain":  {`{"plugins":[{"type":"macvlan","type":"ib-sriov"}]}`, nil, `"type" stands there 2 times`},
		"doubled plugins":            {`{"plugins":[],"pluginſ":[{"type":"ib-sriov"}]}`, nil, `"plugins" stands there 2 times`},
		"doubled capability":         {`{"type":"ib-sriov","capabilities":{"infinibandGUID":true,"infinibandGUID":false}}`, nil, `"infinibandGUID" stands there 2 times`},
		"doubled capabilities":       {`{"type":"ib-sriov","capabilities":{},"Capabilities":{"infinibandGUID":true}}`, nil, `"capabilities" stands there 2 times`},
		"capability in another case": {`{"type":"ib-sriov","capabilities":{"infinibandGuid":true}}`, nil, `nobody reads the key "infinibandGuid"; write it as "infinibandGUID"`},
		"capability as a string":     {`{"type":"ib-sriov","capabilities":{"infinibandGUID":"true"}}`, nil, `write true or false, without quotes`},
		"capabilities as a list":     {`{"type":"ib-sriov","capabilities":["infinibandGUID"]}`, nil, `capabilities is not an object`},
		"membership":                 {ours, map[string]string{MembershipAnnotation: "half"}, `ibfabric.io/membership: membership "half": write full or limited`},
		"index0":                     {ours, map[string]string{Index0Annotation: "yes"}, `ibfabric.io/index0 is "yes"; write "true" or "false"`},
		"ip-over-ib":                 {ours, map[string]string{IPoIBAnnotation: "1"}, `ibfabric.io/ip-over-ib is "1"; write "true" or "false"`},
		"pkey and partition":         {ours, map[string]string{PartitionAnnotation: "a"}, `both pkey 0x5 and ibfabric.io/partition; remove one`},
		"partition as a pkey":        {`{"type":"ib-sriov"}`, map[string]string{PartitionAnnotation: "0x5"}, `put a PKey into the config's pkey`},
		"also alone":                 {`{"type":"ib-sriov"}`, map[string]string{AlsoAnnotation: "0x20"}, `no first partition; name one in the config's pkey or in ibfabric.io/partition`},
		"also the primary":           {ours, map[string]string{AlsoAnnotation: "0x0005"}, `partition 0x5 is named twice`},
		"also one name twice":        {ours, map[string]string{AlsoAnnotation: "a,a:limited"}, `partition a is named twice`},
		"also a decimal":             {ours, map[string]string{AlsoAnnotation: "20"}, `did you mean 0x14 (that is decimal 20) or 0x20?`},
		"also a bad name":            {ours, map[string]string{AlsoAnnotation: "Storage"}, `write a PKey as 0x20 or the name of a Partition`},
		"also a trailing comma":      {ours, map[string]string{AlsoAnnotation: "storage,"}, `write it as storage:limited,0x20`},
		"also no membership":         {ours, map[string]string{AlsoAnnotation: "storage:"}, `write it as storage:limited,0x20`},
		"also index0":                {ours, map[string]string{AlsoAnnotation: "storage:full:index0"}, `write full or limited`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseNetwork(nad, tc.config, tc.annotations)
			wantProblem(t, err, tc.want)
		})
	}
}

func TestNetworkWithAnErrorSaysWhetherItIsOurs(t *testing.T) {
	for config, want := range map[string]bool{
		`{"type":"ib-sriov","pkey":"5"}`:                true,
		`{"plugins":[{"type":"ib-sriov","pkey":true}]}`: true,
		`{"plugins":[{"type":"ib-sriov"},5]}`:           true,
		`{"type":"ib-sriov"`:                            false,
	} {
		if n, err := ParseNetwork(nad, config, nil); err == nil || n.InfiniBand != want || n.Name != nad {
			t.Errorf("%s: %+v, %v", config, n, err)
		}
	}
}

func TestAProblemGivesTheErrorOfItsValue(t *testing.T) {
	_, err := ParseNetwork(nad, `{"type":"ib-sriov","pkey":"1000"}`, nil)
	var cause *pkey.ParseError
	if !errors.As(err, &cause) || cause.Text != "1000" {
		t.Errorf("%v", err)
	}
}

func TestMessagesStayShortAndPrintable(t *testing.T) {
	junk := strings.Repeat("\x1b[31m\n\u202e\xff", 1<<17)
	long := strings.Repeat("9", 1<<20)
	name := types.NamespacedName{Namespace: junk, Name: junk}
	for _, config := range []string{
		junk, `"` + long, `{"type":` + long + `}`, `{"type":"ib-sriov","pkey":` + long + `}`, `{"type":"ib-sriov","pkey":"` + long + `"}`,
		`{"type":"` + long + `","plugins":[{"type":"ib-sriov"}]}`, strings.Repeat("[", 1<<20),
		`{"type":"ib-sriov","capabilities":{"infinibandGUID":"` + long + `"}}`,
	} {
		_, err := ParseNetwork(name, config, nil)
		wantFit(t, err)
	}
	for _, key := range []string{MembershipAnnotation, Index0Annotation, IPoIBAnnotation, AlsoAnnotation, PartitionAnnotation} {
		_, err := ParseNetwork(name, `{"type":"ib-sriov"}`, map[string]string{key: junk})
		wantFit(t, err)
		_, err = ParseNetwork(name, `{"type":"ib-sriov"}`, map[string]string{key: strings.Repeat("z", 1<<20)})
		wantFit(t, err)
	}
	for _, text := range []string{
		junk, "[" + junk, long + "@" + junk, `[{"name":"` + strings.Repeat("A", 1<<20) + `"}]`, `[{"name":"a","interface":"` + long + `"}]`,
		`[{"name":"a","infiniband-guid":"` + long + `"}]`, `[{"name":"a","cni-args":{"pkey":` + long + `}}]`,
		`[{"name":"a","cni-args":{"ibfabric.io/pkeys":"` + long + `"}}]`, `[{"name":"a","cni-args":` + long + `}]`,
	} {
		elements, err := ParseAnnotation("default", text)
		if err == nil {
			err = elements[0].Err
		}
		wantFit(t, err)
	}
}
