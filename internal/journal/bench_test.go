//go:build unix

package journal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// BenchmarkAppend measures durable appends: each is one update of its own, as
// a service makes it, folded into one small object. ns/op is the time between
// two appends, not that of one.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l := newLog(b, newStore(b))
			b.ReportAllocs()
			b.ResetTimer()
			var n atomic.Int64
			var wg sync.WaitGroup
			for range writers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						err := l.Update(background, func(tx *journal.Tx) error {
							_, err := tx.Append(say("a sentence about as long as a note is", strconv.FormatInt(i, 10)))
							return err
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// large returns a log of n entries about n/10 objects without folds, which is
// made in SIAGA_BENCH_DATA (default: a temporary folder) if it is not there.
func large(b *testing.B, n int64) *journal.Log {
	b.Helper()
	dir := os.Getenv("SIAGA_BENCH_DATA")
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("journal-%d.db", n))
	db, err := sqlite.Open(background, path, sqlite.Options{})
	if err != nil {
		if db, err = sqlite.Create(background, path, sqlite.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() { db.Close() })
	o := options(db)
	o.Folds = nil
	l, err := journal.NewLog(o)
	if err != nil {
		b.Fatal(err)
	}
	head, err := l.Head(background)
	if err != nil {
		b.Fatal(err)
	}
	for at := head.Size; at < n; {
		err := l.Update(background, func(tx *journal.Tx) error {
			for end := min(at+20_000, n); at < end; at++ {
				if _, err := tx.Append(say("a sentence about as long as a note is", strconv.FormatInt(at/10, 10))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := l.Sign(background); err != nil {
		b.Fatal(err)
	}
	return l
}

// sizes are those of the benchmarks of large journals; SIAGA_BENCH_ENTRIES
// sets one, for example 10000000.
func sizes(b *testing.B) []int64 {
	b.Helper()
	s := os.Getenv("SIAGA_BENCH_ENTRIES")
	switch {
	case s == "" && testing.Short():
		return []int64{2_000}
	case s == "":
		return []int64{100_000}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return []int64{n}
}

// cpuSeconds is the time that this process has spent on processors.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// BenchmarkVerify measures a full verification: seals, commitments, tree,
// columns, index of objects and checkpoint.
func BenchmarkVerify(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			l := large(b, n)
			begun := cpuSeconds(b)
			for b.Loop() {
				r, err := l.Verify(background, journal.VerifyOptions{})
				if err != nil || !r.OK() || r.Size != n {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric((cpuSeconds(b)-begun)*1e6/float64(n)/float64(b.N), "cpu-us/entry") // also means something on a busy machine
		})
	}
}

// BenchmarkInclusionProof measures a proof that is also checked.
func BenchmarkInclusionProof(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			l := large(b, n)
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				at := r.Int64N(n)
				p, err := l.InclusionProof(background, at, n)
				if err != nil {
					b.Fatal(err)
				}
				if err := tlog.CheckRecord(p.Proof, n, p.Root, at, p.Leaf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEntriesOfObject measures what a page loads: the newest entries
// about one object.
func BenchmarkEntriesOfObject(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			l := large(b, n)
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				ref := journal.Ref{Kind: "board", ID: strconv.FormatInt(r.Int64N(n/10), 10)}
				err := l.View(background, func(r journal.StoreReader) error {
					list, err := l.Entries(r, journal.RowQuery{About: ref, Newest: true, Limit: 50})
					if len(list) != 10 {
						b.Fatalf("%d entries", len(list))
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
