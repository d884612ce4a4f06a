package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
)

const (
	// keepEmpty is how long a shard stays that has no rows: the next pods of its partition
	// often come soon. Without an end a PKey for each job would leave a shard each, and a new
	// leader has to write them all before it begins.
	keepEmpty = time.Hour
	// tendPage is how many shards' names and versions are read at a time.
	tendPage = 100
)

// Tend looks after shards that nothing else touches. What somebody deleted or changed by
// hand is written again, with what CommitAll writes next: in memory it would last for as
// long as this process only. Shards that have long been empty are deleted.
func (s *Store) Tend(ctx context.Context, now time.Time) error {
	return errors.Join(s.compare(ctx), s.prune(ctx, now))
}

// compare finds shards that are not as this leader stored them, and such as it does not know.
func (s *Store) compare(ctx context.Context) error {
	known := s.Ledger.versions() // before the list: what is written meanwhile differs, and is told apart
	there := map[string]string{}
	page := client.ListOptions{Namespace: s.Namespace, Limit: tendPage}
	client.MatchingLabels{v1alpha1.LabelFabric: s.Fabric}.ApplyToList(&page)
	for {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind("LedgerList"))
		if err := s.Client.List(ctx, &list, &page); err != nil {
			return fmt.Errorf("look whether the ledger in namespace %s is as it was stored: %w", s.Namespace, err)
		}
		for i := range list.Items {
			there[list.Items[i].Name] = list.Items[i].ResourceVersion
		}
		if page.Continue = list.Continue; page.Continue == "" {
			break
		}
	}
	for name, version := range known {
		if there[name] != version {
			s.Ledger.doubt(name, version)
		}
	}
	maps.DeleteFunc(there, func(name, _ string) bool { return s.Ledger.has(name) })
	if len(there) == 0 {
		return nil
	}
	if err := s.StillLeading(ctx); err != nil { // they may be those of who leads now
		return fmt.Errorf("there are ledgers of somebody else: %w", err)
	}
	var failed []error
	for name := range there {
		failed = append(failed, s.takeStranger(ctx, name))
	}
	return errors.Join(failed...)
}

// takeStranger brings in a shard that came while this controller led: out of a backup, or a
// former leader's last.
func (s *Store) takeStranger(ctx context.Context, name string) error {
	var obj v1alpha1.Ledger
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &obj)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read ledger %s, which somebody else made: %w", name, err)
	case s.Ledger.has(name):
		return nil // of our own making, meanwhile
	}
	s.takeFound(&obj)
	return nil
}

// takeFound brings in a shard that somebody else wrote.
func (s *Store) takeFound(obj *v1alpha1.Ledger) {
	took, bad := s.Ledger.take(obj)
	if len(took)+len(bad) > 0 && s.Found != nil {
		s.Found(took, errors.Join(bad...))
	}
}

// prune deletes the shards that have long been empty.
func (s *Store) prune(ctx context.Context, now time.Time) error {
	for _, sh := range s.Ledger.longEmpty(now) {
		if err := s.remove(ctx, sh.shard, sh.version); err != nil {
			return fmt.Errorf("delete ledger %s, which is empty: %w", sh.name, err)
		}
	}
	return nil
}

// remove deletes a shard as it was when it was seen to be empty: a row that came in meanwhile
// changed it, and one that comes in now is stored in a new one.
func (s *Store) remove(ctx context.Context, sh *shard, used string) error {
	if err := s.Leading(); err != nil {
		return err
	}
	obj := &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Name: sh.name, Namespace: s.Namespace}}
	err := s.Client.Delete(ctx, obj, client.Preconditions{ResourceVersion: &used})
	if apierrors.IsConflict(err) {
		return nil // somebody wrote it, and compare sees that
	}
	if client.IgnoreNotFound(err) == nil {
		s.Ledger.close(sh, used)
	}
	return client.IgnoreNotFound(err)
}

// versions are the shards that are stored, by name.
func (l *Ledger) versions() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := map[string]string{}
	for name, sh := range l.shards.named {
		if sh.version != "" {
			stored[name] = sh.version
		}
	}
	return stored
}

func (l *Ledger) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shards.named[name] != nil
}

// doubt has a shard written again, unless it was since its version was looked at.
func (l *Ledger) doubt(name, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sh := l.shards.named[name]; sh != nil && sh.version == version {
		sh.changed++
	}
}

// emptyShard is one that had no rows when its version was that.
type emptyShard struct {
	*shard
	version string
}

// longEmpty are the stored shards that were seen to be empty keepEmpty ago, and are. They
// come by name: what cannot be deleted is the same one each time, and said once.
func (l *Ledger) longEmpty(now time.Time) (list []emptyShard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sh := range l.shards.named {
		switch {
		case !sh.isEmpty() || sh.version == "":
			sh.empty = time.Time{}
		case sh.empty.IsZero():
			sh.empty = now
		case now.Sub(sh.empty) >= keepEmpty:
			list = append(list, emptyShard{sh, sh.version})
		}
	}
	slices.SortFunc(list, func(a, b emptyShard) int { return cmp.Compare(a.name, b.name) })
	return list
}

// close takes a shard off the shelf whose object is gone. One that a row came into
// meanwhile stays, to be stored anew.
func (l *Ledger) close(sh *shard, used string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sh.version != used {
		return
	}
	sh.version = ""
	if sh.isEmpty() {
		l.shards.close(sh)
		return
	}
	sh.changed++
}
