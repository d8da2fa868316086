package journal_test

import (
	"context"
	"math/bits"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
)

// counting counts the stored hashes that are read.
type counting struct {
	journal.Store
	n *int
}

type countingReader struct {
	journal.StoreReader
	n *int
}

func (c counting) View(ctx context.Context, fn func(r journal.StoreReader) error) error {
	return c.Store.View(ctx, func(r journal.StoreReader) error { return fn(countingReader{r, c.n}) })
}

func (r countingReader) Hashes(indexes []int64) ([]tlog.Hash, error) {
	*r.n += len(indexes)
	return r.StoreReader.Hashes(indexes)
}

// TestProofsAreLogarithmic: a proof reads and holds a number of hashes that
// grows with the number of digits of the journal's size, not with the size.
func TestProofsAreLogarithmic(t *testing.T) {
	s := newStore(t)
	writer := newLog(t, s)
	reads := 0
	l := newLog(t, counting{s, &reads})
	for _, size := range []int64{16, 256, 4096} {
		head, err := writer.Head(background)
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Update(background, func(tx *journal.Tx) error {
			for at := head.Size; at < size; at++ {
				if _, err := tx.Append(say("a sentence", "1")); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		digits := bits.Len64(uint64(size)) //nolint:gosec // positive
		for _, number := range []int64{0, size / 3, size - 1} {
			reads = 0
			p, err := l.InclusionProof(background, number, size)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Proof) > digits || reads > 4*digits {
				t.Errorf("size %d, entry %d: %d hashes in the proof, %d read; %d digits", size, number, len(p.Proof), reads, digits)
			}
		}
		reads = 0
		if p, err := l.ConsistencyProof(background, size/3, size); err != nil || len(p.Proof) > digits+1 || reads > 8*digits {
			t.Errorf("size %d: %d hashes in the proof of consistency, %d read, %v", size, len(p.Proof), reads, err)
		}
	}
}
