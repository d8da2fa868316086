package journal

import (
	"context"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// shown is an answer that is given once. Its field is not exported, so that
// nothing of it can be in an idempotency record.
type shown[T any] struct{ answer *T }

// DoSecret is Do for a write whose answer holds a secret, such as a one-time
// code or the text of a token: nothing of the answer is kept. A second write
// with the same key changes nothing and is a Conflict.
func DoSecret[T any](ctx context.Context, l *Log, by access.Actor, operation string, now time.Time, fn func(tx *Tx) (T, error)) (T, error) {
	once, err := Do(ctx, l, by, operation, now, func(tx *Tx) (shown[T], error) {
		out, err := fn(tx)
		return shown[T]{&out}, err
	})
	var none T
	switch {
	case err != nil:
		return none, err
	case once.answer == nil:
		return none, problem.New(problem.Conflict, "this was made already, and its secret is shown once only", "look for it in the list; if nobody has its secret, end it and make a new one")
	}
	return *once.answer, nil
}
