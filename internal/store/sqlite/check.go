package sqlite

import (
	"context"
	"database/sql"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Check asks SQLite whether every page, row and index of the file fits the
// others (PRAGMA integrity_check), and reads private data and counters, of which
// each row carries a digest. A problem of kind Internal names the first thing
// that does not fit. It reads the whole file.
func (db *DB) Check(ctx context.Context) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	c, err := db.newConn()
	if err != nil {
		return db.problem(err)
	}
	defer c.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	first := ""
	err = (&tx{conn: c}).query("PRAGMA integrity_check(1)", nil, func(rows *sql.Rows) error { return rows.Scan(&first) })
	if err != nil {
		return db.problem(err)
	}
	if first != "ok" {
		return problem.Newf(problem.Internal, "%s is damaged: %s", db.path, first).
			WithFix("stop the node, keep the file as evidence, and restore a backup; an index alone is mended by \"siaga log rebuild\"")
	}
	t := &tx{conn: c}
	if err := t.ScanPrivates(func(*journal.Private) error { return nil }); err != nil {
		return db.problem(err)
	}
	return db.problem(t.ScanCounters(func(string, int64) error { return nil }))
}

// Reindex makes all indexes again from their tables.
func (db *DB) Reindex(ctx context.Context) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.active.Done()
	c, err := db.newConn()
	if err != nil {
		return db.problem(err)
	}
	defer c.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	return db.problem(c.exec("REINDEX"))
}
