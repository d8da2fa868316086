package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var background = context.Background()

const origin = "test.example/log"

// key is made from a fixed seed, so that checkpoints are the same in each run.
var signer, verifierKey = func() (note.Signer, string) {
	skey, vkey, err := note.GenerateKey(rand.NewChaCha8([32]byte{1}), origin)
	if err != nil {
		panic(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		panic(err)
	}
	return s, vkey
}()

// board is what the tests fold: a list of things said.
type board struct {
	Said []string `json:"said"`
	Gone bool     `json:"gone"`
}

type said struct {
	Text string `json:"text"`
}

func boards() journal.Fold {
	f := journal.FoldOf("board", func(b *board, e journal.Entry) error {
		switch e.Type {
		case "board.said":
			if e.Erased {
				b.Said = append(b.Said, "(erased)")
				break
			}
			var s said
			if err := e.Decode(&s); err != nil {
				return err
			}
			if s.Text == "refuse me" {
				return problem.New(problem.Conflict, "refused", "")
			}
			b.Said = append(b.Said, s.Text)
		case "board.removed":
			b.Gone = true
		}
		return nil
	}, func(b *board) journal.Keys {
		k := journal.Keys{State: "open", Sort: fmt.Sprintf("%06d", len(b.Said)), DueMS: int64(len(b.Said))}
		if n := len(b.Said); n > 0 {
			k.Text = b.Said[n-1]
		}
		return k
	})
	apply := f.Apply
	f.Apply = func(doc []byte, e journal.Entry) ([]byte, journal.Keys, error) {
		after, keys, err := apply(doc, e)
		if e.Type == "board.removed" {
			after, keys = nil, journal.Keys{}
		}
		return after, keys, err
	}
	return f
}

// empty is the file of an empty database: opening a copy is faster than
// creating one.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "siaga-journal")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "siaga.db")
	db, err := sqlite.Create(background, path, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newStore(tb testing.TB) *sqlite.DB {
	tb.Helper()
	data, err := empty()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "siaga.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	db, err := sqlite.Open(background, path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func options(s journal.Store) journal.Options {
	return journal.Options{
		Store: s, Origin: origin, Folds: []journal.Fold{boards()}, Signer: signer, VerifierKeys: []string{verifierKey},
		Now: func() time.Time { return time.UnixMilli(1_800_000_000_000) }, Rand: rand.NewChaCha8([32]byte{2}),
	}
}

func newLog(tb testing.TB, s journal.Store) *journal.Log {
	tb.Helper()
	l, err := journal.NewLog(options(s))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

var someone = access.Actor{Partner: "p1", Member: "m1"}

func say(text string, boards ...string) journal.Entry {
	var about []journal.Ref
	for _, b := range boards {
		about = append(about, journal.Ref{Kind: "board", ID: b})
	}
	e := journal.New("board.said", someone, time.UnixMilli(1_700_000_000_123), said{text}, about...)
	e.Audience = access.Audience{TLP: access.Amber, Origin: "p1"}
	return e
}

func appendAll(tb testing.TB, l *journal.Log, entries ...journal.Entry) {
	tb.Helper()
	err := l.Update(background, func(tx *journal.Tx) error {
		for _, e := range entries {
			if _, err := tx.Append(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func verify(tb testing.TB, l *journal.Log) journal.Report {
	tb.Helper()
	r, err := l.Verify(background, journal.VerifyOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func wantOK(tb testing.TB, l *journal.Log) journal.Report {
	tb.Helper()
	r := verify(tb, l)
	if !r.OK() {
		tb.Fatalf("verification found %d faults: %v", r.Found, r.Faults)
	}
	return r
}

func boardOf(tb testing.TB, l *journal.Log, id string) (b board) {
	tb.Helper()
	err := l.View(background, func(r journal.StoreReader) (err error) {
		b, _, err = journal.Load[board](r, "board", id)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func equal(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func compact(tb testing.TB, v any) string {
	tb.Helper()
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}
