package fabric

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/ufm"
)

// logs are how much OpenSM tells of its sweeps; ufm-sim must be right with either.
func logs() map[string]bool {
	return map[string]bool{"beginnings in the log": false, "ends only": true}
}

func TestAPostReachesThePortsTableAndIsOutAgain(t *testing.T) {
	for name, quiet := range logs() {
		t.Run(name, func(t *testing.T) {
			f := newFabric(t, Config{Topology: small(), Quiet: quiet})
			u := ufm.New(t, f)
			startSM(t, f)
			a, b, stranger := small().VFPort(0, 0).GUID, small().VFPort(3, 1).GUID, small().VFPort(1, 0).GUID

			u.Add("0x10", `,"membership":"full","index0":true,"ip_over_ib":true`, a)
			u.Add("0x10", `,"membership":"limited"`, b)
			u.Add("0x20", `,"membership":"limited","ip_over_ib":false`, a, b)
			took := u.Applied()
			// At once, without another look: that is what "applied" promises.
			wantTable(t, f, a, 0x8010, 0x7fff, 0x0020)
			wantIndex0(t, f, a, 0x8010)
			wantTable(t, f, b, 0x7fff, 0x0010, 0x0020)
			wantTable(t, f, stranger, 0x7fff)
			t.Logf("applied in %s", took)
			if answer := u.Must("GET", ufm.PKeys+"/last_updated", ""); strings.Contains(answer, "null") {
				t.Errorf("last_updated: %s", answer)
			}

			u.Must("PUT", ufm.PKeys+"/qos_conf", `{"pkey":"0x10","mtu_limit":4,"rate_limit":100,"service_level":3}`)
			u.Remove("0x20", a, b)
			u.Remove("0x10", a)
			u.Applied()
			wantTable(t, f, a, 0x7fff)
			wantTable(t, f, b, 0x7fff, 0x0010)
		})
	}
}

// TestWhatIsSaidToBeAppliedIsSoWhileOpenSMSweepsByItself changes ports under OpenSM, so
// that sweeps are under way that began before the change.
func TestWhatIsSaidToBeAppliedIsSoWhileOpenSMSweepsByItself(t *testing.T) {
	for name, quiet := range logs() {
		t.Run(name, func(t *testing.T) {
			topology := Topology{Leaves: 4, Spines: 2, Hosts: 8, VFs: 8}
			f := newFabric(t, Config{Topology: topology, Quiet: quiet})
			u := ufm.New(t, f)
			startSM(t, f)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- churn(ctx, f, topology) }()
			for i := range 6 {
				g := topology.VFPort(i, 0).GUID
				u.Add(fmt.Sprintf("%#x", 0x100+i), "", g)
				u.Applied()
				wantTable(t, f, g, 0x7fff, uint16(0x8100+i))
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// churn gives one VF after another a GUID of its own until ctx ends.
func churn(ctx context.Context, f *Fabric, topology Topology) error {
	for i := 0; ctx.Err() == nil; i++ {
		host := 16 + i%16
		if err := f.SetGUID(context.WithoutCancel(ctx), VFName(host, 7), guid.GUID(0x02cc_0000_0000_0001+16*i)); err != nil {
			return err
		}
	}
	return nil
}

func TestAMemberIsThereBeforeItsPort(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	const g guid.GUID = 0x0200_0000_0000_0007
	u.Add("0x10", `,"index0":true`, g)
	u.Applied()
	if err := f.SetGUID(t.Context(), VFName(0, 1), g); err != nil {
		t.Fatal(err)
	}
	waitTable(t, f, g, 0x8010, 0x7fff)
}

func TestAHostileNameOpensNothing(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	victim, attacker := small().VFPort(0, 0).GUID, small().VFPort(1, 0).GUID
	u.Add("0x10", "", victim)
	u.Applied()
	before, err := os.ReadFile(f.PartitionsFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"x=0x10 : 0x" + attacker.Hex() + "=full ;#", "x ;\nDefault=0x7fff : ALL=full ;", "x\n", "#", ":", ";", "a b", "a,ipoib",
		"0x10", "ä", strings.Repeat("a", 5000), "x\x00",
	} {
		body := fmt.Sprintf(`{"pkey":"0x66","partition_name":%s,"guids":["%s"]}`, strconv.QuoteToASCII(strings.ToValidUTF8(name, "")), attacker.Hex())
		body = strings.ReplaceAll(body, `\x00`, `\u0000`)
		if status, answer := u.Call("POST", ufm.PKeys, body); status != http.StatusBadRequest {
			t.Errorf("%.40q: %d %s", name, status, answer)
		}
	}
	if after, err := os.ReadFile(f.PartitionsFile()); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed to\n%s%v", after, err)
	}
	u.Add("0x20", "", attacker) // the others go on
	u.Applied()
	wantTable(t, f, victim, 0x7fff, 0x8010)
	wantTable(t, f, attacker, 0x7fff, 0x8020)
}

func TestAThousandPortsAreInPlaceAfterAsManyCallsAsPartitions(t *testing.T) {
	topology := Topology{Leaves: 8, Spines: 4, Hosts: 5, VFs: 25}
	f := newFabric(t, Config{Topology: topology})
	u := ufm.New(t, f)
	startSM(t, f)
	const tenants = 10
	members := make([][]guid.GUID, tenants)
	for i := range topology.Leaves * topology.Hosts * topology.VFs {
		members[i%tenants] = append(members[i%tenants], topology.VFPort(i/topology.VFs, i%topology.VFs).GUID)
	}
	for i, guids := range members {
		u.Add(fmt.Sprintf("%#x", 0x100+i), `,"index0":true`, guids...)
	}
	u.Add("0x20", `,"membership":"limited"`, slices.Concat(members...)...) // storage for all
	t.Logf("the last of %d ports was in place after %s", tenants*len(members[0]), u.Applied())
	for i, guids := range members {
		for _, g := range guids {
			wantTable(t, f, g, 0x7fff, uint16(0x8100+i), 0x0020)
			if g == guids[0] || g == guids[len(guids)-1] {
				wantIndex0(t, f, g, uint16(0x8100+i))
			}
		}
	}
}

func TestChangesWaitForAnOpenSMThatIsAway(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	a, b := small().VFPort(0, 0).GUID, small().VFPort(0, 1).GUID
	u.Add("0x10", "", a)
	u.Applied()
	f.StopSM()
	u.Add("0x10", "", b)
	u.Complaint("not applied")
	for _, e := range u.Journal() {
		if e.Op == "add" && e.Seq == u.LastAdd() && !e.Applied.IsZero() {
			t.Errorf("without OpenSM a change counts as applied: %+v", e)
		}
	}
	startSM(t, f)
	u.Applied()
	wantTable(t, f, a, 0x7fff, 0x8010)
	wantTable(t, f, b, 0x7fff, 0x8010)
}

func TestPartitionsOutliveARestartOfUFMSim(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	a, b := small().VFPort(0, 0).GUID, small().VFPort(0, 1).GUID
	u.Add("0x10", `,"membership":"limited","partition_name":"storage","ip_over_ib":false`, a)
	u.Must("PUT", ufm.PKeys+"/qos_conf", `{"pkey":"0x10","mtu_limit":4,"rate_limit":200}`)
	shown := u.Must("GET", ufm.PKeys+"/0x10?guids_data=true&qos_conf=true", "")
	u.Crash()
	u.Start()
	if again := u.Must("GET", ufm.PKeys+"/0x10?guids_data=true&qos_conf=true", ""); again != shown {
		t.Errorf("%s became %s", shown, again)
	}
	u.Add("0x20", "", b)
	u.Applied()
	wantTable(t, f, a, 0x7fff, 0x0010)
	wantTable(t, f, b, 0x7fff, 0x8020)
}

// TestOpenSMTakesALineThatItCannotReadAsNoPartitionsAtAll is why ufm-sim proofreads.
func TestOpenSMTakesALineThatItCannotReadAsNoPartitionsAtAll(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	a, b := small().VFPort(0, 0).GUID, small().VFPort(0, 1).GUID
	u.Add("0x10", "", a)
	u.Applied()
	body, err := os.ReadFile(f.PartitionsFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.PartitionsFile(), append(body, "p=0x11 : 0x02oo=full ;\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	waitTable(t, f, b, 0xffff)
	u.Add("0x20", "", b) // the next change mends what was done by hand
	u.Applied()
	wantTable(t, f, b, 0x7fff, 0x8020)
}

// TestAPartitionsQoSIsItsIPoIBGroups asks for the multicast group that every IPoIB
// interface of a partition joins; who asks must be a member, so OpenSM's own port is.
func TestAPartitionsQoSIsItsIPoIBGroups(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	const body = `{"pkey":"%s","guids":["%s"],"ip_over_ib":%v,"mtu_limit":4,"rate_limit":100,"service_level":0}`
	u.Must("PUT", ufm.PKeys, fmt.Sprintf(body, "0x10", smGUID.Hex(), true))
	u.Must("PUT", ufm.PKeys, fmt.Sprintf(body, "0x11", smGUID.Hex(), false))
	u.Applied()
	group := func(key string) string {
		text, err := output(f.client(t.Context(), "usr/sbin/saquery", "MCMR", "--mgid", "ff12:401b:"+key+"::ffff:ffff"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// The two top bits say "exactly"; 5 is 4,096 bytes and 16 is 100 Gb/s.
	if got := group("8010"); !strings.Contains(got, "mtu.....................0x85") || !strings.Contains(got, "rate....................0x90") {
		t.Errorf("the group of 0x10:\n%s", got)
	}
	if got := group("8011"); strings.Contains(got, "MGID") {
		t.Errorf("0x11 is not for IPoIB and has a group:\n%s", got)
	}
}

// TestAnEmptyPartitionIsNoMistake holds for one that was made ahead of its members.
func TestAnEmptyPartitionIsNoMistake(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	u := ufm.New(t, f)
	startSM(t, f)
	u.Must("POST", ufm.PKeys+"/add", `{"pkey":"0x10"}`)
	u.Applied()
	wantTable(t, f, small().VFPort(0, 0).GUID, 0x7fff)
	if text := u.Must("GET", ufm.PKeys+"/0x10", ""); !strings.Contains(text, "api_pkey_0x10") {
		t.Errorf("it is not there: %s", text)
	}
}
