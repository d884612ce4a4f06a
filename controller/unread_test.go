package controller

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

var errSpoilt = errors.New("its guids are no list")

// unread is a partition of which UFM tells that it is there and not who is in it.
func unread(p pkey.PKey) pkey.Partition { return pkey.Partition{PKey: p, From: "ufm1", Err: errSpoilt} }

func TestAPartitionThatCannotBeReadIsUnknownAndNotEmpty(t *testing.T) {
	v := newView(false)
	v.showAll([]pkey.Partition{partition("ufm1", 1)}, v.marks(), "ufm1")
	v.showAll([]pkey.Partition{unread(5), unread(6)}, v.marks(), "ufm1")
	for _, p := range []pkey.PKey{5, 6} {
		if _, fresh := v.members(p); fresh || !v.isUnread(p) {
			t.Errorf("pkey %s is relied upon", p)
		}
	}
	if !v.shows(5, 1) {
		t.Error("what was known to be in it counts as out")
	}
	if _, fresh := v.members(7); !fresh {
		t.Error("a partition that was not listed is unknown as well")
	}
	if _, unsure := v.standing(); !unsure[5] || !unsure[6] || unsure[7] {
		t.Errorf("unsure is %v", unsure)
	}
}

func TestAnAnsweredWriteDoesNotMakeAnUnreadPartitionKnown(t *testing.T) {
	v := newView(false)
	v.showAll([]pkey.Partition{partition("ufm1", 1)}, v.marks(), "ufm1")
	v.writing(5)
	v.showAll([]pkey.Partition{unread(5)}, v.marks(), "ufm1")
	v.added(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{2}}, "ufm1")
	if _, fresh := v.members(5); fresh {
		t.Error("the members that could not be read are taken for those it had")
	}
	v.writing(5)
	v.removed(5, []guid.GUID{1}, "ufm1")
	if len(v.proven(5, []guid.GUID{1})) != 0 {
		t.Error("a GUID is out though nobody could see")
	}
	v.show(partition("ufm1", 2), v.mark(5))
	if _, fresh := v.members(5); !fresh || v.isUnread(5) || len(v.proven(5, []guid.GUID{1})) != 1 {
		t.Error("it stays unknown when it can be read again")
	}
}

// partlyReadable is a UFM some of whose partitions nobody can read.
type partlyReadable struct {
	parts map[pkey.PKey]pkey.Partition
	down  error // UFM as a whole
}

func (f *partlyReadable) Partitions(context.Context) (list []pkey.Partition, err error) {
	for _, part := range f.parts {
		list = append(list, part)
	}
	return list, f.down
}

func (f *partlyReadable) Partition(_ context.Context, p pkey.PKey) (pkey.Partition, error) {
	return f.parts[p], errors.Join(f.parts[p].Err, f.down)
}

// leader is a controller that knows no API server, and what it logs.
func leader(t *testing.T, reader Reader, guids guid.Range) (*Controller, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	events, _, err := record.NewLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := guid.NewPool(guids)
	if err != nil {
		t.Fatal(err)
	}
	c := &Controller{
		reader: reader, view: newView(false), ledger: ledger.New(), pool: pool, unclaimed: newUnclaimed(), notes: newNotes(),
		pending: newPending(), patched: newPatchedPods(), rec: record.New(events, nil), now: time.Now, cfg: Config{FabricTimeout: time.Minute, Hold: time.Minute},
		partitions: newQueue[pkey.PKey]("partitions", nil), calls: newCalls(time.Now), reasons: newReasons(), journal: noJournal{},
		reclaims: newReclaims(), drifts: map[pkey.PKey]int{},
	}
	t.Cleanup(c.partitions.ShutDown)
	c.health = &health{rec: c.rec, now: time.Now, recovered: func() {}}
	return c, &out
}

// rowIn is a live pod's row in partition p.
func rowIn(g guid.GUID, uid types.UID, p pkey.PKey) ledger.Row {
	return ledger.Row{
		GUID: g, UID: uid, Pod: types.NamespacedName{Namespace: "ns", Name: string(uid)}, Interface: "net1",
		Claims: []attach.Claim{{PKey: p, Mode: mode0}}, Sent: true, Told: true, Seen: true,
	}
}

func TestWhatCannotBeReadIsSaidOnceAndIsNobodyElsesTrouble(t *testing.T) {
	ufm := &partlyReadable{parts: map[pkey.PKey]pkey.Partition{5: partition("ufm1", 1), 6: unread(6), 9: unread(9)}}
	c, out := leader(t, ufm, guid.Range{First: 1, Last: 20})
	c.ledger.Put(rowIn(1, "sound", 5))
	c.ledger.Put(rowIn(2, "waits", 6))
	for range 3 {
		if err := c.readAll(t.Context()); err != nil {
			t.Fatalf("one partition fails the whole read: %v", err)
		}
		c.judgeMembers()
		if err := c.read(t.Context(), 6); !errors.Is(err, errSpoilt) {
			t.Errorf("its own read: %v", err)
		}
	}
	if n := c.partitions.Len(); n != 1 {
		t.Errorf("%d partitions are to be looked at, want the one that a pod waits for", n)
	}
	if key, _ := c.partitions.Get(); key != 6 {
		t.Errorf("pkey %s is looked at", key)
	}
	if said := out.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, `"pkey":"0x9"`) || !strings.Contains(said, errSpoilt.Error()) {
		t.Errorf("it said:\n%s", said)
	}
	ufm.down = errors.New("connection refused")
	if err := c.readAll(t.Context()); err == nil || !c.health.isDown() {
		t.Errorf("a UFM that is away goes unnoticed: %v", err)
	}
	ufm.down, ufm.parts[9] = nil, pkey.Partition{PKey: 9, From: "ufm1"}
	for range 2 {
		if err := c.readAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		ufm.parts[9] = unread(9)
	}
	if n := strings.Count(out.String(), `"pkey":"0x9"`); n != 2 {
		t.Errorf("it was sound in between, and was said %d times:\n%s", n, out)
	}
}

func TestAStrangersGUIDStaysOutOfUseWhileItsPartitionCannotBeRead(t *testing.T) {
	ufm := &partlyReadable{parts: map[pkey.PKey]pkey.Partition{5: partition("ufm1", 1)}}
	c, _ := leader(t, ufm, guid.Range{First: 1, Last: 1})
	at := time.Unix(1000, 0)
	c.now = func() time.Time { return at }
	for range 4 {
		if err := c.readAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.judgeMembers()
		ufm.parts[5], at = unread(5), at.Add(time.Hour)
	}
	if g, err := c.pool.Allocate(guid.Owner{UID: "u", Interface: "net1"}); err == nil {
		t.Errorf("%s was given to a pod", g)
	}
}
