// Package group lets transactions that wait for each other share one commit on
// disk (group commit).
//
// It has no goroutine of its own: the first caller to come leads. The leader
// begins the transaction, runs its own part, then gives the turn to each caller
// that waits, one after the other; each runs its part in its own goroutine. The
// leader then commits, tells all of them, and hands the lead to the first that
// has come meanwhile.
//
//	leader    Begin · own part · turn → … ← done · End (disk) · tell all · next leader
//	follower  wait for turn or lead · own part · done · wait for the commit
//
// What is promised: parts run one at a time, urgent ones first, else in the
// order of arrival; once an urgent part has run, its batch takes no others but
// urgent ones and is committed, so that it does not wait for them; a part
// that fails or panics is undone by itself and harms no other; nobody hears of
// success before End has returned nil; callers that come while as many wait as
// may are refused with a problem of kind Busy; a caller whose context ends
// before its turn does nothing.
package group

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/problem"
)

type urgentKey struct{}

// Urgent marks what is done with the context as urgent: people who declare,
// vote, approve and withdraw do not wait behind counts. How many there may be at
// a time is for the caller to bound, as they go before all others.
func Urgent(ctx context.Context) context.Context {
	return context.WithValue(ctx, urgentKey{}, true)
}

func urgent(ctx context.Context) bool {
	u, _ := ctx.Value(urgentKey{}).(bool)
	return u
}

// reserve is how many urgent callers may wait beyond Queue.Max.
const reserve = 64

// A batch ends at the latest with maxBatch parts or after maxBatchTime, so
// that those in it do not wait for those who keep coming.
const (
	maxBatch     = 1024
	maxBatchTime = 50 * time.Millisecond
)

// Queue orders transactions and groups them. Begin and End are set before its
// first use and are called by one goroutine at a time.
type Queue struct {
	// Max is the number of callers that may wait.
	Max int
	// Begin begins a transaction on disk.
	Begin func() error
	// End commits it, or gives it up if spoiled is not nil, and then returns
	// an error. Its error goes to every caller of the batch.
	End func(spoiled error) error

	mu      sync.Mutex
	leading bool
	waiting []*waiter // urgent ones first, else in order of arrival
}

// A Part is what one caller does within the transaction. It undoes its own
// work before it returns an error or panics; if that fails it sets spoiled,
// and nothing of the batch is kept.
type Part func(spoiled *error) error

// batch is one transaction on disk. The leader sets err, then closes done.
type batch struct {
	err  error
	done chan struct{}
}

// waiter is a caller in the queue. Under Queue.mu it is either in waiting or
// has been sent its one signal.
type waiter struct {
	alone  bool // wants the lead, not a turn
	urgent bool
	turn   chan *batch // the leader gives the turn; nil: lead yourself
	back   chan error  // gives the turn back; a non-nil error spoils the batch
}

// Do runs the part in a transaction and returns when that is on disk. It
// returns the part's error, or that of Begin or End. If ctx ends before the
// part has begun it returns ctx's error; later it waits for the outcome.
func (q *Queue) Do(ctx context.Context, part Part) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	if !q.leading {
		q.leading = true
		q.mu.Unlock()
		return q.lead(part, urgent(ctx))
	}
	w := &waiter{urgent: urgent(ctx), turn: make(chan *batch, 1), back: make(chan error, 1)}
	most := q.Max
	if w.urgent {
		most += reserve
	}
	if len(q.waiting) >= most {
		q.mu.Unlock()
		return problem.New(problem.Busy, "too many writes are waiting", "wait a moment, then send again")
	}
	at := len(q.waiting)
	if w.urgent {
		at = 0
		for at < len(q.waiting) && q.waiting[at].urgent {
			at++
		}
	}
	q.waiting = slices.Insert(q.waiting, at, w)
	q.mu.Unlock()

	select {
	case b := <-w.turn:
		if b == nil {
			return q.lead(part, w.urgent)
		}
		return w.follow(b, part)
	case <-ctx.Done():
	}
	if q.leave(w) {
		return ctx.Err()
	}
	// The turn came at the same moment: pass it on unused.
	if b := <-w.turn; b != nil {
		w.back <- nil
	} else {
		q.handOver()
	}
	return ctx.Err()
}

// Alone runs fn while no transaction is open, after those that wait already.
func (q *Queue) Alone(fn func() error) error {
	q.mu.Lock()
	if q.leading {
		w := &waiter{alone: true, turn: make(chan *batch, 1)}
		q.waiting = append(q.waiting, w)
		q.mu.Unlock()
		<-w.turn
	} else {
		q.leading = true
		q.mu.Unlock()
	}
	defer q.handOver()
	return fn()
}

// leave takes the waiter out of the queue, unless its turn has come.
func (q *Queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, o := range q.waiting {
		if o == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// first takes the first waiter. q.mu is held.
func (q *Queue) first() *waiter {
	w := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return w
}

// next takes the first waiter for a turn, or nil; an urgent one alone if told.
func (q *Queue) next(urgent bool) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.waiting[0].alone || (urgent && !q.waiting[0].urgent) {
		return nil
	}
	return q.first()
}

// handOver ends the caller's lead.
func (q *Queue) handOver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.leading, q.waiting = false, nil
		return
	}
	q.first().turn <- nil
}

// follow uses the turn.
func (w *waiter) follow(b *batch, part Part) error {
	var spoiled error
	err := func() error {
		defer func() { w.back <- spoiled }() // also when part panics
		return part(&spoiled)
	}()
	<-b.done
	if err != nil {
		return err
	}
	return b.err
}

// lead runs one batch that begins with the part. If that panics, the batch is
// finished for the others before the panic goes on.
func (q *Queue) lead(part Part, urgent bool) error {
	defer q.handOver()
	b := &batch{done: make(chan struct{})}
	defer close(b.done)
	if err := q.Begin(); err != nil {
		return err
	}
	var spoiled error
	finished := false
	finish := func() {
		finished = true
		if spoiled == nil {
			spoiled = q.turns(b, urgent)
		}
		b.err = q.End(spoiled)
	}
	defer func() {
		if !finished {
			finish()
		}
	}()
	err := part(&spoiled)
	finish()
	if err != nil {
		return err
	}
	return b.err
}

// turns gives the turn to those who wait, until none does or the batch is
// full. It returns the error that spoiled the batch, if any.
func (q *Queue) turns(b *batch, urgent bool) error {
	deadline := time.Now().Add(maxBatchTime)
	for range maxBatch {
		w := q.next(urgent)
		if w == nil {
			return nil
		}
		urgent = urgent || w.urgent
		w.turn <- b
		if err := <-w.back; err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return nil
		}
	}
	return nil
}
