package cli

import (
	"strings"
	"testing"
)

// TestMigrateInAClusterWithoutIBKubernetes: test/takeover has one with it.
func TestMigrateInAClusterWithoutIBKubernetes(t *testing.T) {
	f := newFake(t)
	for _, test := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"migrate", 0, "neither ib-kubernetes nor ibfabric", ""},
		{"migrate -o json", 0, `"steps": []`, ""},
		{"migrate --values", 4, "", "there are no settings of ib-kubernetes"},
		{"migrate --values -o json", 2, "", "--values are YAML"},
		{"migrate now", 2, "", "unknown command"},
	} {
		r := f.run(strings.Fields(test.args)...)
		if r.code != test.code || !strings.Contains(r.out, test.out) || !strings.Contains(r.err, test.err) {
			t.Errorf("%s: %+v", test.args, r)
		}
	}
}
