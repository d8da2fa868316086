// Package history says which history a node is in, and keeps it from going on
// with one that is older than what others have seen.
//
// # Epochs
//
// A history is a journal that only grows. When a node is restored from a
// backup, what was written after the backup is gone: the restored journal is
// the beginning of another history. Each history has a number, its epoch, from
// 1. A new one begins with an entry "journal.recovered", which one person makes
// with "siaga recover" on the operator's shell, and which says where the old
// one was left. The epoch is folded from these entries, so every node over one
// database has the same, and the edge feed carries it in each operation.
//
// # The guard
//
// Guard stands between the services and the store. Evidence that the journal
// was rolled back is a checkpoint that this node itself signed and whose tree
// the stored journal does not contain. It comes from
//
//   - the file DATA/seen: the last checkpoint that this node knows of, kept
//     apart from the database;
//   - edges: each sends the last checkpoint that it saw with its request for
//     the feed (header Siaga-Seen);
//   - "siaga restore", which marks what it restored.
//
// Nobody but the holder of the node's key can make such evidence, so an edge
// cannot stop a node with a false one. From then on the guard refuses all
// writes but private data (sessions), and says why; reads and the feed go on.
// "siaga recover" ends it.
package history

import (
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Kind and ID name the one object of this package.
const (
	Kind = "history"
	ID   = "node"
)

// TypeRecovered is the type of the entry that begins an epoch.
const TypeRecovered = "journal.recovered"

// State is folded from the entries that begin an epoch.
type State struct {
	Epoch   uint64    `json:"epoch"` // from 1
	Begun   time.Time `json:"begun"` // zero for the first
	Entries int64     `json:"entries"`
}

// Recovered is the body of the entry that begins an epoch.
type Recovered struct {
	Epoch   uint64 `json:"epoch"`
	Entries int64  `json:"entries"`           // that the journal had, before this one
	Root    string `json:"root"`              // of those, base64
	Lost    string `json:"lost,omitempty"`    // the newest signed checkpoint of the history that was left, if it is known
	Backup  string `json:"backup,omitempty"`  // ID of the backup that was restored
	Written string `json:"written,omitempty"` // when that was written, RFC 3339
}

// Folds returns the fold of this package.
func Folds() []journal.Fold {
	return []journal.Fold{journal.FoldOf(Kind, func(s *State, e journal.Entry) error {
		if e.Type != TypeRecovered {
			return nil
		}
		var r Recovered
		if err := e.Decode(&r); err != nil {
			return err
		}
		// An erased entry, which nobody should make, counts one on.
		s.Epoch = max(s.Epoch, 1) + 1
		if r.Epoch > s.Epoch {
			s.Epoch = r.Epoch
		}
		s.Begun, s.Entries = e.At, e.Number
		return nil
	}, func(*State) journal.Keys { return journal.Keys{Sort: ID} })}
}

// Load returns the present state; epoch 1 if none was begun yet.
func Load(r journal.StoreReader) (State, error) {
	s, _, err := journal.Load[State](r, Kind, ID)
	if problem.KindOf(err) == problem.NotFound {
		return State{Epoch: 1}, nil
	}
	s.Epoch = max(s.Epoch, 1)
	return s, err
}

// Mark is left by a restore: the node may not serve before "siaga recover".
type Mark struct {
	Backup     string    `json:"backup"`  // ID
	Written    time.Time `json:"written"` // when the backup was written
	Entries    int64     `json:"entries"`
	Incomplete bool      `json:"incomplete,omitempty"` // the restore has not come to its end
}

// Entry returns the entry that begins the next epoch.
func Entry(by access.Actor, at time.Time, why string, r Recovered) journal.Entry {
	e := journal.New(TypeRecovered, by, at, r, journal.Ref{Kind: Kind, ID: ID})
	e.Why = why
	e.Audience = access.Audience{TLP: access.Green, Origin: by.Partner}
	return e
}
