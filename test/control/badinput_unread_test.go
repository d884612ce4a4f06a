package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/guid"
)

// hides spoils what UFM says of one partition, in the list and alone, and leaves out the
// GUIDs of the management partition, of which UFM names none anyway.
func hides(name string) lie {
	const spoilt = `{"guids":"many"}`
	return func(ufm http.Handler, w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/pkeys/"+name):
			fmt.Fprint(w, spoilt)
		case strings.HasSuffix(r.URL.Path, "/pkeys"):
			sound := httptest.NewRecorder()
			ufm.ServeHTTP(sound, r)
			list := map[string]json.RawMessage{}
			_ = json.Unmarshal(sound.Body.Bytes(), &list)
			list[name], list["0x7fff"] = json.RawMessage(spoilt), json.RawMessage(`{"partition":"management"}`)
			_ = json.NewEncoder(w).Encode(list)
		default:
			ufm.ServeHTTP(w, r)
		}
	}
}

// What cannot be read of somebody else's partition is not our pods' trouble.
func TestAForeignPartitionThatCannotBeReadStopsNobody(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	w.pod("a", "rail")
	s, c := w.startBehind(hides("0x9"))
	a := w.configured("a")[0]
	s.believed(t)
	w.pod("b", "rail")
	w.inUFM(0x5, a, w.configured("b")[0])
	w.deletePod("a")
	w.isHeld(a)
	if said := w.logOf("work.failed"); len(said) != 1 || !strings.Contains(said[0], "read pkey 0x9") || !strings.Contains(said[0], "guids are no list") {
		t.Errorf("it was said %d times:\n%s", len(said), strings.Join(said, "\n"))
	}
	if said := w.logOf("ufm.unavailable"); len(said) != 0 {
		t.Errorf("UFM answers, and was said not to: %v", said)
	}
	w.unharmed(c)
}

// Who needs a partition that cannot be read waits and hears why, whoever leads.
func TestAPartitionThatCannotBeReadIsItsOwnPodsTrouble(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	w.network("other", "0x6")
	s, first := w.startBehind(nil)
	w.pod("stays", "rail")
	w.pod("leaves", "rail")
	stays, leaver := w.configured("stays")[0], w.configured("leaves")[0]

	s.now(hides("0x5"))
	s.believed(t)
	w.deletePod("leaves")
	w.pod("comes", "rail")
	w.pod("beside", "other")
	beside := w.configured("beside")[0]
	w.event("comes", "FabricWaiting", "guids are no list")
	s.believed(t)
	w.nothingDone(leaver, map[guid.GUID]bool{leaver: true}, []guid.GUID{stays}, "comes")
	first.stop()

	s, second := w.startBehind(hides("0x5"))
	w.pod("late", "other")
	w.inUFM(0x6, beside, w.configured("late")[0])
	s.believed(t)
	w.nothingDone(leaver, map[guid.GUID]bool{leaver: true}, []guid.GUID{stays}, "comes")
	if said := w.logOf("ufm.unavailable"); len(said) != 0 {
		t.Errorf("UFM answers, and was said not to: %v", said)
	}

	s.now(nil)
	w.inUFM(0x5, stays, w.configured("comes")[0])
	w.isHeld(leaver)
	w.unharmed(second)
}
