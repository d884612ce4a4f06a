package control

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestALedgerThatIsDeletedComesBackAlsoWhileUFMIsAway(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	fault, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503})
	if err != nil {
		t.Fatal(err)
	}
	w.logged("ufm.unavailable", "")
	if err := w.api.DeleteAllOf(t.Context(), &v1alpha1.Ledger{}, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the row is back", func() (bool, string) {
		rows := w.rows()
		return rows[g.String()].Pod == "a", fmt.Sprint(rows)
	})
	w.sim.ClearFaults(fault)
	w.inUFM(0x5, g)
}
