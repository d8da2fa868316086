package journal

import (
	"context"
	"strconv"

	"github.com/siaga-crp/siaga/internal/access"
)

// KindEntry is the kind of object under which entries about entries are found:
// {"entry", number}. It has no fold.
const KindEntry = "entry"

// TypeErased is the type of the entry that says that a payload was erased. Its
// body is {"number":n}.
const TypeErased = "journal.erased"

type erasedBody struct {
	Number int64 `json:"number"`
}

// Erase removes the payload of an entry for good: payload and salt leave the
// database and its write-ahead log, the objects that the entry is about are
// folded again without it, and an entry "journal.erased" about the same
// objects says who did it and why. Head, seal and commitment stay, so the
// journal still verifies. Why is kept for good: it must not repeat what is
// erased.
//
// It returns the new entry, or that of the first time if the entry was erased
// before. Whether the actor may do it is for the service to decide. A problem
// of kind Unavailable may mean that a long-running read holds an old copy on
// disk; erasing again then makes sure.
//
// What was copied elsewhere (backups, peers, idempotency records, the edge
// feed) is not reached from here.
func (l *Log) Erase(ctx context.Context, number int64, by access.Actor, why string) (Entry, error) {
	var said Entry
	err := l.store.Update(ctx, func(tx StoreTx) error {
		row, err := tx.Row(number)
		if err != nil {
			return err
		}
		ref := Ref{Kind: KindEntry, ID: strconv.FormatInt(number, 10)}
		if row.Payload == nil {
			before, err := l.Entries(tx, RowQuery{About: ref, Types: []string{TypeErased}, Limit: 1})
			if err != nil {
				return err
			}
			if len(before) > 0 {
				said = before[0]
				return tx.EraseRow(number)
			}
		}
		if err := tx.EraseRow(number); err != nil {
			return err
		}
		row.Payload, row.Salt = nil, nil
		e, err := row.Entry()
		if err != nil {
			return err
		}
		for _, about := range e.About {
			if err := l.refold(tx, about); err != nil {
				return err
			}
		}
		said = New(TypeErased, by, l.now(), erasedBody{number}, append([]Ref{ref}, e.About...)...)
		said.Why, said.Audience, said.Exercise = why, e.Audience, e.Exercise
		said, err = l.append(tx, said)
		return err
	})
	return said, err
}
