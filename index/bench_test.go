package index_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/siaga-crp/siaga/index"
)

// benchSizes are the numbers of entries of the benchmarks. SIAGA_BENCH_ENTRIES
// is the only one, for instance 10000000, which takes 1.4 GB. With -short the
// smallest is: make test runs it to see that no benchmark rots.
func benchSizes(b *testing.B) []int {
	b.Helper()
	sizes := []int{10_000, 100_000, 1_000_000}
	if testing.Short() {
		sizes = sizes[:1]
	}
	if s := os.Getenv("SIAGA_BENCH_ENTRIES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		sizes = []int{n}
	}
	return sizes
}

// uniform returns an index of n hashes and queries, half of them near to one.
func uniform(b *testing.B, n int) (*index.Index, []index.Hash) {
	b.Helper()
	r, x := newSource(1), index.New(index.Options{})
	qs := make([]index.Hash, 8192)
	if err := x.InsertAll(func(yield func(index.Entry) bool) {
		for i := range n {
			e := index.Entry{ID: uint64(i), Hash: r.hash(), MaxDistance: index.MaxDistance}
			if !yield(e) {
				return
			}
			if i%(max(1, n/4000)) == 0 {
				qs[2*(i/max(1, n/4000))%8192] = r.near(e.Hash, r.IntN(32))
			}
		}
	}); err != nil {
		b.Fatal(err)
	}
	for i := 1; i < len(qs); i += 2 {
		qs[i] = r.hash()
	}
	return x, qs
}

func BenchmarkSearch(b *testing.B) {
	for _, n := range benchSizes(b) {
		x, qs := uniform(b, n)
		for _, d := range []int{0, 15, 31, 47, 63} {
			b.Run(fmt.Sprintf("entries=%d/distance=%d", n, d), func(b *testing.B) {
				b.ReportAllocs()
				var dst []index.Match
				i := 0
				for b.Loop() {
					dst = x.Search(dst[:0], &qs[i%len(qs)], d)
					i++
				}
			})
		}
		runtime.KeepAlive(x)
	}
}

func BenchmarkInsert(b *testing.B) {
	for _, n := range benchSizes(b) {
		x, _ := uniform(b, n)
		r := newSource(2)
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			id := uint64(1 << 40)
			for b.Loop() {
				if err := x.Insert(id, r.hash(), 31); err != nil {
					b.Fatal(err)
				}
				id++
			}
		})
		for id := uint64(1 << 40); x.Delete(id) > 0; id++ {
		}
	}
}
