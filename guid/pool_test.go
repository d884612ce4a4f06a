package guid

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func owner(n int) Owner {
	return Owner{UID: fmt.Sprintf("uid-%d", n), Interface: "net1", Name: fmt.Sprintf("default/pod-%d", n)}
}

func pool(t testing.TB, first, last GUID) *Pool {
	t.Helper()
	p, err := NewPool(Range{first, last})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func allocate(t testing.TB, p *Pool, o Owner) GUID {
	t.Helper()
	guids, err := p.Allocate(o)
	if err != nil {
		t.Fatalf("allocate for %s: %v", o, err)
	}
	return guids[0]
}

func TestAllocateIsIdempotentByOwner(t *testing.T) {
	p := pool(t, 1, 10)
	g := allocate(t, p, owner(1))
	if again := allocate(t, p, owner(1)); again != g {
		t.Errorf("asked again, the owner got %s instead of %s", again, g)
	}
	second := owner(1)
	second.Interface = "net2"
	if other := allocate(t, p, second); other == g {
		t.Errorf("the pod's second interface got the first one's GUID %s", g)
	}
}

func TestFreedGUIDsComeLastAndLongestFreeFirst(t *testing.T) {
	p := pool(t, 1, 4)
	for n := range 3 {
		allocate(t, p, owner(n))
	}
	for _, g := range []GUID{2, 1} {
		if err := errors.Join(p.Release(g, owner(int(g-1))), p.Free(g)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []GUID{4, 2, 1} {
		if got := allocate(t, p, owner(10+i)); got != want {
			t.Errorf("allocation %d gave %s, want %s", i, got, want)
		}
	}
	if _, err := p.Allocate(owner(99)); !errors.Is(err, ErrExhausted) {
		t.Errorf("a pool with nothing left says %v", err)
	}
}

func TestHeldGUIDIsNobodysUntilFreed(t *testing.T) {
	p := pool(t, 1, 1)
	g := allocate(t, p, owner(1))
	if err := p.Release(g, owner(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Allocate(owner(2)); !errors.Is(err, ErrExhausted) {
		t.Errorf("a held GUID was handed out: %v", err)
	}
	var taken *TakenError
	if err := p.Assign(owner(2), g); !errors.As(err, &taken) || !taken.Held {
		t.Errorf("a held GUID could be asked for by value: %v", err)
	}
	if err := p.Free(g); err != nil {
		t.Fatal(err)
	}
	allocate(t, p, owner(2))
}

func TestOwnersGetAllOrNone(t *testing.T) {
	p := pool(t, 1, 5)
	have := allocate(t, p, owner(1))
	if err := p.Release(allocate(t, p, owner(2)), owner(2)); err != nil { // held: not free
		t.Fatal(err)
	}
	if _, err := p.Allocate(owner(3), owner(4), owner(5), owner(6)); !errors.Is(err, ErrExhausted) {
		t.Errorf("four of three that are free: %v", err)
	}
	if want := (Stats{Size: 5, Owned: 1, Held: 1}); p.Stats() != want {
		t.Errorf("after that the pool has %+v", p.Stats())
	}
	got, err := p.Allocate(owner(3), owner(1), owner(4), owner(5))
	if want := []GUID{3, have, 4, 5}; err != nil || !slices.Equal(got, want) {
		t.Errorf("an owner that has one beside three that have none: %v, %v, want %v", got, err, want)
	}
}

func TestAHeldGUIDPassesToAnotherAndIsNobodysMeanwhile(t *testing.T) {
	p := pool(t, 1, 1)
	g := allocate(t, p, owner(1))
	if err := p.Pass(g, owner(2)); err == nil {
		t.Error("a GUID passed from its owner")
	}
	if err := p.Release(g, owner(1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Pass(g, owner(2)); err != nil {
		t.Fatal(err)
	}
	if o, ok := p.Holder(g); !ok || o != owner(2) {
		t.Errorf("it is held for %s, %v", o, ok)
	}
	if _, err := p.Allocate(owner(3)); !errors.Is(err, ErrExhausted) {
		t.Errorf("it was handed out: %v", err)
	}
	if err := p.Free(g); err != nil {
		t.Fatal(err)
	}
	if err := p.Pass(g, owner(2)); err == nil {
		t.Error("a free GUID passed to somebody")
	}
}

func TestLiveOwnerNeverLosesItsGUID(t *testing.T) {
	p := pool(t, 1, 10)
	g := allocate(t, p, owner(1))
	err := p.Assign(owner(2), g)
	var taken *TakenError
	if !errors.As(err, &taken) || taken.Holder != owner(1) || !strings.Contains(err.Error(), "default/pod-1 net1") {
		t.Errorf("the error does not name the owner: %v", err)
	}
	if err := p.Release(g, owner(2)); err == nil {
		t.Error("a stranger could release it")
	}
	if err := p.Free(g); err == nil {
		t.Error("an owned GUID could be freed")
	}
	if o, ok := p.Owner(g); !ok || o != owner(1) {
		t.Errorf("its owner is now %s, %v", o, ok)
	}
}

func TestResumeGoesOnBehindTheLastLeader(t *testing.T) {
	p := pool(t, 1, 10)
	for _, g := range []GUID{1, 2, 6, 7} {
		if err := p.Assign(owner(int(g)), g); err != nil {
			t.Fatal(err)
		}
	}
	p.Resume(6)
	for i, want := range []GUID{8, 9, 10, 3, 4, 5} {
		if got := allocate(t, p, owner(20+i)); got != want {
			t.Errorf("allocation %d gave %s, want %s", i, got, want)
		}
	}
}

func TestSeveralRangesAreOnePool(t *testing.T) {
	p, err := NewPool(Range{100, 101}, Range{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []GUID{100, 101, 1, 2} {
		if got := allocate(t, p, owner(i)); got != want {
			t.Errorf("allocation %d gave %s, want %s", i, got, want)
		}
	}
	var out *OutOfRangeError
	if err := p.Assign(owner(9), 50); !errors.As(err, &out) {
		t.Errorf("a GUID between the ranges: %v", err)
	}
	if _, err := NewPool(Range{1, 5}, Range{5, 9}); err == nil {
		t.Error("overlapping ranges were taken")
	}
}

// TestPoolAgainstModel drives a pool and a plain map side by side.
func TestPoolAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64Range(1, 40).Draw(t, "size")
		p := pool0(t, Range{1, GUID(size)})
		owners, holds := map[GUID]Owner{}, map[GUID]Owner{}
		used := map[GUID]bool{}
		guids := rapid.Custom(func(t *rapid.T) GUID { return GUID(rapid.Uint64Range(1, size).Draw(t, "g")) })
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"allocate": func(t *rapid.T) {
				several := make([]Owner, rapid.IntRange(1, 8).Draw(t, "how many"))
				for i := range several {
					next++
					several[i] = owner(next)
				}
				got, err := p.Allocate(several...)
				if short := len(owners)+len(holds)+len(several) > int(size); short != errors.Is(err, ErrExhausted) {
					t.Fatalf("short is %v, error is %v", short, err)
				}
				for i, g := range got {
					if _, taken := owners[g]; taken || holds[g] != (Owner{}) {
						t.Fatalf("%s was given twice", g)
					}
					if used[g] && len(used) < int(size) {
						t.Fatalf("%s came back while %d were fresh", g, int(size)-len(used))
					}
					owners[g], used[g] = several[i], true
				}
			},
			"assign": func(t *rapid.T) {
				g := guids.Draw(t, "guid")
				next++
				err := p.Assign(owner(next), g)
				_, isOwned := owners[g]
				_, isHeld := holds[g]
				if (err == nil) == (isOwned || isHeld) {
					t.Fatalf("assign %s: owned %v, held %v, error %v", g, isOwned, isHeld, err)
				}
				if err == nil {
					owners[g], used[g] = owner(next), true
				}
			},
			"release": func(t *rapid.T) {
				g := guids.Draw(t, "guid")
				o, ok := owners[g]
				if !ok {
					t.Skip("not owned")
				}
				if err := p.Release(g, o); err != nil {
					t.Fatal(err)
				}
				delete(owners, g)
				holds[g] = o
			},
			"free": func(t *rapid.T) {
				g := guids.Draw(t, "guid")
				if _, isOwned := owners[g]; isOwned == (p.Free(g) == nil) {
					t.Fatalf("free %s: owned is %v", g, isOwned)
				}
				delete(holds, g)
			},
			"resume": func(t *rapid.T) { p.Resume(guids.Draw(t, "guid")) },
			"": func(t *rapid.T) {
				want := Stats{Size: size, Owned: uint64(len(owners)), Held: uint64(len(holds))}
				if got := p.Stats(); got != want {
					t.Fatalf("stats are %+v, want %+v", got, want)
				}
				for g, o := range owners {
					if have, ok := p.Owner(g); !ok || have != o {
						t.Fatalf("%s is %s's, want %s", g, have, o)
					}
				}
			},
		})
	})
}

func pool0(t *rapid.T, r Range) *Pool {
	p, err := NewPool(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// BenchmarkAllocateWithAMillionInUse shows that what is taken does not matter.
func BenchmarkAllocateWithAMillionInUse(b *testing.B) {
	const million = 1_000_000
	for name, stride := range map[string]GUID{"neighbours": 1, "every second": 2} {
		b.Run(name, func(b *testing.B) {
			p := pool(b, 1, 1<<40)
			for n := range GUID(million) {
				if err := p.Assign(owner(int(n)), 1+n*stride); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for n := range b.N {
				allocate(b, p, Owner{UID: "new", Interface: fmt.Sprint(n)})
			}
		})
	}
}
