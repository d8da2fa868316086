package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// idempotencyKept is how long the answer to a keyed write is kept.
const idempotencyKept = 48 * time.Hour

type onceKey struct{}

type once struct {
	key, request string
	alone        bool // the key is of this request alone
}

// Once returns a context in which each write by Do happens once for the key:
// a second one with the same key, actor and operation gets the first one's
// answer and changes nothing. request identifies what was asked (a digest of
// the request's body); the same key with another request is a Conflict. An
// empty key changes nothing.
func Once(ctx context.Context, key, request string) context.Context {
	if key == "" {
		return ctx
	}
	return context.WithValue(ctx, onceKey{}, once{key: key, request: request})
}

// OnceAlone is Once for a key that belongs to one request alone: the same key
// of the same actor for any other request is a Conflict, whatever operation
// that one asks for. request should therefore name method and path as well.
func OnceAlone(ctx context.Context, key, request string) context.Context {
	if key == "" {
		return ctx
	}
	return context.WithValue(ctx, onceKey{}, once{key, request, true})
}

type onceRecord struct {
	Request string          `json:"request"`
	Answer  json.RawMessage `json:"answer"`
}

// Do runs fn in one transaction and returns what it returns. Under Once, the
// answer is stored in that same transaction, so that trying again after a lost
// answer or a crash never acts twice. T must survive a round trip through JSON.
func Do[T any](ctx context.Context, l *Log, by access.Actor, operation string, now time.Time, fn func(tx *Tx) (T, error)) (T, error) {
	var out T
	o, keyed := ctx.Value(onceKey{}).(once)
	id, whole := "", ""
	if keyed {
		sum := sha256.Sum256([]byte(by.Partner + "\x00" + by.Member + "\x00" + by.Token + "\x00\x00" + o.key))
		whole = hex.EncodeToString(sum[:])
		sum = sha256.Sum256([]byte(by.Partner + "\x00" + by.Member + "\x00" + by.Token + "\x00" + operation + "\x00" + o.key))
		id = hex.EncodeToString(sum[:])
	}
	err := l.Update(ctx, func(tx *Tx) error {
		var zero T
		out = zero
		if keyed && o.alone {
			if err := bind(tx, whole, o.request, by, now); err != nil {
				return err
			}
		}
		if keyed {
			p, err := tx.Private("once", id)
			switch {
			case err == nil:
				var rec onceRecord
				if err := json.Unmarshal(p.Doc, &rec); err != nil {
					return fmt.Errorf("reading an idempotency record: %w", err)
				}
				if rec.Request != o.request {
					return errOtherRequest
				}
				return json.Unmarshal(rec.Answer, &out)
			case problem.KindOf(err) != problem.NotFound:
				return err
			}
		}
		var err error
		if out, err = fn(tx); err != nil {
			return err
		}
		if !keyed {
			return nil
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("keeping the answer for an idempotency key: %w", err)
		}
		doc, err := json.Marshal(onceRecord{Request: o.request, Answer: answer})
		if err != nil {
			return fmt.Errorf("keeping the answer for an idempotency key: %w", err)
		}
		return tx.PutPrivate(Private{Kind: "once", ID: id, Owner: by.Partner, Doc: doc, Expires: now.Add(idempotencyKept)})
	})
	return out, err
}

var errOtherRequest = problem.New(problem.Conflict, "this idempotency key was used for another request", "use a new key for a new request")

// bind notes which request a key is of, or refuses another one's. What the
// transaction then refuses binds nothing.
func bind(tx *Tx, id, request string, by access.Actor, now time.Time) error {
	p, err := tx.Private("once", id)
	if err == nil {
		var rec onceRecord
		if err := json.Unmarshal(p.Doc, &rec); err != nil {
			return fmt.Errorf("reading an idempotency record: %w", err)
		}
		if rec.Request != request {
			return errOtherRequest
		}
		return nil
	}
	if problem.KindOf(err) != problem.NotFound {
		return err
	}
	doc, err := json.Marshal(onceRecord{Request: request})
	if err != nil {
		return fmt.Errorf("keeping an idempotency key: %w", err)
	}
	return tx.PutPrivate(Private{Kind: "once", ID: id, Owner: by.Partner, Doc: doc, Expires: now.Add(idempotencyKept)})
}
