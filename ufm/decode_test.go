package ufm

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func members(mode pkey.Mode, guids ...guid.GUID) []pkey.Member {
	var list []pkey.Member
	for _, g := range guids {
		list = append(list, pkey.Member{GUID: g, Mode: mode})
	}
	return list
}

func TestListIsReadInEveryShape(t *testing.T) {
	full := pkey.Mode{}
	part := func(p pkey.PKey, m ...pkey.Member) pkey.Partition {
		return pkey.Partition{PKey: p, IPoIB: true, Members: m}
	}
	for name, tc := range map[string]struct {
		body string
		want []pkey.Partition
		bare []pkey.PKey
		odd  oddities
	}{
		"object": {
			body: `{"0x2fb":{"guids":[{"guid":"946dae03005975c8","index0":true,"membership":"limited"}],"ip_over_ib":false,"partition":"api_pkey_0x2fb","new":[1]},
				"0x7fff":{"guids":[],"index0":false,"ip_over_ib":true,"membership":"limited","partition":"management"}}`,
			want: []pkey.Partition{
				{PKey: 0x2fb, Name: "api_pkey_0x2fb", Members: members(pkey.Mode{Membership: pkey.Limited, Index0: true}, 0x946dae03005975c8)},
				{PKey: pkey.Default, Name: "management", IPoIB: true},
			},
		},
		"padded, upper case, every form of guid": {
			body: `{"0X0002":{"guids":[{"guid":"02000000000000AB"},{"guid":"0x0200000000000001"},"02:00:00:00:00:00:00:02"]}}`,
			want: []pkey.Partition{part(2, members(full, 0x0200000000000001, 0x0200000000000002, g2)...)},
		},
		"no guids": {
			body: `{"0x1":{"guids":[],"partition":""},"0x2":{"guids":null,"ip_over_ib":true},"0x3":{}}`,
			want: []pkey.Partition{part(1), part(2), part(3)},
		},
		"guids of management not told": {
			body: `{"0x7fff":{"ip_over_ib":true,"partition":"management"}}`,
			want: []pkey.Partition{{PKey: pkey.Default, Name: "management", IPoIB: true}},
		},
		"guids not told": {
			body: `{"0x1":{"ip_over_ib":true,"partition":"a"},"0x2":{"guids":[7,null,{"guid":["0200000000000001"]}]}}`,
			want: []pkey.Partition{{PKey: 1}, {PKey: 2}}, bare: []pkey.PKey{1, 2},
		},
		"no port's guid": {
			body: `{"0x1":{"guids":["0x0000000000000000","zz"]},"0x2":{"guids":[{"guid":"FF:FF:FF:FF:FF:FF:FF:FF"}]}}`,
			want: []pkey.Partition{part(1), part(2)}, odd: oddities{guids: 3},
		},
		"a guid in several partitions": {
			body: `{"0x1":{"guids":[{"guid":"0200000000000001"}]},"0x2":{"guids":[{"guid":"0200000000000001"}]}}`,
			want: []pkey.Partition{part(1, members(full, g1)...), part(2, members(full, g1)...)},
		},
		"a guid twice in one, the last counts": {
			body: `{"0x1":{"guids":[{"guid":"0200000000000001"},{"guid":"0x0200000000000001","membership":"limited"}]}}`,
			want: []pkey.Partition{part(1, members(pkey.Mode{Membership: pkey.Limited}, g1)...)},
		},
		"one guid, pkey and membership that cannot be read": {
			body: `{"error":{},"0x1":{"guids":[{"guid":"zz"},7,{"guid":"0200000000000001","membership":"both"}]}}`,
			want: []pkey.Partition{part(1, members(full, g1)...)},
			odd:  oddities{pkeys: 1, guids: 2, memberships: 1},
		},
		"list of objects": {
			body: `[{"pkey":"0x5","guids":[{"guid":"0200000000000001"}]},{"pkey":"0x6"}]`,
			want: []pkey.Partition{part(5, members(full, g1)...), {PKey: 6}}, bare: []pkey.PKey{6},
		},
		"list of names":            {body: `["0x1","0x0002"]`, want: []pkey.Partition{{PKey: 1}, {PKey: 2}}, bare: []pkey.PKey{1, 2}},
		"values of the wrong type": {body: `{"0x1":null,"0x2":"x","0x3":{"guids":{}}}`, want: []pkey.Partition{{PKey: 1}, {PKey: 2}, {PKey: 3}}, bare: []pkey.PKey{1, 2, 3}},
		"nothing in it":            {body: `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeList([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			bare := map[pkey.PKey]bool{}
			for _, p := range tc.bare {
				bare[p] = true
			}
			if diff := cmp.Diff(listing{tc.want, bare, tc.odd}, got, cmp.AllowUnexported(listing{}, oddities{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestListThatIsNoneIsAnError(t *testing.T) {
	for _, body := range []string{"", "null", "7", `"x"`, "<html></html>", `{"0x1":{`, `[{"pkey":`, `{"error":"busy"}`, `[1,2]`, `{} {}`} {
		if got, err := decodeList([]byte(body)); err == nil {
			t.Errorf("%s gave %+v", body, got)
		}
	}
}

func TestBareNamesAreReadOneByOne(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/resources/pkeys") {
			answer(200, `["0x1","0x1000"]`)(w, r)
			return
		}
		answer(200, `{"partition":"p","guids":[{"guid":"0200000000000001"}]}`)(w, r)
	})
	c := newClient(t, config(f.address()))
	list, err := c.Partitions(t.Context())
	if err != nil || len(list) != 2 || len(list[0].Members) != 1 || len(list[1].Members) != 1 || list[1].From != f.address() {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestSkippedPartsAreLoggedOnce(t *testing.T) {
	log, seen := logs()
	cfg := config(newFake(t, answer(200, `{"0x1":{"guids":[{"guid":"zz"},{"guid":"0200000000000001"}]}}`)).address())
	cfg.Log = log
	c := newClient(t, cfg)
	for range 3 {
		if list, err := c.Partitions(t.Context()); err != nil || len(list) != 1 || len(list[0].Members) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
	}
	warned := seen.FilterMessageSnippet("cannot be read").All()
	if len(warned) != 1 || warned[0].ContextMap()["guids"] != int64(1) {
		t.Errorf("warned %v", warned)
	}
}

func TestWrappedPartitionIsOpened(t *testing.T) {
	part, _, err := decodeOne(0x5, []byte(`{"0x0005":{"guids":[{"guid":"0200000000000001"}]}}`))
	if err != nil || len(part.Members) != 1 {
		t.Errorf("%+v, %v", part, err)
	}
}

func TestQualityOfService(t *testing.T) {
	want := pkey.QoS{MTULimit: 4, RateLimit: 2.5, ServiceLevel: 3}
	for body, known := range map[string]bool{
		`{"partition":"p","qos_conf":{"mtu_limit":4,"rate_limit":2.5,"service_level":3}}`:       true,
		`{"partition":"p","qos_conf":{"mtu_limit":"4","rate_limit":"2.5","service_level":"3"}}`: true,
		`{}`: false, `{"partition":"p"}`: false, `{"qos_conf":null}`: false,
	} {
		q, got, err := decodeQoS(tenant, []byte(body))
		if err != nil || got != known || known && q != want {
			t.Errorf("%s: %+v, %t, %v", body, q, got, err)
		}
	}
	if _, _, err := decodeQoS(tenant, []byte(`{"qos_conf":{"mtu_limit":"large"}}`)); err == nil {
		t.Error("a large mtu was taken")
	}
	f := newFake(t, answer(200, `{"qos_conf":{"mtu_limit":4,"rate_limit":2.5,"service_level":3}}`))
	if q, known, err := newClient(t, config(f.address())).QoS(t.Context(), tenant); q != want || !known || err != nil {
		t.Errorf("%+v, %t, %v", q, known, err)
	}
	if err := newClient(t, config(f.address())).SetQoS(t.Context(), tenant, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"pkey":"0x1000","mtu_limit":4,"rate_limit":2.5,"service_level":3}`, f.bodies[1]); diff != "" || f.asked()[1] != "PUT /ufmRest/resources/pkeys/qos_conf" {
		t.Errorf("%s\n%s", f.asked()[1], diff)
	}
	if want := "GET /ufmRest/resources/pkeys/0x1000?qos_conf=true"; f.asked()[0] != want {
		t.Errorf("asked %s", f.asked()[0])
	}
}

func TestLastUpdatedIsOpaque(t *testing.T) {
	for body, want := range map[string]string{
		`{"last_updated":"19-01-2026, 20:34:50"}`: "19-01-2026, 20:34:50",
		`{"last_updated":null}`:                   "", `{"last_updated":17}`: "17",
	} {
		c := newClient(t, config(newFake(t, answer(200, body)).address()))
		if got, err := c.LastUpdated(t.Context()); err != nil || got != want {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

func TestSubnetManagerKeysAreNotKept(t *testing.T) {
	body := `{"subnet_prefix":"0xfe80000000000000","m_key":"0x5ec4e7","sm_key":"0x1","sa_key":1,"m_key_per_port":false}`
	c := newClient(t, config(newFake(t, answer(200, body)).address()))
	conf, err := c.SMConf(t.Context())
	if err != nil || conf.SubnetPrefix != "0xfe80000000000000" || len(conf.Weak) != 3 {
		t.Errorf("%+v, %v", conf, err)
	}
	c = newClient(t, config(newFake(t, answer(200, body+"x")).address()))
	if _, err = c.SMConf(t.Context()); err == nil || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "5ec4e7") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodePartitions(f *testing.F) {
	for _, s := range []string{
		`{"0x2fb":{"guids":[{"guid":"946dae03005975c8","index0":true,"membership":"full"}],"ip_over_ib":true,"partition":"api_pkey_0x2fb"}}`,
		`{"0x2fb":{"guids":[{"guid":"946dae03`, `{"0x2fb":7}`, `{"0x1":{"guids":{"a":1},"ip_over_ib":"yes"}}`,
		`<!DOCTYPE html><html><body>502</body></html>`, `{"0X2FB":{"guids":[{"guid":"946DAE03005975C8","membership":"LIMITED"}]}}`,
		`{"0x1":{"guids":[{"guid":"0200000000000001"}]},"0x0001":{"guids":["0200000000000001"]},"0x2":{"guids":[{"guid":"0x0200000000000001"}]}}`,
		`["0x1","0x2"]`, `[{"pkey":"0x1"},{"pkey":null},7]`, `null`, ``, `{"0x1":{"0x1":{"0x1":{}}}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := decodeList([]byte(s))
		if err != nil {
			return
		}
		last := -1
		for _, p := range list.partitions {
			if int(p.PKey) <= last || p.PKey > pkey.Default {
				t.Fatalf("pkey %s behind %#x", p.PKey, last)
			}
			last = int(p.PKey)
			for i, m := range p.Members {
				if !m.GUID.IsValid() || i > 0 && m.GUID <= p.Members[i-1].GUID {
					t.Fatalf("pkey %s: member %d is %s", p.PKey, i, m.GUID)
				}
			}
			_, _, _ = decodeQoS(p.PKey, []byte(s))
		}
	})
}
