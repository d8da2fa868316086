package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/problem"
)

// CopyOptions say where data is copied from and to: an address of a PostgreSQL
// database ("postgres://…" or key=value words), or the data folder of a node
// with SQLite.
type CopyOptions struct {
	From, To string
	Data     string // the node's data folder, with its keys
	Progress func(journal.Progress)
}

// Copied is what a copy moved.
type Copied struct {
	Head   journal.Checkpoint
	Report journal.Report // of the target
	Took   time.Duration
}

// IsAddress tells an address of a database from a folder.
func IsAddress(s string) bool {
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://") || strings.Contains(s, "dbname=")
}

// CopyData copies a node's data from one store to another, entry by entry, and
// verifies the copy: same size, same root, everything folded again. The node is
// stopped first: if anything was committed to a PostgreSQL source meanwhile, the
// copy is refused. The target is made; one that holds a journal is refused, and
// one that an interrupted or refused copy left is not served.
func CopyData(ctx context.Context, o CopyOptions) (out Copied, err error) {
	if o.From == o.To {
		return out, problem.New(problem.Invalid, "source and target are the same", "name two places with --from and --to")
	}
	set, err := keys.Load(filepath.Join(o.Data, "keys"))
	if err != nil {
		return out, err
	}
	options := func(place string, create bool) StoreOptions {
		if IsAddress(place) {
			return StoreOptions{Data: o.Data, Database: place, Create: create}
		}
		return StoreOptions{Data: place, Create: create}
	}
	from, err := openStore(ctx, options(o.From, false)) // takes the node's lock, so it does not run
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	log, err := newLog(from, set, time.Now, nil, nil)
	if err != nil {
		return out, err
	}
	// The last entries are signed, so that the target begins with all of them.
	if _, err := log.Sign(ctx); err != nil {
		return out, err
	}
	if out.Head, err = log.Head(ctx); err != nil {
		return out, err
	}
	begun := time.Now()
	if !IsAddress(o.To) {
		if err := os.MkdirAll(o.To, 0o700); err != nil {
			return out, problem.Newf(problem.Invalid, "the folder %s cannot be made: %v", o.To, err).WithFix("name another folder with --to")
		}
	}
	to, err := openStore(ctx, options(o.To, true))
	if problem.KindOf(err) == problem.Conflict {
		// A copy that was interrupted is begun again from its start.
		if to, err = reopenIncomplete(ctx, options(o.To, false), err); err != nil {
			return out, err
		}
	}
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	commits, err := commitsOf(ctx, from)
	if err != nil {
		return out, err
	}
	mark := history.Mark{Backup: "copy", Written: time.Now().UTC(), Entries: out.Head.Size, Incomplete: true}
	if err := journal.Copy(ctx, from, to, journal.CopyOptions{
		Progress: o.Progress,
		Begin:    func(tx journal.StoreTx) error { return history.PutMark(tx, mark) },
		End: func(tx journal.StoreTx) error {
			// Before the mark goes: a target that lacks something stays incomplete,
			// so that no node serves it and the same command goes on.
			head, err := log.Head(ctx)
			if err != nil {
				return err
			}
			now, err := commitsOf(ctx, from)
			if err != nil {
				return err
			}
			if head != out.Head || now != commits {
				return problem.New(problem.Conflict, "the source was written to while it was copied: a node runs on it", "stop every node, then run the same command again: it goes on")
			}
			return history.DeleteMark(tx)
		},
		Skip: history.IsMark,
	}); err != nil {
		return out, err
	}
	target, err := newLog(to, set, time.Now, nil, nil)
	if err != nil {
		return out, err
	}
	out.Report, err = target.Verify(ctx, journal.VerifyOptions{Feed: VerifyFeed(), Progress: o.Progress})
	out.Took = time.Since(begun)
	if err == nil && (!out.Report.OK() || out.Report.Root != out.Head.Root || out.Report.Size != out.Head.Size) {
		err = problem.Newf(problem.Internal, "the copy does not verify: %d faults, the first: %s", out.Report.Found, firstFault(out.Report)).
			WithFix("go on with the source, which is unchanged, and run \"siaga log verify\" on it")
	}
	return out, err
}

// commitsOf counts the commits of a store that several nodes may write to.
// Sessions, passwords and counts leave no entry, so that the head of the journal
// alone does not tell. A store that one process has to itself counts as 0.
func commitsOf(ctx context.Context, s journal.Store) (int64, error) {
	c, ok := s.(interface {
		Commits(ctx context.Context) (int64, error)
	})
	if !ok {
		return 0, nil
	}
	return c.Commits(ctx)
}

// reopenIncomplete opens a target that an interrupted copy left, or returns the
// refusal.
func reopenIncomplete(ctx context.Context, o StoreOptions, refusal error) (journal.Store, error) {
	to, err := openStore(ctx, o)
	if err != nil {
		return nil, refusal
	}
	var mark history.Mark
	var marked bool
	err = to.View(ctx, func(r journal.StoreReader) (err error) {
		mark, marked, err = history.GetMark(r)
		return err
	})
	if err != nil || !marked || !mark.Incomplete || mark.Backup != "copy" {
		return nil, errors.Join(refusal, to.Close())
	}
	return to, nil
}
