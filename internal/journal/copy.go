package journal

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/problem"
)

// copyBatch is the number of rows that one transaction of a copy writes.
const copyBatch = 1000

// errFull ends a scan when a batch is full.
var errFull = errors.New("journal: the batch is full")

// CopyOptions of Copy. The zero value is ready.
type CopyOptions struct {
	// Progress is called now and then with the number of entries copied.
	Progress func(Progress)
	// Begin is run in the target before anything is copied, unless the target
	// holds a part of an earlier copy, and End after everything was copied and
	// compared: they mark a copy that is not complete.
	Begin, End func(tx StoreTx) error
	// Skip leaves out private data.
	Skip func(p Private) bool
}

// Copy copies everything from one store to another: rows with their
// commitments, tree, checkpoint, objects, private data, counters and feed, all
// byte by byte. It reads one consistent state; nothing that is written to the
// source meanwhile arrives, so the node is stopped first.
//
// The target is empty. With Begin it may also hold a part of the same source,
// which an earlier copy left: then its last entry is compared with the source's, and the copy
// goes on behind it. All else is written again. At the end Copy compares size
// and root of both trees.
func Copy(ctx context.Context, from, to Store, o CopyOptions) error {
	var head Checkpoint
	begin := int64(0)
	var last [32]byte
	err := to.View(ctx, func(r StoreReader) (err error) {
		if begin, err = r.Size(); err != nil || begin == 0 {
			return err
		}
		row, err := r.Row(begin - 1)
		last = row.Commitment
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case begin == 0:
		err = copyIntoEmpty(ctx, to, o)
	case o.Begin == nil:
		err = notEmpty()
	default:
		err = forgetPrivates(ctx, to, o.Skip)
	}
	if err != nil {
		return err
	}
	err = from.View(ctx, func(r StoreReader) error {
		if begin > 0 {
			row, err := r.Row(begin - 1)
			if problem.KindOf(err) == problem.NotFound || err == nil && row.Commitment != last {
				return problem.New(problem.Conflict, "the target holds another journal", "name an empty target")
			}
			if err != nil {
				return err
			}
		}
		if err := copyEntries(ctx, r, to, begin, o.Progress); err != nil {
			return fmt.Errorf("copying entries: %w", err)
		}
		if err := copyRest(ctx, r, to, o.Skip); err != nil {
			return err
		}
		if head.Size, err = r.Size(); err == nil {
			head.Root, err = treeHash(head.Size, hashReader(r))
		}
		return err
	})
	if err != nil {
		return err
	}
	err = to.View(ctx, func(r StoreReader) error {
		size, err := r.Size()
		if err != nil {
			return err
		}
		root, err := treeHash(size, hashReader(r))
		if err != nil {
			return err
		}
		if size != head.Size || root != head.Root {
			return fmt.Errorf("journal: the copy has %d entries and the root %v, the source %d and %v", size, root, head.Size, head.Root)
		}
		return nil
	})
	if err != nil || o.End == nil {
		return err
	}
	return to.Update(ctx, o.End)
}

func notEmpty() error {
	return problem.New(problem.Conflict, "the target of the copy is not empty", "name an empty target")
}

// forgetPrivates removes the private data that an earlier copy left: what was
// ended in the source since then must not be in the target.
func forgetPrivates(ctx context.Context, to Store, skip func(p Private) bool) error {
	return to.Update(ctx, func(tx StoreTx) error {
		var all []Private
		err := tx.ScanPrivates(func(p *Private) error {
			if skip == nil || !skip(*p) {
				all = append(all, Private{Kind: p.Kind, ID: p.ID})
			}
			return nil
		})
		for _, p := range all {
			if err == nil {
				err = tx.DeletePrivate(p.Kind, p.ID)
			}
		}
		return err
	})
}

// copyIntoEmpty refuses a target that has something and no entries, unless it
// is what Begin put there.
func copyIntoEmpty(ctx context.Context, to Store, o CopyOptions) error {
	err := to.View(ctx, func(r StoreReader) error {
		some := false
		found := func() error { some = true; return errFull }
		for _, scan := range []func() error{
			func() error { return r.ScanObjects(func(*Object) error { return found() }) },
			func() error {
				return r.ScanPrivates(func(p *Private) error {
					if o.Skip != nil && o.Skip(*p) {
						return nil
					}
					return found()
				})
			},
			func() error { return r.ScanCounters(func(string, int64) error { return found() }) },
			func() error { return r.ScanFeed(func(*FeedRow) error { return found() }) },
		} {
			if err := scan(); err != nil && !errors.Is(err, errFull) {
				return err
			}
			if some {
				return notEmpty()
			}
		}
		return nil
	})
	if err != nil || o.Begin == nil {
		return err
	}
	return to.Update(ctx, o.Begin)
}

func copyEntries(ctx context.Context, r StoreReader, to Store, begin int64, progress func(Progress)) error {
	total, err := r.Size()
	if err != nil {
		return err
	}
	for at := begin; at < total; {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := r.Rows(RowQuery{From: at, Limit: copyBatch})
		if err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].Number != at || rows[len(rows)-1].Number != at+int64(len(rows))-1 {
			return fmt.Errorf("journal: entry %d or one soon after it is missing; run \"siaga log verify\"", at)
		}
		end := at + int64(len(rows))
		first := tlog.StoredHashIndex(0, at)
		var hashes []tlog.Hash
		err = r.ScanHashes(first, tlog.StoredHashCount(end), func(index int64, h tlog.Hash) error {
			if index != first+int64(len(hashes)) {
				return fmt.Errorf("journal: the tree's hash %d is missing; run \"siaga log verify\"", first+int64(len(hashes)))
			}
			hashes = append(hashes, h)
			return nil
		})
		if err != nil {
			return err
		}
		if int64(len(hashes)) != tlog.StoredHashCount(end)-first {
			return fmt.Errorf("journal: hashes of the tree are missing before entry %d; run \"siaga log verify\"", end)
		}
		err = to.Update(ctx, func(tx StoreTx) error {
			rest := hashes
			for _, row := range rows {
				row.About = nil
				if err := headAbout(row.Head, func(kind, id []byte) {
					row.About = append(row.About, Ref{Kind: string(kind), ID: string(id)})
				}); err != nil {
					return fmt.Errorf("entry %d: %w", row.Number, err)
				}
				n := tlog.StoredHashCount(row.Number+1) - tlog.StoredHashCount(row.Number)
				if err := tx.PutRow(row, rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
		if err != nil {
			return err
		}
		at = end
		if progress != nil {
			progress(Progress{Part: "entries", Done: at, Total: total})
		}
	}
	return nil
}

// copyRest copies everything besides entries.
func copyRest(ctx context.Context, r StoreReader, to Store, skip func(p Private) bool) error {
	var batch []func(tx StoreTx) error
	flush := func() error {
		defer func() { batch = nil }()
		return to.Update(ctx, func(tx StoreTx) error {
			for _, put := range batch {
				if err := put(tx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	add := func(put func(tx StoreTx) error) error {
		if batch = append(batch, put); len(batch) < copyBatch {
			return nil
		}
		return flush()
	}
	note, size, err := r.Checkpoint()
	if err != nil {
		return fmt.Errorf("copying the checkpoint: %w", err)
	}
	if note != nil {
		if err := add(func(tx StoreTx) error { return tx.PutCheckpoint(note, size) }); err != nil {
			return fmt.Errorf("copying the checkpoint: %w", err)
		}
	}
	err = r.ScanObjects(func(o *Object) error {
		c := *o
		c.Doc = append([]byte{}, o.Doc...)
		return add(func(tx StoreTx) error { return tx.PutObject(c) })
	})
	if err != nil {
		return fmt.Errorf("copying objects: %w", err)
	}
	err = r.ScanPrivates(func(p *Private) error {
		c := *p
		c.Doc = append([]byte{}, p.Doc...)
		if skip != nil && skip(c) {
			return nil
		}
		return add(func(tx StoreTx) error { return tx.PutPrivate(c) })
	})
	if err != nil {
		return fmt.Errorf("copying private data: %w", err)
	}
	err = r.ScanCounters(func(name string, value int64) error {
		return add(func(tx StoreTx) error { return tx.SetCounter(name, value) })
	})
	if err != nil {
		return fmt.Errorf("copying counters: %w", err)
	}
	err = r.ScanFeed(func(f *FeedRow) error {
		c := *f
		c.Op = append([]byte{}, f.Op...)
		return add(func(tx StoreTx) error {
			head, ok, err := tx.FeedHead(c.Chain)
			if err == nil && ok && head.Seq >= c.Seq { // of an earlier copy
				return nil
			}
			if err != nil {
				return err
			}
			return tx.PutFeed(c)
		})
	})
	if err != nil {
		return fmt.Errorf("copying the feed: %w", err)
	}
	return flush()
}
