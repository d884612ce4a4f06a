package control

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// lie answers a read in the place of ufm.
type lie func(ufm http.Handler, w http.ResponseWriter, r *http.Request)

// spoiler stands before a UFM, as a broken proxy does, and spoils what it answers to
// reads. Changes go through, and so do their answers: that is what tempts a controller
// to believe the reads.
type spoiler struct {
	ufm http.Handler

	mu   sync.Mutex // protects what follows
	how  lie        // nil: not at all
	next lie        // from the next Remove on; nil: as before
	lies int        // answers that were spoilt

	sound sync.RWMutex // held for reading by each read that is answered soundly
}

func (s *spoiler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		s.removal()
	}
	s.mu.Lock()
	how := s.how
	if how != nil && r.Method == http.MethodGet {
		s.lies++
	}
	if how == nil && r.Method == http.MethodGet {
		s.sound.RLock()
		defer s.sound.RUnlock()
	}
	s.mu.Unlock()
	if how != nil && r.Method == http.MethodGet {
		how(s.ufm, w, r)
		return
	}
	s.ufm.ServeHTTP(w, r)
}

// now lets the answers be spoilt from here on, or be sound again with nil. Sound ones that are
// under way have come by then: behind a spoilt one they would be a recovery.
func (s *spoiler) now(how lie) {
	s.mu.Lock()
	s.how, s.lies = how, 0
	s.mu.Unlock()
	s.sound.Lock()
	defer s.sound.Unlock()
}

// fromRemoval lets the answers be spoilt from when the next Remove comes: a controller that
// cannot read UFM would not send it.
func (s *spoiler) fromRemoval(how lie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = how
}

func (s *spoiler) removal() {
	s.mu.Lock()
	how := s.next
	s.next = nil
	s.mu.Unlock()
	if how != nil {
		s.now(how)
	}
}

// believed waits until the controller had many an occasion to believe a lie.
func (s *spoiler) believed(t testing.TB) {
	t.Helper()
	testbed.Eventually(t, "the controller reads spoilt answers", func() (bool, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.lies >= 6, fmt.Sprint(s.lies)
	})
}

// startBehind starts a controller that reaches UFM through a spoiler.
func (w *world) startBehind(how lie) (*spoiler, *process) {
	w.t.Helper()
	s := &spoiler{ufm: w.sim, how: how}
	srv := httptest.NewServer(s)
	w.t.Cleanup(srv.Close)
	host, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
	return s, w.startWith([]string{"UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_HTTP_SCHEMA=http"}, "--sync-period=200ms")
}

// always gives one answer to whatever is asked; header are pairs.
func always(status int, body string, header ...string) lie {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// truncated gives the first half of UFM's answer.
func truncated(ufm http.Handler, w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	ufm.ServeHTTP(whole, r)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
}

// unasked drops what stands behind the question mark: UFM then tells of a partition
// everything but its GUIDs.
func unasked(ufm http.Handler, w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/pkeys") {
		fmt.Fprint(w, `{"0x5":{"ip_over_ib":true,"partition":"api_pkey_0x5"},"0x7fff":{"ip_over_ib":true,"partition":"management"}}`)
		return
	}
	r.URL.RawQuery = ""
	ufm.ServeHTTP(w, r)
}

// spoiltAnswer is a way to spoil answers, and what the log says of it: that UFM is unavailable,
// or, of one that tells the partitions and not who is in them, that work failed.
type spoiltAnswer struct {
	how      lie
	says     string
	onlyPart bool
}

func spoiltBodies() map[string]spoiltAnswer {
	return map[string]spoiltAnswer{
		"truncated JSON":    {how: truncated, says: "unexpected end of JSON input"},
		"guids as text":     {how: always(200, `{"0x5":{"guids":"none"},"guids":"none"}`), says: "guids are no list"},
		"guids as a map":    {how: always(200, `{"0x5":{"guids":{}},"guids":{}}`), says: "guids are no list"},
		"guids as numbers":  {how: always(200, `{"0x5":{"guids":[1,2]},"guids":[1,2]}`), says: "guids can be read"},
		"guids not told":    {how: unasked, says: "it has no guids", onlyPart: true},
		"another partition": {how: always(200, `{"0x5":{"pkey":"0x9","guids":[]},"pkey":"0x9","guids":[]}`), says: "it is pkey 0x9"},
		"null":              {how: always(200, `null`), says: "JSON object"},
	}
}

func spoiltReplies() map[string]spoiltAnswer {
	return map[string]spoiltAnswer{
		"nothing":           {how: always(200, ``), says: "JSON object"},
		"a page with 200":   {how: always(200, `<html><title>Log in</title></html>`), says: "is this a UFM"},
		"a page with 502":   {how: always(502, `<html>Bad <b>Gateway</b></html>`), says: "502 Bad Gateway"},
		"404 from anybody":  {how: always(404, `404 page not found`), says: "not found (404"},
		"an error with 200": {how: always(200, `{"error":"UFM is starting"}`), says: "UFM is starting"},
		"a redirect":        {how: always(302, ``, "Location", "http://127.0.0.1:9/ufmRest"), says: "UFM sends us elsewhere"},
		"false gzip":        {how: always(200, `{"guids":[]}`, "Content-Encoding", "gzip"), says: "gzip"},
	}
}

func TestNothingIsDoneOnTheStrengthOfASpoiltBody(t *testing.T)  { tellOfSpoilt(t, spoiltBodies()) }
func TestNothingIsDoneOnTheStrengthOfASpoiltReply(t *testing.T) { tellOfSpoilt(t, spoiltReplies()) }

// tellOfSpoilt lets one pod stay, and at each way to spoil answers one leave and one come.
func tellOfSpoilt(t *testing.T, ways map[string]spoiltAnswer) {
	w := newWorld(t)
	w.network("rail", "0x5")
	s, c := w.startBehind(nil)
	w.pod("stays", "rail")
	members := w.configured("stays")
	left := map[guid.GUID]bool{}
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		w.under(t, name, func() {
			w.pod(named("leaves "+name), "rail")
			leaver := w.configured(named("leaves " + name))[0]
			left[leaver] = true
			event := "ufm.unavailable"
			if ways[name].onlyPart {
				event = "work.failed"
			}
			before := len(w.logOf(event))

			s.fromRemoval(ways[name].how)
			w.deletePod(named("leaves " + name))
			testbed.Eventually(t, "its Remove went through", func() (bool, string) { return !slices.Contains(w.members(0x5), leaver), "" })
			w.pod(named("comes "+name), "rail")
			s.now(ways[name].how)
			s.believed(t)
			w.logged(event, ways[name].says)
			w.nothingDone(leaver, left, members, named("comes "+name))
			if said := w.logOf(event)[before:]; len(said) != 1 || !strings.Contains(said[0], ways[name].says) {
				t.Errorf("it was said %d times:\n%s", len(said), strings.Join(said, "\n"))
			}

			s.now(nil)
			members = append(members, w.configured(named("comes " + name))[0])
			w.inUFM(0x5, members...)
			w.isHeld(leaver)
		})
	}
	w.unharmed(c)
}

// nothingDone wants that neither a GUID was held nor a member removed nor a pod let go
// on because of what a read said.
func (w *world) nothingDone(leaver guid.GUID, left map[guid.GUID]bool, stay []guid.GUID, comes string) {
	w.t.Helper()
	if row := w.rows()[leaver.String()]; row.State != v1alpha1.Assigned {
		w.t.Errorf("%s was held while nobody could see whether it is out: %+v", leaver, row)
	}
	came := w.elements(comes)[0] // before UFM is looked at: it may be let in meanwhile
	have := w.members(0x5)
	for _, g := range stay {
		if !slices.Contains(have, g) {
			w.t.Errorf("%s is no longer a member", g)
		}
	}
	for _, e := range w.sim.Journal() {
		for _, m := range e.Members {
			if e.Op == ufmsim.OpRemove && !left[m.GUID] {
				w.t.Errorf("%s was removed, and its pod lives", m.GUID)
			}
		}
	}
	if came.Configured && !slices.Contains(have, came.GUID) {
		w.t.Errorf("%s was let go on with %s, which UFM does not have", comes, came.GUID)
	}
}

// A leader that cannot read UFM allocates nothing: whose GUIDs are in there it must know.
func TestALeaderWaitsForASoundAnswerBeforeItAllocates(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	w.pod("a", "rail")
	s, c := w.startBehind(always(200, `{"0x5":{"guids":"none"}}`))
	s.believed(t)
	w.logged("work.failed", "read UFM")
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("it allocated: %v", rows)
	}
	s.now(nil)
	w.inUFM(0x5, w.configured("a")[0])
	w.unharmed(c)
}

// An empty list is what a UFM says that lost everything: what should be there is put in
// again, and nothing else follows from it.
func TestAnEmptyListRemovesAndHoldsNothing(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	s, c := w.startBehind(nil)
	w.pod("stays", "rail")
	w.pod("leaves", "rail")
	stays, leaver := w.configured("stays")[0], w.configured("leaves")[0]
	s.now(always(200, `{}`))
	s.believed(t)
	w.logged("drift.found", "0x5")
	for _, e := range w.sim.Journal() {
		if e.Op == ufmsim.OpRemove {
			t.Errorf("something was removed: %+v", e)
		}
	}
	s.now(nil)
	w.inUFM(0x5, stays, leaver)
	w.deletePod("leaves")
	w.inUFM(0x5, stays)
	w.isHeld(leaver)
	w.unharmed(c)
}
