// Package journal keeps the one append-only record that everything else is
// derived from.
package journal

// Log is the journal of one node.
type Log struct {
	store Store
	folds map[string]Fold
}

// AppendEntry stores the entry, commits it to the Merkle tree and folds it
// into every object that it is about and that has a fold. It returns the
// entry with its number. (StoreTx.Append stores a bare row; services use this.)
func (tx *Tx) AppendEntry(e Entry) (Entry, error) {
	panic("written with the store")
}
