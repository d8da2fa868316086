package history

import (
	"encoding/json"
	"fmt"
	"time"

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

// IsMark reports whether a piece of private data is the mark of a restore,
// which no copy takes along.
func IsMark(p journal.Private) bool { return p.Kind == privateKind && p.ID == markID }

// Done says that a backup was made, restored or rehearsed.
type Done struct {
	Backup  string    `json:"backup"` // ID
	At      time.Time `json:"at"`     // when it was done
	Written time.Time `json:"written"`
	Entries int64     `json:"entries"`
	Root    string    `json:"root"`
	Bytes   int64     `json:"bytes,omitempty"` // of the encrypted stream
	Place   string    `json:"place,omitempty"` // file name, without its folder
	Took    int64     `json:"took_ms"`
	Keys    bool      `json:"keys"`
	Error   string    `json:"error,omitempty"` // why the last scheduled one failed, for people
}

// What was done with backups.
const (
	LastBackup    = "backup"    // the newest that was made and read back
	LastFailure   = "failure"   // the newest that could not be made
	LastRestore   = "restore"   // the one that this node was restored from
	LastRehearsal = "rehearsal" // the newest that was restored as an exercise
)

// PutDone records what was done.
func PutDone(tx journal.StoreTx, what string, d Done) error {
	doc, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return tx.PutPrivate(journal.Private{Kind: privateKind, ID: "last-" + what, Doc: doc})
}

// GetDone returns what was done last; ok is false if it never was.
func GetDone(r journal.StoreReader, what string) (d Done, ok bool, err error) {
	p, err := r.Private(privateKind, "last-"+what)
	if problem.KindOf(err) == problem.NotFound {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	if err := json.Unmarshal(p.Doc, &d); err != nil {
		return d, false, fmt.Errorf("reading when the last %s was: %w", what, err)
	}
	return d, true, nil
}
