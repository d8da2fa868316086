// Package storetest is the contract of journal.Store as tests. A backend is
// done when Run passes; a fault found in one backend becomes a case for all.
package storetest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Open makes an empty store and a function that closes it and opens it again
// with what was stored. Both end with the test.
type Open func(tb testing.TB) (s journal.Store, reopen func() journal.Store)

// Run runs the contract against the stores that open makes.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s journal.Store, reopen func() journal.Store)
	}{
		{"an empty store", empty},
		{"rows are kept as given", rows},
		{"a row out of order is refused", rowOrder},
		{"rows are selected", rowQueries},
		{"a failed update leaves nothing", atomicity},
		{"an update sees its own writes", ownWrites},
		{"a panic undoes its update alone", panics},
		{"a failure ignored by fn keeps nothing", ignoredFailure},
		{"updates at the same time", concurrency},
		{"a view is one state", snapshot},
		{"a transaction ends with fn", escaped},
		{"context", contexts},
		{"objects are kept as given", objects},
		{"objects are selected like in a model", objectModel},
		{"objects are ordered by bytes", objectOrder},
		{"private data", privates},
		{"counters", counters},
		{"feed", feed},
		{"committed", committed},
		{"checkpoint", checkpoint},
		{"erasing", erasing},
		{"scans", scans},
		{"missing hashes are errors", hashes},
		{"all is there after reopening", reopening},
		{"a closed store is unavailable", closed},
		{"hostile text stays text", hostileText},
		{"what cannot be text is not found", noText},
		{"a job exists if its update does", enqueued},
		{"jobs beside updates", jobsBesideUpdates},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, reopen := open(t)
			c.run(t, s, reopen)
		})
	}
}

func update(tb testing.TB, s journal.Store, fn func(tx journal.StoreTx) error) {
	tb.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		tb.Fatalf("Update: %v", err)
	}
}

func view(tb testing.TB, s journal.Store, fn func(r journal.StoreReader) error) {
	tb.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		tb.Errorf("View: %v", err) // also called beside the test's goroutine
	}
}

func wantKind(tb testing.TB, err error, kind problem.Kind) {
	tb.Helper()
	if problem.KindOf(err) != kind {
		tb.Errorf("got error %v of kind %q, want kind %q", err, problem.KindOf(err), kind)
	}
}

// reporter is a test, also one of package rapid.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

func equal(tb reporter, what string, got, want any) {
	tb.Helper()
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// row makes the row with the given number.
func row(number int64, typ, partner string, about ...journal.Ref) journal.Row {
	r := journal.Row{
		Number: number, Type: typ, AtMillis: 1_700_000_000_000 + number, Partner: partner, About: about,
		Head:    fmt.Appendf(nil, `{"number":%d,"type":%q}`, number, typ),
		Payload: fmt.Appendf(nil, `{"why":"payload of %d"}`, number), Salt: bytes.Repeat([]byte{byte(number)}, journal.SaltSize),
	}
	r.Seal = journal.Seal(r.Salt, r.Payload)
	r.Commitment = journal.Commit(r.Seal, r.Head)
	return r
}

// put appends the row as a Log would.
func put(tx journal.StoreTx, r journal.Row) error {
	hashes, err := tlog.StoredHashesForRecordHash(r.Number, tlog.RecordHash(r.Commitment[:]), tlog.HashReaderFunc(tx.Hashes))
	if err != nil {
		return err
	}
	return tx.PutRow(r, hashes)
}

// appendRow appends a row with the next number.
func appendRow(tx journal.StoreTx, typ, partner string, about ...journal.Ref) (int64, error) {
	n, err := tx.Size()
	if err != nil {
		return 0, err
	}
	return n, put(tx, row(n, typ, partner, about...))
}

// stored is how a row is read back: without About.
func stored(r journal.Row) journal.Row {
	r.About = nil
	return r
}

func empty(t *testing.T, s journal.Store, _ func() journal.Store) {
	view(t, s, func(r journal.StoreReader) error {
		if n, err := r.Size(); n != 0 || err != nil {
			t.Errorf("Size: %d, %v", n, err)
		}
		_, err := r.Row(0)
		wantKind(t, err, problem.NotFound)
		if list, err := r.Rows(journal.RowQuery{}); len(list) != 0 || err != nil {
			t.Errorf("Rows: %v, %v", list, err)
		}
		if note, size, err := r.Checkpoint(); note != nil || size != 0 || err != nil {
			t.Errorf("Checkpoint: %q, %d, %v", note, size, err)
		}
		_, err = r.Object(journal.Ref{Kind: "signal", ID: "s1"})
		wantKind(t, err, problem.NotFound)
		if list, err := r.Objects(journal.ObjectQuery{Kind: "signal"}); len(list) != 0 || err != nil {
			t.Errorf("Objects: %v, %v", list, err)
		}
		_, err = r.Private("session", "x")
		wantKind(t, err, problem.NotFound)
		if list, err := r.Privates("session", "x"); len(list) != 0 || err != nil {
			t.Errorf("Privates: %v, %v", list, err)
		}
		if list, err := r.Feed("all", 0, 10); len(list) != 0 || err != nil {
			t.Errorf("Feed: %v, %v", list, err)
		}
		if _, ok, err := r.FeedHead("all"); ok || err != nil {
			t.Errorf("FeedHead: %v, %v", ok, err)
		}
		return nil
	})
}

func rows(t *testing.T, s journal.Store, _ func() journal.Store) {
	var want []journal.Row
	update(t, s, func(tx journal.StoreTx) error {
		want = nil
		for n := range int64(20) {
			r := row(n, "signal.proposed", "p1", journal.Ref{Kind: "signal", ID: fmt.Sprint(n)}, journal.Ref{Kind: "incident", ID: "i1"})
			if err := put(tx, r); err != nil {
				return err
			}
			want = append(want, stored(r))
		}
		return nil
	})
	view(t, s, func(r journal.StoreReader) error {
		if n, err := r.Size(); n != 20 || err != nil {
			t.Errorf("Size: %d, %v", n, err)
		}
		for _, w := range want {
			got, err := r.Row(w.Number)
			if err != nil {
				return err
			}
			equal(t, "row", got, w)
		}
		got, err := r.Rows(journal.RowQuery{})
		equal(t, "rows", got, want)
		if err != nil {
			return err
		}
		for n := int64(1); n <= 20; n++ {
			root, err := tlog.TreeHash(n, tlog.HashReaderFunc(r.Hashes))
			if err != nil {
				return err
			}
			var leaves []tlog.Hash
			for _, w := range want[:n] {
				leaves = append(leaves, tlog.RecordHash(w.Commitment[:]))
			}
			if plain := plainRoot(leaves); root != plain {
				t.Errorf("root of %d entries is %v, want %v", n, root, plain)
			}
		}
		return nil
	})
}

// plainRoot is RFC 6962 §2.1 as it is written.
func plainRoot(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return tlog.NodeHash(plainRoot(leaves[:k]), plainRoot(leaves[k:]))
}

func rowOrder(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return put(tx, row(0, "a.b", "")) })
	for _, number := range []int64{-1, 0, 2, math.MaxInt64} {
		err := s.Update(context.Background(), func(tx journal.StoreTx) error {
			return tx.PutRow(row(number, "a.b", ""), []tlog.Hash{{}})
		})
		if err == nil {
			t.Errorf("row %d after row 0 was stored", number)
		}
	}
	update(t, s, func(tx journal.StoreTx) error { return put(tx, row(1, "a.b", "")) })
}

func rowQueries(t *testing.T, s journal.Store, _ func() journal.Store) {
	i1, s1 := journal.Ref{Kind: "incident", ID: "1"}, journal.Ref{Kind: "signal", ID: "1"}
	update(t, s, func(tx journal.StoreTx) error {
		for n := range int64(30) {
			var about []journal.Ref
			if n%2 == 0 {
				about = append(about, i1)
			}
			if n%3 == 0 {
				about = append(about, s1)
			}
			if err := put(tx, row(n, fmt.Sprint("t", n%3), fmt.Sprint("p", n%5), about...)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		name string
		q    journal.RowQuery
		want string
	}{
		{"about", journal.RowQuery{About: i1, Limit: 4}, "0 2 4 6"},
		{"about, newest", journal.RowQuery{About: i1, Limit: 3, Newest: true}, "28 26 24"},
		{"about the same ID of another kind", journal.RowQuery{About: s1, Limit: 3}, "0 3 6"},
		{"about and type", journal.RowQuery{About: i1, Types: []string{"t1"}}, "4 10 16 22 28"},
		{"about and partner", journal.RowQuery{About: i1, Partner: "p0"}, "0 10 20"},
		{"about, from and before", journal.RowQuery{About: i1, From: 5, Before: 9}, "6 8"},
		{"about nothing known", journal.RowQuery{About: journal.Ref{Kind: "incident", ID: "2"}}, ""},
		{"types", journal.RowQuery{Types: []string{"t1", "t2"}, Limit: 5}, "1 2 4 5 7"},
		{"types, newest before", journal.RowQuery{Types: []string{"t0"}, Newest: true, Before: 27, Limit: 2}, "24 21"},
		{"partner", journal.RowQuery{Partner: "p3"}, "3 8 13 18 23 28"},
		{"partner and type", journal.RowQuery{Partner: "p3", Types: []string{"t2"}}, "8 23"},
		{"from", journal.RowQuery{From: 28}, "28 29"},
		{"before", journal.RowQuery{Before: 2}, "0 1"},
		{"from and before, newest", journal.RowQuery{From: 3, Before: 6, Newest: true}, "5 4 3"},
		{"nothing between", journal.RowQuery{From: 6, Before: 6}, ""},
		{"beyond", journal.RowQuery{From: 30}, ""},
		{"unknown type", journal.RowQuery{Types: []string{"x"}}, ""},
	} {
		view(t, s, func(r journal.StoreReader) error {
			got, err := r.Rows(c.q)
			var numbers []string
			for _, g := range got {
				numbers = append(numbers, fmt.Sprint(g.Number))
			}
			equal(t, c.name, strings.Join(numbers, " "), c.want)
			return err
		})
	}
	update(t, s, func(tx journal.StoreTx) error {
		for n := int64(30); n < 150; n++ {
			if err := put(tx, row(n, "t", "")); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(r journal.StoreReader) error {
		got, err := r.Rows(journal.RowQuery{})
		equal(t, "number of rows without a limit", len(got), journal.DefaultLimit)
		return err
	})
}

// fill writes one of everything.
func fill(tx journal.StoreTx, id string) error {
	n, err := appendRow(tx, "fill."+id, "p1", journal.Ref{Kind: "fill", ID: id})
	if err != nil {
		return err
	}
	if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "fill", ID: id}, Version: n, Doc: []byte(`{}`), Keys: journal.Keys{State: "new"}}); err != nil {
		return err
	}
	if err := tx.PutPrivate(journal.Private{Kind: "fill", ID: id, Owner: "o", Doc: []byte("d")}); err != nil {
		return err
	}
	if _, err := tx.Next("fill"); err != nil {
		return err
	}
	head, _, err := tx.FeedHead("fill")
	if err != nil {
		return err
	}
	if err := tx.PutFeed(journal.FeedRow{Chain: "fill", Seq: head.Seq + 1, Entry: n, Op: []byte(id)}); err != nil {
		return err
	}
	return tx.PutCheckpoint([]byte(id), n+1)
}

// filled returns the IDs of what is there, in order of the feed, and fails if
// the parts differ.
func filled(tb testing.TB, s journal.Store) []string {
	tb.Helper()
	var ids []string
	view(tb, s, func(r journal.StoreReader) error {
		ops, err := r.Feed("fill", 0, 100_000)
		if err != nil {
			return err
		}
		for _, op := range ops {
			id := string(op.Op)
			ids = append(ids, id)
			o, err := r.Object(journal.Ref{Kind: "fill", ID: id})
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			row, err := r.Row(o.Version)
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			if row.Type != "fill."+id || op.Entry != row.Number {
				tb.Errorf("%s: object at entry %d, operation at %d, which is %s", id, o.Version, op.Entry, row.Type)
			}
			if _, err := r.Private("fill", id); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
		}
		size, err := r.Size()
		if err != nil {
			return err
		}
		if size != int64(len(ids)) {
			tb.Errorf("there are %d entries and %d operations", size, len(ids))
		}
		note, at, err := r.Checkpoint()
		if err != nil {
			return err
		}
		if len(ids) > 0 && (string(note) != ids[len(ids)-1] || at != size) {
			tb.Errorf("checkpoint %q of size %d, want %q of %d", note, at, ids[len(ids)-1], size)
		}
		list, err := r.Objects(journal.ObjectQuery{Kind: "fill", Limit: 100_000})
		if err != nil {
			return err
		}
		if len(list) != len(ids) {
			tb.Errorf("there are %d objects and %d operations", len(list), len(ids))
		}
		return nil
	})
	return ids
}

var errGiveUp = errors.New("given up by the test")

func atomicity(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "kept") })
	err := s.Update(context.Background(), func(tx journal.StoreTx) error {
		if err := fill(tx, "gone"); err != nil {
			return err
		}
		if err := tx.DeleteObject(journal.Ref{Kind: "fill", ID: "kept"}); err != nil {
			return err
		}
		if err := tx.DeletePrivate("fill", "kept"); err != nil {
			return err
		}
		return errGiveUp
	})
	if !errors.Is(err, errGiveUp) {
		t.Errorf("Update returned %v, want the error of fn", err)
	}
	equal(t, "what is there", filled(t, s), []string{"kept"})
	update(t, s, func(tx journal.StoreTx) error {
		if _, err := tx.Private("fill", "gone"); problem.KindOf(err) != problem.NotFound {
			t.Errorf("private data of a failed update: %v", err)
		}
		n, err := tx.Next("fill")
		equal(t, "counter after a failed update", n, int64(2))
		return err
	})
}

func ownWrites(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error {
		if err := fill(tx, "a"); err != nil {
			return err
		}
		if n, err := tx.Size(); n != 1 || err != nil {
			t.Errorf("Size: %d, %v", n, err)
		}
		if _, err := tx.Row(0); err != nil {
			t.Errorf("Row: %v", err)
		}
		if list, err := tx.Objects(journal.ObjectQuery{Kind: "fill", States: []string{"new"}}); len(list) != 1 || err != nil {
			t.Errorf("Objects: %v, %v", list, err)
		}
		if list, err := tx.Rows(journal.RowQuery{About: journal.Ref{Kind: "fill", ID: "a"}}); len(list) != 1 || err != nil {
			t.Errorf("Rows: %v, %v", list, err)
		}
		if head, ok, err := tx.FeedHead("fill"); !ok || head.Seq != 1 || err != nil {
			t.Errorf("FeedHead: %v, %v, %v", head, ok, err)
		}
		return nil
	})
}

func panics(t *testing.T, s journal.Store, _ func() journal.Store) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	var caught atomic.Int64
	for i := range 30 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() {
				if p := recover(); p != nil {
					if p != any("by the test") {
						t.Errorf("panic: %v", p)
					}
					caught.Add(1)
				}
			}()
			<-start
			err := s.Update(context.Background(), func(tx journal.StoreTx) error {
				if err := fill(tx, fmt.Sprint(i)); err != nil {
					return err
				}
				if i%3 == 0 {
					panic("by the test")
				}
				return nil
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}()
	}
	close(start)
	wg.Wait()
	equal(t, "panics that reached their caller", caught.Load(), int64(10))
	equal(t, "updates kept", len(filled(t, s)), 20)
	func() {
		defer func() { _ = recover() }() // the panic is the test's
		_ = s.View(context.Background(), func(journal.StoreReader) error { panic("by the test") })
	}()
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "after") })
}

func ignoredFailure(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "a") })
	err := s.Update(context.Background(), func(tx journal.StoreTx) error {
		if err := fill(tx, "b"); err != nil {
			return err
		}
		_ = tx.PutRow(row(7, "x.y", ""), nil) // fails, and the test ignores it as a faulty service might
		return nil
	})
	if err == nil {
		t.Error("Update returned nil although a write failed")
	}
	equal(t, "what is there", filled(t, s), []string{"a"})
}

func concurrency(t *testing.T, s journal.Store, _ func() journal.Store) {
	const writers, each = 16, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept := make(map[string]bool)
	stop := make(chan struct{})
	for range 3 { // readers
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
					filled(t, s)
				}
			}
		}()
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Add(1)
		go func() {
			defer writing.Done()
			for i := range each {
				id := fmt.Sprintf("%d.%d", w, i)
				fail := (w+i)%5 == 0
				err := s.Update(context.Background(), func(tx journal.StoreTx) error {
					if err := fill(tx, id); err != nil {
						return err
					}
					if fail {
						return errGiveUp
					}
					return nil
				})
				switch {
				case fail && !errors.Is(err, errGiveUp):
					t.Errorf("%s: got %v, want the error of fn", id, err)
				case !fail && err != nil:
					t.Errorf("%s: %v", id, err)
				case !fail:
					mu.Lock()
					kept[id] = true
					mu.Unlock()
				}
			}
		}()
	}
	writing.Wait()
	close(stop)
	wg.Wait()
	ids := filled(t, s)
	for _, id := range ids {
		if !kept[id] {
			t.Errorf("%s is there and was not acknowledged", id)
		}
		delete(kept, id)
	}
	if len(kept) > 0 {
		t.Errorf("acknowledged and lost: %v", kept)
	}
	view(t, s, func(r journal.StoreReader) error {
		var leaves []tlog.Hash
		err := r.ScanRows(0, math.MaxInt64, func(row *journal.Row) error {
			leaves = append(leaves, tlog.RecordHash(row.Commitment[:]))
			return nil
		})
		if err != nil {
			return err
		}
		root, err := tlog.TreeHash(int64(len(leaves)), tlog.HashReaderFunc(r.Hashes))
		equal(t, "root", root, plainRoot(leaves))
		return err
	})
}

func snapshot(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "a") })
	view(t, s, func(r journal.StoreReader) error {
		if n, err := r.Size(); n != 1 || err != nil {
			t.Fatalf("Size: %d, %v", n, err)
		}
		done := make(chan error, 1)
		go func() {
			done <- s.Update(context.Background(), func(tx journal.StoreTx) error { return fill(tx, "b") })
		}()
		if err := <-done; err != nil { // a view does not hold up updates
			t.Fatalf("Update during a view: %v", err)
		}
		if n, err := r.Size(); n != 1 || err != nil {
			t.Errorf("Size after an update: %d, %v; want the same state as before", n, err)
		}
		if _, err := r.Object(journal.Ref{Kind: "fill", ID: "b"}); problem.KindOf(err) != problem.NotFound {
			t.Errorf("an object made after the view began: %v", err)
		}
		return nil
	})
	equal(t, "what is there", filled(t, s), []string{"a", "b"})
	err := s.View(context.Background(), func(journal.StoreReader) error { return errGiveUp })
	if !errors.Is(err, errGiveUp) {
		t.Errorf("View returned %v, want the error of fn", err)
	}
}

func escaped(t *testing.T, s journal.Store, _ func() journal.Store) {
	var kept journal.StoreTx
	update(t, s, func(tx journal.StoreTx) error {
		kept = tx
		return nil
	})
	if err := kept.PutPrivate(journal.Private{Kind: "k", ID: "i"}); err == nil {
		t.Error("a transaction was used after its end")
	}
	if _, err := kept.Size(); err == nil {
		t.Error("a transaction was read after its end")
	}
}

func contexts(t *testing.T, s journal.Store, _ func() journal.Store) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.Update(gone, func(journal.StoreTx) error {
		t.Error("fn was called although the context had ended")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update with an ended context returned %v", err)
	}

	// One that waits can give up while another one holds the turn.
	inside, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		var once sync.Once
		first <- s.Update(context.Background(), func(tx journal.StoreTx) error {
			once.Do(func() {
				close(inside)
				<-release
			})
			return fill(tx, "first")
		})
	}()
	<-inside
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = s.Update(ctx, func(tx journal.StoreTx) error { return fill(tx, "second") })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Update that waited too long returned %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("Update: %v", err)
	}
	// A context that ends while fn runs does not leave the outcome open.
	ctx, cancel = context.WithCancel(context.Background())
	err = s.Update(ctx, func(tx journal.StoreTx) error {
		cancel()
		return fill(tx, "third")
	})
	want := []string{"first", "third"}
	if err != nil {
		want = want[:1]
	}
	equal(t, "what is there", filled(t, s), want)
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "after") })
}

func privates(t *testing.T, s journal.Store, _ func() journal.Store) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	put := func(p journal.Private) {
		t.Helper()
		update(t, s, func(tx journal.StoreTx) error { return tx.PutPrivate(p) })
	}
	a := journal.Private{Kind: "session", ID: "a", Owner: "m1", Doc: []byte("1"), Expires: at}
	b := journal.Private{Kind: "session", ID: "b", Owner: "m1", Doc: []byte("2"), Expires: at.Add(time.Millisecond)}
	c := journal.Private{Kind: "session", ID: "c", Owner: "m2", Doc: []byte("3")}
	d := journal.Private{Kind: "code", ID: "a", Owner: "m1", Doc: []byte{0, 255, 0}, Expires: at}
	for _, p := range []journal.Private{b, a, c, d} {
		put(p)
	}
	list := func(kind, owner string) (out []journal.Private) {
		t.Helper()
		view(t, s, func(r journal.StoreReader) (err error) {
			out, err = r.Privates(kind, owner)
			return err
		})
		return out
	}
	equal(t, "sessions of m1", list("session", "m1"), []journal.Private{a, b})
	equal(t, "codes of m1", list("code", "m1"), []journal.Private{d})
	a.Doc, a.Owner = []byte("4"), "m2"
	put(a)
	equal(t, "sessions of m2", list("session", "m2"), []journal.Private{a, c})
	view(t, s, func(r journal.StoreReader) error {
		got, err := r.Private("code", "a")
		equal(t, "code a", got, d)
		_, err2 := r.Private("code", "b")
		wantKind(t, err2, problem.NotFound)
		return err
	})
	update(t, s, func(tx journal.StoreTx) error {
		n, err := tx.DeleteExpired(at.Add(-time.Millisecond))
		equal(t, "deleted before the time", n, int64(0))
		if err != nil {
			return err
		}
		n, err = tx.DeleteExpired(at)
		equal(t, "deleted at the time", n, int64(2))
		return err
	})
	equal(t, "sessions of m1 later", list("session", "m1"), []journal.Private{b})
	equal(t, "sessions of m2 later", list("session", "m2"), []journal.Private{c})
	update(t, s, func(tx journal.StoreTx) error {
		if err := tx.DeletePrivate("session", "nobody"); err != nil {
			return err
		}
		return tx.DeletePrivate("session", "c")
	})
	equal(t, "sessions of m2 at the end", list("session", "m2"), []journal.Private(nil))
	view(t, s, func(r journal.StoreReader) error {
		var all []journal.Private
		err := r.ScanPrivates(func(p *journal.Private) error { all = append(all, *p); return nil })
		equal(t, "all private data", all, []journal.Private{b})
		return err
	})
	put(journal.Private{Kind: "empty", ID: "e", Owner: "m"})
	if got := list("empty", "m"); len(got) != 1 || len(got[0].Doc) != 0 {
		t.Errorf("private data without bytes: %v", got)
	}
}

func counters(t *testing.T, s journal.Store, _ func() journal.Store) {
	for want := range int64(3) {
		update(t, s, func(tx journal.StoreTx) error {
			a, err := tx.Next("a")
			equal(t, "a", a, 2*want+1)
			if err != nil {
				return err
			}
			a, err = tx.Next("a")
			equal(t, "a", a, 2*want+2)
			if err != nil {
				return err
			}
			b, err := tx.Next("b")
			equal(t, "b", b, want+1)
			return err
		})
	}
	update(t, s, func(tx journal.StoreTx) error {
		if err := tx.SetCounter("b", 70); err != nil {
			return err
		}
		if err := tx.SetCounter("c", 1<<60); err != nil {
			return err
		}
		n, err := tx.Next("b")
		equal(t, "a counter that was set", n, int64(71))
		return err
	})
	view(t, s, func(r journal.StoreReader) error {
		all := make(map[string]int64)
		err := r.ScanCounters(func(name string, n int64) error { all[name] = n; return nil })
		equal(t, "all counters", all, map[string]int64{"a": 6, "b": 71, "c": 1 << 60})
		return err
	})
}

func feed(t *testing.T, s journal.Store, _ func() journal.Store) {
	op := func(chain string, seq uint64) journal.FeedRow {
		return journal.FeedRow{Chain: chain, Seq: seq, Entry: int64(seq) * 3, Op: fmt.Appendf(nil, "%s %d", chain, seq)}
	}
	big := op("other", 1)
	big.Op = bytes.Repeat([]byte{0, 1, 2, 255}, 100_000)
	update(t, s, func(tx journal.StoreTx) error {
		for seq := uint64(1); seq <= 10; seq++ {
			if err := tx.PutFeed(op("all", seq)); err != nil {
				return err
			}
		}
		return tx.PutFeed(big)
	})
	for _, seq := range []uint64{0, 1, 10, 12, math.MaxInt64, math.MaxUint64} {
		err := s.Update(context.Background(), func(tx journal.StoreTx) error { return tx.PutFeed(op("all", seq)) })
		wantKind(t, err, problem.Conflict)
	}
	for _, seq := range []uint64{0, 2} {
		err := s.Update(context.Background(), func(tx journal.StoreTx) error { return tx.PutFeed(op("new", seq)) })
		wantKind(t, err, problem.Conflict)
	}
	// A sequence error that fn takes care of does not spoil its transaction.
	update(t, s, func(tx journal.StoreTx) error {
		if err := tx.PutFeed(op("all", 99)); problem.KindOf(err) != problem.Conflict {
			return fmt.Errorf("operation 99 after 10: %v", err)
		}
		return tx.PutFeed(op("all", 11))
	})
	// One that was damaged is written anew, in its place; one that is not there is not.
	mended := op("all", 11)
	mended.Op, mended.Entry = []byte("damaged"), 7
	update(t, s, func(tx journal.StoreTx) error {
		if err := tx.MendFeed(mended); err != nil {
			return err
		}
		head, _, err := tx.FeedHead("all")
		equal(t, "head after it was changed", head, mended)
		return errors.Join(err, tx.MendFeed(op("all", 11)))
	})
	for _, row := range []journal.FeedRow{op("all", 12), op("all", 0), op("all", math.MaxUint64), op("none", 1)} {
		err := s.Update(context.Background(), func(tx journal.StoreTx) error { return tx.MendFeed(row) })
		wantKind(t, err, problem.NotFound)
	}
	view(t, s, func(r journal.StoreReader) error {
		for _, c := range []struct {
			after uint64
			limit int
			want  []journal.FeedRow
		}{
			{0, 3, []journal.FeedRow{op("all", 1), op("all", 2), op("all", 3)}},
			{9, 3, []journal.FeedRow{op("all", 10), op("all", 11)}},
			{11, 3, nil},
			{math.MaxUint64, 3, nil},
		} {
			got, err := r.Feed("all", c.after, c.limit)
			if err != nil {
				return err
			}
			equal(t, fmt.Sprint("operations after ", c.after), got, c.want)
		}
		head, ok, err := r.FeedHead("all")
		equal(t, "head", head, op("all", 11))
		if !ok || err != nil {
			t.Errorf("head: %v, %v", ok, err)
		}
		head, _, err = r.FeedHead("other")
		equal(t, "head of the other chain", head, big)
		return err
	})
}

func committed(t *testing.T, s journal.Store, _ func() journal.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan error, 1)
	go func() { watching <- s.Watch(ctx) }()
	defer func() {
		cancel()
		if err := <-watching; err != nil {
			t.Errorf("Watch: %v", err)
		}
	}()
	closes := func(what string, fn func(tx journal.StoreTx) error) {
		t.Helper()
		before := s.Committed()
		update(t, s, fn)
		select {
		case <-before:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: no word of the commit", what)
		}
	}
	closes("an entry", func(tx journal.StoreTx) error {
		_, err := appendRow(tx, "a.b", "")
		return err
	})
	closes("a feed operation", func(tx journal.StoreTx) error { return tx.PutFeed(journal.FeedRow{Chain: "c", Seq: 1}) })
	open := s.Committed()
	select {
	case <-open:
		t.Error("the channel of the next commit is closed already")
	default:
	}
}

func checkpoint(t *testing.T, s journal.Store, _ func() journal.Store) {
	for _, c := range []struct {
		note string
		size int64
	}{{"first", 3}, {"second", 7}} {
		update(t, s, func(tx journal.StoreTx) error { return tx.PutCheckpoint([]byte(c.note), c.size) })
		view(t, s, func(r journal.StoreReader) error {
			note, size, err := r.Checkpoint()
			if string(note) != c.note || size != c.size {
				t.Errorf("got %q of size %d", note, size)
			}
			return err
		})
	}
}

func erasing(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error {
		for n := range int64(5) {
			if err := put(tx, row(n, "a.b", "p1", journal.Ref{Kind: "k", ID: "1"})); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 { // the second time is no error
		update(t, s, func(tx journal.StoreTx) error { return tx.EraseRow(2) })
	}
	err := s.Update(context.Background(), func(tx journal.StoreTx) error { return tx.EraseRow(5) })
	wantKind(t, err, problem.NotFound)
	want := row(2, "a.b", "p1")
	want.Payload, want.Salt = nil, nil
	view(t, s, func(r journal.StoreReader) error {
		got, err := r.Row(2)
		equal(t, "erased row", got, want)
		if err != nil {
			return err
		}
		list, err := r.Rows(journal.RowQuery{About: journal.Ref{Kind: "k", ID: "1"}})
		equal(t, "rows about the object", len(list), 5)
		return err
	})
}

func scans(t *testing.T, s journal.Store, _ func() journal.Store) {
	const n = 300
	update(t, s, func(tx journal.StoreTx) error {
		for i := range int64(n) {
			if err := put(tx, row(i, "a.b", "p", journal.Ref{Kind: "k", ID: fmt.Sprint(i % 7)}, journal.Ref{Kind: "l", ID: fmt.Sprint(i)})); err != nil {
				return err
			}
			if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: fmt.Sprint("k", i%3), ID: fmt.Sprintf("%03d", i)}, Version: i, Doc: []byte("{}"), Keys: journal.Keys{Sort: fmt.Sprint(n - i), DueMS: i}}); err != nil {
				return err
			}
			if err := tx.PutFeed(journal.FeedRow{Chain: fmt.Sprint("c", i/100), Seq: uint64(i%100 + 1), Entry: i, Op: []byte{byte(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(r journal.StoreReader) error {
		for _, c := range [][2]int64{{0, n}, {0, math.MaxInt64}, {17, 213}, {5, 5}, {n, n + 9}} {
			next := c[0]
			err := r.ScanRows(c[0], c[1], func(got *journal.Row) error {
				equal(t, "row", *got, stored(row(next, "a.b", "p")))
				next++
				return nil
			})
			if err != nil {
				return err
			}
			if want := max(min(c[1], n), c[0]); next != want {
				t.Errorf("rows from %d before %d end at %d, want %d", c[0], c[1], next, want)
			}
		}
		about := 0
		if err := r.ScanAbout(func(number int64, ref journal.Ref) error {
			about++
			if want := map[string]string{"k": fmt.Sprint(number % 7), "l": fmt.Sprint(number)}[ref.Kind]; ref.ID != want {
				t.Errorf("entry %d is about %v", number, ref)
			}
			return nil
		}); err != nil {
			return err
		}
		equal(t, "pairs of entry and object", about, 2*n)

		count := tlog.StoredHashCount(n)
		next := int64(10)
		var scanned []tlog.Hash
		if err := r.ScanHashes(10, math.MaxInt64, func(index int64, h tlog.Hash) error {
			if index != next {
				t.Errorf("hash %d is given as %d", next, index)
			}
			scanned = append(scanned, h)
			next++
			return nil
		}); err != nil {
			return err
		}
		for i, h := range scanned {
			one, err := r.Hashes([]int64{int64(i) + 10})
			if err != nil || one[0] != h {
				t.Errorf("hash %d: %v, %v", i+10, one, err)
			}
		}
		equal(t, "end of the hashes", next, count)

		var kinds []string
		var objects []journal.Object
		if err := r.ScanObjects(func(o *journal.Object) error {
			c := *o
			c.Doc = bytes.Clone(o.Doc)
			objects = append(objects, c)
			kinds = append(kinds, o.Kind+" "+o.ID)
			return nil
		}); err != nil {
			return err
		}
		for _, o := range objects {
			one, err := r.Object(o.Ref)
			equal(t, "object", o, one)
			if err != nil {
				return err
			}
		}
		for i := 1; i < len(kinds); i++ {
			if kinds[i-1] >= kinds[i] {
				t.Errorf("object %s comes after %s", kinds[i], kinds[i-1])
			}
		}
		equal(t, "objects", len(kinds), n)

		var seq int64
		if err := r.ScanFeed(func(f *journal.FeedRow) error {
			equal(t, "operation", *f, journal.FeedRow{Chain: fmt.Sprint("c", seq/100), Seq: uint64(seq%100 + 1), Entry: seq, Op: []byte{byte(seq)}})
			seq++
			return nil
		}); err != nil {
			return err
		}
		equal(t, "operations", seq, int64(n))

		for name, err := range map[string]error{
			"ScanRows":    r.ScanRows(0, n, func(*journal.Row) error { return errGiveUp }),
			"ScanAbout":   r.ScanAbout(func(int64, journal.Ref) error { return errGiveUp }),
			"ScanHashes":  r.ScanHashes(0, n, func(int64, tlog.Hash) error { return errGiveUp }),
			"ScanObjects": r.ScanObjects(func(*journal.Object) error { return errGiveUp }),
			"ScanFeed":    r.ScanFeed(func(*journal.FeedRow) error { return errGiveUp }),
		} {
			if !errors.Is(err, errGiveUp) {
				t.Errorf("%s returned %v, want the error of fn", name, err)
			}
		}
		return nil
	})
}

func hashes(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error {
		for i := range int64(400) {
			if err := put(tx, row(i, "a.b", "")); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(r journal.StoreReader) error {
		var indexes []int64
		for i := range tlog.StoredHashCount(400) {
			indexes = append(indexes, tlog.StoredHashCount(400)-1-i)
		}
		indexes = append(indexes, 5, 5)
		got, err := r.Hashes(indexes)
		if err != nil {
			return err
		}
		all := make(map[int64]tlog.Hash)
		if err := r.ScanHashes(0, math.MaxInt64, func(i int64, h tlog.Hash) error { all[i] = h; return nil }); err != nil {
			return err
		}
		for i, index := range indexes {
			if got[i] != all[index] {
				t.Fatalf("hash %d is given for %d", index, i)
			}
		}
		if _, err := r.Hashes([]int64{0, tlog.StoredHashCount(400)}); err == nil {
			t.Error("a hash that is not there was given")
		}
		none, err := r.Hashes(nil)
		if len(none) != 0 {
			t.Errorf("no hashes: %v", none)
		}
		return err
	})
}

func reopening(t *testing.T, s journal.Store, reopen func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "a") })
	s = reopen()
	equal(t, "what is there", filled(t, s), []string{"a"})
	update(t, s, func(tx journal.StoreTx) error {
		if n, err := tx.Next("fill"); n != 2 || err != nil {
			t.Errorf("counter: %d, %v", n, err)
		}
		return fill(tx, "b")
	})
	s = reopen()
	equal(t, "what is there at the end", filled(t, s), []string{"a", "b"})
}

func closed(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "a") })
	for range 2 { // the second time is no error
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wantKind(t, s.Update(context.Background(), func(journal.StoreTx) error { return nil }), problem.Unavailable)
	wantKind(t, s.View(context.Background(), func(journal.StoreReader) error { return nil }), problem.Unavailable)
}

// incompressible is n random hexadecimal digits.
func incompressible(n int) string {
	b := make([]byte, n/2)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b) // never fails
	return hex.EncodeToString(b)
}

func hostileText(t *testing.T, s journal.Store, _ func() journal.Store) {
	for i, text := range []string{
		`'; DROP TABLE entries; --`, `"quoted"`, `%_\`, "line\nbreak\ttab", "\u202eright to left", "ﷺ𝄞", strings.Repeat("long ", 20_000), incompressible(22_000), incompressible(190_000), " ", "$1 ? :a @b",
	} {
		ref := journal.Ref{Kind: "k" + strconv.Itoa(i), ID: text}
		want := journal.Object{Ref: ref, Version: int64(i), Doc: []byte(text), Keys: journal.Keys{State: text, Partner: text, Parent: text, Unique: text, Sort: text, Text: text}}
		if len(text) > 1000 { // of keys, only a value may be of any length: keypoints have 22 KB, which do not compress
			want.Keys = journal.Keys{Text: text, Unique: text}
			want.ID = "long"
		}
		update(t, s, func(tx journal.StoreTx) error {
			r := row(int64(i), want.Keys.State+"t", want.Keys.Partner, want.Ref)
			r.Payload = []byte(text)
			if err := put(tx, r); err != nil {
				return err
			}
			if err := tx.PutPrivate(journal.Private{Kind: "p", ID: want.ID, Owner: want.ID, Doc: []byte(text)}); err != nil {
				return err
			}
			return tx.PutObject(want)
		})
		view(t, s, func(r journal.StoreReader) error {
			got, err := r.Objects(journal.ObjectQuery{Kind: want.Kind, Text: want.Keys.Text, Unique: want.Keys.Unique, Parent: want.Keys.Parent, Partner: want.Keys.Partner})
			if err != nil {
				return err
			}
			found := false
			for _, o := range got {
				found = found || cmp.Equal(o, want)
			}
			if !found {
				t.Errorf("%.40q was not found again: %v", text, got)
			}
			rows, err := r.Rows(journal.RowQuery{About: want.Ref})
			if err == nil && (len(rows) != 1 || string(rows[0].Payload) != text) {
				t.Errorf("%.40q: rows %v", text, rows)
			}
			return err
		})
	}
}

func noText(t *testing.T, s journal.Store, _ func() journal.Store) {
	update(t, s, func(tx journal.StoreTx) error { return fill(tx, "a") })
	for _, text := range []string{"a\x00b", "\xff", "a\xc3"} {
		view(t, s, func(r journal.StoreReader) error {
			_, err := r.Object(journal.Ref{Kind: "fill", ID: text})
			wantKind(t, err, problem.NotFound)
			_, err = r.Private("fill", text)
			wantKind(t, err, problem.NotFound)
			for _, q := range []journal.ObjectQuery{{Kind: text}, {Kind: "fill", Text: text}, {Kind: "fill", States: []string{text}}, {Kind: "fill", Unique: text}} {
				if list, err := r.Objects(q); len(list) != 0 || err != nil {
					t.Errorf("%+v: %v, %v", q, list, err)
				}
			}
			for _, q := range []journal.RowQuery{{Partner: text}, {Types: []string{text}}, {About: journal.Ref{Kind: "fill", ID: text}}} {
				if list, err := r.Rows(q); len(list) != 0 || err != nil {
					t.Errorf("%+v: %v, %v", q, list, err)
				}
			}
			if list, err := r.Privates("fill", text); len(list) != 0 || err != nil {
				t.Errorf("privates: %v, %v", list, err)
			}
			if list, err := r.Feed(text, 0, 1); len(list) != 0 || err != nil {
				t.Errorf("feed: %v, %v", list, err)
			}
			return nil
		})
	}
}
