package sqlite

import (
	"context"
	"database/sql"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Check asks SQLite whether every page, row and index of the file fits the
// others (PRAGMA integrity_check). A problem of kind Internal names the first
// thing that does not. It reads the whole file.
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
	return nil
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
