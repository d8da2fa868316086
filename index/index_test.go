package index_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/index"
	"os"
)

// sorted returns the matches in one order, so that two answers compare.
func sorted(m []index.Match) []index.Match {
	m = slices.Clone(m)
	slices.SortFunc(m, func(a, b index.Match) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Distance, b.Distance))
	})
	return m
}

// same fails unless the two answers hold the same matches.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, what string, got, want []index.Match) {
	t.Helper()
	got, want = sorted(got), sorted(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s (-want +got):\n%s", what, gocmp.Diff(want, got))
	}
}

// source draws hashes from a fixed seed.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 1))} }

func (r source) hash() (h index.Hash) {
	for i := 0; i < len(h); i += 8 {
		binary.LittleEndian.PutUint64(h[i:], r.Uint64())
	}
	return h
}

// near returns h with n different bits flipped.
func (r source) near(h index.Hash, n int) index.Hash {
	for _, b := range r.Perm(256)[:n] {
		h[b/8] ^= 1 << (b % 8)
	}
	return h
}

// model is an index as a map: what an entry is, and nothing about how it is
// found.
type model map[pair]int

type pair struct {
	id uint64
	h  index.Hash
}

func (m model) search(h index.Hash, maxDistance int) (out []index.Match) {
	for p, own := range m {
		d := 0
		for i := range h {
			for b := h[i] ^ p.h[i]; b != 0; b &= b - 1 {
				d++
			}
		}
		if d <= min(maxDistance, own) {
			out = append(out, index.Match{ID: p.id, Distance: uint16(d)})
		}
	}
	return out
}

// drawHash draws hashes that crowd: near a few centres, half empty, or with
// words that repeat, besides uniform ones.
func drawHash(seed uint64) *rapid.Generator[index.Hash] {
	return rapid.Custom(func(t *rapid.T) index.Hash {
		r := newSource(seed + rapid.Uint64Range(0, 3).Draw(t, "centre"))
		h := r.hash()
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			clear(h[16:])
		case 1:
			clear(h[:])
		case 2:
			copy(h[16:], h[:16])
		}
		for _, b := range rapid.SliceOfNDistinct(rapid.IntRange(0, 255), 0, 70, rapid.ID[int]).Draw(t, "flip") {
			h[b/8] ^= 1 << (b % 8)
		}
		return h
	})
}

func TestIndexIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, m := index.New(index.Options{}), model{}
		hashes := drawHash(7)
		id := rapid.Uint64Range(0, 12)
		dist := rapid.IntRange(0, index.MaxDistance)
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				p, d := pair{id.Draw(t, "id"), hashes.Draw(t, "hash")}, dist.Draw(t, "max")
				if err := x.Insert(p.id, p.h, d); err != nil {
					t.Fatal(err)
				}
				m[p] = d
			},
			"insert again": func(t *rapid.T) {
				for p := range m {
					d := dist.Draw(t, "max")
					if err := x.Insert(p.id, p.h, d); err != nil {
						t.Fatal(err)
					}
					m[p] = d
					break
				}
			},
			"insert under another id": func(t *rapid.T) {
				for p := range m {
					q := pair{id.Draw(t, "id"), p.h}
					if err := x.Insert(q.id, q.h, m[p]); err != nil {
						t.Fatal(err)
					}
					m[q] = m[p]
					break
				}
			},
			"insert many": func(t *rapid.T) {
				var all []index.Entry
				for range rapid.IntRange(0, 20).Draw(t, "n") {
					e := index.Entry{ID: id.Draw(t, "id"), Hash: hashes.Draw(t, "hash"), MaxDistance: dist.Draw(t, "max")}
					m[pair{e.ID, e.Hash}] = e.MaxDistance
					all = append(all, e)
				}
				if err := x.InsertAll(slices.Values(all)); err != nil {
					t.Fatal(err)
				}
			},
			"delete": func(t *rapid.T) {
				i, n := id.Draw(t, "id"), 0
				for p := range m {
					if p.id == i {
						delete(m, p)
						n++
					}
				}
				if got := x.Delete(i); got != n {
					t.Fatalf("Delete(%d) = %d, want %d", i, got, n)
				}
			},
			"delete entry": func(t *rapid.T) {
				p := pair{id.Draw(t, "id"), hashes.Draw(t, "hash")}
				for q := range m {
					if rapid.Bool().Draw(t, "there") {
						p = q
					}
					break
				}
				_, want := m[p]
				delete(m, p)
				if got := x.DeleteEntry(p.id, p.h); got != want {
					t.Fatalf("DeleteEntry = %v, want %v", got, want)
				}
			},
			"snapshot": func(t *rapid.T) {
				var b bytes.Buffer
				if err := x.Snapshot(&b); err != nil {
					t.Fatal(err)
				}
				var err error
				if x, err = index.Load(&b, index.Options{}); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if x.Len() != len(m) {
					t.Fatalf("Len = %d, want %d", x.Len(), len(m))
				}
				h, d := hashes.Draw(t, "query"), rapid.IntRange(-1, 140).Draw(t, "within")
				want := m.search(h, d)
				same(t, "Search", x.Search(nil, &h, d), want)
				same(t, "Scan", x.Scan(nil, &h, d), want)
			},
		})
	})
}

// TestSearchIsScan compares the two on sizes and shapes at which every way of
// searching is used.
func TestSearchIsScan(t *testing.T) {
	shapes := map[string]func(r source, i int) index.Hash{
		"uniform": func(r source, _ int) index.Hash { return r.hash() },
		"clusters": func(r source, i int) index.Hash {
			return r.near(newSource(uint64(i%50)).hash(), r.IntN(40))
		},
		"half empty": func(r source, i int) index.Hash {
			h := r.hash()
			if i%3 > 0 {
				clear(h[16:])
			}
			return h
		},
		"crowded page": func(r source, i int) index.Hash {
			h := r.hash()
			if i%50 == 0 {
				h[0], h[1] = byte(i/50%8), 0
			}
			return h
		},
		"half of each byte": func(r source, _ int) index.Hash {
			h := r.hash()
			for i := range h {
				h[i] &= 0x0f
			}
			return h
		},
		"nearly equal": func(r source, _ int) index.Hash { return r.near(index.Hash{}, r.IntN(6)) },
	}
	const entries = 20_000
	for name, draw := range shapes {
		t.Run(name, func(t *testing.T) {
			r, x := newSource(3), index.New(index.Options{})
			all := make([]index.Entry, entries)
			for i := range all {
				all[i] = index.Entry{ID: uint64(i / 2), Hash: draw(r, i), MaxDistance: 20 + r.IntN(80)}
			}
			if err := x.InsertAll(slices.Values(all[:entries/2])); err != nil {
				t.Fatal(err)
			}
			for _, e := range all[entries/2:] {
				if err := x.Insert(e.ID, e.Hash, e.MaxDistance); err != nil {
					t.Fatal(err)
				}
			}
			for i := 0; i < entries/2; i += 7 {
				x.Delete(uint64(i))
			}
			found := 0
			var hs []index.Hash
			queries := 8
			if os.Getenv("SIAGA_TEST_LONG") != "" {
				queries = 30
			}
			for i := range queries {
				h := draw(r, 25*i)
				if i%2 == 0 {
					h = r.near(all[r.IntN(entries)].Hash, r.IntN(32))
				}
				hs = append(hs, h)
				for _, d := range []int{0, 3, 14, 15, 16, 31, 32, 45, 64, 100, 127} {
					want := x.Scan(nil, &h, d)
					same(t, "Search", x.Search(nil, &h, d), want)
					found += len(want)
				}
			}
			if found == 0 {
				t.Fatal("no search found anything: the test shows nothing")
			}
			all31, ends := x.SearchBatch(nil, nil, hs, 31)
			from := 0
			for i := range hs {
				same(t, "SearchBatch", all31[from:ends[i]], x.Scan(nil, &hs[i], 31))
				from = ends[i]
			}
		})
	}
}

// TestInsertAllIsInserts fills one index at once and another one by one, with
// ids of many hashes, hashes of many ids and pairs that come again, and holds
// the two together while they go on changing.
func TestInsertAllIsInserts(t *testing.T) {
	r := newSource(11)
	const entries = 40_000 // more than are looked at one by one
	hashes := make([]index.Hash, entries)
	for i := range hashes {
		if hashes[i] = r.hash(); i%9 == 8 {
			hashes[i] = hashes[r.IntN(i)]
		}
	}
	all := make([]index.Entry, entries)
	for i := range all {
		id := uint64(i)
		switch {
		case i%5 == 0:
			id = 1 << 50 // one of thousands
		case i%7 == 0:
			id = uint64(r.IntN(100))
		}
		all[i] = index.Entry{ID: id, Hash: hashes[i], MaxDistance: r.IntN(60)}
		if i%11 == 10 {
			all[i] = all[r.IntN(i)]
			all[i].MaxDistance = r.IntN(60)
		}
	}
	once, each := index.New(index.Options{Entries: entries / 3}), index.New(index.Options{})
	if err := once.InsertAll(slices.Values(append(slices.Clip(all), index.Entry{MaxDistance: -1}))); !errors.Is(err, index.ErrDistance) {
		t.Fatalf("the last entry was taken: %v", err)
	}
	for _, e := range all {
		if err := each.Insert(e.ID, e.Hash, e.MaxDistance); err != nil {
			t.Fatal(err)
		}
	}
	compare := func(when string) {
		t.Helper()
		if once.Len() != each.Len() {
			t.Fatalf("%s: %d entries, want %d", when, once.Len(), each.Len())
		}
		found := 0
		for i := range 300 {
			h := r.near(all[i*entries/300].Hash, r.IntN(40))
			want := each.Search(nil, &h, 59)
			same(t, when+": Search", once.Search(nil, &h, 59), want)
			same(t, when+": Scan", once.Scan(nil, &h, 59), want)
			found += len(want)
		}
		if found < 30 {
			t.Fatalf("%s: %d found: the test shows nothing", when, found)
		}
	}
	compare("filled")
	for i := 0; i < entries; i += 3 {
		if got, want := once.Delete(all[i].ID), each.Delete(all[i].ID); got != want {
			t.Fatalf("deleting %d: %d entries, want %d", all[i].ID, got, want)
		}
		e := all[(i+1)%entries]
		if got, want := once.DeleteEntry(e.ID, e.Hash), each.DeleteEntry(e.ID, e.Hash); got != want {
			t.Fatalf("deleting (%d, %x): %t, want %t", e.ID, e.Hash, got, want)
		}
	}
	compare("after deletions")
	for i := 0; i < entries; i += 2 {
		for _, x := range []*index.Index{once, each} {
			if err := x.Insert(all[i].ID, all[i].Hash, 40); err != nil {
				t.Fatal(err)
			}
		}
	}
	compare("after more insertions")
}

func TestInsertRefuses(t *testing.T) {
	x := index.New(index.Options{})
	for _, d := range []int{-1, index.MaxDistance + 1, 1 << 20} {
		if err := x.Insert(1, index.Hash{}, d); !errors.Is(err, index.ErrDistance) {
			t.Errorf("Insert at distance %d: %v, want ErrDistance", d, err)
		}
		if err := x.InsertAll(slices.Values([]index.Entry{{ID: 1}, {ID: 2, MaxDistance: d}})); !errors.Is(err, index.ErrDistance) {
			t.Errorf("InsertAll at distance %d: %v, want ErrDistance", d, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if err := x.InsertKey(1, make([]byte, n), 0); !errors.Is(err, index.ErrKey) {
			t.Errorf("InsertKey of %d bytes: %v, want ErrKey", n, err)
		}
		if got := x.SearchKey(nil, make([]byte, n), 31); len(got) > 0 {
			t.Errorf("SearchKey of %d bytes found %v", n, got)
		}
	}
	if n := x.Len(); n != 1 {
		t.Errorf("%d entries after refusals, want the one that went before", n)
	}
}

// TestWritesWhileSearching inserts and deletes while searches run. Entries
// that stay must be found by every search; each write must be visible to its
// writer's next search.
func TestWritesWhileSearching(t *testing.T) {
	r, x := newSource(5), index.New(index.Options{})
	const steady, rounds = 12_000, 400
	stay := make([]index.Entry, steady)
	for i := range stay {
		stay[i] = index.Entry{ID: uint64(i), Hash: r.hash(), MaxDistance: 31}
	}
	if err := x.InsertAll(slices.Values(stay)); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var searchers, writers sync.WaitGroup
	for g := range 2 {
		searchers.Go(func() {
			r := newSource(uint64(100 + g))
			var dst []index.Match
			for !done.Load() {
				e := stay[r.IntN(steady)]
				h := r.near(e.Hash, r.IntN(32))
				dst = x.Search(dst[:0], &h, 31)
				if !slices.ContainsFunc(dst, func(m index.Match) bool { return m.ID == e.ID }) {
					t.Errorf("entry %d was not found while others were written", e.ID)
					return
				}
			}
		})
	}
	for g := range 2 {
		writers.Go(func() {
			r := newSource(uint64(200 + g))
			for i := range rounds {
				id := uint64(1<<32 + g*rounds + i)
				h := r.hash()
				if err := x.Insert(id, h, 31); err != nil {
					t.Error(err)
				}
				q := r.near(h, 31)
				if got := x.Search(nil, &q, 31); len(got) != 1 || got[0] != (index.Match{ID: id, Distance: 31}) {
					t.Errorf("after insert: %v", got)
				}
				if i%2 == 0 {
					if n := x.Delete(id); n != 1 {
						t.Errorf("Delete = %d", n)
					}
					if got := x.Search(nil, &q, 31); len(got) != 0 {
						t.Errorf("after delete: %v", got)
					}
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	searchers.Wait()
	if want := steady + rounds; x.Len() != want {
		t.Errorf("Len = %d, want %d", x.Len(), want)
	}
}

func TestSearchAllocatesNothing(t *testing.T) {
	r, x := newSource(9), index.New(index.Options{})
	all := make([]index.Entry, 20_000)
	for i := range all {
		all[i] = index.Entry{ID: uint64(i), Hash: r.near(newSource(uint64(i%500)).hash(), 10), MaxDistance: 127}
	}
	if err := x.InsertAll(slices.Values(all)); err != nil {
		t.Fatal(err)
	}
	dst, ends := make([]index.Match, 0, 1<<16), make([]int, 0, 64)
	hs := make([]index.Hash, 8)
	for i := range hs {
		hs[i] = all[i].Hash
	}
	for _, d := range []int{0, 31, 60, 127} {
		if n := testing.AllocsPerRun(20, func() { dst = x.Search(dst[:0], &hs[0], d) }); n != 0 {
			t.Errorf("Search at %d allocates %v times", d, n)
		}
	}
	if n := testing.AllocsPerRun(20, func() { dst, ends = x.SearchBatch(dst[:0], ends[:0], hs, 31) }); n != 0 {
		t.Errorf("SearchBatch allocates %v times", n)
	}
	if len(dst) == 0 {
		t.Error("nothing was found")
	}
}
