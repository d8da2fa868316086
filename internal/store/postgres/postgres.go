// Package postgres keeps the journal and its projections in PostgreSQL, for
// several nodes over one database.
//
// # Promises
//
// It passes storetest.Run. The journal stays single however many nodes write:
// every update first changes one row (journal_head), which locks it until the
// commit, so the server lets one transaction at a time read the end of the
// journal and append to it. What an update knows of that end (the size, the
// tree's right edge) it has read under the lock; nothing is kept in a node's
// memory from one transaction to the next.
//
// A node that stops in the middle of an update (it is paused, or its network
// is gone) holds the lock until the server ends its session, after MaxPause.
// When it comes back its transaction no longer exists, and its update returns
// a problem of kind Unavailable. It cannot fork the journal; the primary key of
// the entries would refuse that as well.
//
// If the connection breaks during a commit, the node asks the server whether
// the commit took place, and returns the true outcome. If the server does not
// answer for half a minute, the problem says that the outcome is not known.
//
// Updates of one node that wait for each other share a commit, as in package
// sqlite. Writes are sent together with the next read, so an append takes
// about two round trips.
//
// # What the server must do
//
// PostgreSQL 13 or later, encoding UTF-8, fsync on. Sessions that find
// synchronous_commit off turn it on. Besides plain SQL only this is used, and
// replaced where a compatible server lacks it: LISTEN and NOTIFY (else nodes
// look for commits of others four times a second), session settings for
// timeouts (without idle_in_transaction_session_timeout a paused node holds up
// the others until its connection ends), COLLATE "C".
//
// # Erasing
//
// An erased payload is out of reach of SQL at once, and VACUUM runs right
// after. The server may keep its bytes in free space of its files until they
// are used again, in its write-ahead log until that is recycled, and in
// archives, replicas and backups as long as their operator keeps those. Where
// that matters, use storage that is encrypted and retention that is short.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/group"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options of Open and Create. The zero value is a node's.
type Options struct {
	// Readers is the number of views that can run at once; default 16.
	Readers int
	// MaxWaiting is the number of updates that may wait before further ones
	// are refused as Busy; default 4096.
	MaxWaiting int
	// MaxPause is how long a node may be silent in the middle of an update
	// before the server gives it up; default 5 s.
	MaxPause time.Duration
	// Unsafe accepts a server that does not sync its writes (fsync off). For
	// tests alone.
	Unsafe bool
}

// DB is an open database. It implements journal.Store.
type DB struct {
	name     string // to show: server and database, without secrets
	config   *pgx.ConnConfig
	o        Options
	pool     *pgxpool.Pool
	updates  group.Queue
	node     []byte                // names this DB in journal_nodes
	notify   bool                  // the server has LISTEN and NOTIFY
	inserter *river.Client[pgx.Tx] // inserts jobs, runs none

	// Owned by the goroutine that has the turn in updates.
	writer *pgx.Conn // nil until first used and after a fault
	batch  batch

	mu        sync.Mutex
	committed chan struct{} // closed and replaced by each commit that appended
	closed    bool
	river     *pgxpool.Pool  // of River's client; nil until asked for
	closing   chan struct{}  // closed by Close
	active    sync.WaitGroup // Updates, Views and Watches under way; Add under mu
}

var _ journal.Store = (*DB)(nil)

// Create sets up an empty database and opens it. It returns a problem of kind
// Conflict if one is there.
func Create(ctx context.Context, url string, o Options) (*DB, error) { return open(ctx, url, o, true) }

// Open opens a database that Create has set up and brings its schema up to
// date. It returns a problem if there is none, or if it was made by a newer
// release. The URL is as libpq takes it.
func Open(ctx context.Context, url string, o Options) (*DB, error) { return open(ctx, url, o, false) }

// connectTimeout bounds each attempt to connect.
const connectTimeout = 10 * time.Second

func open(ctx context.Context, url string, o Options, create bool) (db *DB, err error) {
	if o.Readers == 0 {
		o.Readers = 16
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 4096
	}
	if o.MaxPause == 0 {
		o.MaxPause = 5 * time.Second
	}
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The error may repeat the URL, which may have a password.
		return nil, problem.New(problem.Invalid, "the address of the database cannot be read",
			"write it as postgres://user@host:5432/database, and the password in a file (--database-file)")
	}
	pc.MaxConns = int32(o.Readers)
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = connectTimeout
	}
	db = &DB{
		name: name(pc.ConnConfig), config: pc.ConnConfig.Copy(), o: o, node: make([]byte, 16),
		committed: make(chan struct{}), closing: make(chan struct{}),
	}
	if _, err := rand.Read(db.node); err != nil {
		return nil, err
	}
	db.updates = group.Queue{Max: o.MaxWaiting, Begin: db.beginBatch, End: db.endBatch}
	if db.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, db.problem(err)
	}
	defer func() {
		if err != nil {
			db.pool.Close()
			db = nil
		}
	}()
	if err := db.checkServer(ctx); err != nil {
		return db, err
	}
	if db.inserter, err = river.NewClient(riverpgxv5.New(nil), &river.Config{}); err != nil {
		return db, err
	}
	return db, db.migrate(ctx, create)
}

func name(c *pgx.ConnConfig) string {
	host := c.Host
	if len(host) > 0 && host[0] != '/' && c.Port != 5432 {
		host = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	return fmt.Sprintf("database %q at %s", c.Database, host)
}

// checkServer refuses servers that could not keep the promises.
func (db *DB) checkServer(ctx context.Context) error {
	var encoding, fsync string
	var standby bool
	err := db.pool.QueryRow(ctx, `SELECT current_setting('server_encoding'), coalesce(current_setting('fsync', true), 'on'), pg_is_in_recovery()`).
		Scan(&encoding, &fsync, &standby)
	if err != nil {
		return db.problem(fmt.Errorf("asking the server for its settings: %w", err))
	}
	switch {
	case encoding != "UTF8":
		return problem.Newf(problem.Invalid, "the %s has the encoding %s", db.name, encoding).WithFix("create it with ENCODING 'UTF8'")
	case standby:
		return problem.Newf(problem.Unavailable, "the %s is a standby, which cannot be written", db.name).WithFix("name the primary server")
	case fsync == "off" && !db.o.Unsafe:
		return problem.Newf(problem.Invalid, "the server of the %s does not sync its writes (fsync = off): it would lose what was acknowledged", db.name).
			WithFix("set fsync = on in its configuration")
	}
	c, err := db.pool.Acquire(ctx)
	if err != nil {
		return db.problem(err)
	}
	defer c.Release()
	_, err = c.Exec(ctx, "LISTEN "+channel)
	db.notify = err == nil
	if db.notify {
		_, err = c.Exec(ctx, "UNLISTEN "+channel)
	} else if isServerError(err) {
		err = nil // it has none
	}
	return db.problem(err)
}

// migrate checks whether there is a journal and brings the schema up to date.
// Nodes that start at the same time do it one after the other.
func (db *DB) migrate(ctx context.Context, create bool) error {
	var there bool
	if err := db.pool.QueryRow(ctx, `SELECT to_regclass('journal_head') IS NOT NULL`).Scan(&there); err != nil {
		return db.problem(err)
	}
	switch {
	case create && there:
		return problem.Newf(problem.Conflict, "the %s has a journal already", db.name).WithFix("use it as it is, or name another database")
	case !create && !there:
		return problem.Newf(problem.NotFound, "the %s has no journal", db.name).WithFix("run \"siaga init\" to make one, or name the right database with --database")
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	pool := stdlib.OpenDB(*db.config)
	defer pool.Close()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("preparing the migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, pool, dir, goose.WithSessionLocker(locker),
		goose.WithGoMigrations(db.riverMigrations()...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	var have, want int64
	for _, s := range p.ListSources() {
		want = max(want, s.Version)
	}
	if there {
		err := pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return db.problem(fmt.Errorf("reading the schema's version: %w", err))
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
		return problem.Newf(problem.Conflict, "the %s was written by a newer release (schema %d; this one knows %d)", db.name, have, want).
			WithFix("start the newer release, or restore a backup made by this one")
	case have == want:
		return nil
	}
	_, err = p.Up(ctx)
	if err == nil {
		_, err = db.pool.Exec(ctx, `UPDATE schema_compatible SET since = $1`, compatibleSince)
	}
	if err != nil {
		return db.problem(fmt.Errorf("bringing the schema of the %s up to date: %w", db.name, err))
	}
	return nil
}

// compatibleSince is the oldest schema whose release works on the newest one
// here. A migration that takes something away, or that earlier releases would
// break, raises it to its own number.
const compatibleSince = 3

// compatible returns the oldest schema whose release works on the database's.
func (db *DB) compatible(ctx context.Context) (since int64, err error) {
	var there bool
	if err := db.pool.QueryRow(ctx, `SELECT to_regclass('schema_compatible') IS NOT NULL`).Scan(&there); err != nil {
		return 0, db.problem(err)
	}
	if !there {
		return math.MaxInt64, nil // of a release that did not say
	}
	if err := db.pool.QueryRow(ctx, `SELECT max(since) FROM schema_compatible`).Scan(&since); err != nil {
		return 0, db.problem(fmt.Errorf("reading which releases the schema is for: %w", err))
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
func (db *DB) View(ctx context.Context, fn func(r journal.StoreReader) error) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	c, err := db.pool.Acquire(ctx)
	if err != nil {
		return db.problem(err)
	}
	t := &tx{conn: c.Conn(), ctx: ctx, pending: new(pgx.Batch)}
	t.pending.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") // sent with the first read
	defer func() {
		sent := t.pending.Len() == 0
		t.conn = nil
		if sent && !c.Conn().IsClosed() {
			if _, err := c.Conn().Exec(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
				_ = c.Conn().Close(context.WithoutCancel(ctx)) // the pool makes another one
			}
		}
		c.Release()
	}()
	return db.problem(fn(t))
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

const (
	channel       = "siaga_committed"
	watchInterval = 250 * time.Millisecond
)

// Watch implements journal.Store. Commits of other nodes are heard of at once;
// without NOTIFY, and while the connection is made again, within a quarter of
// a second.
func (db *DB) Watch(ctx context.Context) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-db.closing:
			cancel()
		case <-stopped:
		}
	}()
	for ctx.Err() == nil {
		if db.notify {
			_ = db.listen(ctx) // the connection broke: it is made again, and callers see errors where they matter
		} else {
			_ = db.poll(ctx)
		}
		pause := time.NewTimer(watchInterval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return nil
}

// listen announces what other nodes notify of, until the connection breaks.
func (db *DB) listen(ctx context.Context) error {
	c, err := pgx.ConnectConfig(ctx, db.config)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	db.announce() // of what was missed until now
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != string(db.nodeText()) {
			db.announce()
		}
	}
}

func (db *DB) nodeText() []byte { return fmt.Appendf(nil, "%x", db.node) }

// poll announces what other nodes committed, until the connection breaks.
func (db *DB) poll(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	last := int64(-1)
	for {
		commits, err := db.Commits(ctx)
		if err != nil {
			return err
		}
		if commits != last {
			db.announce()
		}
		last = commits
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Commits returns the number of commits of all nodes, with or without entries.
// It grows with each.
func (db *DB) Commits(ctx context.Context) (n int64, err error) {
	if err := db.pool.QueryRow(ctx, `SELECT commits FROM journal_head WHERE id = 1`).Scan(&n); err != nil {
		return 0, db.problem(fmt.Errorf("counting commits: %w", err))
	}
	return n, nil
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
	if db.writer != nil {
		db.dropWriter()
	}
	if db.river != nil {
		db.river.Close()
	}
	db.pool.Close()
	return nil
}
