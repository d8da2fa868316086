package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

func open(tb testing.TB) (journal.Store, func() journal.Store) {
	tb.Helper()
	ctx := context.Background()
	path := filepath.Join(tb.TempDir(), "siaga.db")
	db, err := sqlite.Create(ctx, path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db, func() journal.Store {
		tb.Helper()
		if err := db.Close(); err != nil {
			tb.Fatal(err)
		}
		if db, err = sqlite.Open(ctx, path, sqlite.Options{}); err != nil {
			tb.Fatal(err)
		}
		return db
	}
}

func TestContract(t *testing.T) { storetest.Run(t, open) }
