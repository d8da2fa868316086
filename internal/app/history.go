package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// holdFor is how long a node whose database was copied to another place waits
// for an edge to say what it saw, before it takes writes.
const holdFor = 10 * time.Second

// beginHistory asks whether this node may go on with the history in its store.
func (n *Node) beginHistory(ctx context.Context, guard *history.Guard) error {
	n.guard = guard
	if err := guard.Begin(ctx, n.Log); err != nil {
		return err
	}
	if err := guard.View(ctx, func(r journal.StoreReader) error {
		state, err := history.Load(r)
		n.epoch = state.Epoch
		return err
	}); err != nil {
		return err
	}
	if why := guard.Reason(); why != nil {
		n.o.Log.ErrorContext(ctx, "this node only reads", "reason", why.Detail, "fix", why.Fix)
		return nil
	}
	if n.o.Database != "" {
		return nil
	}
	moved, err := guard.Moved(filepath.Join(n.o.Data, databaseFile))
	if err != nil || !moved {
		return err
	}
	edges, err := n.knownEdges(ctx)
	if err == nil && len(edges) > 0 {
		n.o.Log.WarnContext(ctx, "the database was copied here: writes wait until an edge has said what it saw", "at_most", holdFor)
		guard.Hold(holdFor)
	}
	return err
}

// ReadOnly says why this node takes no writes, or returns nil.
func (n *Node) ReadOnly() *problem.Error {
	if n.guard == nil {
		return nil
	}
	return n.guard.Reason()
}

// shown takes what an edge proves to have seen.
func (n *Node) shown(r *http.Request, by string) {
	text := r.Header.Get(edge.SeenHeader)
	if text == "" || n.guard == nil {
		return
	}
	seen, err := n.edgeKeys.ParseSeen(text)
	if err != nil {
		return // of a key that has ended, or nothing: it proves nothing
	}
	was := n.guard.Reason()
	err = n.compareSeen(r.Context(), seen, "edge "+by)
	switch why := n.guard.Reason(); {
	case errors.Is(err, journal.ErrForked) && why != nil && (was == nil || was.Detail != why.Detail):
		n.o.Log.ErrorContext(r.Context(), "this node only reads", "reason", why.Detail, "fix", why.Fix)
	case err != nil && !errors.Is(err, journal.ErrForked):
		n.o.Log.WarnContext(r.Context(), "what an edge saw could not be compared", "edge", by, "err", err)
	}
}

// compareSeen compares what an edge proves with the feed and the journal.
func (n *Node) compareSeen(ctx context.Context, seen edge.Seen, from string) error {
	if op := seen.Op; op != nil && op.Epoch >= n.epoch {
		evidence := history.Evidence{Epoch: op.Epoch}
		if seen.Epoch == op.Epoch {
			evidence.Checkpoint = seen.Checkpoint
		}
		var rows []journal.FeedRow
		if err := n.store.View(ctx, func(r journal.StoreReader) (err error) {
			rows, err = r.Feed(op.Chain, op.Seq-1, 1)
			return err
		}); err != nil {
			return err
		}
		if len(rows) == 0 {
			return n.guard.Trip(evidence, fmt.Sprintf("this node has no operation %d of chain %s, and %s shows that it signed one: it went back, for instance to a backup", op.Seq, op.Chain, from))
		}
		ours, err := edge.ParseOperation(rows[0].Op)
		if err != nil {
			return err
		}
		if ours.Hash != op.Hash {
			return n.guard.Trip(evidence, fmt.Sprintf("this node has another operation %d of chain %s than %s shows that it signed: it went back and went on", op.Seq, op.Chain, from))
		}
	}
	if seen.Checkpoint == "" {
		return nil
	}
	return n.guard.Show(ctx, history.Evidence{Epoch: max(seen.Epoch, 1), Checkpoint: seen.Checkpoint}, from)
}

// keepHistory writes down what this node knows of its journal, beside the
// database, and ends the node when another one began a new epoch.
func (n *Node) keepHistory(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			// What was signed last is written down before the node ends.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			return n.guard.Keep(last)
		case <-tick.C:
		}
		was := n.guard.Reason()
		if err := n.guard.Keep(ctx); err != nil && ctx.Err() == nil {
			n.o.Log.WarnContext(ctx, "the last checkpoint was not written down", "err", err)
			continue
		}
		if why := n.guard.Reason(); was == nil && why != nil {
			n.o.Log.ErrorContext(ctx, "this node only reads", "reason", why.Detail, "fix", why.Fix)
		}
		var state history.State
		if err := n.store.View(ctx, func(r journal.StoreReader) (err error) {
			state, err = history.Load(r)
			return err
		}); err == nil && state.Epoch != n.epoch {
			return problem.Newf(problem.Unavailable, "epoch %d was begun with \"siaga recover\" while this node ran in epoch %d", state.Epoch, n.epoch).
				WithFix("start the node again")
		}
	}
}

// RecoverOptions say how to begin a new epoch.
type RecoverOptions struct {
	Data     string
	Database string
	Why      string // given by the person; required
	Anyway   bool   // also when nothing says that the journal went back
	Now      func() time.Time
}

// Recover begins a new epoch in a node's journal, which is not running, and
// returns what the entry says. It is an act of the operator's shell.
func Recover(ctx context.Context, o RecoverOptions) (_ history.Recovered, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	var out history.Recovered
	if o.Why == "" {
		return out, problem.New(problem.Invalid, "a new epoch needs a reason", "say what happened with --why; it is kept in the journal")
	}
	set, store, err := openStopped(ctx, o.Data, o.Database)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	log, err := newLog(store, set, o.Now, nil, nil)
	if err != nil {
		return out, err
	}
	guard := history.NewGuard(store, o.Data)
	if err := guard.Begin(ctx, log); err != nil {
		return out, err
	}
	if guard.Reason() == nil && !o.Anyway {
		if _, err := log.Sign(ctx); err == nil {
			return out, problem.New(problem.Conflict, "nothing says that this journal went back: it continues what was signed", "start the node; or begin a new epoch all the same with --anyway")
		} else if !errors.Is(err, journal.ErrForked) {
			return out, err
		}
	}
	seen, haveSeen, err := history.Seen(o.Data)
	if err != nil {
		return out, err
	}
	var signed []byte
	err = log.Update(ctx, func(tx *journal.Tx) error {
		by, err := shellActor(tx)
		if err != nil {
			return err
		}
		state, err := history.Load(tx)
		if err != nil {
			return err
		}
		head, err := log.HeadOf(tx)
		if err != nil {
			return err
		}
		epoch := state.Epoch
		if haveSeen {
			epoch = max(epoch, seen.Epoch)
		}
		out = history.Recovered{Epoch: epoch + 1, Entries: head.Size, Root: head.Root.String()}
		if haveSeen {
			out.Lost = seen.Checkpoint
		}
		mark, marked, err := history.GetMark(tx)
		if err != nil {
			return err
		}
		if marked {
			out.Backup, out.Written = mark.Backup, mark.Written.UTC().Format(time.RFC3339)
		}
		if _, err := tx.Append(history.Entry(by, o.Now(), o.Why, out)); err != nil {
			return err
		}
		if err := history.DeleteMark(tx); err != nil {
			return err
		}
		signed, _, err = log.SignAnew(tx)
		return err
	})
	if err != nil {
		return out, err
	}
	if o.Database == "" {
		if _, err := guard.Moved(filepath.Join(o.Data, databaseFile)); err != nil {
			return out, err
		}
	}
	if err := (history.Evidence{Epoch: out.Epoch, Checkpoint: string(signed)}).Keep(o.Data); err != nil {
		return out, fmt.Errorf("writing down the new epoch's checkpoint: %w", err)
	}
	return out, nil
}

// openStopped opens keys and store of a node that does not run.
func openStopped(ctx context.Context, data, database string) (*keys.Set, journal.Store, error) {
	set, err := keys.Load(filepath.Join(data, "keys"))
	if err != nil {
		return nil, nil, err
	}
	store, err := openStore(ctx, StoreOptions{Data: data, Database: database})
	return set, store, err
}

// shellActor is the operator's shell of the node's first partner.
func shellActor(r journal.StoreReader) (access.Actor, error) {
	all, err := partner.All(r)
	if err != nil {
		return access.Actor{}, err
	}
	var first partner.Partner
	for _, p := range all {
		if first.ID == "" || p.AddedAt.Before(first.AddedAt) {
			first = p
		}
	}
	if first.ID == "" {
		return access.Actor{}, problem.New(problem.NotFound, "the node has no partner", "name the folder of a node that siaga init made")
	}
	return partner.Shell(first), nil
}

// Rebuild derives everything of a stopped node again from its entries, and
// returns how many objects and operations of the feed were others before.
func Rebuild(ctx context.Context, data, database string) (changed int64, err error) {
	set, store, err := openStopped(ctx, data, database)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if r, ok := store.(interface {
		Reindex(ctx context.Context) error
	}); ok {
		if err := r.Reindex(ctx); err != nil {
			return 0, err
		}
	}
	log, err := newLog(store, set, time.Now, nil, nil)
	if err != nil {
		return 0, err
	}
	if changed, err = log.Rebuild(ctx); err != nil {
		return changed, err
	}
	mended, err := feed.Mender{Signer: edge.KeySigner(set.Feed), Again: feedAgain}.Mend(ctx, store)
	return changed + int64(mended), err
}

// feedAgain derives from the journal what the feed was told with an entry.
func feedAgain(r journal.StoreReader, entry int64) (time.Time, []feed.Draft, error) {
	row, err := r.Row(entry)
	if err != nil {
		return time.Time{}, nil, err
	}
	e, err := row.Entry()
	if err != nil {
		return time.Time{}, nil, err
	}
	var out []feed.Draft
	for _, ref := range e.About {
		if ref.Kind != signal.KindSignal {
			continue
		}
		var about []journal.Entry
		for from := int64(0); ; {
			rows, err := r.Rows(journal.RowQuery{About: ref, From: from, Before: entry + 1})
			if err != nil {
				return e.At, nil, err
			}
			for _, row := range rows {
				e, err := row.Entry()
				if err != nil {
					return e.At, nil, err
				}
				about, from = append(about, e), row.Number+1
			}
			if len(rows) == 0 {
				break
			}
		}
		ops, err := signal.OpsOf(about)
		if err != nil {
			return e.At, nil, err
		}
		out = append(out, drafts(entry, ops)...)
	}
	return e.At, out, nil
}
