package console

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/test/console/memory"
)

// serve serves the pages of a fabric in memory, with a watch, as the controller does.
func serve(t testing.TB, f *memory.Fabric, clock *memory.Clock) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(pages.Prefix, pages.New(f, clock.Now))
	mux.HandleFunc(api.PathWatch, f.ServeWatch)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections() // a watch does not end by itself
		server.Close()
	})
	return server.URL
}
