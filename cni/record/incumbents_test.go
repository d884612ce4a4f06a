package record

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var key = Key{"c1", "net1"}

func cache(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "c1-net1"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ibSriovCache is the form of ib-sriov-cni's files.
const ibSriovCache = `{"ContIFNames":"net1","HostIFGUID":"02:00:00:00:00:00:00:07","HostIFNames":"ib3","Master":"ib0",
 "RdmaNetState":{"version":"1.0","deviceID":"0000:17:00.2","sandboxRdmaDevName":"mlx5_4","containerRdmaDevName":"mlx5_4"},
 "VFID":1,"args":{"cni":{"guid":"02:00:00:00:00:00:00:01"}},"cniVersion":"0.3.1","deviceID":"0000:17:00.2",
 "ipam":{"type":"host-local"},"link_state":"enable","name":"gpu1","pkey":"0x1000","rdmaIsolation":true,
 "runtimeConfig":{"infinibandGUID":""},"type":"ib-sriov"}`

func TestACacheFileOfIBSriovCNIIsUnderstood(t *testing.T) {
	got, err := Incumbents{IBSriov: cache(t, ibSriovCache)}.FromIBSriov(key)
	want := &Record{
		Plugin: "ib-sriov", Network: "gpu1", ContainerID: "c1", IfName: "net1", Device: "0000:17:00.2", Ready: true,
		Steps:    []string{StepDevice, StepLinkState, StepGUID, StepRDMA, StepNetdev, StepIPAM},
		Original: Original{Name: "ib3", NodeGUID: 0x0200000000000007, PortGUID: 0x0200000000000007, LinkState: "auto"},
	}
	if diff := cmp.Diff(want, got, unexported, cmpopts.IgnoreFields(Record{}, "Config")); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got.Stored() || string(got.Config) != ibSriovCache {
		t.Error("it is not ours to write again, and its text is what IPAM is called with")
	}
}

func TestWhatAnIBSriovCacheFileDoesNotSayIsNotUndone(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		steps []string
		guid  GUID
	}{
		"nothing set":     {`{"deviceID":"0000:17:00.2"}`, []string{StepDevice, StepNetdev}, 0},
		"vfio":            {`{"deviceID":"0000:17:00.2","vfioPciMode":true,"rdmaIsolation":true,"HostIFGUID":"FF:FF:FF:FF:FF:FF:FF:FF","ipam":{"type":"x"}}`, []string{StepDevice, StepGUID}, 0},
		"GUID of zeros":   {`{"deviceID":"0000:17:00.2","HostIFGUID":"00:00:00:00:00:00:00:00"}`, []string{StepDevice, StepGUID, StepNetdev}, 0},
		"GUID of nothing": {`{"deviceID":"0000:17:00.2","HostIFGUID":"x"}`, []string{StepDevice, StepGUID, StepNetdev}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Incumbents{IBSriov: cache(t, c.text)}.FromIBSriov(key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.steps, got.Steps); diff != "" || got.Original.PortGUID != c.guid {
				t.Errorf("GUID %x, steps (-want +got):\n%s", got.Original.PortGUID, diff)
			}
		})
	}
}

func TestACacheFileOfSriovCNIIsUnderstood(t *testing.T) {
	dir := cache(t, `{"name":"roce","deviceID":"0000:18:00.3","ipam":{"type":"whereabouts"},"DPDKMode":false,
	 "OrigVfState":{"HostIFName":"ens1f0v1","SpoofChk":true,"Trust":false,"AdminMAC":"aa:bb:cc:dd:ee:01","EffectiveMAC":"aa:bb:cc:dd:ee:02",
	 "Vlan":5,"VlanQoS":3,"VlanProto":33024,"MinTxRate":10,"MaxTxRate":100,"LinkState":1,"MTU":9000}}`)
	got, err := Incumbents{Sriov: dir}.FromSriov(key)
	want := &Record{
		Plugin: "sriov", Network: "roce", ContainerID: "c1", IfName: "net1", Device: "0000:18:00.3", Ready: true,
		Steps: []string{StepDevice, StepEthernet, StepSettings, StepNetdev, StepIPAM},
		Original: Original{Name: "ens1f0v1", LinkState: "enable", NetdevOnly: true, Ethernet: &Ethernet{
			AdminMAC: "aa:bb:cc:dd:ee:01", EffectiveMAC: "aa:bb:cc:dd:ee:02", VLAN: 5, VLANQoS: 3, VLANProto: 0x8100,
			MinTxRate: 10, MaxTxRate: 100, SpoofCheck: true, MTU: 9000,
		}},
	}
	if diff := cmp.Diff(want, got, unexported, cmpopts.IgnoreFields(Record{}, "Config")); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestRemovingAnIncumbentsRecordRemovesItsFiles(t *testing.T) {
	dir := cache(t, `{"deviceID":"0000:18:00.3"}`)
	taken := filepath.Join(dir, "pci", "0000:18:00.3")
	if err := os.MkdirAll(filepath.Dir(taken), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(taken, []byte("/var/run/netns/x"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Incumbents{Sriov: dir}.FromSriov(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := NewStore(t.TempDir()).Remove(r); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{taken, filepath.Join(dir, "c1-net1")} {
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s is still there", file)
		}
	}
}

func TestAnAbsentCacheFileIsNoRecordAndATornOneAnError(t *testing.T) {
	for _, i := range []Incumbents{{}, {IBSriov: t.TempDir(), Sriov: t.TempDir()}} {
		if r, err := i.FromIBSriov(key); r != nil || err != nil {
			t.Errorf("ib-sriov: %v, %v", r, err)
		}
		if r, err := i.FromSriov(key); r != nil || err != nil {
			t.Errorf("sriov: %v, %v", r, err)
		}
	}
	if r, err := (Incumbents{IBSriov: cache(t, `{"deviceID":`)}).FromIBSriov(key); r != nil || err == nil {
		t.Errorf("torn: %v, %v", r, err)
	}
}

func TestAStateFileOfRDMACNIIsUnderstood(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "roce1-c1-net1")
	if err := os.WriteFile(file, []byte(`{"version":"1.0","deviceID":"0000:18:00.3","sandboxRdmaDevName":"mlx5_3","containerRdmaDevName":"mlx5_3"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Incumbents{RDMA: dir}.FromRDMA("roce1", key)
	want := &Record{Plugin: "rdma", Network: "roce1", ContainerID: "c1", IfName: "net1", Device: "0000:18:00.3", Ready: true, Steps: []string{StepRDMA}}
	if diff := cmp.Diff(want, got, unexported); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if other, err := (Incumbents{RDMA: dir}).FromRDMA("roce2", key); other != nil || err != nil {
		t.Errorf("of another network: %+v, %v", other, err)
	}
}
