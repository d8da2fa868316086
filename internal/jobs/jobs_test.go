package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func store(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "siaga.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// run runs jobs until the returned function is called.
func run(t *testing.T, o jobs.Options) (stop func()) {
	t.Helper()
	j, err := jobs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func enqueue(t *testing.T, s journal.Store, list ...journal.Job) {
	t.Helper()
	err := s.Update(t.Context(), func(tx journal.StoreTx) error {
		for _, j := range list {
			if err := tx.Enqueue(j); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("timed out:", what)
	}
}

// TestFailures: an error runs the job again, a panic as well, a problem that
// cannot change does not, and a kind without a handler waits for a node that
// has one.
func TestFailures(t *testing.T) {
	s := store(t)
	var unsteady, final, later atomic.Int64
	done, other := make(chan struct{}), make(chan struct{})
	handlers := []jobs.Handler{
		jobs.Handle("test.unsteady", func(context.Context, struct{}) error {
			switch unsteady.Add(1) {
			case 1:
				panic("on purpose")
			case 2:
				close(done)
				return nil
			}
			return errors.New("too often")
		}),
		jobs.Handle("test.final", func(context.Context, struct{}) error {
			final.Add(1)
			return problem.New(problem.NotFound, "there is no such thing", "look elsewhere")
		}),
		{Kind: "test.other", Do: func(_ context.Context, args json.RawMessage) error {
			later.Add(1)
			close(other)
			return nil
		}},
	}
	enqueue(t, s, journal.NewJob("test.unsteady", struct{}{}, time.Time{}), journal.NewJob("test.final", struct{}{}, time.Time{}),
		journal.NewJob("test.other", struct{}{}, time.Time{}))
	stop := run(t, jobs.Options{Store: s, Handlers: handlers[:2]})
	wait(t, "the job that panicked", done)
	stop()
	if unsteady.Load() != 2 || final.Load() != 1 || later.Load() != 0 {
		t.Errorf("ran %d, %d and %d times", unsteady.Load(), final.Load(), later.Load())
	}
	stop = run(t, jobs.Options{Store: s, Handlers: handlers})
	wait(t, "the job without a handler", other)
	stop()
	if unsteady.Load() != 2 || final.Load() != 1 || later.Load() != 1 {
		t.Errorf("ran %d, %d and %d times in all", unsteady.Load(), final.Load(), later.Load())
	}
}

// TestSoonAfterTheCommit: a job does not wait for the next look.
func TestSoonAfterTheCommit(t *testing.T) {
	s := store(t)
	ran := make(chan struct{}, 1)
	stop := run(t, jobs.Options{Store: s, Handlers: []jobs.Handler{jobs.Handle("test.now", func(context.Context, struct{}) error {
		ran <- struct{}{}
		return nil
	})}})
	defer stop()
	best := time.Hour
	for range 6 { // River tells of inserts at most ten times a second, and looks by itself twice
		begun := time.Now()
		enqueue(t, s, journal.NewJob("test.now", struct{}{}, time.Time{}))
		wait(t, "a job", ran)
		took := time.Since(begun)
		best = min(best, took)
		if took > 2*time.Second {
			t.Errorf("ran %s after the commit", took)
		}
	}
	if best > 250*time.Millisecond {
		t.Errorf("at best a job ran %s after the commit: it was not told of", best)
	}
	t.Logf("at best %s after the commit", best)
}

func TestPeriodic(t *testing.T) {
	s := store(t)
	ran := make(chan struct{}, 100)
	stop := run(t, jobs.Options{
		Store:    s,
		Handlers: []jobs.Handler{jobs.Handle("test.often", func(context.Context, struct{}) error { ran <- struct{}{}; return nil })},
		Periodic: []jobs.Periodic{{Kind: "test.often", Next: jobs.Every(300 * time.Millisecond)}},
	})
	wait(t, "the first time", ran)
	wait(t, "the second time", ran)
	stop()
}

func TestDaily(t *testing.T) {
	next := jobs.Daily(2, 30)
	for after, want := range map[string]string{
		"2026-11-29T02:29:59Z":      "2026-11-29T02:30:00Z",
		"2026-11-29T02:30:00Z":      "2026-11-30T02:30:00Z",
		"2026-12-31T23:00:00Z":      "2027-01-01T02:30:00Z",
		"2026-11-29T08:00:00+07:00": "2026-11-29T02:30:00Z",
	} {
		at, err := time.Parse(time.RFC3339, after)
		if err != nil {
			t.Fatal(err)
		}
		if got := next(at).Format(time.RFC3339); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	s := store(t)
	h := jobs.Handle("test.a", func(context.Context, struct{}) error { return nil })
	for name, o := range map[string]jobs.Options{
		"a store without jobs":         {Store: plain{s}, Handlers: []jobs.Handler{h}},
		"two handlers of a kind":       {Store: s, Handlers: []jobs.Handler{h, h}},
		"a schedule without a handler": {Store: s, Handlers: []jobs.Handler{h}, Periodic: []jobs.Periodic{{Kind: "test.b", Next: jobs.Every(time.Hour)}}},
	} {
		if _, err := jobs.New(o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

type plain struct{ journal.Store }

// BenchmarkEnqueue measures what a job adds to an update in SQLite.
func BenchmarkEnqueue(b *testing.B) {
	db, err := sqlite.Create(context.Background(), filepath.Join(b.TempDir(), "siaga.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, n := range []int{0, 1, 10} {
		b.Run(map[int]string{0: "jobs=0", 1: "jobs=1", 10: "jobs=10"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				err := db.Update(context.Background(), func(tx journal.StoreTx) error {
					if _, err := tx.Next("n"); err != nil {
						return err
					}
					for range n {
						if err := tx.Enqueue(journal.NewJob("test.a", struct{}{}, time.Now().Add(time.Hour))); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
