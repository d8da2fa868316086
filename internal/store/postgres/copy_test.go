package postgres_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// TestCopyFromSQLiteAndBack moves a journal to PostgreSQL and back; nothing of
// it changes.
func TestCopyFromSQLiteAndBack(t *testing.T) {
	url := pgtest.Database(t)
	newSQLite := func(name string) *sqlite.DB {
		db, err := sqlite.Create(background, filepath.Join(t.TempDir(), name), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	from := newSQLite("from.db")
	l := newLog(t, from)
	err := l.Update(background, func(tx *journal.Tx) error {
		for i := range 3000 {
			e := journal.New("test.said", access.Actor{Partner: fmt.Sprint("p", i%3)}, time.UnixMilli(int64(i)), fmt.Sprint("é ", i), journal.Ref{Kind: "k", ID: fmt.Sprint(i % 50)}, journal.Ref{Kind: "l\"", ID: `"ü`})
			e, err := tx.Append(e)
			if err != nil {
				return err
			}
			if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "o", ID: fmt.Sprint(i % 700)}, Version: e.Number, Doc: []byte(`{ }`), Keys: journal.Keys{Sort: fmt.Sprint(i), DueMS: int64(i)}}); err != nil {
				return err
			}
			if err := tx.PutFeed(journal.FeedRow{Chain: "c", Seq: uint64(i + 1), Entry: e.Number, Op: []byte{0, byte(i)}}); err != nil {
				return err
			}
		}
		if err := tx.PutPrivate(journal.Private{Kind: "a", ID: "b", Doc: []byte{0, 255}, Expires: time.UnixMilli(99).UTC()}); err != nil {
			return err
		}
		if err := tx.PutCheckpoint([]byte("signed"), 7); err != nil {
			return err
		}
		return tx.SetCounter("n", 12)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Erase(background, 17, access.Actor{}, "asked for"); err != nil {
		t.Fatal(err)
	}
	middle, back := create(t, url), newSQLite("back.db")
	if err := journal.Copy(background, from, middle, journal.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := journal.Copy(background, middle, back, journal.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	want := storetest.Dump(t, from)
	if len(want.Rows) != 3001 || len(want.Feed) != 3000 || len(want.Objects) != 700 {
		t.Fatalf("%d rows, %d operations, %d objects", len(want.Rows), len(want.Feed), len(want.Objects))
	}
	if d := cmp.Diff(want, storetest.Dump(t, middle)); d != "" {
		t.Errorf("in PostgreSQL (-want +got):\n%.2000s", d)
	}
	if d := cmp.Diff(want, storetest.Dump(t, back)); d != "" {
		t.Errorf("back in SQLite (-want +got):\n%.2000s", d)
	}
}
