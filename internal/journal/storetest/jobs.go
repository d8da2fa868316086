package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

const jobKind = "storetest.note"

type jobArgs struct {
	Name string `json:"name"`
}

func job(name string, at time.Time) journal.Job { return journal.NewJob(jobKind, jobArgs{name}, at) }

// ran notes which jobs ran.
type ran struct {
	mu    sync.Mutex
	names []string
	after chan struct{} // one a job
}

func (r *ran) add(name string) {
	r.mu.Lock()
	r.names = append(r.names, name)
	r.mu.Unlock()
	r.after <- struct{}{}
}

func (r *ran) sorted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.names))
}

// runJobs runs jobs on the store until n have run and the ones that stand
// ready had the time to, and returns their names.
func runJobs(t *testing.T, s journal.Store, n int, do func(ctx context.Context, name string) error) []string {
	t.Helper()
	r := &ran{after: make(chan struct{}, 10_000)}
	j, err := jobs.New(jobs.Options{Store: s, Handlers: []jobs.Handler{
		jobs.Handle(jobKind, func(ctx context.Context, a jobArgs) error {
			if do != nil {
				if err := do(ctx, a.Name); err != nil {
					return err
				}
			}
			r.add(a.Name)
			return nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	limit := time.After(20 * time.Second)
	for range n {
		select {
		case <-r.after:
		case <-limit:
			t.Errorf("%d jobs ran, want %d: %v", len(r.sorted()), n, r.sorted())
			n = 0
		case err := <-done:
			t.Fatal("the runner ended:", err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return r.sorted()
}

func enqueued(t *testing.T, s journal.Store, reopen func() journal.Store) {
	soon := time.Now()
	update(t, s, func(tx journal.StoreTx) error {
		if err := tx.Enqueue(job("with an entry", time.Time{})); err != nil {
			return err
		}
		if _, err := appendRow(tx, "a.b", "p"); err != nil {
			return err
		}
		return tx.Enqueue(job("past", soon.Add(-time.Hour)))
	})
	failed := errors.New("failed")
	err := s.Update(context.Background(), func(tx journal.StoreTx) error {
		if err := tx.Enqueue(job("undone", time.Time{})); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(context.Background(), func(tx journal.StoreTx) error {
			if err := tx.Enqueue(job("panicked", time.Time{})); err != nil {
				t.Error(err)
			}
			panic("on purpose")
		})
	}()
	update(t, s, func(tx journal.StoreTx) error {
		for range 3 {
			j := job("once", time.Time{})
			j.Once = true
			if err := tx.Enqueue(j); err != nil {
				return err
			}
		}
		return tx.Enqueue(job("in an hour", soon.Add(time.Hour)))
	})
	var escaped journal.StoreTx
	for name, j := range map[string]journal.Job{
		"no kind":        {Args: json.RawMessage("{}")},
		"a strange kind": {Kind: "a b", Args: json.RawMessage("{}")},
		"no arguments":   {Kind: "a.b"},
		"a list":         {Kind: "a.b", Args: json.RawMessage("[]")},
		"null":           {Kind: "a.b", Args: json.RawMessage("null")},
		"not JSON":       {Kind: "a.b", Args: json.RawMessage(`{"a":`)},
	} {
		update(t, s, func(tx journal.StoreTx) error {
			escaped = tx
			if err := tx.Enqueue(j); problem.KindOf(err) != problem.Invalid {
				t.Errorf("%s: %v", name, err)
			}
			return nil // what was refused did no harm
		})
	}
	if err := escaped.Enqueue(job("escaped", time.Time{})); err == nil {
		t.Error("enqueued by a transaction that has ended")
	}
	s = reopen()
	equal(t, "jobs", runJobs(t, s, 3, nil), []string{"once", "past", "with an entry"})
}

// jobsBesideUpdates lets jobs that write and other writers work at the same
// time.
func jobsBesideUpdates(t *testing.T, s journal.Store, _ func() journal.Store) {
	const n = 60
	var wg sync.WaitGroup
	want := make([]string, 0, n)
	for w := range 4 {
		for i := range n / 4 {
			want = append(want, fmt.Sprintf("%d-%d", w, i))
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range n / 4 {
				err := s.Update(context.Background(), func(tx journal.StoreTx) error {
					if _, err := appendRow(tx, "writer.wrote", "p"+strconv.Itoa(w)); err != nil {
						return err
					}
					return tx.Enqueue(job(fmt.Sprintf("%d-%d", w, i), time.Time{}))
				})
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	got := runJobs(t, s, n, func(ctx context.Context, name string) error {
		return s.Update(ctx, func(tx journal.StoreTx) error {
			_, err := appendRow(tx, "job.done", name)
			return err
		})
	})
	wg.Wait()
	slices.Sort(want)
	equal(t, "jobs", got, want)
	view(t, s, func(r journal.StoreReader) error {
		rows, err := r.Rows(journal.RowQuery{Types: []string{"job.done"}, Limit: 1000})
		if err != nil {
			return err
		}
		if len(rows) != n {
			t.Errorf("%d jobs wrote, want %d", len(rows), n)
		}
		return nil
	})
}
