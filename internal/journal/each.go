package journal

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrStop ends Each early without an error.
var ErrStop = errors.New("journal: stop")

// Each calls fn for every object that the query selects, in its order, reading
// page by page. It stops at the first error; ErrStop stops without one. With
// q.Limit set, that many are read at a time; it does not bound the whole.
func Each[T any](r StoreReader, q ObjectQuery, fn func(state T, o Object) error) error {
	if q.Limit == 0 {
		q.Limit = 500
	}
	for {
		page, err := r.Objects(q)
		if err != nil {
			return err
		}
		for _, o := range page {
			var state T
			if err := json.Unmarshal(o.Doc, &state); err != nil {
				return fmt.Errorf("reading %s %s: %w", o.Kind, o.ID, err)
			}
			if err := fn(state, o); err != nil {
				if errors.Is(err, ErrStop) {
					return nil
				}
				return err
			}
			q.After = o.Cursor()
		}
		if len(page) < q.Limit || q.DueBy > 0 {
			return nil
		}
	}
}
