package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
)

// ErrInjected is the error of a call that a FaultyStore let fail.
var ErrInjected = errors.New("storetest: fault injected")

// When says on which side of its effect a call fails.
type When int

// A call fails before it took effect, or after.
const (
	Before When = iota
	After
)

// FaultyStore passes calls on to a store and lets one of them fail. Calls are
// those to Update and View themselves and to every method of the transactions
// that they give. After is the case of an answer that got lost: the caller
// reads of a failure and what it asked for is there.
type FaultyStore struct {
	journal.Store

	mu     sync.Mutex
	calls  int
	failAt int // the number of the call; 0: none
	when   When
	failed string
}

// Faulty returns a store that passes everything on to s until FailAt is
// called.
func Faulty(s journal.Store) *FaultyStore { return &FaultyStore{Store: s} }

// FailAt lets the n-th call from now on fail, from 1. 0 ends that.
func (f *FaultyStore) FailAt(n int, when When) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.failAt, f.when, f.failed = 0, n, when, ""
}

// Calls returns the number of calls since FailAt, or since the beginning.
func (f *FaultyStore) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Failed names the call that failed since FailAt; "" if none has yet.
func (f *FaultyStore) Failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// call counts a call and runs it, unless it is to fail before.
func (f *FaultyStore) call(name string, do func() error) error {
	f.mu.Lock()
	f.calls++
	fail := f.calls == f.failAt
	when := f.when
	if fail {
		f.failed = name
	}
	f.mu.Unlock()
	if fail && when == Before {
		return fmt.Errorf("%s: %w", name, ErrInjected)
	}
	err := do()
	if fail && err == nil {
		err = fmt.Errorf("%s, after it took effect: %w", name, ErrInjected)
	}
	return err
}

// Update implements journal.Store.
func (f *FaultyStore) Update(ctx context.Context, fn func(tx journal.StoreTx) error) error {
	return f.call("Update", func() error {
		return f.Store.Update(ctx, func(tx journal.StoreTx) error { return fn(&faultyTx{faultyReader{tx, f}, tx}) })
	})
}

// View implements journal.Store.
func (f *FaultyStore) View(ctx context.Context, fn func(r journal.StoreReader) error) error {
	return f.call("View", func() error {
		return f.Store.View(ctx, func(r journal.StoreReader) error { return fn(&faultyReader{r, f}) })
	})
}

type faultyReader struct {
	r journal.StoreReader
	f *FaultyStore
}

type faultyTx struct {
	faultyReader
	tx journal.StoreTx
}

var _ journal.StoreTx = (*faultyTx)(nil)

// value runs a call that returns a value besides its error.
func value[T any](f *FaultyStore, name string, do func() (T, error)) (v T, err error) {
	err = f.call(name, func() (err error) {
		v, err = do()
		return err
	})
	return v, err
}

func (t *faultyReader) Size() (int64, error) { return value(t.f, "Size", t.r.Size) }

func (t *faultyReader) Row(n int64) (journal.Row, error) {
	return value(t.f, "Row", func() (journal.Row, error) { return t.r.Row(n) })
}

func (t *faultyReader) Rows(q journal.RowQuery) ([]journal.Row, error) {
	return value(t.f, "Rows", func() ([]journal.Row, error) { return t.r.Rows(q) })
}

func (t *faultyReader) Hashes(indexes []int64) ([]tlog.Hash, error) {
	return value(t.f, "Hashes", func() ([]tlog.Hash, error) { return t.r.Hashes(indexes) })
}

func (t *faultyReader) Checkpoint() (note []byte, size int64, err error) {
	err = t.f.call("Checkpoint", func() (err error) {
		note, size, err = t.r.Checkpoint()
		return err
	})
	return note, size, err
}

func (t *faultyReader) Object(ref journal.Ref) (journal.Object, error) {
	return value(t.f, "Object", func() (journal.Object, error) { return t.r.Object(ref) })
}

func (t *faultyReader) Objects(q journal.ObjectQuery) ([]journal.Object, error) {
	return value(t.f, "Objects", func() ([]journal.Object, error) { return t.r.Objects(q) })
}

func (t *faultyReader) Private(kind, id string) (journal.Private, error) {
	return value(t.f, "Private", func() (journal.Private, error) { return t.r.Private(kind, id) })
}

func (t *faultyReader) Privates(kind, owner string) ([]journal.Private, error) {
	return value(t.f, "Privates", func() ([]journal.Private, error) { return t.r.Privates(kind, owner) })
}

func (t *faultyReader) Feed(chain string, after uint64, limit int) ([]journal.FeedRow, error) {
	return value(t.f, "Feed", func() ([]journal.FeedRow, error) { return t.r.Feed(chain, after, limit) })
}

func (t *faultyReader) FeedHead(chain string) (head journal.FeedRow, ok bool, err error) {
	err = t.f.call("FeedHead", func() (err error) {
		head, ok, err = t.r.FeedHead(chain)
		return err
	})
	return head, ok, err
}

func (t *faultyReader) ScanRows(from, before int64, fn func(*journal.Row) error) error {
	return t.f.call("ScanRows", func() error { return t.r.ScanRows(from, before, fn) })
}

func (t *faultyReader) ScanAbout(fn func(int64, journal.Ref) error) error {
	return t.f.call("ScanAbout", func() error { return t.r.ScanAbout(fn) })
}

func (t *faultyReader) ScanHashes(from, before int64, fn func(int64, tlog.Hash) error) error {
	return t.f.call("ScanHashes", func() error { return t.r.ScanHashes(from, before, fn) })
}

func (t *faultyReader) ScanObjects(fn func(*journal.Object) error) error {
	return t.f.call("ScanObjects", func() error { return t.r.ScanObjects(fn) })
}

func (t *faultyReader) ScanFeed(fn func(*journal.FeedRow) error) error {
	return t.f.call("ScanFeed", func() error { return t.r.ScanFeed(fn) })
}

func (t *faultyReader) ScanPrivates(fn func(*journal.Private) error) error {
	return t.f.call("ScanPrivates", func() error { return t.r.ScanPrivates(fn) })
}

func (t *faultyReader) ScanCounters(fn func(string, int64) error) error {
	return t.f.call("ScanCounters", func() error { return t.r.ScanCounters(fn) })
}

func (t *faultyTx) SetCounter(counter string, n int64) error {
	return t.f.call("SetCounter", func() error { return t.tx.SetCounter(counter, n) })
}

func (t *faultyTx) PutRow(row journal.Row, hashes []tlog.Hash) error {
	return t.f.call("PutRow", func() error { return t.tx.PutRow(row, hashes) })
}

func (t *faultyTx) EraseRow(n int64) error {
	return t.f.call("EraseRow", func() error { return t.tx.EraseRow(n) })
}

func (t *faultyTx) PutCheckpoint(note []byte, size int64) error {
	return t.f.call("PutCheckpoint", func() error { return t.tx.PutCheckpoint(note, size) })
}

func (t *faultyTx) PutObject(o journal.Object) error {
	return t.f.call("PutObject", func() error { return t.tx.PutObject(o) })
}

func (t *faultyTx) DeleteObject(ref journal.Ref) error {
	return t.f.call("DeleteObject", func() error { return t.tx.DeleteObject(ref) })
}

func (t *faultyTx) PutPrivate(p journal.Private) error {
	return t.f.call("PutPrivate", func() error { return t.tx.PutPrivate(p) })
}

func (t *faultyTx) DeletePrivate(kind, id string) error {
	return t.f.call("DeletePrivate", func() error { return t.tx.DeletePrivate(kind, id) })
}

func (t *faultyTx) DeleteExpired(at time.Time) (int64, error) {
	return value(t.f, "DeleteExpired", func() (int64, error) { return t.tx.DeleteExpired(at) })
}

func (t *faultyTx) Next(counter string) (int64, error) {
	return value(t.f, "Next", func() (int64, error) { return t.tx.Next(counter) })
}

func (t *faultyTx) MendFeed(row journal.FeedRow) error {
	return t.f.call("MendFeed", func() error { return t.tx.MendFeed(row) })
}

func (t *faultyTx) PutFeed(row journal.FeedRow) error {
	return t.f.call("PutFeed", func() error { return t.tx.PutFeed(row) })
}

func (t *faultyTx) Enqueue(j journal.Job) error {
	return t.f.call("Enqueue", func() error { return t.tx.Enqueue(j) })
}
