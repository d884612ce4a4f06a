package ibsriov

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestTheConfigurationOfIBSriovCNIIsRead(t *testing.T) {
	got, err := ParseConfig([]byte(`{"cniVersion":"0.3.1","name":"gpu1","type":"ib-sriov","deviceID":"0000:AF:00.2","pkey":"0x1000",
	 "link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true,"capabilities":{"infinibandGUID":true},
	 "ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net91"]},"runtimeConfig":{"infinibandGUID":"02:00:00:00:00:00:00:01"},
	 "args":{"cni":{"mellanox.infiniband.app":"configured","pkey":"0x1000","others":[1,{"a":true}]}},"publishPfGuid":true}`))
	want := Config{
		CNIVersion: "0.3.1", Network: "gpu1", Device: "0000:af:00.2", LinkState: "enable", Isolate: true, GUID: 0x0200000000000001,
		Claims: []Claim{{PKey: 0x1000, Mode: pkey.Mode{Index0: true}}}, IPAM: "spiderpool", BySource: true, FabricTimeout: 90 * time.Second,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Claim{}, "Source")); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestNoKeyOfTheConfigurationSetsWhatThePluginFindsOut(t *testing.T) {
	plain := `{"deviceID":"0000:17:00.2"`
	want, err := ParseConfig([]byte(plain + `}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig([]byte(plain + `,"Master":"ib9","VFID":7,"HostIFNames":"eth0","HostIFGUID":"02:00:00:00:00:00:00:09",
	 "ContIFNames":"x","RdmaNetState":{"deviceID":"x"},"GUIDs":1,"Claims":[{"PKey":5}],"original":{"nodeGUID":"x"},"IsVFDevice":false,"steps":["x"]}`))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestTheFirstGUIDOfFourSourcesCounts(t *testing.T) {
	const capability, arg, top = `"runtimeConfig":{"infinibandGUID":"02:00:00:00:00:00:00:01"}`, `"args":{"cni":{"guid":"0200000000000002"}}`, `"guid":"0x0200000000000003"`
	for text, want := range map[string]string{
		capability + "," + arg + "," + top: "0200000000000001",
		arg + "," + top:                    "0200000000000002",
		top:                                "0200000000000003",
		`"pkey":""`:                        "0000000000000000", // the VF's own
		`"args":{"cni":{"guid":null}}`:     "0000000000000000",
	} {
		c, err := ParseConfig([]byte(`{"deviceID":"0000:17:00.2",` + text + `}`))
		if err != nil || c.GUID.Hex() != want {
			t.Errorf("%s: got %s, %v", text, c.GUID.Hex(), err)
		}
	}
}

func TestThePKeysOfTheAnnotationComeBeforeTheNetworks(t *testing.T) {
	const all, one, own = `"ibfabric.io/pkeys":"0x5:limited,0x20:full:index0"`, `"pkey":"0x6"`, `"pkey":"0x7"`
	for text, want := range map[string]string{
		own + `,"args":{"cni":{` + all + `,` + one + `}}`: "0x5 (limited) 0x20 (full, index 0)",
		own + `,"args":{"cni":{` + one + `}}`:             "0x6 (full, index 0)",
		own + `,"args":{"cni":{}}`:                        "0x7 (full)",
		`"pkey":8`:                                        "0x8 (full)",
		`"pkey":null`:                                     "",
	} {
		c, err := ParseConfig([]byte(`{"deviceID":"0000:17:00.2",` + text + `}`))
		var got []string
		for _, claim := range c.Claims {
			got = append(got, claim.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

func TestAnEntryIsFoundByItsKeyAndItsMembership(t *testing.T) {
	full, limited := pkey.Mode{Membership: pkey.Full}, pkey.Mode{Membership: pkey.Limited}
	for _, c := range []struct {
		name  string
		table []uint16
		claim Claim
		index int
		why   string
	}{
		{"full", []uint16{0xffff, 0x9000}, Claim{PKey: 0x1000, Mode: full}, 1, ""},
		{"limited", []uint16{0xffff, 0x1000}, Claim{PKey: 0x1000, Mode: limited}, 1, ""},
		{"both, full wanted", []uint16{0x1000, 0x9000}, Claim{PKey: 0x1000, Mode: full}, 1, ""},
		{"limited for full", []uint16{0x1000}, Claim{PKey: 0x1000, Mode: full}, 0, "membership"},
		{"full for limited", []uint16{0x9000}, Claim{PKey: 0x1000, Mode: limited}, 0, "membership"},
		{"index 0", []uint16{0x9000, 0xffff}, Claim{PKey: 0x1000, Mode: pkey.Mode{Index0: true}}, 0, ""},
		{"not at index 0", []uint16{0xffff, 0x9000}, Claim{PKey: 0x1000, Mode: pkey.Mode{Index0: true}}, 0, "at index 1"},
		{"empty", nil, Claim{PKey: 0x1000, Mode: full}, 0, "not in"},
	} {
		index, why := find(c.table, c.claim)
		if index != c.index || c.why == "" && why != "" || !strings.Contains(why, c.why) {
			t.Errorf("%s: index %d, %q", c.name, index, why)
		}
	}
}

func FuzzNoConfigurationPanics(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", `{"deviceID":"0000:17:00.2","args":{"cni":{"guid":[]}}}`, `{"pkey":1e9}`, `{"args":{"cni":null}}`,
		`{"deviceID":"0000:17:00.2","args":{"cni":{"ibfabric.io/pkeys":",:,"}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := ParseConfig(text)
		var coded *plugin.Error
		if err != nil && !errors.As(err, &coded) {
			t.Errorf("an error without code: %v", err)
		}
	})
}
