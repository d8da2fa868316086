package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

func TestAppendFoldsIntoEveryObject(t *testing.T) {
	l := newLog(t, newStore(t))
	appendAll(t, l, say("one", "b1", "b2"), say("two", "b1"))
	equal(t, "b1", boardOf(t, l, "b1"), board{Said: []string{"one", "two"}})
	equal(t, "b2", boardOf(t, l, "b2"), board{Said: []string{"one"}})
	err := l.View(background, func(r journal.StoreReader) error {
		o, err := r.Object(journal.Ref{Kind: "board", ID: "b1"})
		equal(t, "version", o.Version, int64(1))
		equal(t, "keys", o.Keys, journal.Keys{State: "open", Sort: "000002", Text: "two", DueMS: 2})
		if err != nil {
			return err
		}
		got, err := l.Entries(r, journal.RowQuery{About: journal.Ref{Kind: "board", ID: "b1"}, Newest: true})
		if err != nil {
			return err
		}
		want := []journal.Entry{say("two", "b1"), say("one", "b1", "b2")}
		want[0].Number = 1
		equal(t, "entries", got, want)
		one, err := l.Entry(r, 0)
		equal(t, "entry", one, want[1])
		_, missing := l.Entry(r, 2)
		if problem.KindOf(missing) != problem.NotFound {
			t.Errorf("entry 2: %v", missing)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantOK(t, l)
}

func TestAppendReturnsTheEntryAsStored(t *testing.T) {
	l := newLog(t, newStore(t))
	e := say("one", "b1", "b2", "b1")
	e.At = e.At.Add(999_999)
	e.Body = []byte("{ \"text\" : \"<b>\u2028\" }\n")
	e.Audience.Partners = []string{}
	var got journal.Entry
	err := l.Update(background, func(tx *journal.Tx) (err error) {
		got, err = tx.Append(e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = l.View(background, func(r journal.StoreReader) error {
		stored, err := l.Entry(r, 0)
		equal(t, "entry", got, stored)
		equal(t, "objects", len(stored.About), 2)
		equal(t, "body", string(stored.Body), "{\"text\":\"<b>\u2028\"}")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendRefuses(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	for _, c := range []struct {
		name  string
		entry func() journal.Entry
		kind  problem.Kind
	}{
		{"no type", func() journal.Entry { e := say("x"); e.Type = ""; return e }, problem.Invalid},
		{"object without ID", func() journal.Entry { return say("x", "") }, problem.Invalid},
		{"text that is not UTF-8", func() journal.Entry { e := say("x"); e.Why = "a\xff"; return e }, problem.Invalid},
		{"NUL in an identifier", func() journal.Entry { return say("x", "a\x00b") }, problem.Invalid},
		{"body that is not JSON", func() journal.Entry { e := say("x"); e.Body = []byte("{"); return e }, problem.Invalid},
		{"payload too large", func() journal.Entry { return say(strings.Repeat("x", journal.MaxPayload)) }, problem.TooLarge},
		{"too many objects", func() journal.Entry {
			e := say("x")
			for i := range journal.MaxAbout + 1 {
				e.About = append(e.About, journal.Ref{Kind: "k", ID: fmt.Sprint(i)})
			}
			return e
		}, problem.TooLarge},
		{"refused by the fold", func() journal.Entry { return say("refuse me", "b1") }, problem.Conflict},
	} {
		err := l.Update(background, func(tx *journal.Tx) error {
			_, err := tx.Append(c.entry())
			return err
		})
		if problem.KindOf(err) != c.kind {
			t.Errorf("%s: got %v, want a problem of kind %s", c.name, err, c.kind)
		}
	}
	err := l.Update(background, func(tx *journal.Tx) error {
		return tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "board", ID: "b1"}, Doc: []byte("{}")})
	})
	if err == nil {
		t.Error("a folded object was stored without an entry")
	}
	err = l.Update(background, func(tx *journal.Tx) error { return tx.DeleteObject(journal.Ref{Kind: "board", ID: "b1"}) })
	if err == nil {
		t.Error("a folded object was deleted without an entry")
	}
	if r := wantOK(t, l); r.Size != 0 {
		t.Errorf("%d entries were stored", r.Size)
	}
}

func TestNewLogRefuses(t *testing.T) {
	s := newStore(t)
	_, other, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	_, elsewhere, err := note.GenerateKey(nil, "elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *journal.Options){
		"no store":                    func(o *journal.Options) { o.Store = nil },
		"no origin":                   func(o *journal.Options) { o.Origin = "" },
		"fold given twice":            func(o *journal.Options) { o.Folds = append(o.Folds, boards()) },
		"signer of another name":      func(o *journal.Options) { o.Origin, o.VerifierKeys = "other", nil },
		"signer without key":          func(o *journal.Options) { o.VerifierKeys = nil },
		"signer whose key is another": func(o *journal.Options) { o.VerifierKeys = []string{other} },
		"key of another origin":       func(o *journal.Options) { o.VerifierKeys = append(o.VerifierKeys, elsewhere) },
		"key that is none":            func(o *journal.Options) { o.VerifierKeys = []string{"x"} },
	} {
		o := options(s)
		change(&o)
		if _, err := journal.NewLog(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSign(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	open := func(signed []byte) journal.Checkpoint {
		t.Helper()
		v, err := note.NewVerifier(verifierKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := journal.OpenCheckpoint(signed, origin, note.VerifierList(v))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	signed, err := l.Sign(background)
	if err != nil {
		t.Fatal(err)
	}
	want := "test.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— test.example/log "
	if !strings.HasPrefix(string(signed), want) {
		t.Errorf("checkpoint of nothing:\n%s", signed)
	}
	appendAll(t, l, say("one"), say("two"), say("three"))
	first, err := l.Sign(background)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Sign(background)
	if err != nil || string(again) != string(first) {
		t.Errorf("the same size was signed twice: %v\n%s%s", err, first, again)
	}
	appendAll(t, l, say("four"))
	second, err := l.Sign(background)
	if err != nil {
		t.Fatal(err)
	}
	a, b := open(first), open(second)
	p, err := l.ConsistencyProof(background, a.Size, b.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(p.Proof, b.Size, b.Root, a.Size, a.Root); err != nil {
		t.Errorf("checkpoints of %d and %d are inconsistent: %v", a.Size, b.Size, err)
	}
	if r := wantOK(t, l); r.Signed != 4 || r.Root != b.Root {
		t.Errorf("report %+v", r)
	}
}

// TestSignNeverForks shows the signer states that do not continue what was
// signed.
func TestSignNeverForks(t *testing.T) {
	longer, other := newLog(t, newStore(t)), newLog(t, newStore(t))
	appendAll(t, longer, say("one"), say("two"), say("three"))
	appendAll(t, other, say("one"), say("changed"), say("three"))
	at3, err := longer.Sign(background)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		entries []journal.Entry
		note    []byte
		size    int64
	}{
		{"rolled back", []journal.Entry{say("one")}, at3, 3},
		{"changed", []journal.Entry{say("one"), say("changed"), say("three"), say("four")}, at3, 3},
		{"size of the checkpoint changed", []journal.Entry{say("one"), say("two"), say("three"), say("four")}, at3, 2},
	} {
		s := newStore(t)
		l := newLog(t, s)
		appendAll(t, l, c.entries...)
		if err := s.Update(background, func(tx journal.StoreTx) error { return tx.PutCheckpoint(c.note, c.size) }); err != nil {
			t.Fatal(err)
		}
		if signed, err := l.Sign(background); !errors.Is(err, journal.ErrForked) {
			t.Errorf("%s: got %v, want ErrForked\n%s", c.name, err, signed)
		}
		if err := s.View(background, func(r journal.StoreReader) error {
			stored, _, err := r.Checkpoint()
			equal(t, "stored checkpoint", string(stored), string(c.note))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	// A checkpoint with a bad signature is not continued either.
	s := newStore(t)
	l := newLog(t, s)
	appendAll(t, l, say("one"), say("two"), say("three"), say("four"))
	bad := strings.Replace(string(at3), "\n3\n", "\n2\n", 1)
	if err := s.Update(background, func(tx journal.StoreTx) error { return tx.PutCheckpoint([]byte(bad), 2) }); err != nil {
		t.Fatal(err)
	}
	if signed, err := l.Sign(background); err == nil {
		t.Errorf("a forged checkpoint was continued:\n%s", signed)
	}
}

func TestRunSignsAsTheJournalGrows(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	ctx, cancel := context.WithCancel(background)
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx, 1, func(err error) { t.Errorf("Run: %v", err) }) }()
	for n := int64(1); n <= 3; n++ {
		appendAll(t, l, say("x"))
		for done := false; !done; {
			err := s.View(background, func(r journal.StoreReader) error {
				_, size, err := r.Checkpoint()
				done = size == n
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestProofs(t *testing.T) {
	l := newLog(t, newStore(t))
	for range 20 {
		appendAll(t, l, say("x"))
	}
	for size := int64(1); size <= 20; size++ {
		for n := range size {
			p, err := l.InclusionProof(background, n, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p.Proof, size, p.Root, n, tlog.RecordHash(p.Commitment[:])); err != nil {
				t.Errorf("entry %d of %d: %v", n, size, err)
			}
			c, err := l.ConsistencyProof(background, n, size)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				if err := tlog.CheckTree(c.Proof, size, c.Root, n, c.OldRoot); err != nil {
					t.Errorf("size %d in %d: %v", n, size, err)
				}
			}
		}
	}
	for _, c := range [][2]int64{{20, 20}, {-1, 5}, {5, 5}, {0, 21}, {0, -1}} {
		if _, err := l.InclusionProof(background, c[0], c[1]); problem.KindOf(err) != problem.NotFound {
			t.Errorf("entry %d of %d: %v", c[0], c[1], err)
		}
	}
	for _, c := range [][2]int64{{21, 0}, {-1, 5}, {6, 5}, {0, 21}} {
		if _, err := l.ConsistencyProof(background, c[0], c[1]); problem.KindOf(err) != problem.NotFound {
			t.Errorf("size %d in %d: %v", c[0], c[1], err)
		}
	}
}

func TestErase(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	appendAll(t, l, say("one", "b1"), say("secret", "b1", "b2"), say("three", "b1"))
	if _, err := l.Sign(background); err != nil {
		t.Fatal(err)
	}
	before, err := l.InclusionProof(background, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	by := access.Actor{Partner: "p9", Member: "m9"}
	e, err := l.Erase(background, 1, by, "a name in it")
	if err != nil {
		t.Fatal(err)
	}
	if e.Number != 3 || e.Type != journal.TypeErased || e.Partner != "p9" || e.Why != "a name in it" || string(e.Body) != `{"number":1}` || e.Audience.TLP != access.Amber {
		t.Errorf("entry about the erasure: %+v", e)
	}
	equal(t, "its objects", e.About, []journal.Ref{{Kind: "entry", ID: "1"}, {Kind: "board", ID: "b1"}, {Kind: "board", ID: "b2"}})
	equal(t, "b1", boardOf(t, l, "b1"), board{Said: []string{"one", "(erased)", "three"}})
	equal(t, "b2", boardOf(t, l, "b2"), board{Said: []string{"(erased)"}})
	err = l.View(background, func(r journal.StoreReader) error {
		got, err := l.Entry(r, 1)
		if err != nil {
			return err
		}
		want := say("secret", "b1", "b2")
		want.Number, want.Erased, want.Member, want.Body = 1, true, "", nil
		equal(t, "erased entry", got, want)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := l.InclusionProof(background, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "proof of the erased entry", after, before)
	again, err := l.Erase(background, 1, by, "again")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "entry about the second erasure", again, e)
	if _, err := l.Erase(background, 99, by, ""); problem.KindOf(err) != problem.NotFound {
		t.Errorf("erasing what is not there: %v", err)
	}
	if _, err := l.Sign(background); err != nil {
		t.Fatal(err)
	}
	if r := wantOK(t, l); r.Erased != 1 || r.Size != 4 {
		t.Errorf("report %+v", r)
	}
}

func TestRebuild(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	gone := say("x", "b9")
	gone.Type = "board.removed"
	appendAll(t, l, say("one", "b1", "b2"), say("two", "b1", "b3"), say("soon gone", "b9"), gone)
	if n, err := l.Rebuild(background); n != 0 || err != nil {
		t.Errorf("rebuilding what is right changed %d objects: %v", n, err)
	}
	err := s.Update(background, func(tx journal.StoreTx) error {
		if err := tx.DeleteObject(journal.Ref{Kind: "board", ID: "b2"}); err != nil {
			return err
		}
		if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "other", ID: "kept"}, Doc: []byte("{}")}); err != nil {
			return err
		}
		for _, id := range []string{"b1", "b9"} {
			if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "board", ID: id}, Doc: []byte("{}")}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l); r.Found != 3 {
		t.Errorf("faults %v", r.Faults)
	}
	if n, err := l.Rebuild(background); n != 3 || err != nil {
		t.Errorf("rebuilding changed %d objects: %v", n, err)
	}
	equal(t, "b1", boardOf(t, l, "b1"), board{Said: []string{"one", "two"}})
	wantOK(t, l)
}
