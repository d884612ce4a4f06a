package control

import (
	"fmt"
	"testing"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// A pod with a part of its GUIDs would keep them from others, and those theirs from it.
func TestWhereGUIDsAreFewAPodGetsAllOfItsOwnOrNone(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	waiting := map[string]bool{"a": true, "b": true, "c": true}
	for name := range waiting { // before the controller, so that all come to it at once
		w.pod(name, "rail1, rail1, rail1, rail1")
	}
	w.start("--hold=1ms", "--guid-range-end=02:00:00:00:00:00:00:06") // seven
	for len(waiting) > 0 {
		var served string
		testbed.Eventually(t, "the ledger has one pod's rows, all of them", func() (bool, string) {
			rows, of := w.rows(), map[string]int{}
			for _, r := range rows {
				of[r.Pod]++
			}
			for name := range waiting {
				if of[name] == 4 {
					served = name
				}
			}
			return served != "" && len(of) == 1, fmt.Sprint(of)
		})
		w.configured(served)
		delete(waiting, served)
		for name := range waiting {
			w.event(name, "FabricWaiting", "4 GUIDs are needed")
		}
		w.someRounds()
		if n := len(w.rows()); n != 4 {
			t.Errorf("the ledger has %d rows, want the 4 of %s", n, served)
		}
		w.deletePod(served)
	}
}
