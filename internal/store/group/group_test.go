package group_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/group"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine records what the queue asks of it.
type engine struct {
	log      []string
	beginErr error
	endErr   error
	endTakes time.Duration
}

func (e *engine) queue(limit int) *group.Queue {
	return &group.Queue{Max: limit, Begin: func() error {
		e.log = append(e.log, "begin")
		return e.beginErr
	}, End: func(spoiled error) error {
		time.Sleep(e.endTakes) // virtual
		if spoiled != nil {
			e.log = append(e.log, "rollback")
			return spoiled
		}
		e.log = append(e.log, "commit")
		return e.endErr
	}}
}

func (e *engine) part(name string, result error) group.Part {
	return func(*error) error {
		e.log = append(e.log, name)
		return result
	}
}

var errTest = errors.New("by the test")

// hold begins a batch that stays open until release is called.
func hold(q *group.Queue) (release func(), done chan error) {
	inside, end := make(chan struct{}), make(chan struct{})
	done = make(chan error, 1)
	go func() {
		done <- q.Do(context.Background(), func(*error) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	return func() { close(end) }, done
}

func TestThoseWhoWaitShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{endTakes: time.Second}
		q := e.queue(100)
		release, first := hold(q)
		results := make([]error, 5)
		var wg sync.WaitGroup
		for i := range results {
			wg.Add(1)
			go func() {
				defer wg.Done()
				var err error
				if i == 2 {
					err = errTest
				}
				results[i] = q.Do(context.Background(), e.part(fmt.Sprint(i), err))
			}()
			synctest.Wait() // so that the order is known
		}
		begun := time.Now()
		release()
		wg.Wait()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("six updates took %s, want one commit", took)
		}
		if d := cmp.Diff([]string{"begin", "0", "1", "2", "3", "4", "commit"}, e.log); d != "" {
			t.Error(d)
		}
		for i, err := range results {
			if (i == 2) != errors.Is(err, errTest) || i != 2 && err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
	})
}

func TestNobodySucceedsWhenTheCommitFails(t *testing.T) {
	for name, c := range map[string]struct {
		spoil bool
		e     *engine
	}{"commit": {false, &engine{endErr: errTest}}, "spoiled": {true, &engine{}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := c.e.queue(100)
				release, first := hold(q)
				second := make(chan error, 1)
				go func() {
					second <- q.Do(context.Background(), func(spoiled *error) error {
						if c.spoil {
							*spoiled = errTest
						}
						return nil
					})
				}()
				synctest.Wait()
				release()
				for _, err := range []error{<-first, <-second} {
					if !errors.Is(err, errTest) {
						t.Errorf("got %v", err)
					}
				}
				c.e.endErr = nil
				if err := q.Do(context.Background(), c.e.part("later", nil)); err != nil {
					t.Errorf("later: %v", err)
				}
			})
		})
	}
}

func TestBeginFails(t *testing.T) {
	e := &engine{beginErr: errTest}
	q := e.queue(1)
	if err := q.Do(context.Background(), e.part("never", nil)); !errors.Is(err, errTest) {
		t.Errorf("got %v", err)
	}
	e.beginErr = nil
	if err := q.Do(context.Background(), e.part("later", nil)); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"begin", "begin", "later", "commit"}, e.log); d != "" {
		t.Error(d)
	}
}

func TestPanicHarmsNobodyElse(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &engine{}
				q := e.queue(10)
				end := make(chan struct{})
				caught := make(chan any, 2)
				do := func(panics bool) {
					defer func() { caught <- recover() }()
					err := q.Do(context.Background(), func(*error) error {
						<-end
						if panics {
							panic("by the test")
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
				go do(who == "leader")
				synctest.Wait()
				go do(who == "follower")
				synctest.Wait()
				close(end)
				if a, b := <-caught, <-caught; (a == nil) == (b == nil) {
					t.Errorf("panics: %v, %v", a, b)
				}
				synctest.Wait()
				if err := q.Do(context.Background(), e.part("later", nil)); err != nil {
					t.Error(err)
				}
				if d := cmp.Diff([]string{"begin", "commit", "begin", "later", "commit"}, e.log); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestWaitingIsBoundedAndCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		q := e.queue(2)
		release, first := hold(q)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- q.Do(ctx, e.part("never", nil)) }()
		}
		synctest.Wait()
		if err := q.Do(context.Background(), e.part("refused", nil)); problem.KindOf(err) != problem.Busy {
			t.Errorf("a third that waits: %v", err)
		}
		for range 2 {
			if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one that waited too long: %v", err)
			}
		}
		release()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]string{"begin", "commit"}, e.log); d != "" {
			t.Error(d)
		}
	})
}

func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		q := e.queue(10)
		release, first := hold(q)
		var wg sync.WaitGroup
		start := func(fn func() error) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := fn(); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		start(func() error { return q.Do(context.Background(), e.part("a", nil)) })
		start(func() error { return q.Alone(func() error { e.log = append(e.log, "alone"); return nil }) })
		start(func() error { return q.Do(context.Background(), e.part("b", nil)) })
		release()
		wg.Wait()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]string{"begin", "a", "commit", "alone", "begin", "b", "commit"}, e.log); d != "" {
			t.Error(d)
		}
	})
}

// TestABatchEnds shows that those in a batch do not wait for those who keep
// coming.
func TestABatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		q := e.queue(1000)
		release, first := hold(q)
		var wg sync.WaitGroup
		for range 100 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := q.Do(context.Background(), func(*error) error {
					time.Sleep(10 * time.Millisecond) // virtual
					return nil
				}); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		begun := time.Now()
		release()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 100*time.Millisecond {
			t.Errorf("the first of a batch waited %s", took)
		}
		wg.Wait()
	})
}

// An urgent part goes before those that came earlier, its batch is committed
// without them, and it is taken while others are refused.
func TestUrgentGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{endTakes: time.Second}
		q := e.queue(3)
		release, first := hold(q)
		var wg sync.WaitGroup
		took := map[string]time.Duration{}
		var mu sync.Mutex
		begun := time.Now()
		do := func(ctx context.Context, name string) {
			wg.Go(func() {
				if err := q.Do(ctx, e.part(name, nil)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				took[name] = time.Since(begun)
			})
			synctest.Wait()
		}
		for _, name := range []string{"a", "b", "c"} {
			do(context.Background(), name)
		}
		if err := q.Do(context.Background(), e.part("d", nil)); problem.KindOf(err) != problem.Busy {
			t.Errorf("a fourth one: %v", err)
		}
		do(group.Urgent(context.Background()), "u1")
		do(group.Urgent(context.Background()), "u2")
		release()
		wg.Wait()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"begin", "u1", "u2", "commit", "begin", "a", "b", "c", "commit"}, e.log); diff != "" {
			t.Error(diff)
		}
		if took["u1"] != time.Second || took["u2"] != time.Second || took["a"] != 2*time.Second {
			t.Errorf("%v", took)
		}
	})
}
