package index_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/index"
)

func TestExactIsItsModel(t *testing.T) {
	type pair struct {
		id  uint64
		key string
	}
	rapid.Check(t, func(t *rapid.T) {
		x, m := index.NewExact(index.Options{}), map[pair]bool{}
		key, id := rapid.SampledFrom([]string{"", "a", "b", "a\x00", "https://example.org/", strings.Repeat("k", 300)}), rapid.Uint64Range(0, 5)
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				p := pair{id.Draw(t, "id"), key.Draw(t, "key")}
				if err := x.InsertKey(p.id, []byte(p.key), 0); err != nil {
					t.Fatal(err)
				}
				m[p] = true
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
					t.Fatalf("Delete = %d, want %d", got, n)
				}
			},
			"delete entry": func(t *rapid.T) {
				p := pair{id.Draw(t, "id"), key.Draw(t, "key")}
				if got := x.DeleteEntry(p.id, p.key); got != m[p] {
					t.Fatalf("DeleteEntry = %v, want %v", got, m[p])
				}
				delete(m, p)
			},
			"snapshot": func(t *rapid.T) {
				var b bytes.Buffer
				if err := x.Snapshot(&b); err != nil {
					t.Fatal(err)
				}
				var err error
				if x, err = index.LoadExact(&b, index.Options{}); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				k := key.Draw(t, "query")
				var want []index.Match
				for p := range m {
					if p.key == k {
						want = append(want, index.Match{ID: p.id})
					}
				}
				same(t, "Search", x.Search(nil, k), want)
				same(t, "SearchKey", x.SearchKey(nil, []byte(k), 31), want)
				if x.Len() != len(m) {
					t.Fatalf("Len = %d, want %d", x.Len(), len(m))
				}
			},
		})
	})
}

func TestExactRefuses(t *testing.T) {
	x := index.NewExact(index.Options{})
	if err := x.Insert(1, strings.Repeat("k", index.MaxKey+1)); !errors.Is(err, index.ErrKey) {
		t.Errorf("long key: %v, want ErrKey", err)
	}
	if err := x.InsertKey(1, nil, -1); !errors.Is(err, index.ErrDistance) {
		t.Errorf("distance -1: %v, want ErrDistance", err)
	}
	if got := x.SearchKey(nil, nil, -1); len(got) != 0 || x.Len() != 0 {
		t.Errorf("found %v, Len %d after refusals", got, x.Len())
	}
}

func TestExactWhileSearching(t *testing.T) {
	x := index.NewExact(index.Options{})
	var g sync.WaitGroup
	for w := range 4 {
		g.Go(func() {
			for i := range 500 {
				id := uint64(w*500 + i)
				if err := x.Insert(id, "shared"); err != nil {
					t.Error(err)
				}
				if got := x.Search(nil, "shared"); len(got) == 0 {
					t.Error("an entry was not found after its insertion")
				}
				x.Delete(id)
			}
		})
	}
	g.Wait()
	if x.Len() != 0 || len(x.Search(nil, "shared")) != 0 {
		t.Errorf("%d entries left", x.Len())
	}
}

func TestExactSearchAllocatesNothing(t *testing.T) {
	x := index.NewExact(index.Options{})
	for i := range uint64(100) {
		if err := x.Insert(i, "key"); err != nil {
			t.Fatal(err)
		}
	}
	dst, key := make([]index.Match, 0, 200), []byte("key")
	if n := testing.AllocsPerRun(100, func() { dst = x.SearchKey(dst[:0], key, 0) }); n != 0 || len(dst) != 100 {
		t.Errorf("SearchKey allocates %v times and finds %d", n, len(dst))
	}
}
