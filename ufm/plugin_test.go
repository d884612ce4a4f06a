package ufm

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestPluginBothWays(t *testing.T) {
	f := newFake(t, nil)
	plugin := Plugin{newClient(t, config(f.address()))}
	if err := plugin.Validate(); err != nil {
		t.Fatal(err)
	}
	fabric := FromPlugin(plugin)
	if from, err := fabric.Add(t.Context(), tenant, batch(g1, g2)); err != nil || from != "ufm" {
		t.Fatalf("%q, %v", from, err)
	}
	list, err := plugin.ListGuidsInUse()
	if diff := cmp.Diff([]string{g1.String(), g2.String()}, list); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := fabric.Remove(t.Context(), tenant, []guid.GUID{g1, g2}); err != nil || len(f.members) != 0 {
		t.Errorf("%v, members %v", err, f.members)
	}
}

func TestPluginIsNotToldHalfOfABatch(t *testing.T) {
	f := newFake(t, nil)
	fabric := FromPlugin(Plugin{newClient(t, config(f.address()))})
	for name, b := range map[string]pkey.Batch{
		"limited":  {Mode: pkey.Mode{Membership: pkey.Limited, Index0: true}, IPoIB: true, GUIDs: []guid.GUID{g1}},
		"no index": {IPoIB: true, GUIDs: []guid.GUID{g1}},
		"no ipoib": {Mode: pkey.Mode{Index0: true}, GUIDs: []guid.GUID{g1}},
	} {
		_, err := fabric.Add(t.Context(), tenant, b)
		var e *Error
		if !errors.As(err, &e) || !e.Rejected() || len(f.asked()) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing is a plugin whose changes fail.
type failing struct {
	Plugin
	err error
}

func (f failing) AddGuidsToPKey(int, []net.HardwareAddr) error { return f.err }

func TestFailureOfAPluginTellsNothing(t *testing.T) {
	_, err := FromPlugin(failing{err: errors.New("oops")}).Add(t.Context(), tenant, batch(g1))
	var e *Error
	if !errors.As(err, &e) || !e.OutcomeUnknown() {
		t.Errorf("got %v", err)
	}
	own := &Error{Kind: Unavailable, Op: "add", Address: "ufm1"}
	if _, err := FromPlugin(failing{err: own}).Add(t.Context(), tenant, batch(g1)); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
}

func TestPluginRefusesWhatIsNoGUIDOrPKey(t *testing.T) {
	f := newFake(t, nil)
	plugin := Plugin{newClient(t, config(f.address()))}
	good := hardware([]guid.GUID{g1})
	for _, err := range []error{
		plugin.AddGuidsToPKey(0x1ffff, good), plugin.AddGuidsToPKey(-1, good), plugin.AddGuidsToPKey(0xffff, good),
		plugin.AddGuidsToPKey(1, []net.HardwareAddr{{1, 2, 3}}), plugin.RemoveGuidsFromPKey(1, []net.HardwareAddr{make([]byte, 8)}),
	} {
		if err == nil || len(f.asked()) != 0 {
			t.Errorf("%v, asked %v", err, f.asked())
		}
	}
}

// Who asks which GUIDs are in use gives the others away.
func TestPluginListsNothingRatherThanHalf(t *testing.T) {
	f := newFake(t, answer(200, `{"0x5":{"guids":"x"},"0x6":{"guids":[`+one+`]}}`))
	if list, err := (Plugin{newClient(t, config(f.address()))}).ListGuidsInUse(); err == nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
