package postgres

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/siaga-crp/siaga/internal/problem"
)

// SQLSTATE codes (PostgreSQL documentation, appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeDiskFull      = "53100"
	codeConnections   = "53300"
	codeLockTimeout   = "55P03"
	codeCanceled      = "57014"
	codeIdleTimeout   = "25P03"
	codeReadOnly      = "25006"
	codePrivilege     = "42501"
	codePassword      = "28P01"
	codeAuthorization = "28000"
	codeNoDatabase    = "3D000"
)

// code returns the SQLSTATE of a server's error, or "".
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func isServerError(err error) bool { return code(err) != "" }

// isRetryable reports whether the same transaction may succeed when it is run
// again at once.
func isRetryable(err error) bool {
	c := code(err)
	return c == codeSerialization || c == codeDeadlock
}

// isSessionOver reports whether the connection is of no more use: it broke, or
// the server ended the session. What was under way may have taken place.
func isSessionOver(err error) bool {
	c := code(err)
	if c == "" {
		return err != nil
	}
	return c[:2] == "08" || c[:3] == "57P" || c == codeIdleTimeout
}

// problem turns what the server and the network report into a problem that
// says what to do. Other errors stay as they are.
func (db *DB) problem(err error) error {
	if err == nil || problem.KindOf(err) != problem.Internal {
		return err
	}
	unavailable := func(detail, fix string) error {
		return problem.Newf(problem.Unavailable, "the %s %s", db.name, detail).WithFix("%s", fix).Because(err)
	}
	switch c := code(err); {
	case c == codeDiskFull:
		return unavailable("is out of disk space; nothing was stored", "free space on the database server; the node then goes on by itself")
	case c == codeConnections:
		return unavailable("has no connection left", "raise max_connections, or run fewer nodes")
	case c == codeLockTimeout:
		return unavailable("is held by another node; nothing was stored", "send again; if it goes on, look for a node that hangs")
	case c == codeIdleTimeout:
		return unavailable("gave up on this node, which was silent for too long in the middle of a write; nothing was stored", "send again")
	case c == codeCanceled:
		return unavailable("took too long; nothing was stored", "send again; if it goes on, look at the load of the server")
	case c == codeReadOnly:
		return unavailable("cannot be written; it may be a standby", "name the primary server")
	case c == codePrivilege:
		return unavailable("refuses the right to do this", "let the node's user own the tables")
	case c == codePassword || c == codeAuthorization:
		return unavailable("refuses the user or password", "correct them in the file named by --database-file")
	case c == codeNoDatabase:
		return unavailable("does not exist", "create it, or name the right one with --database")
	case c == codeSerialization || c == codeDeadlock:
		return unavailable("is too busy with the same data; nothing was stored", "send again")
	case isSessionOver(err) && isNetwork(err):
		return unavailable("is away; nothing was stored", "wait until it is back; the node then goes on by itself")
	}
	return err
}

// isNetwork reports whether the error is of the connection rather than of the
// program.
func isNetwork(err error) bool {
	if isServerError(err) {
		return true // isSessionOver has looked at the code
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	_, dial := errors.AsType[*pgconn.ConnectError](err)
	_, netErr := errors.AsType[net.Error](err)
	return dial || netErr || pgconn.Timeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errConnClosed)
}

var errConnClosed = errors.New("the connection is closed")
