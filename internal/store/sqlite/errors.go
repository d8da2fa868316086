package sqlite

import (
	"database/sql/driver"
	"errors"

	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	codeBusy    = sqlite3.SQLITE_BUSY
	codeFull    = sqlite3.SQLITE_FULL
	codeIOErr   = sqlite3.SQLITE_IOERR
	codeCorrupt = sqlite3.SQLITE_CORRUPT
	codeNotADB  = sqlite3.SQLITE_NOTADB
)

var errDiscard = driver.ErrBadConn

// isCode reports whether err comes from SQLite with this primary result code.
func isCode(err error, code int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == code
}

// problem turns what SQLite reports about the machine into a problem that says
// what to do. Other errors stay as they are.
func (db *DB) problem(err error) error {
	if err == nil || problem.KindOf(err) != problem.Internal {
		return err
	}
	if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff == sqlite3.SQLITE_ERROR {
		return err
	}
	return unavailable(db.path, err)
}

func unavailable(path string, err error) error {
	switch {
	case isCode(err, codeFull) || isNoSpace(err):
		return problem.Newf(problem.Unavailable, "the disk with %s is full; nothing was stored", path).
			WithFix("free space on it; the node then goes on by itself").Because(err)
	case isCode(err, codeIOErr):
		return problem.Newf(problem.Unavailable, "the disk with %s does not answer as it should; nothing was stored", path).
			WithFix("check the disk and the system's log").Because(err)
	case isCode(err, codeBusy):
		return problem.Newf(problem.Unavailable, "%s is held by another program", path).
			WithFix("end that program, then send again").Because(err)
	case isCode(err, codeCorrupt) || isCode(err, codeNotADB):
		return problem.Newf(problem.Internal, "%s is damaged", path).
			WithFix("stop the node and restore a backup; \"siaga log verify\" says what is damaged").Because(err)
	case isCode(err, sqlite3.SQLITE_READONLY):
		return problem.Newf(problem.Unavailable, "%s cannot be written", path).
			WithFix("give the node's user the right to write the file and its folder").Because(err)
	case isCode(err, sqlite3.SQLITE_CANTOPEN) || isCode(err, sqlite3.SQLITE_PERM) || isPermission(err):
		return problem.Newf(problem.Unavailable, "%s cannot be opened", path).
			WithFix("give the node's user the right to read and write the file and its folder").Because(err)
	}
	return err
}
