package journal

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/problem"
)

// InclusionProof proves that the entry is in the tree of the given size
// (RFC 6962 §2.1.1). Check it with tlog.CheckRecord.
type InclusionProof struct {
	Number     int64            `json:"number"`
	Size       int64            `json:"size"`
	Commitment tlog.Hash        `json:"commitment"` // the record; hashes are base64 in JSON
	Leaf       tlog.Hash        `json:"leaf"`       // tlog.RecordHash of the commitment
	Root       tlog.Hash        `json:"root"`       // of the tree
	Proof      tlog.RecordProof `json:"proof"`      // from the leaf's sibling to the root's child
}

// ConsistencyProof proves that the tree of size Old is a beginning of the tree
// of the given size (RFC 6962 §2.1.2). Check it with tlog.CheckTree.
type ConsistencyProof struct {
	Old     int64          `json:"old"`
	Size    int64          `json:"size"`
	OldRoot tlog.Hash      `json:"old_root"`
	Root    tlog.Hash      `json:"root"`
	Proof   tlog.TreeProof `json:"proof"` // empty if Old is 0 or Size
}

// InclusionProof returns the proof for an entry; size 0 is the present size.
// A number or size that is not there is a problem of kind NotFound.
func (l *Log) InclusionProof(ctx context.Context, number, size int64) (InclusionProof, error) {
	p := InclusionProof{Number: number}
	err := l.store.View(ctx, func(r StoreReader) (err error) {
		if p.Size, err = checkSize(r, size); err != nil {
			return err
		}
		if number < 0 || number >= p.Size {
			return problem.Newf(problem.NotFound, "entry %d is not in the journal of size %d", number, p.Size).
				WithFix("ask for a number below %d", p.Size)
		}
		row, err := r.Row(number)
		if err != nil {
			return err
		}
		p.Commitment, p.Leaf = row.Commitment, tlog.RecordHash(row.Commitment[:])
		if p.Root, err = treeHash(p.Size, hashReader(r)); err != nil {
			return err
		}
		if p.Proof, err = tlog.ProveRecord(p.Size, number, hashReader(r)); err != nil {
			return fmt.Errorf("journal: proving entry %d: %w", number, err)
		}
		if err := tlog.CheckRecord(p.Proof, p.Size, p.Root, number, p.Leaf); err != nil {
			return problem.Newf(problem.Internal, "the stored tree does not prove entry %d", number).
				WithFix("run \"siaga log verify\": it says what is damaged").Because(err)
		}
		return nil
	})
	return p, err
}

// ConsistencyProof returns the proof between two sizes; size 0 is the present
// size.
func (l *Log) ConsistencyProof(ctx context.Context, old, size int64) (ConsistencyProof, error) {
	p := ConsistencyProof{Old: old, Proof: tlog.TreeProof{}}
	err := l.store.View(ctx, func(r StoreReader) (err error) {
		if p.Size, err = checkSize(r, size); err != nil {
			return err
		}
		if old < 0 || old > p.Size {
			return problem.Newf(problem.NotFound, "the journal of size %d has no beginning of size %d", p.Size, old).
				WithFix("ask for a size from 0 to %d", p.Size)
		}
		if p.Root, err = treeHash(p.Size, hashReader(r)); err != nil {
			return err
		}
		if p.OldRoot, err = treeHash(old, hashReader(r)); err != nil {
			return err
		}
		if old == 0 || old == p.Size {
			return nil
		}
		if p.Proof, err = tlog.ProveTree(p.Size, old, hashReader(r)); err != nil {
			return fmt.Errorf("journal: proving size %d: %w", old, err)
		}
		if err := tlog.CheckTree(p.Proof, p.Size, p.Root, old, p.OldRoot); err != nil {
			return problem.Newf(problem.Internal, "the stored tree does not prove size %d", old).
				WithFix("run \"siaga log verify\": it says what is damaged").Because(err)
		}
		return nil
	})
	return p, err
}

func checkSize(r StoreReader, size int64) (int64, error) {
	have, err := r.Size()
	if err != nil {
		return 0, err
	}
	if size < 0 || size > have {
		return 0, problem.Newf(problem.NotFound, "the journal has no size %d", size).WithFix("ask for a size up to %d", have)
	}
	if size == 0 {
		size = have
	}
	return size, nil
}
