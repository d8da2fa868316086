package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// BenchmarkAppend measures durable appends, each an update of its own. ns/op is
// the time between two appends, not that of one.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l, err := journal.NewLog(journal.Options{Store: create(b, pgtest.Database(b)), Origin: "bench.example/log"})
			if err != nil {
				b.Fatal(err)
			}
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
							_, err := tx.Append(journal.New("test.said", access.Actor{Partner: "p"}, time.UnixMilli(1), "a sentence about as long as a note is",
								journal.Ref{Kind: "board", ID: fmt.Sprint(i)}))
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
