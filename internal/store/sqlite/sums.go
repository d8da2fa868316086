package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A flipped bit in an entry, an object or an operation is found by what it is
// derived from or signed with. Private data and counters are not derived, so
// their rows carry a digest and a complement of their own. Each read checks
// them: a damaged row answers nothing.

// sumOf is the digest of a private row: the first 16 bytes of the SHA-256 of its
// fields, each behind its length.
func sumOf(kind, id, owner string, doc []byte, expiresMS int64) []byte {
	b := make([]byte, 0, 64+len(kind)+len(id)+len(owner)+len(doc))
	for _, s := range []string{kind, id, owner} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = append(binary.AppendUvarint(b, uint64(len(doc))), doc...)
	b = binary.AppendVarint(b, expiresMS)
	sum := sha256.Sum256(b)
	return sum[:16]
}

// Neither names its row: an ID may be made from a secret.
var (
	errRottenPrivate = rotten("a row of private data in the database is damaged: it is not what was written")
	errRottenCounter = rotten("a counter in the database is damaged: it is not what was written")
)

func rotten(detail string) *problem.Error {
	return problem.New(problem.Internal, detail, "stop the node, keep the file as evidence, check the disk, and restore a backup")
}

// sealRows gives digests and complements to rows that have none: those of a
// release that knew none.
func (db *DB) sealRows(ctx context.Context) error {
	missing := false
	err := db.pool.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM private WHERE sum IS NULL) OR EXISTS (SELECT 1 FROM counters WHERE mirror IS NULL)`).Scan(&missing)
	if err != nil {
		return db.problem(err)
	}
	if !missing {
		return nil
	}
	return db.Update(ctx, func(w journal.StoreTx) error {
		t := w.(*tx) //nolint:forcetypeassert // Update gives a *tx
		bare, err := t.privates(`SELECT ` + privateColumns + ` FROM private WHERE sum IS NULL`)
		if err != nil {
			return err
		}
		for _, p := range bare {
			if err := t.PutPrivate(p); err != nil {
				return fmt.Errorf("sealing private data: %w", err)
			}
		}
		_, err = t.write(`UPDATE counters SET mirror = ~value WHERE mirror IS NULL`)
		return err
	})
}
