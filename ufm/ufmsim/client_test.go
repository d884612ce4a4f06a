package ufmsim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// The project's own client must get along with every quirk that leaves it a way, over
// TLS with a certificate that has a common name only.
func TestTheClientUnderEveryQuirk(t *testing.T) {
	certPEM, keyPEM, err := ufmsim.SelfSigned([]string{"ufm"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, quirk := range []string{
		"", "unknown-pkey-404", "keep-empty", "list-both=full", "success-201", "utc-last-updated", "concurrent=parallel",
		"remove-missing-404", "guid-form=upper", "guid-form=0x", "padded-pkeys", "wrapped-get",
	} {
		t.Run(quirk, func(t *testing.T) {
			cfg := ufmsim.Config{Token: "tok", CertPEM: certPEM, KeyPEM: keyPEM}
			if name, value, _ := strings.Cut(quirk, "="); name != "" {
				if err := cfg.Quirks.Set(name, value); err != nil {
					t.Fatal(err)
				}
			}
			sim, err := ufmsim.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			srv, err := sim.Start("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			for i, who := range []ufm.Credentials{{Username: "admin", Password: ufm.NewSecret("123456")}, {Token: ufm.NewSecret("tok")}} {
				who.Certificate = string(certPEM)
				client, err := ufm.New(ufm.Config{Addresses: []string{srv.Addr()}, Credentials: ufm.Static(who)})
				if err != nil {
					t.Fatal(err)
				}
				useClient(t, client, sim, pkey.PKey(0x10+i))
				client.Close()
			}
		})
	}
}

func useClient(t *testing.T, client *ufm.Client, sim *ufmsim.Sim, p pkey.PKey) {
	t.Helper()
	ctx := t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	want := []pkey.Member{
		{GUID: 0x02000000000000ab, Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}},
		{GUID: 0x02000000000000ac, Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}},
	}
	before, err := client.Partition(ctx, p)
	must("read what is not there", err)
	_, err = client.Add(ctx, p, pkey.Batch{Mode: want[0].Mode, IPoIB: true, GUIDs: []guid.GUID{want[0].GUID, want[1].GUID}})
	must("add", err)
	after, err := client.Partition(ctx, p)
	must("read", err)
	all, err := client.Partitions(ctx)
	must("list", err)
	if diff := cmp.Diff(want, after.Members); diff != "" || before.Members != nil || len(all) < 2 {
		t.Errorf("%s, before %v, all %v", diff, before, all)
	}
	qos := pkey.QoS{MTULimit: 4, RateLimit: 200, ServiceLevel: 1}
	must("set qos", client.SetQoS(ctx, p, qos))
	if got, known, err := client.QoS(ctx, p); got != qos || !known || err != nil {
		t.Errorf("qos %v, %v, %v", got, known, err)
	}
	if updated, err := client.LastUpdated(ctx); err != nil || updated == "" {
		t.Errorf("last updated %q, %v", updated, err)
	}
	for range 2 { // the second finds nothing
		_, err = client.Remove(ctx, p, []guid.GUID{want[0].GUID, want[1].GUID})
		must("remove", err)
	}
	if left := sim.Members(p); len(left) != 0 {
		t.Errorf("left is %v", left)
	}
}

// One way to use a Sim: start it, point a client at it, look at what came.
func Example() {
	sim, err := ufmsim.New(ufmsim.Config{PlainHTTP: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv, err := sim.Start("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	_ = sim.Preload(pkey.Partition{PKey: 0x5, Members: []pkey.Member{{GUID: 0x0200000000000001}}})
	for _, m := range sim.Members(0x5) {
		fmt.Println(m.GUID.Hex(), m.Mode)
	}
	// Output: 0200000000000001 full
}
