package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
)

// tampered is a store in which one thing reads otherwise than it was written.
type tampered struct {
	journal.Store
	change change
}

// change gets copies that it may alter; nil ones leave all as it is.
type change struct {
	row        func(r *journal.Row) (keep bool)
	about      func(number *int64, ref *journal.Ref) (keep bool)
	hash       func(index *int64, h *tlog.Hash) (keep bool)
	object     func(o *journal.Object) (keep bool)
	feed       func(f *journal.FeedRow) (keep bool)
	checkpoint func(note []byte, size int64) ([]byte, int64)
	size       func(int64) int64
}

func (s tampered) View(ctx context.Context, fn func(r journal.StoreReader) error) error {
	return s.Store.View(ctx, func(r journal.StoreReader) error { return fn(tamperedReader{r, s.change}) })
}

type tamperedReader struct {
	journal.StoreReader
	change change
}

func (r tamperedReader) Size() (int64, error) {
	n, err := r.StoreReader.Size()
	if r.change.size != nil {
		n = r.change.size(n)
	}
	return n, err
}

func (r tamperedReader) ScanRows(from, before int64, fn func(row *journal.Row) error) error {
	return r.StoreReader.ScanRows(from, before, func(row *journal.Row) error {
		if r.change.row == nil {
			return fn(row)
		}
		c := *row
		c.Head, c.Payload, c.Salt = bytes.Clone(row.Head), bytes.Clone(row.Payload), bytes.Clone(row.Salt)
		if !r.change.row(&c) {
			return nil
		}
		return fn(&c)
	})
}

func (r tamperedReader) ScanAbout(fn func(number int64, ref journal.Ref) error) error {
	return r.StoreReader.ScanAbout(func(number int64, ref journal.Ref) error {
		if r.change.about != nil && !r.change.about(&number, &ref) {
			return nil
		}
		return fn(number, ref)
	})
}

func (r tamperedReader) ScanHashes(from, before int64, fn func(index int64, h tlog.Hash) error) error {
	return r.StoreReader.ScanHashes(from, before, func(index int64, h tlog.Hash) error {
		if r.change.hash != nil && !r.change.hash(&index, &h) {
			return nil
		}
		return fn(index, h)
	})
}

func (r tamperedReader) Hashes(indexes []int64) ([]tlog.Hash, error) {
	hs, err := r.StoreReader.Hashes(indexes)
	for i := range hs {
		if index := indexes[i]; r.change.hash != nil && !r.change.hash(&index, &hs[i]) {
			return nil, fmt.Errorf("hash %d is missing", index)
		}
	}
	return hs, err
}

func (r tamperedReader) ScanObjects(fn func(o *journal.Object) error) error {
	return r.StoreReader.ScanObjects(func(o *journal.Object) error {
		c := *o
		c.Doc = bytes.Clone(o.Doc)
		if r.change.object != nil && !r.change.object(&c) {
			return nil
		}
		return fn(&c)
	})
}

func (r tamperedReader) ScanFeed(fn func(f *journal.FeedRow) error) error {
	return r.StoreReader.ScanFeed(func(f *journal.FeedRow) error {
		c := *f
		c.Op = bytes.Clone(f.Op)
		if r.change.feed != nil && !r.change.feed(&c) {
			return nil
		}
		return fn(&c)
	})
}

func (r tamperedReader) Checkpoint() ([]byte, int64, error) {
	note, size, err := r.StoreReader.Checkpoint()
	if r.change.checkpoint != nil {
		note, size = r.change.checkpoint(bytes.Clone(note), size)
	}
	return note, size, err
}

// small is a journal with one of everything: objects, text outside ASCII, an
// erased entry, a removed object, feed operations, a checkpoint that is not
// the newest state.
func small(tb testing.TB) journal.Store {
	tb.Helper()
	s := newStore(tb)
	l := newLog(tb, s)
	quoted := say(`a "quoted" word`, "b1", `b"2`)
	quoted.Under, quoted.Why, quoted.Exercise = "sea-crp@1.0.0 authority.activate", "sebab — karena", true
	appendAll(tb, l, say("first", "b1"), quoted, say("secret", "b1", "b3"))
	gone := say("x", "b4")
	gone.Type = "board.removed"
	appendAll(tb, l, say("soon removed", "b4"), gone, say("no object"))
	if _, err := l.Sign(background); err != nil {
		tb.Fatal(err)
	}
	if _, err := l.Erase(background, 2, someone, "asked for"); err != nil {
		tb.Fatal(err)
	}
	err := l.Update(background, func(tx *journal.Tx) error {
		for seq := range uint64(2) {
			if err := tx.PutFeed(journal.FeedRow{Chain: "c", Seq: seq + 1, Entry: int64(seq), Op: []byte{1, 2}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	appendAll(tb, l, say("last", "b3"))
	wantOK(tb, l)
	return s
}

// finds verifies with the change and checks that a fault is named that
// contains each of the wanted texts, and that no other part is accused.
func finds(t *testing.T, s journal.Store, what string, c change, want ...string) {
	t.Helper()
	r := verify(t, newLog(t, tampered{s, c}))
	if r.OK() {
		t.Errorf("%s: not found", what)
		return
	}
	for _, f := range r.Faults {
		text := f.String()
		if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
	}
	t.Errorf("%s: found %q, want %q", what, r.Faults, want)
}

func TestVerifyNamesEveryByte(t *testing.T) {
	s := small(t)
	var rows []journal.Row
	var hashes int64
	var objects []journal.Object
	var signed []byte
	err := s.View(background, func(r journal.StoreReader) (err error) {
		if rows, err = r.Rows(journal.RowQuery{}); err != nil {
			return err
		}
		hashes = tlog.StoredHashCount(int64(len(rows)))
		if signed, _, err = r.Checkpoint(); err != nil {
			return err
		}
		return r.ScanObjects(func(o *journal.Object) error {
			c := *o
			c.Doc = bytes.Clone(o.Doc)
			objects = append(objects, c)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for _, row := range rows {
		entry := fmt.Sprintf("entry %d, ", row.Number)
		bits := func(column string, n int, at func(r *journal.Row, i int) *byte) {
			for i := range n {
				flips++
				finds(t, s, fmt.Sprintf("%s%s byte %d", entry, column, i), change{row: func(r *journal.Row) bool {
					if r.Number == row.Number {
						*at(r, i) ^= 1 << (i % 8)
					}
					return true
				}}, entry, column)
			}
		}
		bits("payload", len(row.Payload), func(r *journal.Row, i int) *byte { return &r.Payload[i] })
		bits("salt", len(row.Salt), func(r *journal.Row, i int) *byte { return &r.Salt[i] })
		bits("head", len(row.Head), func(r *journal.Row, i int) *byte { return &r.Head[i] })
		bits("seal", len(row.Seal), func(r *journal.Row, i int) *byte { return &r.Seal[i] })
		bits("commitment", len(row.Commitment), func(r *journal.Row, i int) *byte { return &r.Commitment[i] })
		alter := func(what, column string, fn func(r *journal.Row)) {
			finds(t, s, entry+what, change{row: func(r *journal.Row) bool {
				if r.Number == row.Number {
					fn(r)
				}
				return true
			}}, entry, column)
		}
		alter("type", "type", func(r *journal.Row) { r.Type += "x" })
		alter("shorter type", "type", func(r *journal.Row) { r.Type = r.Type[:len(r.Type)-1] })
		alter("partner", "partner", func(r *journal.Row) { r.Partner = "p2" })
		alter("no partner", "partner", func(r *journal.Row) { r.Partner = "" })
		alter("time", "at_ms", func(r *journal.Row) { r.AtMillis++ })
		if row.Payload != nil {
			alter("payload gone", "payload", func(r *journal.Row) { r.Payload = nil })
			alter("salt gone", "salt", func(r *journal.Row) { r.Salt = nil })
			alter("longer payload", "payload", func(r *journal.Row) { r.Payload = append(r.Payload, ' ') })
			alter("empty payload", "payload", func(r *journal.Row) { r.Payload = []byte{} })
		} else {
			alter("payload put back", "payload", func(r *journal.Row) { r.Payload, r.Salt = []byte(`{}`), make([]byte, journal.SaltSize) })
		}
		finds(t, s, entry+"removed", change{row: func(r *journal.Row) bool { return r.Number != row.Number }}, fmt.Sprintf("entry %d: is missing", row.Number))
		// One who rewrites a whole entry so that it fits itself is found by the
		// tree; the last one by the tree or, once signed, by the checkpoint.
		finds(t, s, entry+"rewritten", change{row: func(r *journal.Row) bool {
			if r.Number == row.Number {
				r.Payload, r.Salt = []byte(`{"why":"another"}`), make([]byte, journal.SaltSize)
				r.Seal = journal.Seal(r.Salt, r.Payload)
				r.Commitment = journal.Commit(r.Seal, r.Head)
			}
			return true
		}}, fmt.Sprintf("entry %d", row.Number))
	}
	for index := range hashes {
		level, _ := tlog.SplitStoredHashIndex(index)
		place := fmt.Sprintf("hash %d (level %d)", index, level)
		if level == 0 && index == tlog.StoredHashIndex(0, int64(len(rows)-1)) {
			place = fmt.Sprintf("entry %d", len(rows)-1) // nothing above it says whether leaf or entry is right
		}
		for i := range tlog.HashSize {
			flips++
			finds(t, s, place, change{hash: func(at *int64, h *tlog.Hash) bool {
				if *at == index {
					h[i] ^= 1 << (i % 8)
				}
				return true
			}}, place)
		}
		finds(t, s, place+" removed", change{hash: func(at *int64, _ *tlog.Hash) bool { return *at != index }}, fmt.Sprintf("hash %d (level %d)", index, level))
	}
	for _, o := range objects {
		place := fmt.Sprintf("object %s %q, ", o.Kind, o.ID)
		alter := func(what, column string, fn func(o *journal.Object)) {
			flips++
			finds(t, s, place+what, change{object: func(c *journal.Object) bool {
				if c.Ref == o.Ref {
					fn(c)
				}
				return true
			}}, place, column)
		}
		for i := range o.Doc {
			alter("doc", "doc", func(c *journal.Object) { c.Doc[i] ^= 1 << (i % 8) })
		}
		alter("version", "version", func(c *journal.Object) { c.Version++ })
		alter("state", "state", func(c *journal.Object) { c.Keys.State = "closed" })
		alter("partner", "partner", func(c *journal.Object) { c.Keys.Partner = "p" })
		alter("parent", "parent", func(c *journal.Object) { c.Keys.Parent = "p" })
		alter("unique", "unique", func(c *journal.Object) { c.Keys.Unique = "p" })
		alter("sort", "sort", func(c *journal.Object) { c.Keys.Sort = "p" })
		alter("text", "text", func(c *journal.Object) { c.Keys.Text += "p" })
		alter("due", "due", func(c *journal.Object) { c.Keys.DueMS++ })
		finds(t, s, place+"removed", change{object: func(c *journal.Object) bool { return c.Ref != o.Ref }}, fmt.Sprintf("object %s %q: is missing", o.Kind, o.ID))
		finds(t, s, place+"renamed", change{object: func(c *journal.Object) bool {
			if c.Ref == o.Ref {
				c.ID += "x"
			}
			return true
		}}, fmt.Sprintf("object %s %q: follows from no entry", o.Kind, o.ID+"x"))
	}
	for i := range signed {
		flips++
		finds(t, s, fmt.Sprintf("checkpoint, byte %d", i), change{checkpoint: func(note []byte, size int64) ([]byte, int64) {
			note[i] ^= 1 << (i % 8)
			return note, size
		}}, "checkpoint")
	}
	t.Logf("%d flips", flips)
}

func TestVerifyNamesOtherFaults(t *testing.T) {
	s := small(t)
	finds(t, s, "stored size of the checkpoint", change{checkpoint: func(n []byte, size int64) ([]byte, int64) { return n, size + 1 }}, "checkpoint", "stored as of size 7")
	finds(t, s, "index entry removed", change{about: func(n *int64, r *journal.Ref) bool { return !(*n == 1 && r.ID == "b1") }}, `index of entry 1 under board "b1"`, "missing")
	finds(t, s, "index entry moved", change{about: func(n *int64, r *journal.Ref) bool {
		if *n == 1 && r.ID == "b1" {
			*n = 0
			r.ID = "b9"
		}
		return true
	}}, `index of entry 0 under board "b9"`, "does not name it")
	finds(t, s, "index entry of no entry", change{about: func(n *int64, r *journal.Ref) bool {
		if *n == 1 && r.ID == "b1" {
			*n = 100
		}
		return true
	}}, `index of entry 100 under board "b1"`, "no such entry")
	finds(t, s, "feed gap", change{feed: func(f *journal.FeedRow) bool { return f.Seq != 1 }}, `feed chain "c", operation 2, seq`)
	finds(t, s, "feed operation of no entry", change{feed: func(f *journal.FeedRow) bool { f.Entry += 1000; return true }}, `feed chain "c", operation 1, entry`)
	finds(t, s, "rolled back behind the checkpoint", change{
		size: func(int64) int64 { return 3 },
	}, "checkpoint", "rolled back")
	r, err := newLog(t, s).Verify(background, journal.VerifyOptions{Feed: func(prev, row *journal.FeedRow) error {
		if row.Seq == 2 && prev.Seq == 1 && bytes.Equal(prev.Op, []byte{1, 2}) {
			return fmt.Errorf("wrong signature")
		}
		return nil
	}})
	if err != nil || len(r.Faults) != 1 || !strings.Contains(r.Faults[0].String(), `feed chain "c", operation 2, op: wrong signature`) {
		t.Errorf("feed hook: %v, %v", r.Faults, err)
	}
}

func TestVerifyAcrossChunks(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	const n = 3*8192 + 77
	err := l.Update(background, func(tx *journal.Tx) error {
		for i := range n {
			if _, err := tx.Append(say("x", fmt.Sprint("b", i%8000))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sign(background); err != nil {
		t.Fatal(err)
	}
	r := wantOK(t, l)
	head, err := l.Head(background)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size != n || r.Root != head.Root || r.Signed != n || r.Objects != 8000 {
		t.Errorf("report %+v, head %+v", r, head)
	}
	for _, index := range []int64{0, tlog.StoredHashIndex(0, 8191), tlog.StoredHashIndex(12, 1), tlog.StoredHashIndex(13, 2), tlog.StoredHashIndex(14, 0), tlog.StoredHashIndex(5, 769)} {
		level, _ := tlog.SplitStoredHashIndex(index)
		c := change{hash: func(at *int64, h *tlog.Hash) bool {
			if *at == index {
				h[7] ^= 4
			}
			return true
		}}
		o := options(tampered{s, c})
		o.Folds = nil // they take the most time and are not what is tried here
		l, err := journal.NewLog(o)
		if err != nil {
			t.Fatal(err)
		}
		r := verify(t, l)
		if want := fmt.Sprintf("hash %d (level %d)", index, level); len(r.Faults) != 1 || !strings.HasPrefix(r.Faults[0].String(), want) {
			t.Errorf("%s: %v", want, r.Faults)
		}
	}
	for _, number := range []int64{8192, n - 1} {
		finds(t, s, fmt.Sprint("entry ", number), change{row: func(r *journal.Row) bool {
			if r.Number == number {
				r.Payload[2] ^= 1
			}
			return true
		}}, fmt.Sprintf("entry %d, payload", number))
	}
}

func TestVerifyBesideWriters(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	appendAll(t, l, say("x", "b1"))
	ctx, cancel := context.WithCancel(background)
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			err := l.Update(background, func(tx *journal.Tx) error {
				_, err := tx.Append(say("x", fmt.Sprint("b", i%9)))
				return err
			})
			if err == nil && i%20 == 10 {
				_, err = l.Erase(background, int64(i/2), someone, "")
			}
			if err == nil && i%10 == 0 {
				_, err = l.Sign(background)
			}
			if err != nil || ctx.Err() != nil {
				done <- err
				return
			}
		}
	}()
	for range 20 {
		wantOK(t, l)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantOK(t, l)
}

func TestVerifyStopsWithItsContext(t *testing.T) {
	l := newLog(t, small(t))
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := l.Verify(ctx, journal.VerifyOptions{}); err == nil {
		t.Error("verification went on without its context")
	}
	ctx, cancel = context.WithTimeout(background, time.Hour)
	defer cancel()
	var last journal.Progress
	if _, err := l.Verify(ctx, journal.VerifyOptions{Progress: func(p journal.Progress) { last = p }}); err != nil {
		t.Fatal(err)
	}
	if last.Part != "objects" || last.Total != 8 {
		t.Errorf("last progress %+v", last)
	}
}
