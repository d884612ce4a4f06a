package cli

import (
	"bytes"
	"context"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/clusterfake"
	"github.com/ibfabric/ibfabric/cmd/internal/golden"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

var update = flag.Bool("update", false, "write the golden files")

// now is when everything in these tests happens.
func now() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return now().Add(-d) }

// fake is a cluster with the fabric "ib" and the console of its leader.
type fake struct {
	t          *testing.T
	cluster    *clusterfake.Cluster
	console    *clusterfake.Console
	kubeconfig string
	in         string // what a person types
	asks       bool   // there is a person
}

func newFake(t *testing.T) *fake {
	t.Helper()
	t.Parallel()
	f := &fake{t: t, cluster: clusterfake.New(t), console: clusterfake.NewConsole(t)}
	f.kubeconfig = f.cluster.Kubeconfig()
	f.cluster.Lead("ib", "controller-0", f.console)
	tell(f.console)
	return f
}

// result is what came of a call.
type result struct {
	code     int
	out, err string
}

// run calls the program.
func (f *fake) run(args ...string) result { return f.runIn(f.t.Context(), args...) }

func (f *fake) runIn(ctx context.Context, args ...string) result {
	f.t.Helper()
	var out, errs bytes.Buffer
	s := Streams{
		In: strings.NewReader(f.in), Out: &out, Err: &errs, Asks: f.asks, Now: now,
		ReadPassword: func() (string, error) { return strings.TrimSpace(f.in), nil },
	}
	code := Run(ctx, append([]string{"ibfabric", "--kubeconfig", f.kubeconfig, "--wait", "0"}, args...), s)
	return result{code, out.String(), errs.String()}
}

// same compares a text with testdata/name.golden.
func same(t *testing.T, name, got string) {
	t.Helper()
	golden.Compare(t, name+".golden", got, *update)
}

func mustGUID(text string) guid.GUID {
	g, err := guid.Parse(text)
	if err != nil {
		panic(err)
	}
	return g
}

const (
	training = pkey.PKey(0x1000)
	storage  = pkey.PKey(0x20)
)

// tell has a console say of every path something that uses all columns.
func tell(c *clusterfake.Console) {
	g7, g8, g2a := mustGUID("02:00:00:00:00:00:00:07"), mustGUID("02:00:00:00:00:00:00:08"), mustGUID("02:00:00:00:00:00:00:2a")
	train := api.PodName{Namespace: "team-a", Name: "train-0", UID: "6f9619ff-8b86-d011-b42d-00c04fc964ff"}
	gone := api.PodName{Namespace: "team-b", Name: "infer-3"}
	claims := []api.Claim{{PKey: training, Partition: "training", Membership: "full", Index0: true, IPoIB: true}, {PKey: storage, Membership: "limited", IPoIB: true}}
	row := api.LedgerRow{State: api.Assigned, Since: ago(3 * time.Minute), Stored: true, Claims: claims, Node: "gpu-1"}
	held := api.LedgerRow{State: api.Held, Since: ago(2 * time.Hour), Stored: true, Claims: claims[:1], Node: "gpu-17", FreeAt: ago(110 * time.Minute), Waits: "the cluster does not know node gpu-17 any more: somebody must say that it is gone for good"}
	waiting := api.PodSummary{PodName: train, State: api.PodWaiting, Since: ago(90 * time.Second), Why: "UFM does not answer", Node: "", Interfaces: 2, GUIDs: []guid.GUID{g7}, PKeys: []pkey.PKey{storage, training}}
	done := api.PodSummary{PodName: api.PodName{Namespace: "team-a", Name: "train-1"}, State: api.PodConfigured, Since: ago(26 * time.Hour), Node: "gpu-1", Interfaces: 1, GUIDs: []guid.GUID{g8}, PKeys: []pkey.PKey{training}}

	c.Answer(api.PathOverview, api.Overview{
		Fabric: "ib", Namespace: "kube-system", Version: "v1.0.0", Policy: "sync", GUIDs: []string{"02:00:00:00:00:00:00:00..02:00:00:00:00:00:ff:ff"}, PKeys: "0x1..0x7ffe", Hold: api.Duration(10 * time.Minute),
		Leader:  api.Leader{Identity: "controller-0_1", Since: ago(5 * time.Hour), Adopted: true},
		UFM:     api.UFM{Target: "https://ufm1,ufm2", Shows: true, Address: "ufm1", Reads: api.Health{OK: true}, Writes: api.Health{Since: ago(4 * time.Minute), Error: "ufm: 503 Service Unavailable"}, Full: api.FullRead{At: ago(20 * time.Second), Took: api.Duration(1200 * time.Millisecond), From: "ufm1", Every: api.Duration(time.Minute)}},
		Members: api.Counts{Desired: 4, Actual: 3, Pending: 1, Held: 1, Unclaimed: 1, Foreign: 2}, Pool: api.Pool{Size: 65536, Owned: 3, Held: 2, Free: 65531},
		Partitions: 2, Drift: 1, DriftFound: 7, DriftRepaired: 6, Waiting: 1, Refused: 0, Oldest: &waiting, StuckHolds: 1,
		Nodes: api.NodeTotals{Limit: 128, Count: 2}, Journal: api.JournalInfo{Entries: 12}, Notices: []string{"UFM has taken no changes since 11:56: look at UFM's own log", "1 GUID waits for node gpu-17: ibfabric release --node gpu-17"}, AsOf: now(),
	})
	clusterfake.List(c, api.PathPods, done, waiting)
	clusterfake.List(c, api.PathGUIDs,
		api.GUID{GUID: g7, LedgerRow: row, Pod: train, Interface: "net1", Network: "team-a/ib"},
		api.GUID{GUID: g2a, LedgerRow: held, Pod: gone, Interface: "net1"})
	part := api.Partition{PKey: training, Name: "training", InUFM: true, InScope: true, Known: true, From: "ufm1", Members: api.Counts{Desired: 2, Actual: 1, Pending: 1, Unclaimed: 1}, Drift: 1, MaxMembers: 16, Waiting: 1, QoS: &api.QoS{MTULimit: 4, RateLimit: 200}}
	clusterfake.List(c, api.PathPartitions, api.Partition{PKey: storage, InUFM: true, InScope: true, Unknown: "UFM was not read since the last change", Members: api.Counts{Desired: 2, Actual: 2, Foreign: 2}}, part)
	c.Answer("/ibfabric/v1/partitions/0x1000", part)
	clusterfake.List(c, "/ibfabric/v1/partitions/0x1000/members",
		api.Member{PKey: training, GUID: g7, Kind: api.Ours, Wanted: "full, index 0", State: api.Assigned, Since: ago(3 * time.Minute), Pod: &train, Interface: "net1", Node: "gpu-1", Missing: "UFM has yet to be told to take it in"},
		api.Member{PKey: training, GUID: g2a, Kind: api.Unclaimed, Shown: "full, index 0"})
	clusterfake.List(c, api.PathNodes,
		api.Node{Name: "gpu-1", Needed: 3, Limit: 128, Pods: 2, PKeys: []pkey.PKey{storage, training}, Known: true, Ready: true, Since: ago(26 * time.Hour)},
		api.Node{Name: "gpu-17", Needed: 1, Limit: 128, Held: 1})
	clusterfake.List(c, api.PathDrift, api.Drift{Kind: api.DriftUnclaimed, PKey: training, GUID: g2a, What: "UFM has it, and no row explains it", Mend: "ibfabric reclaim 0x1000 02:00:00:00:00:00:00:2a"})
	clusterfake.List(c, api.PathPlan, api.Step{Verb: api.VerbAdd, PKey: training, Membership: "full, index 0", Count: 1, GUIDs: []guid.GUID{g7}, Pods: []api.PodName{train}, Why: "a pod wants it", Waits: "UFM"})
	entry := api.Entry{ID: 12, At: ago(time.Minute), Verb: api.VerbAdd, PKey: storage, Membership: "limited", Count: 1, GUIDs: []guid.GUID{g7}, Pods: []api.PodName{train}, From: "ufm1", Took: api.Duration(204 * time.Millisecond), Outcome: api.Done, Why: "a pod wants it", Leader: "controller-0_1"}
	refused := api.Entry{ID: 11, At: ago(2 * time.Minute), Verb: api.VerbRemove, PKey: training, Count: 2, GUIDs: []guid.GUID{g7, g8}, Outcome: api.Unknown, Error: "no answer", Why: "their pods ended", Times: 3, Leader: "controller-0_1"}
	clusterfake.List(c, api.PathJournal, entry, refused)
	standing := []api.Standing{{PKey: storage, Wanted: "limited", Shown: "limited", Known: true, Since: ago(time.Minute), From: "ufm1"}, {PKey: training, Wanted: "full, index 0", Known: true}}
	c.Answer(api.PathWhois, api.Whois{
		Query: "0200000000000007", Answer: []string{"guid 02:00:00:00:00:00:00:07 is interface net1 of pod team-a/train-0, since 2026-11-29T11:57:00Z."},
		GUID:    &api.WhoisGUID{GUID: g7, Kind: api.Ours, Range: true, Row: &api.GUID{GUID: g7, LedgerRow: row, Pod: train, Interface: "net1", Network: "team-a/ib"}, UFM: standing},
		Journal: []api.Entry{entry},
	})
	c.Answer("/ibfabric/v1/pods/team-a/train-0", api.Pod{
		PodSummary: waiting, Created: ago(4 * time.Minute), Exists: true, Phase: "Pending", Gate: api.Gate{Name: "ibfabric.io/ib", Closed: true},
		Attached: []api.PodInterface{
			{Interface: "net1", Network: "team-a/ib", Wanted: claims, Granted: true, Grant: "Partition training", GUID: g7, Ledger: &row, Says: &api.Annotation{}, UFM: standing, Missing: "UFM has yet to be told to take it into 0x1000"},
			{Interface: "net2", Network: "team-a/other", NetworkError: "pkey 1000: write \"0x3e8\"", Grant: "the network cannot be read"},
		},
		Missing:  []string{"UFM has yet to be told to take 02:00:00:00:00:00:00:07 into 0x1000", "network team-a/other must be mended: pkey 1000: write \"0x3e8\""},
		Timeline: []api.Moment{{At: ago(4 * time.Minute), Event: "pod.created", What: "the pod was created"}, {At: ago(3 * time.Minute), Event: "guid.assigned", What: "interface net1 got 02:00:00:00:00:00:00:07"}},
	})
}
