package history

import (
	"encoding/json"
	"fmt"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// The mark and the records of backups are private data of this kind.
const (
	privateKind = "history"
	markID      = "restored"
)

// PutMark leaves the mark of a restore.
func PutMark(tx journal.StoreTx, m Mark) error {
	doc, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return tx.PutPrivate(journal.Private{Kind: privateKind, ID: markID, Doc: doc})
}

// GetMark returns the mark of a restore; ok is false if there is none.
func GetMark(r journal.StoreReader) (m Mark, ok bool, err error) {
	p, err := r.Private(privateKind, markID)
	if problem.KindOf(err) == problem.NotFound {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if err := json.Unmarshal(p.Doc, &m); err != nil {
		return m, false, fmt.Errorf("reading the mark of a restore: %w", err)
	}
	return m, true, nil
}

// DeleteMark takes the mark away.
func DeleteMark(tx journal.StoreTx) error { return tx.DeletePrivate(privateKind, markID) }
