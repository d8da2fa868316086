// Package jobs runs work that was left for later: sending a message, looking
// at a clock, a nightly self-test. It is River (riverqueue.com) over the
// node's own store.
//
// # Promises
//
// A job is enqueued by journal.StoreTx.Enqueue in the same transaction as the
// entry that it follows from: it exists if and only if that committed, and it
// survives a crash of the process and of the machine. It runs soon after the
// commit or at its time (a job that is less than five seconds away may be up to
// five seconds late). With several nodes on one PostgreSQL a job runs on one of
// them. It runs at least once: after a crash in the middle, or an error, it
// runs again, with growing pauses, 25 times over three weeks.
//
// So handlers read the present state and do what is due in it; they never rely
// on running once, in time, or in order. A handler that returns a problem of
// kind Invalid or NotFound is not tried again: nothing would change.
//
// # Refusals
//
// A job has no secret and no personal data in its arguments: they are stored in
// clear, kept for a day after they are done, and logged with errors. A node runs
// only kinds that it has a handler for, so that during an upgrade of several
// nodes new kinds wait for new nodes.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Backend is a store that River can keep its jobs in.
type Backend interface {
	journal.Store
	// River returns a client with the given configuration, not started yet. It
	// is stopped before the store is closed.
	River(c *river.Config) (Runner, error)
}

// Runner is the part of River's client that does not depend on the database.
type Runner interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
}

// Handler runs jobs of one kind.
type Handler struct {
	Kind string
	// Do does what is due. args are those of the job.
	Do func(ctx context.Context, args json.RawMessage) error
	// Timeout ends ctx; 0: one minute.
	Timeout time.Duration
}

// Handle returns a handler whose arguments are decoded into A.
func Handle[A any](kind string, do func(ctx context.Context, args A) error) Handler {
	return Handler{Kind: kind, Do: func(ctx context.Context, raw json.RawMessage) error {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return problem.Newf(problem.Invalid, "the arguments of job %s cannot be read", kind).Because(err)
		}
		return do(ctx, args)
	}}
}

// Periodic enqueues a job again and again, by one node of all.
type Periodic struct {
	Kind string
	// Next returns when the job runs next, after the given time. A time that
	// passes while no node runs is left out.
	Next func(after time.Time) time.Time
}

// Daily returns a schedule of once a day at the given hour and minute UTC.
func Daily(hour, minute int) func(time.Time) time.Time {
	return func(after time.Time) time.Time {
		after = after.UTC()
		t := time.Date(after.Year(), after.Month(), after.Day(), hour, minute, 0, 0, time.UTC)
		if !t.After(after) {
			t = t.AddDate(0, 0, 1)
		}
		return t
	}
}

// Every returns a schedule with a fixed pause.
func Every(d time.Duration) func(time.Time) time.Time {
	return func(after time.Time) time.Time { return after.Add(d) }
}

// Options of New. Store and Handlers are required.
type Options struct {
	Store    journal.Store // a Backend
	Handlers []Handler
	Periodic []Periodic
	Log      *slog.Logger // nil: none
	Workers  int          // jobs at once on this node; 0: 16
}

// Jobs runs the jobs of one node.
type Jobs struct {
	runner  Runner
	log     *slog.Logger
	started chan struct{} // closed by Run, once
}

// New returns the runner of a node's jobs. It runs nothing yet.
func New(o Options) (*Jobs, error) {
	backend, ok := o.Store.(Backend)
	if !ok {
		return nil, fmt.Errorf("jobs: the store %T keeps no jobs", o.Store)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Workers == 0 {
		o.Workers = 16
	}
	workers := river.NewWorkers()
	known := make(map[string]bool)
	for _, h := range o.Handlers {
		if known[h.Kind] {
			return nil, fmt.Errorf("jobs: two handlers of %s", h.Kind)
		}
		known[h.Kind] = true
		river.AddWorkerArgs(workers, args{kind: h.Kind}, &worker{handler: h, log: o.Log})
	}
	var periodic []*river.PeriodicJob
	for _, p := range o.Periodic {
		if !known[p.Kind] {
			return nil, fmt.Errorf("jobs: no handler of %s", p.Kind)
		}
		j := journal.NewJob(p.Kind, struct{}{}, time.Time{})
		j.Once = true
		periodic = append(periodic, river.NewPeriodicJob(schedule(p.Next), func() (river.JobArgs, *river.InsertOpts) {
			return Args(j), InsertOpts(j)
		}, nil))
	}
	runner, err := backend.River(&river.Config{
		Queues:              map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.Workers}},
		Workers:             workers,
		PeriodicJobs:        periodic,
		FetchOnlyKnownKinds: true,
		FetchPollInterval:   500 * time.Millisecond,
		Logger:              slog.New(atLeast{o.Log.Handler(), slog.LevelWarn}),
		// What ran is in the journal; these rows are for looking at faults.
		CompletedJobRetentionPeriod: 24 * time.Hour,
		RescueStuckJobsAfter:        10 * time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: preparing River: %w", err)
	}
	return &Jobs{runner: runner, log: o.Log, started: make(chan struct{})}, nil
}

// stopTime is how long jobs that run may go on when the node stops.
const stopTime = 4 * time.Second

// Run runs jobs until ctx ends, then lets those that run finish in bounded
// time. What did not finish runs again later. A store that is away while Run
// starts ends it with an error; one that goes away later does not. It is called
// once.
func (j *Jobs) Run(ctx context.Context) error {
	// River ends at once when its own context ends; ours says when to stop.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := j.runner.Start(running); err != nil {
		return fmt.Errorf("jobs: starting: %w", err)
	}
	close(j.started)
	<-ctx.Done()
	soft, end := context.WithTimeout(running, stopTime)
	defer end()
	err := j.runner.Stop(soft)
	if err != nil {
		hard, end := context.WithTimeout(running, stopTime)
		defer end()
		err = j.runner.StopAndCancel(hard)
	}
	if err != nil {
		return fmt.Errorf("jobs: stopping: %w", err)
	}
	return nil
}

// Started is closed when Run has started: from then on the store may go away.
func (j *Jobs) Started() <-chan struct{} { return j.started }

// Counts are how many jobs do not go as they should.
type Counts struct {
	Late    int64 // due before the given time, and not begun; at most 1,000 are counted
	Failing int64 // failed, and are tried again; at most 1,000 are counted
}

// Counts counts the jobs that should have begun before a time, and those that
// failed.
func (j *Jobs) Counts(ctx context.Context, before time.Time) (c Counts, err error) {
	const most = 1000
	of := func(states ...rivertype.JobState) ([]*rivertype.JobRow, error) {
		r, err := j.runner.JobList(ctx, river.NewJobListParams().States(states...).OrderBy(river.JobListOrderByScheduledAt, river.SortOrderAsc).First(most))
		if err != nil {
			return nil, fmt.Errorf("jobs: counting: %w", err)
		}
		return r.Jobs, nil
	}
	waiting, err := of(rivertype.JobStateAvailable, rivertype.JobStateScheduled)
	if err != nil {
		return c, err
	}
	for _, w := range waiting {
		if w.ScheduledAt.Before(before) {
			c.Late++
		}
	}
	failing, err := of(rivertype.JobStateRetryable)
	c.Failing = int64(len(failing))
	return c, err
}

type schedule func(time.Time) time.Time

func (s schedule) Next(after time.Time) time.Time { return s(after) }

// args are a job's arguments as River sees them.
type args struct {
	kind string
	raw  json.RawMessage
}

func (a args) Kind() string                  { return a.kind }
func (a args) MarshalJSON() ([]byte, error)  { return a.raw, nil }
func (a *args) UnmarshalJSON(b []byte) error { a.raw = append(a.raw[:0], b...); return nil }
func (w *worker) Timeout(*river.Job[args]) time.Duration {
	if w.handler.Timeout > 0 {
		return w.handler.Timeout
	}
	return time.Minute
}

// Args returns the job's arguments for River. For stores.
func Args(j journal.Job) river.JobArgs { return args{j.Kind, j.Args} }

// InsertOpts returns the job's options for River. For stores.
func InsertOpts(j journal.Job) *river.InsertOpts {
	o := &river.InsertOpts{ScheduledAt: j.At}
	if j.Once {
		o.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
		}}
	}
	return o
}

type worker struct {
	river.WorkerDefaults[args]
	handler Handler
	log     *slog.Logger
}

func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	err := w.handler.Do(ctx, job.Args.raw)
	if err == nil {
		return nil
	}
	final := problem.KindOf(err) == problem.Invalid || problem.KindOf(err) == problem.NotFound
	if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		w.log.WarnContext(ctx, "job failed", "job", job.Kind, "id", job.ID, "attempt", job.Attempt, "again", !final, "err", err)
	}
	if final {
		return river.JobCancel(err)
	}
	return err
}

// atLeast drops records below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}
func (h atLeast) WithGroup(g string) slog.Handler { return atLeast{h.Handler.WithGroup(g), h.level} }
