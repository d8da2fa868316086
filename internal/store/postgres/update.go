package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// batch is what is known of the transaction on the server that is open. It is
// read under the lock of journal_head and forgotten at the end.
type batch struct {
	number   int64               // of this node's batches
	appended bool                // an entry or a feed operation
	size     int64               // number of entries; -1: not read yet
	hashes   map[int64]tlog.Hash // of the tree, read or written
}

// Timeouts of the writing session, besides Options.MaxPause.
const (
	lockTimeout      = 15 * time.Second // waiting for other nodes
	statementTimeout = 30 * time.Second
	networkTimeout   = statementTimeout + 10*time.Second // for an answer to come
	resolveTimeout   = 30 * time.Second                  // for the outcome of a commit
)

// Update implements journal.Store.
func (db *DB) Update(ctx context.Context, fn func(tx journal.StoreTx) error) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	const attempts = 5
	for i := 1; ; i++ {
		erased := false
		err := db.updates.Do(ctx, func(spoiled *error) error { return db.savepoint(fn, spoiled, &erased) })
		if err != nil && isRetryable(err) && i < attempts {
			continue
		}
		if err == nil && erased {
			err = db.vacuum(ctx)
		}
		return db.problem(err)
	}
}

// background ends an exchange with the server that does not answer. Callers'
// contexts do not: the transaction belongs to others too.
func background() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), networkTimeout)
}

// connectWriter makes the writing session.
func (db *DB) connectWriter() error {
	ctx, cancel := background()
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, db.config)
	if err != nil {
		return err
	}
	for _, set := range []struct {
		name  string
		value int64
	}{
		{"idle_in_transaction_session_timeout", db.o.MaxPause.Milliseconds()},
		{"lock_timeout", lockTimeout.Milliseconds()},
		{"statement_timeout", statementTimeout.Milliseconds()},
	} {
		if _, err := c.Exec(ctx, fmt.Sprintf("SET %s = %d", set.name, set.value)); err != nil {
			_ = c.Close(ctx) // it is of no use
			return fmt.Errorf("setting %s: %w", set.name, err)
		}
	}
	_, err = c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit', true) = 'off'`)
	if err != nil {
		_ = c.Close(ctx) // it is of no use
		return fmt.Errorf("setting synchronous_commit: %w", err)
	}
	db.writer = c
	return nil
}

func (db *DB) dropWriter() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = db.writer.Close(ctx) // the server undoes what was not committed
	db.writer = nil
}

// beginBatch begins a transaction and waits for the lock.
func (db *DB) beginBatch() error {
	for fresh := false; ; fresh = true {
		if db.writer == nil {
			if err := db.connectWriter(); err != nil {
				return err
			}
			fresh = true
		}
		err := db.lockHead(db.writer)
		if err == nil {
			db.batch = batch{number: db.batch.number + 1, size: -1, hashes: make(map[int64]tlog.Hash)}
			return nil
		}
		db.dropWriter()
		if fresh || !isSessionOver(err) {
			return err
		}
		// The connection broke while nobody used it: make another one.
	}
}

func (db *DB) lockHead(c *pgx.Conn) error {
	ctx, cancel := background()
	defer cancel()
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED") // each statement sees what was committed before it has the lock
	var commits int64
	b.Queue("UPDATE journal_head SET commits = commits + 1 WHERE id = 1 RETURNING commits")
	res := c.SendBatch(ctx, &b)
	_, err := res.Exec()
	if err == nil {
		err = res.QueryRow().Scan(&commits)
	}
	if cerr := res.Close(); err == nil {
		err = cerr
	}
	return err
}

// endBatch commits, or gives everything up if the batch is spoiled.
func (db *DB) endBatch(spoiled error) error {
	if spoiled != nil {
		ctx, cancel := background()
		defer cancel()
		if _, err := db.writer.Exec(ctx, "ROLLBACK"); err != nil {
			db.dropWriter()
		}
		return fmt.Errorf("committing: %w", spoiled)
	}
	committed, err := db.commit()
	if err != nil && !committed {
		db.dropWriter()
		if isSessionOver(err) {
			committed, err = db.outcome(err)
		}
	}
	if !committed {
		return err
	}
	if db.batch.appended {
		db.announce()
	}
	return nil
}

// commit sends the commit. An error may leave the outcome open.
func (db *DB) commit() (committed bool, err error) {
	ctx, cancel := background()
	defer cancel()
	var b pgx.Batch
	b.Queue(`INSERT INTO journal_nodes (id, batch, at) VALUES ($1, $2, now())
		ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at`, db.node, db.batch.number)
	if db.batch.number%1000 == 1 {
		b.Queue(`DELETE FROM journal_nodes WHERE at < now() - INTERVAL '30 days'`)
	}
	if db.batch.appended && db.notify {
		b.Queue(`SELECT pg_notify($1, $2)`, channel, string(db.nodeText()))
	}
	b.Queue("COMMIT")
	res := db.writer.SendBatch(ctx, &b)
	var tag pgconn.CommandTag
	for range b.Len() {
		if tag, err = res.Exec(); err != nil {
			break
		}
	}
	if cerr := res.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return false, fmt.Errorf("committing: %w", err)
	}
	if tag.String() != "COMMIT" {
		return false, fmt.Errorf("committing: the server answered %s", tag)
	}
	return true, nil
}

// outcome asks the server whether the last batch was committed although the
// connection broke.
func (db *DB) outcome(broken error) (committed bool, err error) {
	deadline := time.Now().Add(resolveTimeout)
	for {
		committed, err = db.askOutcome()
		if err == nil {
			if !committed {
				return false, problem.Newf(problem.Unavailable, "the %s broke the connection; nothing was stored", db.name).
					WithFix("send again").Because(broken)
			}
			return true, nil
		}
		select {
		case <-time.After(watchInterval):
		case <-db.closing:
			deadline = time.Time{}
		}
		if time.Now().After(deadline) {
			return false, problem.Newf(problem.Unavailable, "the %s went away during a commit, and it is not known whether it took place", db.name).
				WithFix("when it is back, look whether it is there before you send it again, or send it again with the same idempotency key").Because(errors.Join(broken, err))
		}
	}
}

func (db *DB) askOutcome() (committed bool, err error) {
	if err := db.connectWriter(); err != nil {
		return false, err
	}
	ctx, cancel := background()
	defer cancel()
	// The lock is free when the broken session has ended, one way or the other.
	err = db.lockHead(db.writer)
	if err == nil {
		err = db.writer.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM journal_nodes WHERE id = $1 AND batch >= $2)`, db.node, db.batch.number).Scan(&committed)
	}
	if err == nil {
		_, err = db.writer.Exec(ctx, "ROLLBACK")
	}
	if err != nil {
		db.dropWriter()
	}
	return committed, err
}

// savepoint runs fn so that its failure undoes its work alone.
func (db *DB) savepoint(fn func(tx journal.StoreTx) error, spoiled *error, erased *bool) error {
	before := db.batch
	t := &tx{conn: db.writer, db: db, pending: new(pgx.Batch), heads: make(map[string]journal.FeedRow)}
	t.pending.Queue("SAVEPOINT u") // sent with the first read or write
	kept := false
	defer func() {
		t.conn = nil // a transaction that outlives fn must not touch the next one's
		if kept {
			return
		}
		db.batch.size, db.batch.appended = before.size, before.appended
		if before.size < 0 {
			clear(db.batch.hashes)
		} else {
			end := tlog.StoredHashCount(before.size)
			maps.DeleteFunc(db.batch.hashes, func(index int64, _ tlog.Hash) bool { return index >= end })
		}
		if !t.sent {
			return
		}
		if isRetryable(t.fault) || t.fault != nil && isSessionOver(t.fault) {
			*spoiled = t.fault // the whole transaction is gone
			return
		}
		var b pgx.Batch
		b.Queue("ROLLBACK TO SAVEPOINT u")
		b.Queue("RELEASE SAVEPOINT u")
		ctx, cancel := background()
		defer cancel()
		if err := db.writer.SendBatch(ctx, &b).Close(); err != nil {
			*spoiled = errors.Join(err, t.fault)
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if t.fault != nil {
		return t.fault // fn ignored it, and its work may be incomplete
	}
	t.pending.Queue("RELEASE SAVEPOINT u")
	if err := t.flush(); err != nil {
		return err
	}
	kept = true
	*erased = t.erased
	return nil
}

// vacuum removes the old versions of rows from which something was erased. The
// erasure has taken place: a server that has no VACUUM or refuses it is left to
// its operator.
func (db *DB) vacuum(ctx context.Context) error {
	for _, table := range []string{"entries", "objects"} {
		_, err := db.pool.Exec(ctx, "VACUUM "+table)
		if err != nil && !isServerError(err) {
			return problem.New(problem.Unavailable, "the entry is erased, but old copies may remain in the files of the database",
				"erase it again").Because(err)
		}
	}
	return nil
}
