//go:build unix

package feed_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkColdEdge is an edge with an empty folder that fetches all signals
// from a node over a socket until it answers by them. SIAGA_BENCH_SIGNALS says
// how many, for example 1000000. "first" is when the node was just started and
// has no snapshot and makes it; "kept" when it was just started and kept one on
// disk; "next" when it has one at hand. cpu-s is the processor time of node and
// edge together, which also means something on a busy machine.
func BenchmarkColdEdge(b *testing.B) {
	outer := b
	signals := 20_000
	if n, err := strconv.Atoi(os.Getenv("SIAGA_BENCH_SIGNALS")); err == nil {
		signals = n
	}
	var n *node
	var store func(*feed.Options)
	keep := outer.TempDir()
	for _, name := range []string{"first", "kept", "next"} {
		b.Run(fmt.Sprintf("%s/signals=%d", name, signals), func(b *testing.B) {
			if n == nil {
				db, err := sqlite.Create(outer.Context(), filepath.Join(outer.TempDir(), "bench.db"), sqlite.Options{})
				if err != nil {
					b.Fatal(err)
				}
				outer.Cleanup(func() { _ = db.Close() }) // a bench's
				store = func(o *feed.Options) { o.Store, o.Keep = db, keep }
				n = &node{t: outer, key: testKey(0), revoked: map[string]bool{}}
				n.start(store)
				r := rand.New(rand.NewPCG(1, 2))
				drafts := make([]feed.Draft, 0, 1000)
				for i := range signals {
					drafts = append(drafts, feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(uint64(i)+1, feedtest.Hash(r))})
					if len(drafts) == cap(drafts) || i == signals-1 {
						err := db.Update(outer.Context(), func(tx journal.StoreTx) error {
							_, err := n.pub.Publish(tx, 1, time.Now(), drafts...)
							return err
						})
						if err != nil {
							b.Fatal(err)
						}
						drafts = drafts[:0]
					}
				}
			}
			i := 0
			for b.Loop() {
				b.StopTimer()
				// A node that was started again, without and with what it kept.
				kept := filepath.Join(keep, "partners.snapshot")
				switch name {
				case "first":
					n.close()
					if err := os.Remove(kept); err != nil && !os.IsNotExist(err) {
						b.Fatal(err)
					}
					n.start(store)
				case "kept":
					eventually(b, "the snapshot is kept", func() bool { _, err := os.Stat(kept); return err == nil })
					n.close()
					n.start(store)
				}
				i++
				o := edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token(fmt.Sprint("nusa-", i)), Dir: memoryDir(b)}
				begun, cpu := time.Now(), processor(b)
				b.StartTimer()
				e := follow(b, o)
				for e.Connected() == "" || e.m.Len() < signals {
					time.Sleep(time.Millisecond)
				}
				b.StopTimer()
				b.ReportMetric(time.Since(begun).Seconds(), "s")
				b.ReportMetric((processor(b) - cpu).Seconds(), "cpu-s")
				e.stop()
				b.StartTimer()
			}
		})
	}
	if n != nil {
		n.close()
	}
}
