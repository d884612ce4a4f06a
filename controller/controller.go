// Package controller gives pods their place on the fabric: it turns pods and the
// networks they name into GUIDs, members of partitions in UFM, and the annotation that
// the CNI waits for.
//
//	pods, NADs -> attach (pure) -> guid.Pool -> ledger -> UFM, one PKey at a time -> one patch a pod
//
// Two queues are the whole concurrency, of pods and of PKeys. What the controller knows
// is the ledger (who owns what) and the view (what UFM shows); a partition's worker makes
// the second like the first, by pkey.Diff. Everything can be called again at any time.
package controller

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Config is what a controller is told.
type Config struct {
	Fabric    string          // names lease, ledger and gate; one controller a fabric
	Networks  labels.Selector // which NADs are this fabric's, by their labels
	Namespace string          // of the ledger and the lease
	GUIDs     []guid.Range
	Scope     pkey.Scope // which PKeys may be changed
	Policy    SyncPolicy

	SyncEvery     time.Duration // full read of UFM, never below 30 s in production
	SummaryEvery  time.Duration
	Hold          time.Duration // before a freed GUID is given to somebody else
	LeaseDuration time.Duration
	FabricTimeout time.Duration // of one call to UFM
	WaitApplied   bool          // a change counts when LastUpdated has moved

	Chunk         int // GUIDs in one call to UFM
	FabricWorkers int // changes that UFM gets at a time
	PodWorkers    int

	PKeyEntries int // of a node's HCA, the default PKey's among them; 0: not looked at
}

// gatePrefix begins the scheduling gates of every fabric.
const gatePrefix = "ibfabric.io/"

// Gate is the scheduling gate that admission puts on and release takes away.
func (c Config) Gate() string { return gatePrefix + c.Fabric }

// Deps are what a controller works with.
type Deps struct {
	Pods   *PodCache
	Cache  cache.Cache   // NADs and nodes, as by CacheOptions
	Client client.Client // direct
	Fabric Fabric
	Record *record.Recorder
	Grants Grants // nil: there are no Partitions, and every PKey is open
	// Changed hears of partitions whose Tally may be another one; it must not block. nil:
	// nobody does.
	Changed func(pkey.PKey)
	Journal Journal // nil: nobody takes down what is changed
	Rights  Rights  // of what is called like ib-kubernetes
	Lease   *Lease  // nil: nobody else runs, and nothing is asked
	// Identity of this process, as written into the ledger.
	Identity string
	Now      func() time.Time
	After    func(time.Duration) <-chan time.Time
}

// Controller is one fabric's controller. It works while it leads.
type Controller struct {
	cfg       Config
	cache     cache.Cache
	podCache  *PodCache
	client    client.Client
	fabric    Fabric
	reader    Reader    // nil: the Fabric shows nothing
	applier   Applier   // nil: it does not tell when changes are applied
	qualifier Qualifier // nil: it sets no quality of service
	grants    Grants
	changed   func(pkey.PKey)
	journal   Journal
	rec       *record.Recorder
	lease     *Lease
	now       func() time.Time
	after     func(time.Duration) <-chan time.Time

	ledger    *ledger.Ledger
	store     *ledger.Store
	pool      *guid.Pool
	view      *view
	unclaimed *unclaimed

	partitions workqueue.TypedRateLimitingInterface[pkey.PKey]
	pods       workqueue.TypedRateLimitingInterface[types.NamespacedName]
	turns      *semaphore.Weighted // a turn is a change that UFM is asked for
	kick       chan struct{}       // asks for a full read now

	incumbent *incumbent
	namesakes *rights.Namesakes     // of ib-kubernetes
	waiting   atomic.Pointer[error] // what outwait met last

	health      *health
	notes       *notes
	reasons     *reasons
	calls       *calls
	reclaims    *reclaims
	full        atomic.Pointer[FullRead] // the last full read
	drifts      map[pkey.PKey]int        // found last, by the one goroutine that judges
	drifted     driftCounts
	networks    networkReadings
	refusals    *refusals
	barred      *barred
	quota       *quota
	qualities   *qualities
	listed      atomic.Pointer[map[pkey.PKey]bool] // the partitions that UFM listed last
	patched     *patchedPods
	pending     *pending
	starving    *podSet        // wait for a GUID to become free
	crowded     *podSet        // wait for a node with room for their PKeys
	budget      *budget.Budget // nil: nodes are not looked at
	suspects    suspects
	ready       readiness
	lastApplied moment
	ledSince    moment
	adopted     chan struct{} // closed when adoption is done
}

// New makes a controller.
func New(cfg Config, d Deps) (*Controller, error) {
	pool, err := guid.NewPool(cfg.GUIDs...)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		cfg: cfg, cache: d.Cache, podCache: d.Pods, client: d.Client, fabric: d.Fabric, rec: d.Record, lease: d.Lease,
		now: d.Now, after: d.After, ledger: ledger.New(), pool: pool,
		unclaimed: newUnclaimed(), pending: newPending(), starving: newPodSet(), crowded: newPodSet(), kick: make(chan struct{}, 1),
		notes:    newNotes(),
		networks: networkReadings{by: map[types.NamespacedName]networkReading{}},
		refusals: &refusals{until: map[member]time.Time{}},
		barred:   newBarred(), quota: newQuota(), qualities: newQualities(), grants: d.Grants, changed: d.Changed,
		patched:  newPatchedPods(),
		suspects: suspects{}, adopted: make(chan struct{}),
		incumbent: newIncumbent(d.Client, d.Rights, d.Now), namesakes: rights.NewNamesakes(d.Record, d.Now), journal: d.Journal,
		calls: newCalls(d.Now), reasons: newReasons(), reclaims: newReclaims(), drifts: map[pkey.PKey]int{},
	}
	if cfg.PKeyEntries > 0 {
		c.budget = budget.New(cfg.PKeyEntries)
	}
	c.reader, _ = d.Fabric.(Reader)
	c.view = newView(c.reader == nil)
	c.applier, _ = d.Fabric.(Applier)
	c.qualifier, _ = d.Fabric.(Qualifier)
	if c.changed == nil {
		c.changed = func(pkey.PKey) {}
	}
	if c.grants == nil {
		c.grants = allOpen{}
	}
	c.grants.OnChange(c.grantsChanged)
	c.partitions = newQueue("partitions", workqueue.Queue[pkey.PKey](newOldestFirst(d.Now, c.pending.oldest)))
	c.pods = newQueue[types.NamespacedName]("pods", nil)
	c.turns = semaphore.NewWeighted(int64(cfg.FabricWorkers))
	if c.journal == nil {
		c.journal = noJournal{}
	}
	c.health = &health{rec: d.Record, now: d.Now, recovered: c.enqueueAllPartitions}
	c.store = &ledger.Store{
		Ledger: c.ledger, Client: d.Client, Namespace: cfg.Namespace, Fabric: cfg.Fabric, Leader: d.Identity,
		Leading: c.leading, StillLeading: c.stillLeading, Found: c.foundLater,
	}
	return c, nil
}

// NeedLeaderElection says that only the leader works.
func (c *Controller) NeedLeaderElection() bool { return true }

// Adopted is closed when this replica leads and has read what there is.
func (c *Controller) Adopted() <-chan struct{} { return c.adopted }

// Start works until ctx ends. It is called once, when this replica leads, and begins when
// ib-kubernetes does not work in this cluster. An error is for the process to end with.
func (c *Controller) Start(ctx context.Context) error {
	c.ledSince.store(c.now())
	if c.lease != nil {
		c.lease.KeepUntil(c.removeAfter())
	}
	if !c.podCache.Synced(ctx) || !c.grants.Synced(ctx) || c.outwait(ctx) != nil {
		return nil // ctx ended, and nothing had begun
	}
	c.rec.Log(record.LeaderElected, record.Fields{Detail: c.leadDetail()})
	defer c.rec.Log(record.LeaderStopped, record.Fields{})
	if err := c.adopt(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("adopt what is there: %w", err)
	}
	if err := c.listen(ctx); err != nil {
		return err
	}
	close(c.adopted)
	c.enqueueAllPartitions()

	group, ctx := errgroup.WithContext(ctx)
	// One more than UFM takes changes at a time: the ledger's write for one partition goes
	// on while UFM is busy with another.
	for range c.cfg.FabricWorkers + 1 {
		group.Go(func() error { work(ctx, c.partitions, c.syncPartition, heard[pkey.PKey](c)); return nil })
	}
	for range c.cfg.PodWorkers {
		group.Go(func() error { work(ctx, c.pods, c.syncPod, heard[types.NamespacedName](c)); return nil })
	}
	group.Go(func() error { return c.syncLoop(ctx) })
	<-ctx.Done()
	c.partitions.ShutDown()
	c.pods.ShutDown()
	return group.Wait()
}

// enqueueAllPartitions lets every partition be looked at that a row claims, and every
// pod that waits for one.
func (c *Controller) enqueueAllPartitions() {
	for _, p := range c.ledger.PKeys() {
		c.partitions.Add(p)
	}
	for _, key := range c.pending.all() {
		c.pods.Add(key)
	}
}

// metFrom asks for a full read when another UFM answers than the one read last: a
// standby that took over may have old data.
func (c *Controller) metFrom(from string) {
	if base := c.view.baseFrom(); c.reader != nil && base != "" && from != base {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}
