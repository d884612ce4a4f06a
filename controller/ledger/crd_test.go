package ledger

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// rowSchema is what the CRD lets stand as a row.
type rowSchema struct {
	pattern *regexp.Regexp // the API server's regular expressions are Go's
	longest int64          // in characters
}

func schemaOfRows(t testing.TB) rowSchema {
	t.Helper()
	text, err := deploy.CRDs.ReadFile("crds/ledgers.ibfabric.io.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		t.Fatal(err)
	}
	row := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["rows"].Items.Schema
	pattern, err := regexp.Compile(row.Pattern)
	if err != nil || row.Type != "string" || row.MaxLength == nil {
		t.Fatalf("a row is %+v: %v", row, err)
	}
	return rowSchema{pattern: pattern, longest: *row.MaxLength}
}

// taken is implemented by testing.T and rapid.T.
type taken interface {
	Helper()
	Fatalf(string, ...any)
}

func (s rowSchema) wantTaken(t taken, text string) {
	t.Helper()
	if !s.pattern.MatchString(text) || int64(len(text)) > s.longest {
		t.Fatalf("the API server would refuse a row of %d bytes: %.500s", len(text), text)
	}
}

// A row that the API server refuses keeps its whole shard from being stored.
func TestTheCRDTakesEveryRowThatTheControllerMakes(t *testing.T) {
	crd := schemaOfRows(t)
	name := rapid.StringMatching(`[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?`)
	anything := rapid.OneOf(rapid.Just(""), rapid.Just("-"), name, rapid.String()) // what others say: a node, a device
	rapid.Check(t, func(t *rapid.T) {
		named := func(what string) types.NamespacedName {
			return types.NamespacedName{Namespace: name.Draw(t, what+"'s namespace"), Name: name.Draw(t, what)}
		}
		r := Row{
			GUID: guid.GUID(rapid.Uint64().Draw(t, "guid")), Pod: named("pod"), Network: named("network"), UID: types.UID(anything.Draw(t, "uid")),
			Interface: anything.Draw(t, "interface"), Node: anything.Draw(t, "node"), BootID: anything.Draw(t, "boot ID"),
			State: State(rapid.IntRange(0, int(Held)).Draw(t, "state")), Since: time.Unix(rapid.Int64Range(0, 1<<37).Draw(t, "since"), 5),
		}
		for range rapid.IntRange(0, 3).Draw(t, "claims") {
			r.Claims = append(r.Claims, attach.Claim{
				PKey: pkey.PKey(rapid.IntRange(1, int(pkey.Max)).Draw(t, "pkey")), IPoIB: rapid.Bool().Draw(t, "ipoib"),
				Mode: pkey.Mode{Membership: pkey.Membership(rapid.IntRange(0, 1).Draw(t, "membership")), Index0: rapid.Bool().Draw(t, "index0")},
			})
		}
		crd.wantTaken(t, r.toAPI().String())
	})
}

func TestTheCRDHasRoomForARowWithEveryPKeyThereIs(t *testing.T) {
	long := strings.Repeat("n", 253)
	r := Row{GUID: 1, Pod: types.NamespacedName{Namespace: long, Name: long}, Network: types.NamespacedName{Namespace: long, Name: long}, UID: "u", Interface: "net1", Node: long, BootID: long}
	for p := pkey.Min; p <= pkey.Max; p++ {
		r.Claims = append(r.Claims, attach.Claim{PKey: p, IPoIB: true, Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}})
	}
	schemaOfRows(t).wantTaken(t, r.toAPI().String())
}

// What kubectl edit is told at once nobody has to look for in the log.
func TestTheCRDRefusesARowThatCannotBeMeant(t *testing.T) {
	crd := schemaOfRows(t)
	crd.wantTaken(t, soundRow)
	for old, text := range map[string]string{
		"02:":             "2:",
		":01 ":            ":0A ",
		"Assigned":        "Leaving",
		"2026-01-02T":     "2026-13-02T",
		"2026-01-02":      "yesterday",
		"T03":             "t03",
		"T03:04":          "T24:04",
		"04:05Z":          "04:60Z",
		"05Z":             "05+01:00",
		"0x5:":            "5:",
		"0x5":             "0x12345",
		"0x20":            "0xZ",
		"full":            "both",
		"limited":         "limited:ipoib:index0",
		",":               ",,",
		"ns/a":            "a",
		"/a":              "/a/b",
		" u ":             "  ",
		"net1":            "net1\t",
		"rail1":           "räil1",
		"ns/rail1 - -":    "ns/rail1 -",
		"- -":             "- - -",
		soundRow:          "",
		"u net1 ns/rail1": "u net1 ns/rail1\n",
	} {
		if bad := strings.Replace(soundRow, old, text, 1); crd.pattern.MatchString(bad) || bad == soundRow {
			t.Errorf("it takes %q", bad)
		}
	}
	for _, bad := range []string{"x" + soundRow, soundRow + "\n", soundRow + " ", fmt.Sprint(soundRow, "\n", soundRow)} {
		if crd.pattern.MatchString(bad) {
			t.Errorf("it takes %q", bad)
		}
	}
}
