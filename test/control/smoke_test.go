package control

import (
	"testing"

	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestAPodGetsItsGUIDAndUFMItsMember(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x1000")
	w.start()
	w.pod("a", "rail1")
	guids := w.configured("a")
	w.inUFM(0x1000, guids...)
	w.deletePod("a")
	w.inUFM(0x1000)
	testbed.Eventually(t, "the row is held", func() (bool, string) {
		return w.rows()[guids[0].String()].State == "Held", ""
	})
}
