package ufmsim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// step is one call: "METHOD path body".
type step string

func (c step) send(s *Sim) string {
	parts := append(strings.SplitN(string(c), " ", 3), "", "")
	status, body, err := send(s, parts[0], parts[1], parts[2])
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(status, " ", body)
}

const (
	get5    step = "GET /resources/pkeys/0x5?guids_data=true"
	member1      = `{"guid":"0200000000000001","index0":false,"membership":"full"}`
	made5        = `200 {"guids":[` + member1 + `],"ip_over_ib":true,"partition":"api_pkey_0x5"}`
	mgmt         = `"0x7fff":{"ip_over_ib":true,"partition":"management"}`
	post1   step = `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"]}`
	two     step = `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"memberships":["limited"]}`
)

// Every row of what is known of UFM, as it comes and as a quirk has it. want is a prefix.
func TestMatrix(t *testing.T) {
	for _, row := range []struct {
		name   string
		quirk  string // "": the default
		before []step
		last   step
		want   string
	}{
		{"unknown pkey", "", nil, get5, "200 {}"},
		{"unknown pkey", "unknown-pkey-404", nil, get5, "404 Partition 0x5"},

		{"last guid by URL", "", []step{post1, "DELETE /resources/pkeys/0x5/guids/" + step(h(1))}, get5, "200 {}"},
		{"last guid by action", "", []step{post1, `POST /actions/remove_guids_from_pkey {"pkey":"0x0005","guids":["0x0200000000000001"]}`}, get5, "200 {}"},
		{"last guid by PUT", "", []step{post1, `PUT /resources/pkeys {"pkey":"0x5","guids":[]}`}, get5, "200 {}"},
		{"last guid", "keep-empty", []step{post1, "DELETE /resources/pkeys/0x5/guids/" + step(h(1))}, get5, `200 {"guids":[],`},
		{"not the last", "", []step{post1, "DELETE /resources/pkeys/0x5/guids/" + step(h(2))}, get5, made5},

		{"POST creates", "", []step{post1}, get5, made5},
		{"POST creates, slash", "", []step{`POST /resources/pkeys/ {"pkey":"0x05","guids":["0200000000000001"]}`}, get5, made5},
		{"POST creates with QoS", "", []step{post1}, "GET /resources/pkeys/0x5?qos_conf=true", `200 {"ip_over_ib":true,"partition":"api_pkey_0x5","qos_conf":{"mtu_limit":2,"rate_limit":2.5,"service_level":0}}`},
		{"POST takes a name", "", []step{`POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"partition_name":"a\"b","ip_over_ib":false}`}, "GET /resources/pkeys/0x5", `200 {"ip_over_ib":false,"partition":"a\"b"}`},
		{"POST to missing", "post-missing-404", nil, post1, "404 Partition 0x5"},
		{"POST again sets the mode", "", []step{post1, `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"membership":"limited","index0":true}`}, get5, `200 {"guids":[{"guid":"0200000000000001","index0":true,"membership":"limited"}]`},

		{"POST memberships", "", []step{two}, get5, made5},
		{"POST memberships", "honour-memberships", []step{two}, get5, `200 {"guids":[{"guid":"0200000000000001","index0":false,"membership":"limited"}]`},

		{"PUT creates", "", []step{`PUT /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"rate_limit":100}`}, get5, made5},
		{"PUT replaces, honours memberships", "", []step{post1, `PUT /resources/pkeys/ {"pkey":"0x5","guids":["0200000000000003"],"memberships":["limited"]}`}, get5, `200 {"guids":[{"guid":"0200000000000003","index0":false,"membership":"limited"}],`},
		{"PUT to missing", "put-missing-404", nil, `PUT /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"]}`, "404 Partition"},

		{"list of guids", "", []step{post1}, "GET /resources/pkeys?guids_data=true", `200 {"0x5":{"guids":[` + member1 + `],"ip_over_ib":true,"partition":"api_pkey_0x5"},"0x7fff":{"guids":[],"index0":false,"ip_over_ib":true,"membership":"limited","partition":"management"}}`},
		{"list of both", "", []step{post1}, "GET /resources/pkeys?guids_data=true&qos_conf=true", `200 {"0x5":{"guids":[` + member1 + `],"ip_over_ib":true,"partition":"api_pkey_0x5"},`},
		{"list of both", "list-both=qos", []step{post1}, "GET /resources/pkeys?guids_data=true&qos_conf=true", `200 {"0x5":{"ip_over_ib":true,"partition":"api_pkey_0x5","qos_conf":{`},
		{"list of both", "list-both=full", []step{post1}, "GET /resources/pkeys?guids_data=true&qos_conf=true", `200 {"0x5":{"guids":[` + member1 + `],"ip_over_ib":true,"partition":"api_pkey_0x5","qos_conf":{"mtu`},
		{"old list", "", []step{post1}, "GET /actions/get_all_pkeys?guids_data=true", `200 {"0x5":{"guids":[` + member1},
		{"plain list", "", nil, "GET /resources/pkeys/", "200 {" + mgmt + "}"},
		{"plain list", "plain-list=strings", nil, "GET /resources/pkeys", `200 ["0x7fff"]`},
		{"plain list", "plain-list=list", nil, "GET /resources/pkeys", `200 [{"pkey":"0x7fff"}]`},
		{"one of both", "", []step{post1}, "GET /resources/pkeys/0x5?guids_data=true&qos_conf=true", `200 {"guids":[` + member1 + `],"ip_over_ib":true,"partition":"api_pkey_0x5","qos_conf":`},

		{"unknown guid", "", nil, post1, "200 {}"},
		{"unknown guid", "unknown-guid=404", nil, post1, "404 GUID 0200000000000001 not found"},
		{"unknown guid", "unknown-guid=500", nil, post1, "500 GUID"},
		{"known guid", "unknown-guid=404", nil, `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000063"]}`, "200 {}"},

		{"success", "success-201", nil, post1, "201 {}"},
		{"extra field", "", nil, `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"hosts_names":"x"}`, `400 property "hosts_names" was unexpected: additional properties`},
		{"extra field", "accept-extra-fields", nil, `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"hosts_names":"x"}`, "200 {}"},

		{"last_updated at start", "", nil, "GET /resources/pkeys/last_updated", `200 {"last_updated":null}`},
		{"last_updated", "", []step{post1}, "GET /resources/pkeys/last_updated", `200 {"last_updated":"19-01-2026, 20:34:50"}`},
		{"last_updated", "utc-last-updated", []step{post1}, "GET /resources/pkeys/last_updated", `200 {"last_updated":"Tue Jan 20 01:34:50 UTC 2026"}`},

		{"pkeys/add", "", []step{`POST /resources/pkeys/add {"pkey":"0x5","partition_name":"p","mtu_limit":4}`}, "GET /resources/pkeys/0x5?guids_data=true&qos_conf=true", `200 {"guids":[],"ip_over_ib":true,"partition":"p","qos_conf":{"mtu_limit":4,`},
		{"pkeys/add, empty stays", "", []step{`POST /resources/pkeys/add {"pkey":"0x5"}`, "DELETE /resources/pkeys/0x5/guids/" + step(h(1))}, get5, `200 {"guids":[]`},
		{"pkeys/add twice", "", []step{post1}, `POST /resources/pkeys/add {"pkey":"0x5"}`, "400 Partition 0x5 already"},
		{"pkeys/add twice", "duplicate-create=409", []step{post1}, `POST /resources/pkeys/add {"pkey":"0x5"}`, "409"},
		{"pkeys/add twice", "duplicate-create=accept", []step{post1, `POST /resources/pkeys/add {"pkey":"0x5"}`}, get5, made5},
		{"pkeys/add", "create-wipes", []step{post1, `POST /resources/pkeys/add {"pkey":"0x6"}`}, "GET /resources/pkeys", "200 {" + mgmt + "}"},

		{"remove from missing", "", nil, "DELETE /resources/pkeys/0x5/guids/" + step(h(1)), "200 {}"},
		{"remove from missing", "remove-missing-404", nil, "DELETE /resources/pkeys/0x5/guids/" + step(h(1)), "404"},
		{"delete", "", []step{post1, "DELETE /resources/pkeys/0x5"}, get5, "200 {}"},
		{"delete missing", "", nil, "DELETE /resources/pkeys/0x5", "404"},
		{"delete management", "", nil, "DELETE /resources/pkeys/0x7fff", "400"},
		{"add to management", "", nil, `POST /resources/pkeys {"pkey":"0x7fff","guids":["0200000000000001"]}`, "400"},

		{"qos", "", []step{post1, `PUT /resources/pkeys/qos_conf {"pkey":"0x5","mtu_limit":4,"service_level":3,"rate_limit":200}`}, "GET /resources/pkeys/0x5?qos_conf=true", `200 {"ip_over_ib":true,"partition":"api_pkey_0x5","qos_conf":{"mtu_limit":4,"rate_limit":200,"service_level":3}}`},
		{"qos goes with the last guid", "", []step{post1, `PUT /resources/pkeys/qos_conf {"pkey":"0x5","mtu_limit":4}`, "DELETE /resources/pkeys/0x5/guids/" + step(h(1)), post1}, "GET /resources/pkeys/0x5?qos_conf=true", `200 {"ip_over_ib":true,"partition":"api_pkey_0x5","qos_conf":{"mtu_limit":2,`},
		{"qos of missing", "", nil, `PUT /resources/pkeys/qos_conf {"pkey":"0x5","mtu_limit":4}`, "404"},
		{"qos of no rate", "", []step{post1}, `PUT /resources/pkeys/qos_conf {"pkey":"0x5","rate_limit":7}`, "400 rate limit 7"},

		{"guid form", "guid-form=upper", []step{`POST /resources/pkeys {"pkey":"0x5","guids":["02000000000000ab"]}`}, get5, `200 {"guids":[{"guid":"02000000000000AB"`},
		{"guid form", "guid-form=0x", []step{post1}, get5, `200 {"guids":[{"guid":"0x0200000000000001"`},
		{"pkey form", "padded-pkeys", []step{post1}, "GET /resources/pkeys", `200 {"0x0005":{`},
		{"wrapped", "wrapped-get", []step{post1}, get5, `200 {"0x5":{"guids":[` + member1 + `],"ip_over_ib":true,"partition":"api_pkey_0x5"}}`},
		{"vports", "", []step{post1}, "GET /resources/vports", "200 []"},
		{"vports", "vports", []step{post1}, "GET /resources/vports", `200 [{"virtual_port_guid":"0200000000000001"`},
		{"ports", "", nil, "GET /resources/ports?sys_type=Computer", `200 [{"dname":"HCA-1/1","external_number":1,"guid":"0200000000000063"`},
		{"ports of switches", "", nil, "GET /resources/ports?sys_type=Switch", `200 []`},
		{"long url", "", nil, "DELETE /resources/pkeys/0x5/guids/" + step(strings.Repeat(h(1)+",", 500)+h(1)), "414"},
		{"long url", "long-urls", nil, "DELETE /resources/pkeys/0x5/guids/" + step(strings.Repeat(h(1)+",", 500)+h(1)), "200"},

		{"old add", "", []step{`POST /actions/add_guids_to_pkey {"pkey":"0x5","guids":["0200000000000001"],"default_membership":"full"}`}, get5, made5},
		{"version", "", nil, "GET /app/ufm_version", `200 {"opensm":"ufm-sim","plugins":{},"ufm_release_version":"` + DefaultVersion},
		{"smconf", "", nil, "GET /app/smconf", `200 {"m_key":`},
		{"hosts", "", nil, `POST /resources/pkeys/hosts {}`, "501 ufm-sim does not do POST"},
		{"jobs", "", nil, "GET /jobs/1", "501"},
		{"nothing", "", nil, "GET /resources/nothing", "404 no such resource"},
	} {
		t.Run(row.name+" "+row.quirk, func(t *testing.T) {
			cfg := Config{
				Ports: []Port{{GUID: g(0x63), System: "host"}}, Location: time.FixedZone("", -5*3600),
				Clock: fixedClock{time.Date(2026, 1, 20, 1, 34, 50, 0, time.UTC)},
			}
			if row.quirk != "" {
				cfg.Quirks = quirks(t, row.quirk)
			}
			s := newSim(t, cfg)
			for _, c := range row.before {
				if got := c.send(s); !strings.HasPrefix(got, "20") && cfg.Quirks != (Quirks{CreateWipes: true}) {
					t.Fatalf("%s: %s", c, got)
				}
			}
			if got := row.last.send(s); !strings.HasPrefix(got, row.want) {
				t.Errorf("%s\n got %s\nwant %s", row.last, got, row.want)
			}
		})
	}
}

// fixedClock stands still; what waits on it waits for ever.
type fixedClock struct{ now time.Time }

func (c fixedClock) Now() time.Time                       { return c.now }
func (c fixedClock) After(time.Duration) <-chan time.Time { return nil }

func TestBadBodiesAreRefusedAndChangeNothing(t *testing.T) {
	s := newSim(t, Config{})
	for name, c := range map[string]step{
		"nothing":                 `POST /resources/pkeys`,
		"no json":                 `POST /resources/pkeys {`,
		"two values":              `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"]}{}`,
		"a list":                  `POST /resources/pkeys []`,
		"null":                    `POST /resources/pkeys null`,
		"no pkey":                 `POST /resources/pkeys {"guids":["0200000000000001"]}`,
		"no guids":                `POST /resources/pkeys {"pkey":"0x5"}`,
		"no guids at all":         `POST /resources/pkeys {"pkey":"0x5","guids":[]}`,
		"PUT without guids":       `PUT /resources/pkeys {"pkey":"0x5"}`,
		"pkey as number":          `POST /resources/pkeys {"pkey":5,"guids":["0200000000000001"]}`,
		"pkey decimal":            `POST /resources/pkeys {"pkey":"5","guids":["0200000000000001"]}`,
		"pkey zero":               `POST /resources/pkeys {"pkey":"0x0","guids":["0200000000000001"]}`,
		"pkey with top bit":       `POST /resources/pkeys {"pkey":"0x8005","guids":["0200000000000001"]}`,
		"guid too short":          `POST /resources/pkeys {"pkey":"0x5","guids":["200000000000001"]}`,
		"guid with colons":        `POST /resources/pkeys {"pkey":"0x5","guids":["02:00:00:00:00:00:00:01"]}`,
		"guid zero":               `POST /resources/pkeys {"pkey":"0x5","guids":["0000000000000000"]}`,
		"one bad among good":      `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001","zz00000000000001"]}`,
		"membership":              `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"membership":"both"}`,
		"both kinds":              `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"membership":"full","memberships":["full"]}`,
		"memberships of another":  `PUT /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"memberships":["full","full"]}`,
		"add with rate":           `POST /resources/pkeys/add {"pkey":"0x5","rate_limit":3}`,
		"remove without guids":    `POST /actions/remove_guids_from_pkey {"pkey":"0x5"}`,
		"url with bad guid":       `DELETE /resources/pkeys/0x5/guids/1,2`,
		"url with bad pkey":       `DELETE /resources/pkeys/five`,
		"get with bad pkey":       `GET /resources/pkeys/five`,
		"index0 as text":          `POST /resources/pkeys {"pkey":"0x5","guids":["0200000000000001"],"index0":"true"}`,
		"qos without pkey":        `PUT /resources/pkeys/qos_conf {"mtu_limit":4}`,
		"qos of a service level":  `PUT /resources/pkeys/qos_conf {"pkey":"0x5","service_level":16}`,
		"old add without any key": `POST /actions/add_guids_to_pkey {}`,
	} {
		if got := c.send(s); !strings.HasPrefix(got, "400 ") || len(got) < 10 {
			t.Errorf("%s: %s: %s", name, c, got)
		}
	}
	if parts := s.Partitions(); len(parts) != 1 {
		t.Errorf("partitions came of it: %v", parts)
	}
}
