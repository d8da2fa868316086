package journal_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

type tally struct {
	N    int      `json:"n"`
	Said []string `json:"said"`
}

type said struct {
	Text string `json:"text"`
}

func tallyFold() journal.Fold {
	return journal.FoldOf("tally", func(s *tally, e journal.Entry) error {
		var b said
		if err := e.Decode(&b); err != nil {
			return err
		}
		s.N++
		s.Said = append(s.Said, b.Text)
		return nil
	}, func(s *tally) journal.Keys { return journal.Keys{State: "open", Sort: "x", DueMS: int64(s.N)} })
}

func TestAppend(t *testing.T) {
	ctx := context.Background()
	db, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "siaga.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := journal.NewLog(journal.Options{Store: db, Origin: "test.example/log", Folds: []journal.Fold{tallyFold()}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		err := l.Update(ctx, func(tx *journal.Tx) error {
			e, err := tx.Append(journal.New("tally.said", access.Actor{Partner: "p1", Member: "m1"}, time.UnixMilli(1e12), said{"hello"}, journal.Ref{Kind: "tally", ID: "t1"}))
			if err == nil && e.Number != int64(i) {
				t.Errorf("number %d, want %d", e.Number, i)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = l.View(ctx, func(r journal.StoreReader) error {
		s, version, err := journal.Load[tally](r, "tally", "t1")
		if err != nil {
			return err
		}
		if s.N != 3 || version != 2 {
			t.Errorf("state %+v at version %d", s, version)
		}
		es, err := l.Entries(r, journal.RowQuery{About: journal.Ref{Kind: "tally", ID: "t1"}, Newest: true})
		if err != nil {
			return err
		}
		if len(es) != 3 || es[0].Number != 2 || es[0].Member != "m1" {
			t.Errorf("entries %+v", es)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
