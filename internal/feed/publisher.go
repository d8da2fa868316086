package feed

import (
	"fmt"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
)

// Publisher makes operations. It has no state of its own and may be used
// concurrently.
type Publisher struct {
	Drafts *Drafts     // of the node's hub, if it has a line to others; nil without
	Signer edge.Signer // the feed's key
	Epoch  uint64      // of this node's history, from 1; 0 means 1
}

// Draft is what a service wants edges to be told: chain, what to do and the
// signal. For Remove and Clear only the signal's Number and ID are needed.
type Draft struct {
	Chain string // edge.SharedChain or edge.OwnChain(partner)
	Do    edge.Do
	edge.Signal
}

// Publish appends the drafts to their chains, in order, in the transaction of
// the entry that they follow from, and returns the operations. It is called
// again with the same arguments if the transaction is; nothing but tx is
// touched. The error is of the store, or wraps edge.ErrSyntax for a draft that
// no edge could use.
func (p Publisher) Publish(tx journal.StoreTx, entry int64, at time.Time, drafts ...Draft) ([]edge.Operation, error) {
	epoch := max(p.Epoch, 1)
	heads := map[string]edge.Position{}
	ops := make([]edge.Operation, 0, len(drafts))
	for _, d := range drafts {
		head, known := heads[d.Chain]
		if !known {
			row, ok, err := tx.FeedHead(d.Chain)
			if err != nil {
				return nil, fmt.Errorf("reading the head of chain %s: %w", d.Chain, err)
			}
			if ok {
				last, err := edge.ParseOperation(row.Op)
				if err != nil {
					return nil, fmt.Errorf("reading operation %d of chain %s: %w", row.Seq, d.Chain, err)
				}
				head = last.Position()
			}
			if head.Epoch > epoch {
				return nil, fmt.Errorf("chain %s is in epoch %d and this node in %d: its data folder belongs to a later history", d.Chain, head.Epoch, epoch)
			}
		}
		op := d.after(head, epoch, entry, at)
		wire, hash, err := op.Seal(p.Signer)
		if err != nil {
			return nil, err
		}
		if err := tx.PutFeed(journal.FeedRow{Chain: op.Chain, Seq: op.Seq, Entry: entry, Op: wire}); err != nil {
			return nil, fmt.Errorf("storing operation %d of chain %s: %w", op.Seq, op.Chain, err)
		}
		p.Drafts.note(op.Chain, op.Seq, at)
		heads[d.Chain] = edge.Position{Epoch: epoch, Seq: op.Seq, Hash: hash}
		op.Key = edge.IDOf(p.Signer.Public())
		ops = append(ops, op)
	}
	return ops, nil
}

// after is the operation that a draft becomes after a position of its chain.
func (d Draft) after(head edge.Position, epoch uint64, entry int64, at time.Time) edge.Operation {
	op := edge.Operation{Chain: d.Chain, Epoch: epoch, Seq: head.Seq + 1, Prev: head.Hash, Do: d.Do, At: at, Signal: d.Signal}
	op.Entry = entry
	if d.Do != edge.Add {
		op.Signal = edge.Signal{Number: d.Number, ID: d.ID, Exercise: d.Exercise, Entry: entry}
	}
	return op
}
