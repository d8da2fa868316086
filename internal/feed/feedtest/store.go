// Package feedtest has what tests and benchmarks of the feed need: a store that
// keeps operations in memory, and signals made from a seed.
package feedtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/journal"
)

// Store is the part of a journal.Store that the feed uses, in memory. Any other
// method panics. Its zero value is not ready; see NewStore.
type Store struct {
	journal.Store

	mu     sync.Mutex
	rows   map[string][]journal.FeedRow
	note   string
	closed chan struct{} // closed at the next commit

	// Fail, if set, is called before each transaction and may return an error.
	Fail func(write bool) error
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{rows: map[string][]journal.FeedRow{}, closed: make(chan struct{})}
}

// tx implements the feed's part of journal.StoreTx.
type tx struct {
	journal.StoreTx
	s   *Store
	add []journal.FeedRow
}

// Update implements journal.Store.
func (s *Store) Update(_ context.Context, fn func(journal.StoreTx) error) error {
	if s.Fail != nil {
		if err := s.Fail(true); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{s: s}
	if err := fn(t); err != nil {
		return err
	}
	for _, r := range t.add {
		s.rows[r.Chain] = append(s.rows[r.Chain], r)
	}
	close(s.closed)
	s.closed = make(chan struct{})
	return nil
}

// View implements journal.Store.
func (s *Store) View(_ context.Context, fn func(journal.StoreReader) error) error {
	if s.Fail != nil {
		if err := s.Fail(false); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn(&tx{s: s})
}

// Committed implements journal.Store.
func (s *Store) Committed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close implements journal.Store.
func (s *Store) Close() error { return nil }

// SetCheckpoint sets what Checkpoint returns.
func (s *Store) SetCheckpoint(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = note
}

// Cut forgets operations of a chain beyond n, as a restored backup does.
func (s *Store) Cut(chain string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[chain] = slices.Clone(s.rows[chain][:n])
}

// Rows returns a chain's operations.
func (s *Store) Rows(chain string) []journal.FeedRow { return s.RowsAfter(chain, 0) }

// RowsAfter returns a chain's operations after seq.
func (s *Store) RowsAfter(chain string, seq uint64) []journal.FeedRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows[chain][min(seq, uint64(len(s.rows[chain]))):])
}

// Feed implements journal.StoreReader.
func (t *tx) Feed(chain string, after uint64, limit int) ([]journal.FeedRow, error) {
	rows := t.all(chain)
	if after >= uint64(len(rows)) {
		return nil, nil
	}
	rows = rows[after:]
	return slices.Clone(rows[:min(len(rows), limit)]), nil
}

func (t *tx) all(chain string) []journal.FeedRow {
	rows := t.s.rows[chain]
	for _, r := range t.add {
		if r.Chain == chain {
			rows = append(rows[:len(rows):len(rows)], r)
		}
	}
	return rows
}

// FeedHead implements journal.StoreReader.
func (t *tx) FeedHead(chain string) (journal.FeedRow, bool, error) {
	rows := t.all(chain)
	if len(rows) == 0 {
		return journal.FeedRow{}, false, nil
	}
	return rows[len(rows)-1], true, nil
}

// MendFeed implements journal.StoreTx.
func (t *tx) MendFeed(row journal.FeedRow) error {
	t.s.rows[row.Chain] = slices.Clone(t.s.rows[row.Chain])
	t.s.rows[row.Chain][row.Seq-1] = row
	return nil
}

// PutFeed implements journal.StoreTx.
func (t *tx) PutFeed(row journal.FeedRow) error {
	if want := uint64(len(t.all(row.Chain)) + 1); row.Seq != want {
		return fmt.Errorf("chain %s: operation %d, want %d", row.Chain, row.Seq, want)
	}
	t.add = append(t.add, row)
	return nil
}

// Checkpoint implements journal.StoreReader.
func (t *tx) Checkpoint() ([]byte, int64, error) { return []byte(t.s.note), 0, nil }

// ErrFull is what a Fail that plays a full disk returns.
var ErrFull = errors.New("no space left on device")

// Hash returns a hash like those of pictures: half of its bits are set.
func Hash(r *rand.Rand) (h pdq.Hash) {
	for i, b := range r.Perm(256) {
		if b < 128 {
			h[i/8] |= 1 << (i % 8)
		}
	}
	return h
}

// Near returns h with n of its bits flipped.
func Near(r *rand.Rand, h pdq.Hash, n int) pdq.Hash {
	for _, b := range r.Perm(256)[:n] {
		h[b/8] ^= 1 << (b % 8)
	}
	return h
}

// Signal returns a PDQ signal that blocks.
func Signal(n uint64, h pdq.Hash) edge.Signal {
	return edge.Signal{Number: n, ID: fmt.Sprintf("S-%04d", n), Kind: fingerprint.PDQ, Value: h.String(), List: "sea-crp", Labels: []string{"terrorism"},
		Producer: "perpetrator", Action: edge.Block, MaxDistance: pdq.MatchDistance, Group: fmt.Sprintf("A-%04d", n)}
}
