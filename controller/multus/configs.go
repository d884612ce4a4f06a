package multus

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/ibfabric/ibfabric/controller/optional"
)

// servedPoll is how often it is looked whether the API server serves the kind, as long as
// it does not. While it does, the watch itself tells when that ends.
const servedPoll = 5 * time.Second

// Configs follows the SpiderMultusConfigs of a cluster and knows what comes of each. The
// kind may come and go while it runs. It runs on every replica: the webhook asks.
type Configs struct {
	objects    dynamic.ResourceInterface
	served     func(context.Context) (bool, error)
	spiderpool *Spiderpool
	after      func(time.Duration) <-chan time.Time

	mu        sync.Mutex // protects what follows
	absent    bool       // the kind is not served
	synced    bool       // the kind is served, and all there is was read
	settings  Settings   // that by was read with
	theirs    bool       // Spiderpool's controller runs
	by        map[types.NamespacedName]reading
	all       []Candidate // of by; nil when it must be made anew
	followers map[int]func(types.NamespacedName)
	next      int
}

// NewConfigs makes one. served tells whether the API server serves the kind now.
func NewConfigs(client dynamic.Interface, served func(context.Context) (bool, error), s *Spiderpool, after func(time.Duration) <-chan time.Time) *Configs {
	return &Configs{
		objects: client.Resource(GVR()), served: served, spiderpool: s, after: after,
		by: map[types.NamespacedName]reading{}, followers: map[int]func(types.NamespacedName){},
	}
}

// NeedLeaderElection says that every replica knows the configs.
func (c *Configs) NeedLeaderElection() bool { return false }

// Start follows the configs until ctx ends.
func (c *Configs) Start(ctx context.Context) error {
	defer c.spiderpool.follow(c.adapt)()
	kind := optional.Kind{
		Objects: c.objects, Served: c.served, Poll: servedPoll, After: c.after,
		Transform: strip, Wait: []toolscache.InformerSynced{c.spiderpool.Known},
	}
	return kind.Follow(ctx, optional.Handler{Absent: c.setAbsent, Put: c.put, Drop: c.drop, Synced: c.sync})
}

func (c *Configs) setAbsent(absent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.absent = absent
}

func (c *Configs) put(obj any) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return
	}
	c.mu.Lock()
	r := read(u, c.settings)
	c.by[r.Config.Name], c.all = r, nil
	c.mu.Unlock()
	c.tell(r.Config.Name)
}

func (c *Configs) drop(obj any) {
	name, err := toolscache.DeletionHandlingObjectToName(obj)
	if err != nil {
		return
	}
	c.mu.Lock()
	delete(c.by, name.AsNamespacedName())
	c.all = nil
	c.mu.Unlock()
	c.tell(name.AsNamespacedName())
}

// sync says that all configs are known, or none any more: nobody is told of those that
// went with their kind, so that nothing is deleted where an API server only lost sight
// of it.
func (c *Configs) sync(done bool) {
	c.mu.Lock()
	if c.synced = done; !done {
		c.by, c.all = map[types.NamespacedName]reading{}, nil
	}
	c.mu.Unlock()
	c.tellAll()
}

// adapt reads all anew where Spiderpool, coming or going, changed what networks can use,
// and lets the followers look again, who may have stood back.
func (c *Configs) adapt() {
	c.mu.Lock()
	theirs, s := c.spiderpool.Controller() != "", c.spiderpool.Settings()
	changed := theirs != c.theirs || s != c.settings
	if s != c.settings {
		c.all = nil
		for key, r := range c.by {
			c.by[key] = read(r.object, s)
		}
	}
	c.theirs, c.settings = theirs, s
	c.mu.Unlock()
	if changed {
		c.tellAll()
	}
}

// tellAll lets the followers look at everything again, also at what went unseen.
func (c *Configs) tellAll() {
	for _, key := range c.keys() {
		c.tell(key)
	}
	c.tell(everything())
}

// everything is the key for what no config stands for any more.
func everything() types.NamespacedName { return types.NamespacedName{} }

func (c *Configs) tell(key types.NamespacedName) {
	c.mu.Lock()
	var followers []func(types.NamespacedName)
	for _, f := range c.followers {
		followers = append(followers, f)
	}
	c.mu.Unlock()
	for _, f := range followers {
		f(key)
	}
}

// follow calls f for every config now, and for each that changes, until stop.
func (c *Configs) follow(f func(types.NamespacedName)) (stop func()) {
	c.mu.Lock()
	id := c.next
	c.next++
	c.followers[id] = f
	c.mu.Unlock()
	for _, key := range c.keys() {
		f(key)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.followers, id)
	}
}

func (c *Configs) keys() []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]types.NamespacedName, 0, len(c.by))
	for key := range c.by {
		keys = append(keys, key)
	}
	return keys
}

// ready reports whether every config of the cluster is known, was read with what the
// cluster has now, and is ours.
func (c *Configs) ready() bool {
	_, ours, err := c.Candidates()
	return ours && err == nil
}

func (c *Configs) get(key types.NamespacedName) (reading, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.by[key]
	return r, ok
}

// wanting are the configs whose NAD has that name.
func (c *Configs) wanting(nad types.NamespacedName) (keys []types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, r := range c.by {
		if key.Namespace == nad.Namespace && r.Config.NADName() == nad {
			keys = append(keys, key)
		}
	}
	return keys
}

// ErrNotRead says that it is not known yet which configs there are, or whose they are.
var ErrNotRead = errors.New("the SpiderMultusConfigs of this cluster are being read; try again in a moment")

// Candidates are all configs of the cluster, for [Inject]. ours is false where Spiderpool's
// own controller runs, whose webhook injects. The error is ErrNotRead.
func (c *Configs) Candidates() (all []Candidate, ours bool, err error) {
	if !c.spiderpool.Known() {
		return nil, false, ErrNotRead
	}
	if c.spiderpool.Controller() != "" {
		return nil, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.absent {
		return nil, true, nil
	}
	if !c.synced || c.settings != c.spiderpool.Settings() {
		return nil, true, ErrNotRead
	}
	if c.all == nil {
		c.all = make([]Candidate, 0, len(c.by))
		for _, r := range c.by {
			if r.object.GetDeletionTimestamp() == nil {
				c.all = append(c.all, r.Candidate)
			}
		}
	}
	return c.all, true, nil
}
