package budget

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/pkey"
)

// Whatever the scheduler makes of it: as long as every pod asks, no table runs over.
func TestNoTableRunsOverWhateverTheSchedulerChooses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.IntRange(2, 5).Draw(t, "entries")
		nodes := []string{"a", "b", "c"}
		b := New(entries)
		mayCome := map[types.UID][]string{} // let go, and no node yet
		pkeysOf := map[types.UID][]pkey.PKey{}
		on := map[types.UID]string{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0: // a pod comes
				uid := types.UID(fmt.Sprint(i))
				pkeys := rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(1, 6), func(n int) pkey.PKey { return pkey.PKey(n) }), 1, 2, rapid.ID).Draw(t, "pkeys")
				pkeysOf[uid] = pkeys
				if b.Land(uid, pkeys) {
					mayCome[uid] = nodes
				} else if avoid, ok := b.Choose(uid, pkeys, nodes); ok {
					mayCome[uid] = slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return slices.Contains(avoid, n) })
				}
			case 1: // the scheduler takes one
				for _, uid := range sortedUIDs(mayCome) {
					node := rapid.SampledFrom(mayCome[uid]).Draw(t, "node")
					if over, news := b.Bound(uid, pkeysOf[uid], node); over > 0 || !news {
						t.Fatalf("%s on %s: %d too many, news %v", uid, node, over, news)
					}
					on[uid] = node
					delete(mayCome, uid)
					break
				}
			case 2: // one ends
				for _, uid := range sortedUIDs(on) {
					b.Gone(uid)
					delete(on, uid)
					break
				}
			}
			for _, node := range nodes {
				needs := map[pkey.PKey]bool{}
				for uid, at := range on {
					for _, p := range pkeysOf[uid] {
						needs[p] = needs[p] || at == node
					}
				}
				n := 0
				for _, needed := range needs {
					if needed {
						n++
					}
				}
				if n > entries-1 {
					t.Fatalf("node %s needs %d PKeys and has %d entries", node, n, entries)
				}
			}
		}
		for uid := range pkeysOf {
			b.Gone(uid)
		}
		if len(b.stays)+len(b.nodes)+len(b.landing)+len(b.all) > 0 {
			t.Fatalf("all pods are gone, and there is left %v %v %v %v", b.stays, b.nodes, b.landing, b.all)
		}
	})
}

func sortedUIDs[V any](m map[types.UID]V) []types.UID {
	var all []types.UID
	for uid := range m {
		all = append(all, uid)
	}
	slices.Sort(all)
	return all
}

func TestAPodMayComeWhereItsPKeyIsAlready(t *testing.T) {
	b := New(2) // room for one PKey beside the default
	b.Bound("first", []pkey.PKey{0x1}, "a")
	b.Bound("second", []pkey.PKey{0x2}, "b")
	avoid, ok := b.Choose("third", []pkey.PKey{0x2}, []string{"a", "b", "c"})
	if !ok || !slices.Equal(avoid, []string{"a"}) {
		t.Errorf("it avoids %v, ok %v", avoid, ok)
	}
	// The third may come to c: nobody else may until it is known where it is.
	if _, ok := b.Choose("fourth", []pkey.PKey{0x3}, []string{"a", "b", "c"}); ok {
		t.Error("a pod was let go for which a node may have no room")
	}
	b.Bound("third", []pkey.PKey{0x2}, "b")
	if avoid, ok := b.Choose("fourth", []pkey.PKey{0x3}, []string{"a", "b", "c"}); !ok || !slices.Equal(avoid, []string{"a", "b"}) {
		t.Errorf("it avoids %v, ok %v", avoid, ok)
	}
}

func TestAPodThatCameUnaskedIsCounted(t *testing.T) {
	b := New(2)
	b.Bound("first", []pkey.PKey{0x1}, "a")
	if over, news := b.Bound("pinned", []pkey.PKey{0x2}, "a"); over != 1 || !news {
		t.Errorf("%d too many, news %v", over, news)
	}
	if _, news := b.Bound("pinned", []pkey.PKey{0x2}, "a"); news {
		t.Error("the same again is no news")
	}
	b.LetGo("elsewhere", []pkey.PKey{0x5})
	if b.Land("next", []pkey.PKey{0x6}) {
		t.Error("there is a node that may get both")
	}
}

func TestAPodThatIsEditedBeforeItHasANodeCountsAsItIsNow(t *testing.T) {
	b := New(2)
	b.Bound("there", []pkey.PKey{0x1}, "a")
	if _, ok := b.Choose("edited", []pkey.PKey{0x2}, []string{"a", "b"}); !ok {
		t.Fatal("there is room")
	}
	b.LetGo("edited", []pkey.PKey{0x3})
	if _, ok := b.Choose("next", []pkey.PKey{0x2}, []string{"b"}); ok {
		t.Error("what it needs by now is not counted")
	}
	if avoid, ok := b.Choose("like", []pkey.PKey{0x1}, []string{"a", "b"}); !ok || !slices.Equal(avoid, []string{"b"}) {
		t.Errorf("what it was kept from it is no longer: another avoids %v, ok %t", avoid, ok)
	}
}

func BenchmarkAPodWhereMostNodesAreNearlyFull(b *testing.B) {
	budget := New(128)
	for i := range 2000 {
		budget.Bound(types.UID(fmt.Sprint("on", i)), []pkey.PKey{pkey.PKey(1 + i%300)}, fmt.Sprint("node", i/8))
	}
	for i := range 100 {
		budget.LetGo(types.UID(fmt.Sprint("comes", i)), []pkey.PKey{pkey.PKey(1 + i)})
	}
	for b.Loop() {
		budget.Land("next", []pkey.PKey{5})
	}
}
