package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Update implements journal.Store.
func (db *DB) Update(ctx context.Context, fn func(tx journal.StoreTx) error) error {
	if db.readOnly {
		return problem.Newf(problem.Unavailable, "%s is open for reading only", db.path).WithFix("use the node that serves it")
	}
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	erased := false
	err := db.updates.Do(ctx, func(spoiled *error) error { return db.savepoint(fn, spoiled, &erased) })
	if err == nil && erased {
		err = db.emptyWAL(ctx)
	}
	return db.problem(err)
}

// beginBatch begins a transaction on disk.
func (db *DB) beginBatch() error {
	db.appended = false
	if db.writer == nil {
		c, err := db.newConn()
		if err != nil {
			return err
		}
		db.writer = c
	}
	if err := db.writer.exec("BEGIN IMMEDIATE"); err != nil {
		db.dropWriter()
		return err
	}
	return nil
}

// endBatch commits, or gives everything up if the batch is spoiled.
func (db *DB) endBatch(spoiled error) error {
	if spoiled == nil {
		spoiled = db.writer.exec("COMMIT")
	}
	if spoiled != nil {
		// Whatever state the connection is in, closing it undoes what was not
		// committed. The next batch opens another one.
		_ = db.writer.exec("ROLLBACK")
		db.dropWriter()
		return fmt.Errorf("committing: %w", spoiled)
	}
	if db.appended {
		db.announce()
	}
	return nil
}

func (db *DB) dropWriter() {
	db.writer.close()
	db.writer = nil
}

// savepoint runs fn so that its failure undoes its work alone. Spoiled is set
// if even that failed, for example when a full disk made SQLite undo the
// whole transaction.
func (db *DB) savepoint(fn func(tx journal.StoreTx) error, spoiled *error, erased *bool) error {
	c := db.writer
	if err := c.exec("SAVEPOINT u"); err != nil {
		*spoiled = err
		return err
	}
	t := &tx{conn: c, inserter: db.inserter}
	kept := false
	defer func() {
		t.conn = nil // a transaction that outlives fn must not touch the next one's
		if kept {
			return
		}
		err := c.exec("ROLLBACK TO u")
		if err == nil {
			err = c.exec("RELEASE u")
		}
		if err != nil {
			*spoiled = errors.Join(err, t.fault)
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if t.fault != nil {
		return t.fault // fn ignored it, and its work may be incomplete
	}
	if err := c.exec("RELEASE u"); err != nil {
		return err
	}
	kept = true
	db.appended = db.appended || t.appended
	*erased = t.erased
	return nil
}

// How long an erasure waits for readers of an older state, and how often it
// looks.
const (
	maxEmptying   = 30 * time.Second
	emptyingPause = 20 * time.Millisecond
)

// emptyWAL moves the write-ahead log into the database and truncates it, so
// that what was erased is in neither. Readers of an older state hold it up.
// Each attempt is short and made between two batches: SQLite would else keep
// all writers out while it waits for a reader.
func (db *DB) emptyWAL(ctx context.Context) error {
	c, err := db.newConn()
	if err != nil {
		return db.problem(err)
	}
	defer c.close()
	if err := c.exec("PRAGMA busy_timeout = 0"); err != nil {
		return db.problem(err)
	}
	deadline := time.Now().Add(maxEmptying)
	for {
		var busy, frames, moved int64
		err := db.updates.Alone(func() error {
			return (&tx{conn: c}).row("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &moved)
		})
		if err == nil && busy == 0 {
			return nil
		}
		if err != nil && !isCode(err, codeBusy) {
			return db.problem(fmt.Errorf("emptying the write-ahead log: %w", err))
		}
		pause := time.NewTimer(emptyingPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return heldCopy().Because(ctx.Err())
		}
		if time.Now().After(deadline) {
			return heldCopy()
		}
	}
}

func heldCopy() *problem.Error {
	return problem.New(problem.Unavailable, "the entry is erased, but a long-running read holds an old copy on disk",
		"end long-running reads (an export, \"siaga log verify\") and erase it again")
}
