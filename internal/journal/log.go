package journal

import (
	"context"
	"encoding/json"
	"fmt"
)

// Tx is a read-write transaction of a Log.
type Tx struct {
	StoreTx
	log *Log
}

// Fold derives the state of one kind of object from entries.
//
// Apply gets the state before the entry (nil Doc for a new object) and returns
// the state after it; returning the same Doc means no change. It must be a
// pure function of its arguments: the same entries always give the same state.
type Fold struct {
	Kind  string
	Apply func(doc []byte, e Entry) (after []byte, keys Keys, err error)
}

// FoldOf makes a fold from a typed function. Unknown entry types must leave
// the state as it is, so that a newer partner's entries do no harm.
func FoldOf[T any](kind string, apply func(state *T, e Entry) error, keys func(state *T) Keys) Fold {
	return Fold{Kind: kind, Apply: func(doc []byte, e Entry) ([]byte, Keys, error) {
		var state T
		if doc != nil {
			if err := json.Unmarshal(doc, &state); err != nil {
				return nil, Keys{}, fmt.Errorf("reading state of %s: %w", kind, err)
			}
		}
		if err := apply(&state, e); err != nil {
			return nil, Keys{}, fmt.Errorf("folding %s into %s: %w", e.Type, kind, err)
		}
		after, err := json.Marshal(&state)
		if err != nil {
			return nil, Keys{}, fmt.Errorf("writing state of %s: %w", kind, err)
		}
		return after, keys(&state), nil
	}}
}

// Load reads the state of an object. It returns a problem of kind NotFound if
// there is none, and the object's version.
func Load[T any](r StoreReader, kind, id string) (T, int64, error) {
	var state T
	o, err := r.Object(Ref{Kind: kind, ID: id})
	if err != nil {
		return state, 0, err
	}
	if err := json.Unmarshal(o.Doc, &state); err != nil {
		return state, 0, fmt.Errorf("reading %s %s: %w", kind, id, err)
	}
	return state, o.Version, nil
}

// Update runs fn in one transaction of the store.
func (l *Log) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return l.store.Update(ctx, func(tx StoreTx) error { return fn(&Tx{StoreTx: tx, log: l}) })
}

// View runs fn on one consistent state.
func (l *Log) View(ctx context.Context, fn func(r StoreReader) error) error {
	return l.store.View(ctx, fn)
}
