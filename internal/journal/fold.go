package journal

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Fold derives the state of one kind of object from entries.
//
// Apply gets the state before the entry (nil for a new object) and returns the
// state after it, as JSON; returning the same bytes means no change, and nil
// that there is no such object (any more). It must be a pure function of its
// arguments: the same entries always give the same state. An error refuses the
// entry. An erased entry is folded without its payload and must not be
// refused.
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

// apply folds the entry into the object, which is the zero Object with its Ref
// if there is none yet, and reports whether it changed. An object without Doc
// afterwards is one that does not exist.
func (f Fold) apply(o *Object, e Entry) (changed bool, err error) {
	after, keys, err := f.Apply(o.Doc, e)
	if err != nil {
		return false, err
	}
	keys = keys.storable()
	if bytes.Equal(after, o.Doc) && (after == nil) == (o.Doc == nil) && (after == nil || keys == o.Keys) {
		return false, nil
	}
	o.Doc, o.Keys, o.Version = after, keys, e.Number
	return true, nil
}

// foldInto applies the entry to every object that it is about and that has a
// fold.
func (l *Log) foldInto(tx StoreTx, e Entry) error {
	for _, ref := range e.About {
		f, ok := l.folds[ref.Kind]
		if !ok {
			continue
		}
		o, err := tx.Object(ref)
		if problem.KindOf(err) == problem.NotFound {
			o, err = Object{Ref: ref}, nil
		}
		if err != nil {
			return err
		}
		existed := o.Doc != nil
		switch changed, err := f.apply(&o, e); {
		case err != nil:
			return err
		case !changed:
		case o.Doc != nil:
			if err := tx.PutObject(o); err != nil {
				return err
			}
		case existed:
			if err := tx.DeleteObject(ref); err != nil {
				return err
			}
		}
	}
	return nil
}

// refold derives the object again from all entries about it, and stores it.
func (l *Log) refold(tx StoreTx, ref Ref) error {
	f, ok := l.folds[ref.Kind]
	if !ok {
		return nil
	}
	o := Object{Ref: ref}
	const page = 500
	for from := int64(0); ; {
		rows, err := tx.Rows(RowQuery{About: ref, From: from, Limit: page})
		if err != nil {
			return err
		}
		for _, row := range rows {
			e, err := row.Entry()
			if err != nil {
				return err
			}
			if _, err := f.apply(&o, e); err != nil {
				return fmt.Errorf("folding entry %d into %s %s again: %w", e.Number, ref.Kind, ref.ID, err)
			}
			from = row.Number + 1
		}
		if len(rows) < page {
			break
		}
	}
	if o.Doc == nil {
		return tx.DeleteObject(ref)
	}
	return tx.PutObject(o)
}
