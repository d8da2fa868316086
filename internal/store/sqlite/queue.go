package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// queue orders updates and lets them share commits.
//
// There is no goroutine of its own: the first caller to come leads. It begins
// the transaction, runs its own fn, then gives the turn to each caller that
// waits, one after the other; each runs its fn in its own goroutine, within a
// savepoint. The leader then commits, tells all of them, and hands the lead to
// the first that has come meanwhile.
//
//	leader    BEGIN IMMEDIATE · own savepoint · turn → … ← done · COMMIT (disk) · tell all · next leader
//	follower  wait for turn or lead · own savepoint · done · wait for the commit
type queue struct {
	max  int   // callers that may wait
	conn *conn // of the leader; nil until first used and after a fault

	mu      sync.Mutex
	leading bool
	waiting []*waiter // in order of arrival
}

// A batch ends at the latest with maxBatch updates or after maxBatchTime, so
// that those in it do not wait for those who keep coming.
const (
	maxBatch     = 1024
	maxBatchTime = 50 * time.Millisecond
)

// batch is one transaction on disk. Only the goroutine that has the turn uses
// it, until done is closed; err is set before.
type batch struct {
	appended bool // an entry or a feed operation
	err      error
	done     chan struct{}
}

// waiter is a caller in the queue. Under queue.mu it is either in waiting or
// has been sent one signal.
type waiter struct {
	alone bool        // wants the lead, not a turn
	turn  chan *batch // the leader gives the turn; nil: lead yourself
	back  chan error  // gives the turn back; a non-nil error spoils the batch
}

// Update implements journal.Store.
func (db *DB) Update(ctx context.Context, fn func(tx journal.StoreTx) error) error {
	if db.readOnly {
		return problem.Newf(problem.Unavailable, "%s is open for reading only", db.path).WithFix("use the node that serves it")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	q := &db.updates
	q.mu.Lock()
	if !q.leading {
		q.leading = true
		q.mu.Unlock()
		return db.lead(ctx, fn)
	}
	if len(q.waiting) >= q.max {
		q.mu.Unlock()
		return problem.New(problem.Busy, "too many writes are waiting", "wait a moment, then send again")
	}
	w := &waiter{turn: make(chan *batch, 1), back: make(chan error, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()

	select {
	case b := <-w.turn:
		return db.follow(ctx, w, b, fn)
	case <-ctx.Done():
	}
	if q.leave(w) {
		return ctx.Err()
	}
	// The turn came at the same moment: pass it on unused.
	if b := <-w.turn; b != nil {
		w.back <- nil
	} else {
		q.handOver()
	}
	return ctx.Err()
}

// leave takes the waiter out of the queue, unless its turn has come.
func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, o := range q.waiting {
		if o == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// next takes the first waiter for a turn, or nil.
func (q *queue) next() *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.waiting[0].alone {
		return nil
	}
	w := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return w
}

// handOver ends the caller's lead.
func (q *queue) handOver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.leading, q.waiting = false, nil
		return
	}
	w := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	w.turn <- nil
}

// alone runs fn while no transaction of this process is open, after those that
// wait already.
func (q *queue) alone(fn func() error) error {
	q.mu.Lock()
	if q.leading {
		w := &waiter{alone: true, turn: make(chan *batch, 1)}
		q.waiting = append(q.waiting, w)
		q.mu.Unlock()
		<-w.turn
	} else {
		q.leading = true
		q.mu.Unlock()
	}
	defer q.handOver()
	return fn()
}

// follow uses the turn, or takes the lead.
func (db *DB) follow(ctx context.Context, w *waiter, b *batch, fn func(tx journal.StoreTx) error) error {
	if b == nil {
		return db.lead(ctx, fn)
	}
	var spoiled error
	erased := false
	ferr := func() error {
		defer func() { w.back <- spoiled }() // also when fn panics
		return db.savepoint(b, fn, &spoiled, &erased)
	}()
	<-b.done
	return db.result(ctx, ferr, b.err, erased)
}

// result is what Update returns: the error of fn, or else that of the batch.
// After an erasure it first makes sure that the log holds no copy.
func (db *DB) result(ctx context.Context, ferr, berr error, erased bool) error {
	switch {
	case ferr != nil:
		return db.problem(ferr)
	case berr != nil:
		return berr
	case erased:
		return db.emptyWAL(ctx)
	}
	return nil
}

// lead runs one batch that begins with fn. If fn panics, the batch is finished
// for the others before the panic goes on.
func (db *DB) lead(ctx context.Context, fn func(tx journal.StoreTx) error) error {
	ferr, berr, erased := db.leadBatch(fn)
	return db.result(ctx, ferr, berr, erased)
}

func (db *DB) leadBatch(fn func(tx journal.StoreTx) error) (ferr, berr error, erased bool) {
	q := &db.updates
	defer q.handOver()
	b := &batch{done: make(chan struct{})}
	defer close(b.done)

	if err := db.beginBatch(); err != nil {
		b.err = db.problem(err)
		return nil, b.err, false
	}
	var spoiled error
	finished := false
	finish := func() {
		finished = true
		if spoiled == nil {
			spoiled = q.runWaiting(b)
		}
		b.err = db.endBatch(b, spoiled)
	}
	defer func() {
		if !finished {
			finish()
		}
	}()
	ferr = db.savepoint(b, fn, &spoiled, &erased)
	finish()
	return ferr, b.err, erased
}

// runWaiting gives the turn to those who wait, until none does or the batch is
// full. It returns the error that spoiled the batch, if any.
func (q *queue) runWaiting(b *batch) error {
	deadline := time.Now().Add(maxBatchTime)
	for range maxBatch {
		w := q.next()
		if w == nil {
			return nil
		}
		w.turn <- b
		if err := <-w.back; err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return nil
		}
	}
	return nil
}

func (db *DB) beginBatch() error {
	q := &db.updates
	if q.conn == nil {
		c, err := db.newConn()
		if err != nil {
			return err
		}
		q.conn = c
	}
	if err := q.conn.exec("BEGIN IMMEDIATE"); err != nil {
		db.dropWriter()
		return err
	}
	return nil
}

// endBatch commits, or gives everything up if the batch is spoiled.
func (db *DB) endBatch(b *batch, spoiled error) error {
	q := &db.updates
	if spoiled == nil {
		spoiled = q.conn.exec("COMMIT")
	}
	if spoiled != nil {
		// Whatever state the connection is in, closing it undoes what was not
		// committed. The next batch opens another one.
		_ = q.conn.exec("ROLLBACK")
		db.dropWriter()
		return db.problem(fmt.Errorf("committing: %w", spoiled))
	}
	if b.appended {
		db.announce()
	}
	return nil
}

func (db *DB) dropWriter() {
	db.updates.conn.close()
	db.updates.conn = nil
}

// savepoint runs fn so that its failure undoes its work alone. Spoiled is set
// if even that failed, for example when a full disk made SQLite undo the
// whole transaction.
func (db *DB) savepoint(b *batch, fn func(tx journal.StoreTx) error, spoiled *error, erased *bool) error {
	c := db.updates.conn
	if err := c.exec("SAVEPOINT u"); err != nil {
		*spoiled = err
		return err
	}
	t := &tx{conn: c}
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
	b.appended = b.appended || t.appended
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
		err := db.updates.alone(func() error {
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
