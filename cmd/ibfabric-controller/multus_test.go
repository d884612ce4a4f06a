package main

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/controller/multus"
)

func TestWhoMayAskForNetworksIsReadFromFlags(t *testing.T) {
	s := mustParse(t, env("IBFABRIC_INJECT_NAMESPACES", "team-a, team-b"), "--inject-exclude-namespaces=team-b,,kube-system")
	want := multus.Namespaces{Include: []string{"team-a", "team-b"}, Exclude: []string{"team-b", "kube-system"}}
	if diff := cmp.Diff(want, s.Multus.Served); diff != "" {
		t.Error(diff)
	}
	if s = mustParse(t, env()); s.Multus.Mode != "auto" || !s.Multus.Served.Serves("team-c") || s.Multus.Served.Serves("kube-system") {
		t.Errorf("unsaid: %+v", s.Multus)
	}
}

func TestAWayToMakeNetworksThatIsNoneIsRefused(t *testing.T) {
	if _, err := parse([]string{"--multus-configs=yes"}, env(), io.Discard); err == nil || !strings.Contains(err.Error(), "use auto, on or off") {
		t.Error(err)
	}
}

func TestADryRunMakesAndInjectsNothing(t *testing.T) {
	for _, arg := range []string{"--sync-policy=dry-run", "--multus-configs=off"} {
		s := mustParse(t, env(), arg)
		// There is no manager to add anything to.
		if inject, err := addMultus(t.Context(), nil, s, nil, nil, nil, nil); inject != nil || err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
}
