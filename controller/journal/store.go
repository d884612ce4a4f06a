package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
)

// The size of what is stored. A write carries one page.
const (
	pageBytes = 32 << 10
	pages     = 64
)

// Every is the shortest time between two writes while there is work.
const Every = 5 * time.Second

// lastWords is how long a replica that stops may take to store what it noted last.
const lastWords = 2 * time.Second

// Store keeps a Book in the API server. It is a runnable of the leader.
type Store struct {
	Book      *Book
	Client    client.Client // reads and writes directly
	Namespace string
	Fabric    string
	Leader    string
	// Console is put into the head, where a client looks for it; nil is none.
	Console func() *v1alpha1.JournalConsole
	Leading func() error // whether this replica may still write
	Failed  func(error)  // hears of what could not be stored; it is tried again
	After   func(time.Duration) <-chan time.Time

	page    int // the one that is written to
	version map[int]string
	texts   []string // what stands in page, and how much that is
	size    int
}

// NeedLeaderElection says that only the leader writes.
func (s *Store) NeedLeaderElection() bool { return true }

// Start reads what former leaders noted, says in the head who leads now, and stores what
// is noted until ctx ends.
func (s *Store) Start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.load, s.writeHead} {
		for err := step(ctx); err != nil; err = step(ctx) {
			s.Failed(err)
			if !s.sleep(ctx) {
				return nil
			}
		}
	}
	for {
		select {
		case <-ctx.Done():
			s.last(ctx)
			return nil
		case <-s.Book.signal:
		}
		s.sleep(ctx) // what comes meanwhile goes along
		if ctx.Err() != nil {
			s.last(ctx)
			return nil
		}
		if err := s.flush(ctx); err != nil {
			s.Failed(err)
			s.again()
		}
	}
}

// last stores what was noted last, unless the lease is lost.
func (s *Store) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := s.flush(ctx); err != nil {
		s.Failed(err)
	}
}

func (s *Store) again() {
	select {
	case s.Book.signal <- struct{}{}:
	default:
	}
}

func (s *Store) sleep(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s.After(Every):
		return true
	}
}

// load reads all pages. What cannot be read in them is left out: nothing depends on it.
func (s *Store) load(ctx context.Context) error {
	var list v1alpha1.JournalList
	err := s.Client.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{v1alpha1.LabelFabric: s.Fabric, v1alpha1.LabelJournal: v1alpha1.JournalPage})
	if err != nil {
		return fmt.Errorf("read the journal in namespace %s: %w", s.Namespace, err)
	}
	var former []*Entry
	var newest uint64
	s.version, s.page, s.texts, s.size = map[int]string{}, 0, nil, 0
	for i := range list.Items {
		obj := &list.Items[i]
		n, err := strconv.Atoi(strings.TrimPrefix(obj.Name, s.Fabric+"."))
		if err != nil || n < 0 || n >= pages {
			continue
		}
		s.version[n] = obj.ResourceVersion
		for _, text := range obj.Spec.Entries {
			e, err := parse(text)
			if err != nil {
				continue
			}
			former = append(former, e)
			if e.ID >= newest {
				newest, s.page = e.ID, n
			}
		}
	}
	for i := range list.Items {
		if obj := &list.Items[i]; obj.Name == s.name(s.page) {
			s.texts = obj.Spec.Entries
			for _, text := range s.texts {
				s.size += len(text)
			}
		}
	}
	s.Book.adopt(former)
	return nil
}

func (s *Store) name(page int) string { return s.Fabric + "." + strconv.Itoa(page) }

// flush stores what is not stored yet, a page at a time. A full page is left, and the
// oldest one written over.
func (s *Store) flush(ctx context.Context) error {
	entries := s.Book.unwritten()
	for len(entries) > 0 {
		if s.size >= pageBytes {
			s.page, s.texts, s.size = (s.page+1)%pages, nil, 0
		}
		n := 0
		texts, size := slices.Clone(s.texts), s.size
		for ; n < len(entries) && size < pageBytes; n++ {
			text := entries[n].text()
			texts, size = append(texts, text), size+len(text)
		}
		if err := s.write(ctx, texts); err != nil {
			return err
		}
		s.texts, s.size = texts, size
		s.Book.wrote(entries[n-1].ID)
		entries = entries[n:]
	}
	return nil
}

// write stores the page that is being written to. Who else wrote it is a leader whom this
// one has followed, and what that wrote last is lost.
func (s *Store) write(ctx context.Context, texts []string) error {
	obj := s.object(s.name(s.page), v1alpha1.JournalPage)
	obj.ResourceVersion, obj.Spec.Entries = s.version[s.page], texts
	if err := s.put(ctx, obj); err != nil {
		return err
	}
	s.version[s.page] = obj.ResourceVersion
	return nil
}

func (s *Store) writeHead(ctx context.Context) error {
	obj := s.object(v1alpha1.JournalHeadName(s.Fabric), v1alpha1.JournalHead)
	if s.Console != nil {
		obj.Spec.Console = s.Console()
	}
	return s.put(ctx, obj)
}

func (s *Store) object(name, kind string) *v1alpha1.Journal {
	return &v1alpha1.Journal{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name, Labels: map[string]string{v1alpha1.LabelFabric: s.Fabric, v1alpha1.LabelJournal: kind}},
		Spec:       v1alpha1.JournalSpec{Leader: s.Leader},
	}
}

// put writes an object, whatever stands there.
func (s *Store) put(ctx context.Context, obj *v1alpha1.Journal) error {
	if err := s.Leading(); err != nil {
		return fmt.Errorf("store journal %s: %w", obj.Name, err)
	}
	const tries = 3
	var err error
	for range tries {
		if obj.ResourceVersion == "" {
			err = s.Client.Create(ctx, obj)
		} else {
			err = s.Client.Update(ctx, obj)
		}
		if err == nil || !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			break
		}
		var now v1alpha1.Journal
		getErr := s.Client.Get(ctx, client.ObjectKeyFromObject(obj), &now)
		if client.IgnoreNotFound(getErr) != nil {
			return fmt.Errorf("read journal %s again: %w", obj.Name, errors.Join(err, getErr))
		}
		obj.ResourceVersion = cmp.Or(now.ResourceVersion, "")
	}
	if err != nil {
		return fmt.Errorf("store journal %s: %w%s", obj.Name, err, mendFor(err))
	}
	return nil
}

// mendFor says what a person can do.
func mendFor(err error) string {
	switch {
	case apierrors.IsForbidden(err):
		return "; let the controller get, list, create and update journals.ibfabric.io in its namespace"
	case apierrors.IsNotFound(err):
		return "; apply deploy/crds, which define it"
	}
	return ""
}
