package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
)

// Store keeps a Ledger in the API server.
type Store struct {
	Ledger    *Ledger
	Client    client.Client // reads and writes directly, without a cache
	Namespace string
	Fabric    string
	Leader    string // this controller's identity
	// Leading says, without asking anybody, whether this controller may still write.
	Leading func() error
	// StillLeading asks the API server: somebody else has written one of our shards.
	StillLeading func(context.Context) error
	// Found hears of rows that somebody else wrote while this controller led, and of what is
	// wrong with others that came with them.
	Found func(rows []Row, spoilt error)
}

const (
	saveTries    = 8
	saveParallel = 8
	pageSize     = 50 // shards a page: about a megabyte
)

// Load reads every shard of the fabric into the empty Ledger. The rows that could not
// be read are returned as one joined error beside a nil error; they stay as they are.
func (s *Store) Load(ctx context.Context) (spoilt, err error) {
	s.Ledger.shards.fabric = s.Fabric
	var bad []error
	page := client.ListOptions{Namespace: s.Namespace, Limit: pageSize}
	client.MatchingLabels{v1alpha1.LabelFabric: s.Fabric}.ApplyToList(&page)
	for {
		var list v1alpha1.LedgerList
		if err := s.Client.List(ctx, &list, &page); err != nil {
			return nil, fmt.Errorf("read the ledger in namespace %s: %w", s.Namespace, err)
		}
		for i := range list.Items {
			_, spoilt := s.Ledger.take(&list.Items[i])
			bad = append(bad, spoilt...)
		}
		if page.Continue = list.Continue; page.Continue == "" {
			return errors.Join(bad...), nil
		}
	}
}

// take brings a stored shard into the ledger, as far as its GUIDs have no row yet, and
// returns the rows that came with it and what is wrong with the others.
func (l *Ledger) take(obj *v1alpha1.Ledger) (took []Row, bad []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sh := l.shards.named[obj.Name]
	if sh == nil {
		sh = l.shards.open(obj.Name, pkeyOf(obj))
	}
	sh.version, sh.unreadable, sh.unclaimed = obj.ResourceVersion, nil, obj.Spec.Unclaimed
	sh.changed++ // to be written once under this leader's name
	for _, in := range obj.Spec.Rows {
		r, err := fromAPI(in)
		if err != nil {
			sh.unreadable = append(sh.unreadable, in)
			bad = append(bad, fmt.Errorf("ledger %s: %w", obj.Name, err))
			continue
		}
		if have, ok := l.rows[r.GUID]; ok && have.UID != r.UID {
			bad = append(bad, fmt.Errorf("ledger %s: guid %s of %s has a row already, %s's: that one counts", obj.Name, r.GUID, r.Pod, have.Pod))
		}
		if l.put(r, sh) {
			took = append(took, r)
		}
	}
	return took, bad
}

// Commit stores the shards that the rows of these GUIDs are in, with all that changed
// in them. A shard that is as stored costs nothing.
func (s *Store) Commit(ctx context.Context, of []guid.GUID) error {
	return s.save(ctx, s.Ledger.shardsOf(of))
}

// CommitAll stores every shard that changed.
func (s *Store) CommitAll(ctx context.Context) error {
	return s.save(ctx, s.Ledger.shardsOf(nil))
}

// shardsOf are the changed shards of some rows, or of all when none are named.
func (l *Ledger) shardsOf(of []guid.GUID) []*shard {
	l.mu.Lock()
	defer l.mu.Unlock()
	var changed []*shard
	seen := map[*shard]bool{}
	pick := func(sh *shard) {
		if sh != nil && !seen[sh] && sh.changed != sh.saved {
			seen[sh] = true
			changed = append(changed, sh)
		}
	}
	for _, g := range of {
		pick(l.shards.of[g])
	}
	if of == nil {
		for _, sh := range l.shards.named {
			pick(sh)
		}
	}
	return changed
}

func (s *Store) save(ctx context.Context, shards []*shard) error {
	var group errgroup.Group // every shard is tried: one that fails is no reason to leave the others
	group.SetLimit(saveParallel)
	for _, sh := range shards {
		group.Go(func() error { return s.saveShard(ctx, sh) })
	}
	return group.Wait()
}

// saveShard writes one shard by its resourceVersion. When somebody else has written it
// meanwhile, either another loop of ours did, and it is tried again, or a stranger, and
// then only a leader that the API server confirms goes on.
func (s *Store) saveShard(ctx context.Context, sh *shard) error {
	var last error
	for range saveTries {
		obj, generation, done := s.snapshot(sh)
		if done {
			return nil
		}
		if err := s.mayWrite(ctx, obj); err != nil {
			return fmt.Errorf("store ledger %s: %w", obj.Name, err)
		}
		used := obj.ResourceVersion
		err := s.write(ctx, obj)
		if err == nil {
			if s.Ledger.saved(sh, generation, used, obj) {
				return nil
			}
			continue // another loop of ours wrote it meanwhile: whose rows are in is unsure
		}
		raced := apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) && used != ""
		if !raced { // not found where it is to be made: the CRD is gone, or the namespace
			return fmt.Errorf("store ledger %s: %w", obj.Name, err)
		}
		last = err
		if err := s.catchUp(ctx, sh, used); err != nil {
			return err
		}
	}
	return fmt.Errorf("store ledger %s: somebody else keeps writing it: %w", sh.name, last)
}

// mayWrite asks whether this controller still leads. A shard that is made has no version
// that could fail it when another leader has written it: there the API server is asked.
func (s *Store) mayWrite(ctx context.Context, obj *v1alpha1.Ledger) error {
	if err := s.Leading(); err != nil || obj.ResourceVersion != "" {
		return err
	}
	return s.StillLeading(ctx)
}

func (s *Store) write(ctx context.Context, obj *v1alpha1.Ledger) error {
	if obj.ResourceVersion == "" {
		return s.Client.Create(ctx, obj)
	}
	return s.Client.Update(ctx, obj)
}

// catchUp brings in what a stranger wrote into a shard: rows we do not know, such as a
// predecessor's last, are kept and explained later.
func (s *Store) catchUp(ctx context.Context, sh *shard, used string) error {
	if s.Ledger.version(sh) != used {
		return nil // another loop of ours was quicker
	}
	if err := s.StillLeading(ctx); err != nil {
		return fmt.Errorf("ledger %s was written by somebody else: %w", sh.name, err)
	}
	var now v1alpha1.Ledger
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: sh.name}, &now)
	switch {
	case apierrors.IsNotFound(err):
		s.Ledger.moved(sh, used, "")
		return nil
	case err != nil:
		return fmt.Errorf("read ledger %s again: %w", sh.name, err)
	}
	if now.Spec.Leader == s.Leader {
		// Our own write, whose answer was lost. Its rows are no news: those that are
		// no longer in the ledger were dropped since.
		s.Ledger.moved(sh, used, now.ResourceVersion)
		return nil
	}
	s.takeFound(&now)
	return nil
}

// snapshot is a shard as it must be stored; done says that it is.
func (s *Store) snapshot(sh *shard) (obj *v1alpha1.Ledger, generation uint64, done bool) {
	l := s.Ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if sh.changed == sh.saved {
		return nil, 0, true
	}
	obj = &v1alpha1.Ledger{
		ObjectMeta: metav1.ObjectMeta{
			Name: sh.name, Namespace: s.Namespace, ResourceVersion: sh.version,
			Labels: map[string]string{v1alpha1.LabelFabric: s.Fabric, v1alpha1.LabelPKey: sh.pkey},
		},
		Spec: v1alpha1.LedgerSpec{Leader: s.Leader, Rows: append([]v1alpha1.LedgerRow(nil), sh.unreadable...), Unclaimed: sh.unclaimed},
	}
	for _, g := range sorted(sh.guids) {
		l.rows[g].Sent = true
		obj.Spec.Rows = append(obj.Spec.Rows, l.rows[g].toAPI())
	}
	return obj, sh.changed, false
}

// saved notes that a generation of a shard is stored, with the rows of obj: rows that
// came since its snapshot are not, and UFM must not hear of them yet.
func (l *Ledger) saved(sh *shard, generation uint64, used string, obj *v1alpha1.Ledger) bool {
	if !l.moved(sh, used, obj.ResourceVersion) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	sh.saved = generation
	for _, stored := range obj.Spec.Rows {
		if g, err := guid.Parse(stored.GUID); err == nil && l.rows[g] != nil && l.rows[g].UID == stored.PodUID {
			l.rows[g].Told = true
			// A write that was under way when it came back says that it is held.
			l.rows[g].Returned = l.rows[g].Returned && stored.State == v1alpha1.Held
		}
	}
	return true
}

// moved notes the version of a shard in the API server, if the one that was used is
// still the one we know.
func (l *Ledger) moved(sh *shard, used, version string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sh.version != used {
		return false
	}
	sh.version = version
	return true
}

func (l *Ledger) version(sh *shard) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sh.version
}
