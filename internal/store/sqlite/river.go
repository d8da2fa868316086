package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// River keeps its jobs in this database, and SQLite has one writer. So River
// gets no connection of its own: it speaks database/sql, and what it speaks to
// is the driver in this file, which lets each of its transactions wait in the
// same queue as everybody's updates, be a savepoint there, and share the
// commit on disk. A SELECT outside a transaction is a view. (A second writing
// connection would wait for ours by polling the file's lock: unfair under
// load, and each commit would be one more write to disk.)
//
//	River ── database/sql ── riverConn ──┬─ turn: a part of group.Queue
//	                                     └─ view: a connection for reading
//	Enqueue ── database/sql ── txConn ───── the savepoint that is open

// riverSchema is the version of River's own schema that the migration with the
// number riverMigration brings about. A new one needs a new migration.
const (
	riverSchema    = 8
	riverMigration = 2
)

func riverMigrations() []*goose.Migration {
	up := func(ctx context.Context, tx *sql.Tx) error {
		m, err := rivermigrate.New(riversqlite.New(nil), nil)
		if err != nil {
			return err
		}
		_, err = m.MigrateTx(ctx, tx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: riverSchema}) //nolint:staticcheck // SQLite can take all its steps in one transaction, and ours must be one
		return err
	}
	return []*goose.Migration{goose.NewGoMigration(riverMigration, &goose.GoFunc{RunTx: up}, nil)}
}

// River implements jobs.Backend.
func (db *DB) River(c *river.Config) (jobs.Runner, error) {
	if db.readOnly {
		return nil, problem.Newf(problem.Unavailable, "%s is open for reading only", db.path).WithFix("use the node that serves it")
	}
	return river.NewClient(riversqlite.New(db.river), c)
}

var _ jobs.Backend = (*DB)(nil)

// openRiver makes what River and Enqueue work with.
func (db *DB) openRiver() (err error) {
	db.river = sql.OpenDB(riverConnector{db})
	db.river.SetMaxOpenConns(4) // each waits for its turn
	db.inserter, err = river.NewClient(riversqlite.New(nil), &river.Config{})
	return err
}

// Enqueue implements journal.StoreTx.
func (t *tx) Enqueue(j journal.Job) error {
	if err := j.Check(); err != nil {
		return err
	}
	if t.conn == nil {
		return errEnded
	}
	return t.conn.c.Raw(func(dc any) error {
		pool := sql.OpenDB(txConnector{dc.(sqliteConn)})
		defer pool.Close()
		tx, err := pool.BeginTx(background, nil)
		if err == nil {
			if _, err = t.inserter.InsertTx(background, tx, jobs.Args(j), jobs.InsertOpts(j)); err == nil {
				err = tx.Commit()
			} else {
				err = errors.Join(err, tx.Rollback())
			}
		}
		if err != nil {
			return t.failed("enqueuing "+j.Kind, err)
		}
		return nil
	})
}

// sqliteConn is what the driver "sqlite" gives.
type sqliteConn interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
}

// txConnector makes connections that are a savepoint within an open
// transaction.
type txConnector struct{ conn sqliteConn }

func (c txConnector) Connect(context.Context) (driver.Conn, error) { return txConn{c.conn}, nil }
func (c txConnector) Driver() driver.Driver                        { return noDriver{} }

type txConn struct{ sqliteConn }

func (c txConn) Close() error { return nil } // the connection is not ours

func (c txConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	return c, c.do(ctx, "SAVEPOINT river")
}

func (c txConn) Commit() error { return c.do(background, "RELEASE river") }

func (c txConn) Rollback() error {
	return errors.Join(c.do(background, "ROLLBACK TO river"), c.do(background, "RELEASE river"))
}

func (c txConn) do(ctx context.Context, query string) error {
	_, err := c.ExecContext(ctx, query, nil)
	return err
}

type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("sqlite: open it by its store")
}

// riverConnector makes the connections that River's client works with.
type riverConnector struct{ db *DB }

func (c riverConnector) Connect(context.Context) (driver.Conn, error) {
	return &riverConn{db: c.db}, nil
}
func (c riverConnector) Driver() driver.Driver { return noDriver{} }

// riverConn is a connection in name alone. One goroutine uses it at a time.
type riverConn struct {
	db   *DB
	turn *turn // the open transaction, if any
}

func (c *riverConn) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("sqlite: River's connections prepare nothing")
}

func (c *riverConn) Begin() (driver.Tx, error) { return c.BeginTx(background, driver.TxOptions{}) }

func (c *riverConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	t, err := c.db.openTurn(ctx)
	if err != nil {
		return nil, err
	}
	c.turn = t
	return c, nil
}

func (c *riverConn) end(keep bool) error {
	t := c.turn
	c.turn = nil
	if t == nil {
		return errEnded
	}
	return t.end(keep)
}

func (c *riverConn) Commit() error   { return c.end(true) }
func (c *riverConn) Rollback() error { return c.end(false) }

func (c *riverConn) Close() error {
	if c.turn != nil {
		return c.Rollback()
	}
	return nil
}

// within runs fn in the open transaction or in one of its own.
func (c *riverConn) within(ctx context.Context, fn func(dc sqliteConn) error) error {
	if c.turn != nil {
		return c.turn.run(fn)
	}
	return c.db.Update(ctx, func(tx journal.StoreTx) error { return raw(tx, fn) })
}

func raw(r journal.StoreReader, fn func(dc sqliteConn) error) error {
	return r.(*tx).conn.c.Raw(func(dc any) error { return fn(dc.(sqliteConn)) })
}

func (c *riverConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.within(ctx, func(dc sqliteConn) (err error) {
		res, err = dc.ExecContext(background, query, args)
		return err
	})
	return res, err
}

func (c *riverConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var all *bufferedRows
	read := func(dc sqliteConn) (err error) {
		all, err = readAll(dc, query, args)
		return err
	}
	var err error
	if c.turn == nil && isSelect(query) {
		err = c.db.View(ctx, func(r journal.StoreReader) error { return raw(r, read) })
	} else {
		err = c.within(ctx, read)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// isSelect reports whether the statement can only read. River's statements
// begin with a line of comment that names them.
func isSelect(query string) bool {
	for line := range strings.Lines(query) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		return len(line) >= 6 && strings.EqualFold(line[:6], "SELECT")
	}
	return false
}

// maxTurn is how long River may keep a transaction open while others wait.
const maxTurn = 10 * time.Second

var errSlow = errors.New("sqlite: the transaction was open for too long and was undone")

// turn is a transaction of River's: a part of the common one, which runs what
// it is given until its end.
type turn struct {
	work chan func(dc sqliteConn) // closed by end; not sent to after over is closed
	keep bool                     // set before work is closed
	over chan struct{}            // closed when the part has ended
	err  error                    // the outcome; set before over is closed
}

func (db *DB) openTurn(ctx context.Context) (*turn, error) {
	t := &turn{work: make(chan func(sqliteConn)), over: make(chan struct{})}
	begun := make(chan struct{})
	go func() { // ends with the transaction, at the latest after maxTurn
		defer close(t.over)
		t.err = db.Update(ctx, func(tx journal.StoreTx) error {
			close(begun)
			return t.serve(tx)
		})
	}()
	select {
	case <-begun:
		return t, nil
	case <-t.over:
		return nil, t.err
	}
}

var errUndone = errors.New("sqlite: undone as asked")

func (t *turn) serve(tx journal.StoreTx) error {
	limit := time.NewTimer(maxTurn)
	defer limit.Stop()
	for {
		select {
		case fn, open := <-t.work:
			if open {
				if err := raw(tx, func(dc sqliteConn) error { fn(dc); return nil }); err != nil {
					return err
				}
				continue
			}
			if t.keep {
				return nil
			}
			return errUndone
		case <-limit.C:
			return errSlow
		}
	}
}

// run runs fn in the transaction.
func (t *turn) run(fn func(dc sqliteConn) error) error {
	var err error
	done := make(chan struct{})
	select {
	case t.work <- func(dc sqliteConn) { defer close(done); err = fn(dc) }:
		<-done
		return err
	case <-t.over:
		return errors.Join(t.err, errSlow)
	}
}

// end ends the transaction and returns its outcome.
func (t *turn) end(keep bool) error {
	t.keep = keep
	close(t.work)
	<-t.over
	if errors.Is(t.err, errUndone) {
		return nil
	}
	return t.err
}

// bufferedRows are the rows of a query, read to the end: the connection is
// somebody else's again before they are looked at.
type bufferedRows struct {
	columns []string
	rows    [][]driver.Value
}

func readAll(dc sqliteConn, query string, args []driver.NamedValue) (*bufferedRows, error) {
	rows, err := dc.QueryContext(background, query, args)
	if err != nil {
		return nil, err
	}
	b := &bufferedRows{columns: slices.Clone(rows.Columns())}
	for {
		row := make([]driver.Value, len(b.columns))
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return b, rows.Close()
		case err != nil:
			return nil, errors.Join(err, rows.Close())
		}
		for i, v := range row {
			if bs, ok := v.([]byte); ok {
				row[i] = bytes.Clone(bs)
			}
		}
		b.rows = append(b.rows, row)
	}
}

func (b *bufferedRows) Columns() []string { return b.columns }
func (b *bufferedRows) Close() error      { return nil }

func (b *bufferedRows) Next(dest []driver.Value) error {
	if len(b.rows) == 0 {
		return io.EOF
	}
	copy(dest, b.rows[0])
	b.rows = b.rows[1:]
	return nil
}

// CheckNamedValue lets the driver below see the values as database/sql would
// give them.
func (c *riverConn) CheckNamedValue(v *driver.NamedValue) (err error) {
	v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	if err != nil {
		return fmt.Errorf("sqlite: parameter %d: %w", v.Ordinal, err)
	}
	return nil
}
