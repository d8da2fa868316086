package feed

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Mender writes damaged operations anew. An operation follows from its entry,
// and its signature is deterministic (Ed25519, RFC 8032), so what is made again
// is what edges have, byte by byte; the hash that the next operation holds
// proves it. What cannot be proved is left as it is: an edge that met another
// operation at a place that it knows would rightly raise the alarm.
type Mender struct {
	Signer edge.Signer // the feed's key
	// Again derives from the journal what was published with an entry, and when.
	Again func(r journal.StoreReader, entry int64) (time.Time, []Draft, error)
}

// Mend looks at every operation of a store that no node serves, and returns how
// many were written anew. The error says which could not be; the others are
// mended nevertheless.
func (m Mender) Mend(ctx context.Context, store journal.Store) (mended int, err error) {
	type place struct {
		chain string
		seq   uint64
	}
	var bad []place
	keys := &edge.Keys{Feed: []edge.FeedKey{{Public: m.Signer.Public()}}}
	n := 0
	err = store.View(ctx, func(r journal.StoreReader) error {
		bad, n = nil, 0
		return r.ScanFeed(func(row *journal.FeedRow) error {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := whole(*row, keys); err != nil {
				bad = append(bad, place{row.Chain, row.Seq})
			}
			return nil
		})
	})
	if err != nil || len(bad) == 0 {
		return 0, err
	}
	var left []string
	err = store.Update(ctx, func(tx journal.StoreTx) error {
		mended, left = 0, nil
		for _, p := range bad {
			row, err := m.again(tx, p.chain, p.seq, keys)
			if err != nil {
				return err
			}
			if row == nil {
				left = append(left, fmt.Sprintf("%d of chain %s", p.seq, p.chain))
				continue
			}
			if err := tx.MendFeed(*row); err != nil {
				return err
			}
			mended++
		}
		return nil
	})
	if err == nil && len(left) > 0 {
		err = problem.Newf(problem.Conflict, "%d operations of the feed are damaged and do not follow from the journal any more, first operation %s", len(left), left[0]).
			WithFix("keep the folder as evidence, and restore a backup")
	}
	return mended, err
}

// whole reads an operation that stands where it belongs and is signed.
func whole(row journal.FeedRow, keys *edge.Keys) (edge.Sealed, error) {
	op, err := edge.ParseOperation(row.Op)
	if err != nil {
		return op, err
	}
	if op.Chain != row.Chain || op.Seq != row.Seq || op.Entry != row.Entry {
		return op, fmt.Errorf("feed: operation %d of chain %s is of another place", row.Seq, row.Chain)
	}
	return op, keys.Verify(&op)
}

// likeness is how many of a hundred bytes of a damaged operation must be those
// of the one made again where no later operation proves it: the last of its
// chain, or before another that is damaged.
const likeness = 95

// again makes the operation at a place again; nil if it cannot be proved to be
// the one that was there.
func (m Mender) again(r journal.StoreReader, chain string, seq uint64, keys *edge.Keys) (*journal.FeedRow, error) {
	from := max(seq, 2) - 2 // the one before it, itself, the one after it
	rows, err := r.Feed(chain, from, 3)
	if err != nil {
		return nil, err
	}
	var head edge.Position
	var damaged *journal.FeedRow
	var next *edge.Sealed
	for i := range rows {
		switch rows[i].Seq {
		case seq - 1:
			before, err := whole(rows[i], keys)
			if err != nil {
				return nil, nil //nolint:nilerr // nothing to build on: it is named with the one before it
			}
			head = before.Position()
		case seq:
			damaged = &rows[i]
		case seq + 1:
			if op, err := whole(rows[i], keys); err == nil {
				next = &op
			}
		}
	}
	if damaged == nil || head.Seq+1 != seq {
		return nil, nil
	}
	size, err := r.Size()
	if err != nil {
		return nil, err
	}
	entries, epochs := []int64{damaged.Entry}, []uint64{max(head.Epoch, 1)}
	if op, err := edge.ParseOperation(damaged.Op); err == nil {
		if _, err := whole(journal.FeedRow{Chain: chain, Seq: seq, Entry: op.Entry, Op: damaged.Op}, keys); err == nil {
			damaged.Entry = op.Entry // the operation is whole, and its place was not
			return damaged, nil
		}
		entries, epochs = append(entries, op.Entry), append(epochs, op.Epoch)
	}
	if next != nil {
		epochs = append(epochs, next.Epoch)
	}
	var found *journal.FeedRow
	for _, entry := range entries {
		if entry < 0 || entry >= size {
			continue
		}
		at, drafts, err := m.Again(r, entry)
		if err != nil {
			continue // of a damaged number, or erased
		}
		for _, d := range drafts {
			if d.Chain != chain {
				continue
			}
			for _, epoch := range epochs {
				op := d.after(head, epoch, entry, at)
				wire, hash, err := op.Seal(m.Signer)
				if err != nil {
					continue
				}
				proved := next != nil && hash == next.Prev
				if next == nil {
					proved = alike(wire, damaged.Op)
				}
				if !proved {
					continue
				}
				if found != nil && !bytes.Equal(found.Op, wire) {
					return nil, nil // two could be it
				}
				found = &journal.FeedRow{Chain: chain, Seq: seq, Entry: entry, Op: wire}
			}
		}
	}
	return found, nil
}

// alike reports whether nearly all bytes are the same.
func alike(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	return same*100 >= likeness*len(a)
}
