package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
)

// River keeps its jobs in this database. Its client works on connections of
// its own, as the server lets many write; Enqueue inserts within the writing
// session's transaction.

// riverSchema is the version of River's own schema that the migration with the
// number riverMigration brings about. A new one needs a new migration.
const (
	riverSchema    = 8
	riverMigration = 2
)

// riverConns is the number of connections of River's client.
const riverConns = 6

// riverMigrations runs River's migrations in transactions of theirs. River
// notes each, so that one that was interrupted goes on; goose holds the lock.
func (db *DB) riverMigrations() []*goose.Migration {
	up := func(ctx context.Context, _ *sql.DB) error {
		m, err := rivermigrate.New(riverpgxv5.New(db.pool), nil)
		if err != nil {
			return err
		}
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: riverSchema})
		return err
	}
	return []*goose.Migration{goose.NewGoMigration(riverMigration, &goose.GoFunc{RunDB: up}, nil)}
}

// River implements jobs.Backend.
func (db *DB) River(c *river.Config) (jobs.Runner, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.river == nil {
		pc := db.pool.Config()
		pc.MaxConns = riverConns
		pool, err := pgxpool.NewWithConfig(context.Background(), pc) // connects when first used
		if err != nil {
			return nil, db.problem(err)
		}
		db.river = pool
	}
	return river.NewClient(riverpgxv5.New(db.river), c)
}

var _ jobs.Backend = (*DB)(nil)

// Enqueue implements journal.StoreTx.
func (t *tx) Enqueue(j journal.Job) error {
	if err := j.Check(); err != nil {
		return err
	}
	if err := t.flush(); err != nil { // River's statements are not in our batch
		return err
	}
	ctx, cancel := t.context()
	defer cancel()
	if _, err := t.db.inserter.InsertTx(ctx, inTx{t.conn}, jobs.Args(j), jobs.InsertOpts(j)); err != nil {
		return t.failed("enqueuing "+j.Kind, err)
	}
	return nil
}

// inTx is the open transaction of the writing session, as far as an insert
// needs it: it begins and ends nothing but savepoints.
type inTx struct{ conn *pgx.Conn }

var errInTx = errors.New("postgres: not within an update")

func (t inTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if _, err := t.conn.Exec(ctx, "SAVEPOINT river"); err != nil {
		return nil, fmt.Errorf("savepoint: %w", err)
	}
	return savepoint{t}, nil
}

func (t inTx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	return t.conn.Exec(ctx, query, args...)
}

func (t inTx) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	return t.conn.Query(ctx, query, args...)
}

func (t inTx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	return t.conn.QueryRow(ctx, query, args...)
}

func (t inTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return t.conn.SendBatch(ctx, b)
}

func (t inTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	return t.conn.CopyFrom(ctx, table, columns, src)
}

func (t inTx) Prepare(ctx context.Context, name, query string) (*pgconn.StatementDescription, error) {
	return t.conn.Prepare(ctx, name, query)
}

func (t inTx) Conn() *pgx.Conn                { return t.conn }
func (t inTx) LargeObjects() pgx.LargeObjects { panic(errInTx) }
func (t inTx) Commit(context.Context) error   { return errInTx }
func (t inTx) Rollback(context.Context) error { return errInTx }

type savepoint struct{ inTx }

func (s savepoint) Commit(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "RELEASE SAVEPOINT river")
	return err
}

func (s savepoint) Rollback(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT river")
	return err
}
