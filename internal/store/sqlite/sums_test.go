package sqlite_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// TestDamagedPrivateRow: private data and counters follow from no entry. Each
// bit of a row that flips on disk is found by whoever reads the row, and by the
// check of the file.
func TestDamagedPrivateRow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "siaga.db")
	db := create(t, path)
	doc := []byte("a hash of somebody's password")
	err := db.Update(background, func(tx journal.StoreTx) error {
		for range 3 {
			if _, err := tx.Next("signals.of.this.test"); err != nil {
				return err
			}
		}
		if err := tx.SetCounter("set", -7); err != nil {
			return err
		}
		p := journal.Private{Kind: "credential", ID: "one-of-the-ids", Owner: "the-owner-of-it", Doc: []byte("before"), Expires: time.UnixMilli(1e12)}
		if err := tx.PutPrivate(p); err != nil {
			return err
		}
		p.Doc = doc
		return tx.PutPrivate(p)
	})
	if err == nil {
		err = db.Check(background)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(whole, doc); n != 1 {
		t.Fatalf("the row is %d times in the file", n)
	}
	at := bytes.Index(whole, doc)
	flipped := filepath.Join(dir, "flipped.db")
	look := func(byteAt, bit int) error {
		t.Helper()
		b := bytes.Clone(whole)
		b[byteAt] ^= 1 << bit
		if err := os.WriteFile(flipped, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(background, flipped, sqlite.Options{})
		if err != nil {
			return err
		}
		defer db.Close() //nolint:errcheck // a damaged file
		var read, scan error
		_ = db.View(background, func(r journal.StoreReader) error {
			_, read = r.Private("credential", "one-of-the-ids")
			scan = r.ScanPrivates(func(*journal.Private) error { return nil })
			return nil
		})
		check := db.Check(background)
		for what, err := range map[string]error{"reading it": read, "reading all": scan, "the check": check} {
			if problem.KindOf(err) != problem.Internal {
				t.Errorf("byte %d, bit %d: %s: %v", byteAt-at, bit, what, err)
			}
		}
		return check
	}
	for i := range doc {
		wantProblem(t, "a flipped bit", look(at+i, i%8), problem.Internal, "private data in the database is damaged")
	}

	// Counters, changed behind the store's back; a digest as well.
	const counter = "signals.of.this.test"
	for _, c := range []struct {
		change, says string
		counts       bool // the counter can go on
	}{
		{`UPDATE counters SET value = 2, mirror = -5 WHERE name = '` + counter + `'`, "a counter in the database", false},
		{`UPDATE counters SET value = -8, mirror = 8 WHERE name = 'set'`, "a counter in the database", true},
		{`UPDATE private SET sum = x'00112233445566778899aabbccddeeff'`, "private data in the database", true},
	} {
		if err := os.WriteFile(flipped, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		raw := rawDB(t, flipped)
		run(t, raw, c.change)
		if err := raw.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(background, flipped, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantProblem(t, c.change, db.Check(background), problem.Internal, c.says)
		err = db.Update(background, func(tx journal.StoreTx) error { _, err := tx.Next(counter); return err })
		if (err == nil) != c.counts || err != nil && problem.KindOf(err) != problem.Internal {
			t.Errorf("%s: counting on gives %v", c.change, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEarlierReleaseWritesWithoutSums: what a release that knows no digests
// writes is read all the same, and is covered from the next start on.
func TestEarlierReleaseWritesWithoutSums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "siaga.db")
	db := create(t, path)
	put := func(tx journal.StoreTx) error {
		if _, err := tx.Next("n"); err != nil {
			return err
		}
		return tx.PutPrivate(journal.Private{Kind: "k", ID: "1", Owner: "o", Doc: []byte("x")})
	}
	if err := db.Update(background, put); err != nil {
		t.Fatal(err)
	}
	raw := rawDB(t, path)
	// The statements of schema 3.
	run(t, raw, `INSERT INTO private (kind, id, owner, doc, expires_ms) VALUES ('k', '1', 'o', x'79', NULL)
		ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner, doc = excluded.doc, expires_ms = excluded.expires_ms`)
	run(t, raw, `INSERT INTO private (kind, id, owner, doc, expires_ms) VALUES ('k', '2', 'o', x'7a', 5)`)
	run(t, raw, `INSERT INTO counters (name, value) VALUES ('n', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1`)
	run(t, raw, `INSERT INTO counters (name, value) VALUES ('m', 9)`)
	bare := func() (n int) {
		t.Helper()
		if err := raw.QueryRow(`SELECT (SELECT count(*) FROM private WHERE sum IS NULL) + (SELECT count(*) FROM counters WHERE mirror IS NULL)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := bare(); n != 4 {
		t.Errorf("%d rows without a sum, want 4", n)
	}
	look := func(want int64) {
		t.Helper()
		if err := db.Check(background); err != nil {
			t.Error(err)
		}
		err := db.Update(background, func(tx journal.StoreTx) error {
			p, err := tx.Private("k", "1")
			if err != nil {
				return err
			}
			n, err := tx.Next("n")
			if err == nil && (string(p.Doc) != "y" || n != want) {
				t.Errorf("%q and %d", p.Doc, n)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	look(3)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if db, err = sqlite.Open(background, path, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's
	if n := bare(); n != 0 {
		t.Errorf("after a start %d rows are without a sum", n)
	}
	look(4)
}

func rawDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

func run(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}
