// Package sqlite keeps the journal and its projections in one SQLite file. It
// needs no other program and no C compiler.
//
// # Promises
//
// It passes storetest.Run. A commit is on disk (WAL, synchronous=FULL) before
// Update returns. Transactions that wait while a commit is written share the
// next one (group commit): each is a savepoint, so one that fails or panics
// undoes its own work alone, and each result is delivered after the common
// commit. Reads take a snapshot and never wait for writes.
//
// Erased payloads are overwritten (secure_delete) and the write-ahead log is
// emptied before Update returns.
//
// A node locks the file (DATABASE.lock); a second one is refused. Short
// commands on the same machine may open it as Shared beside a node. The file
// is made by Create alone: Open refuses a missing one, or a lost disk would
// become a new and empty journal.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/group"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks the file as ours (PRAGMA application_id): "SIAG".
const applicationID = 0x53494741

// Options of Open and Create. The zero value is a node's.
type Options struct {
	// Shared opens the file without the node's lock, for short commands that
	// may run beside a node.
	Shared bool
	// ReadOnly opens the file for reading alone, without the node's lock.
	// Update returns a problem.
	ReadOnly bool
	// Readers is the number of views that can run at once; default 16.
	Readers int
	// MaxWaiting is the number of updates that may wait before further ones
	// are refused as Busy; default 4096.
	MaxWaiting int
}

// DB is an open database. It implements journal.Store.
type DB struct {
	path     string
	readOnly bool
	lock     *os.File // the node's lock; nil if shared
	pool     *sql.DB
	readers  chan *conn // idle ones; cap is the number of readers
	updates  group.Queue
	river    *sql.DB                // what River's client works with; see river.go
	inserter *river.Client[*sql.Tx] // inserts jobs, runs none

	// Owned by the goroutine that has the turn in updates.
	writer   *conn // nil until first used and after a fault
	appended bool  // the batch appended an entry or a feed operation

	mu        sync.Mutex
	committed chan struct{} // closed and replaced by each commit that appended
	closed    bool
	closing   chan struct{}  // closed by Close
	active    sync.WaitGroup // Updates and Views under way; Add under mu
}

var _ journal.Store = (*DB)(nil)

// Create makes a new database at path and opens it. The file may not exist.
func Create(ctx context.Context, path string, o Options) (*DB, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, problem.Newf(problem.Conflict, "%s exists already", path).
			WithFix("use it as it is, or name another folder").Because(err)
	}
	if err != nil {
		return nil, unavailable(path, fmt.Errorf("creating %s: %w", path, err))
	}
	if err := f.Close(); err != nil {
		return nil, unavailable(path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, unavailable(path, err)
	}
	return open(ctx, path, o, true)
}

// Open opens the database at path and brings its schema up to date. It returns
// a problem if there is none, if it is not ours, if it was made by a newer
// release, or if another node has it open.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	return open(ctx, path, o, false)
}

func open(ctx context.Context, path string, o Options, created bool) (db *DB, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.Newf(problem.NotFound, "there is no database at %s", path).
			WithFix("run \"siaga init\" to make one, or name the right folder with --data").Because(err)
	case err != nil:
		return nil, unavailable(path, err)
	case !info.Mode().IsRegular():
		return nil, problem.Newf(problem.Invalid, "%s is not a file", path).WithFix("name the folder of the data with --data")
	}
	if o.Readers == 0 {
		o.Readers = 16
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 4096
	}
	db = &DB{path: path, readOnly: o.ReadOnly, committed: make(chan struct{}), closing: make(chan struct{}), readers: make(chan *conn, o.Readers)}
	db.updates = group.Queue{Max: o.MaxWaiting, Begin: db.beginBatch, End: db.endBatch}
	defer func() {
		if err != nil {
			db.release()
			db = nil
		}
	}()
	if !o.Shared && !o.ReadOnly {
		if db.lock, err = lockFile(path + ".lock"); err != nil {
			return db, problem.Newf(problem.Conflict, "another node has %s open", path).
				WithFix("stop it first, or give each node a data folder of its own").Because(err)
		}
	}
	if db.pool, err = sql.Open("sqlite", dsn(path, o.ReadOnly)); err != nil {
		return db, unavailable(path, err)
	}
	db.pool.SetMaxIdleConns(o.Readers + 1)
	if err := db.migrate(ctx, created); err != nil {
		return db, err
	}
	for range cap(db.readers) {
		db.readers <- nil // opened when first used
	}
	if err := db.openRiver(); err != nil || o.ReadOnly {
		return db, err
	}
	if err := db.sealRows(ctx); err != nil && problem.KindOf(err) != problem.Unavailable {
		return db, err
	} // a full disk: the next start does it
	return db, nil
}

// dsn returns the name under which the driver opens the file: never creating
// it, and with the settings that the package's promises rest on.
func dsn(path string, readOnly bool) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	q := url.Values{}
	q.Add("_txlock", "deferred")
	q.Add("_dqs", "0")
	q.Add("_pragma", "busy_timeout(10000)")
	if readOnly {
		q.Add("mode", "ro")
	} else {
		q.Add("mode", "rw")
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
		q.Add("_pragma", "secure_delete(ON)")
		q.Add("_pragma", "foreign_keys(ON)")
		q.Add("_pragma", "journal_size_limit(67108864)")
	}
	q.Add("_pragma", "temp_store(MEMORY)")
	q.Add("_pragma", "trusted_schema(OFF)")
	q.Add("_pragma", "cell_size_check(ON)")
	return "file:" + (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath() + "?" + q.Encode()
}

// migrate checks whose file it is and brings the schema up to date.
func (db *DB) migrate(ctx context.Context, created bool) error {
	var id, tables int64
	err := db.pool.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &tables)
	if err != nil {
		if isCode(err, codeNotADB) || isCode(err, codeCorrupt) {
			return problem.Newf(problem.Invalid, "%s is not a database, or is damaged", db.path).
				WithFix("name the right folder with --data, or restore a backup").Because(err)
		}
		return unavailable(db.path, err)
	}
	if id != applicationID && (tables > 0 || !created) {
		// A file that init began and could not finish is empty or holds only
		// the table of migrations; it holds nothing that could be lost.
		var ours int64
		err := db.pool.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name NOT IN ('goose_db_version', 'sqlite_sequence')`).Scan(&ours)
		if err != nil {
			return unavailable(db.path, err)
		}
		if ours > 0 {
			return problem.Newf(problem.Invalid, "%s is a database of another program", db.path).
				WithFix("name the right folder with --data")
		}
		if !created {
			return problem.Newf(problem.NotFound, "%s was not set up completely", db.path).
				WithFix("delete it and run \"siaga init\" again: it holds nothing yet")
		}
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.pool, dir, goose.WithGoMigrations(riverMigrations()...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	var have, want int64
	for _, s := range p.ListSources() {
		want = max(want, s.Version)
	}
	if !created {
		if err := db.pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have); err != nil {
			return unavailable(db.path, fmt.Errorf("reading the schema's version: %w", err))
		}
	}
	since, err := db.compatible(ctx)
	if err != nil {
		return err
	}
	switch {
	case have > want && since <= want:
		return nil // a newer release changed nothing that this one needs
	case have > want:
		return problem.Newf(problem.Conflict, "%s was written by a newer release (schema %d; this one knows %d)", db.path, have, want).
			WithFix("start the newer release, or restore a backup made by this one")
	case have == want:
		return nil
	case db.readOnly:
		return problem.Newf(problem.Conflict, "%s has the schema of an earlier release (%d; this one needs %d)", db.path, have, want).
			WithFix("start the node once with this release: it brings the schema up to date")
	}
	_, err = p.Up(ctx)
	if err == nil {
		_, err = db.pool.ExecContext(ctx, `UPDATE schema_compatible SET since = ?`, compatibleSince)
	}
	if err != nil {
		return unavailable(db.path, fmt.Errorf("bringing the schema of %s up to date: %w", db.path, err))
	}
	return nil
}

// compatibleSince is the oldest schema whose release works on the newest one
// here. A migration that takes something away, or that earlier releases would
// break, raises it to its own number.
const compatibleSince = 3

// compatible returns the oldest schema whose release works on the file's.
func (db *DB) compatible(ctx context.Context) (since int64, err error) {
	var there bool
	if err := db.pool.QueryRowContext(ctx, `SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'schema_compatible'`).Scan(&there); err != nil {
		return 0, unavailable(db.path, err)
	}
	if !there {
		return math.MaxInt64, nil // of a release that did not say
	}
	if err := db.pool.QueryRowContext(ctx, `SELECT max(since) FROM schema_compatible`).Scan(&since); err != nil {
		return 0, fmt.Errorf("reading which releases the schema is for: %w", err)
	}
	return since, nil
}

// begin notes that a call is under way, unless the database is closed.
func (db *DB) begin() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return problem.New(problem.Unavailable, "the database is closed", "wait until the node is up again, then send again")
	}
	db.active.Add(1)
	return nil
}

// View implements journal.Store.
func (db *DB) View(ctx context.Context, fn func(r journal.StoreReader) error) (err error) {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	var c *conn
	select {
	case c = <-db.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	sound := false
	defer func() {
		if !sound && c != nil { // also when fn panics
			c.close()
			c = nil
		}
		db.readers <- c
	}()
	if c == nil {
		if c, err = db.newConn(); err != nil {
			return db.problem(err)
		}
	}
	if err := c.exec("BEGIN"); err != nil {
		return db.problem(err)
	}
	ferr := fn(&tx{conn: c})
	sound = c.exec("ROLLBACK") == nil
	return db.problem(ferr)
}

// Committed implements journal.Store.
func (db *DB) Committed() <-chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.committed
}

func (db *DB) announce() {
	db.mu.Lock()
	defer db.mu.Unlock()
	close(db.committed)
	db.committed = make(chan struct{})
}

// watchInterval is how often Watch looks for commits of other processes.
const watchInterval = 250 * time.Millisecond

// Watch implements journal.Store. Other processes are short commands beside
// the node; their commits are seen within a quarter of a second.
func (db *DB) Watch(ctx context.Context) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	var c *conn
	defer func() {
		if c != nil {
			c.close()
		}
	}()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-db.closing:
			return nil
		case <-tick.C:
		}
		if c == nil {
			var err error
			if c, err = db.newConn(); err != nil {
				continue // the next look may succeed; callers see the error where it matters
			}
			last = -1
		}
		// Seen from a connection that never writes, the value changes with
		// every commit, also our own: waking readers in vain does no harm.
		var version int64
		if err := (&tx{conn: c}).row("PRAGMA data_version", nil, &version); err != nil {
			c.close()
			c = nil
			continue
		}
		if last >= 0 && version != last {
			db.announce()
		}
		last = version
	}
}

// Close implements journal.Store.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	close(db.closing)
	db.mu.Unlock()
	db.active.Wait()
	return db.release()
}

// release closes what is open; nothing is under way.
func (db *DB) release() error {
	var errs []error
	for range len(db.readers) {
		if c := <-db.readers; c != nil {
			c.close()
		}
	}
	if db.writer != nil {
		// The file then holds everything, for those who copy it alone. Who else
		// has it open may keep that from happening; nothing is lost then.
		_ = db.writer.exec("PRAGMA busy_timeout = 0")
		var busy, frames, moved int64
		_ = (&tx{conn: db.writer}).row("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &moved)
	}
	if db.writer != nil {
		db.writer.close()
	}
	if db.river != nil {
		errs = append(errs, db.river.Close())
	}
	if db.pool != nil {
		errs = append(errs, db.pool.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// syncDir makes the name of a new file durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// conn is one connection with its prepared statements. One goroutine uses it
// at a time.
type conn struct {
	c     *sql.Conn
	stmts map[string]*sql.Stmt
}

func (db *DB) newConn() (*conn, error) {
	c, err := db.pool.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: make(map[string]*sql.Stmt)}, nil
}

// maxStatements bounds the statements kept by one connection. There are about
// fifty different ones; the number of conditions and values multiplies them.
const maxStatements = 256

// prepared returns the prepared statement of a query, from the cache if it was
// used before. Statements get no context that can end: the driver would have
// to interrupt a transaction that others share.
func (c *conn) prepared(query string) (*sql.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		for q, s := range c.stmts {
			_ = s.Close() // the statement is not in use; nothing can be lost
			delete(c.stmts, q)
		}
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

func (c *conn) exec(query string, args ...any) error {
	s, err := c.prepared(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(context.Background(), args...)
	return err
}

// close closes the connection for good, whatever state it is in.
func (c *conn) close() {
	for _, s := range c.stmts {
		_ = s.Close() // one left open would keep the file open, and its log beside it
	}
	_ = c.c.Raw(func(any) error { return errDiscard }) // marks the connection as bad, so that the pool closes it
	_ = c.c.Close()
}

// placeholders returns "?, ?, ?".
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }
