package journal_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
)

// TestEachCallFailsOnce lets each call to the store fail once before and once
// after it took effect, in each operation of the log. What is stored then is
// all or nothing of the operation, and doing it again succeeds.
func TestEachCallFailsOnce(t *testing.T) {
	for _, op := range []struct {
		name string
		do   func(l *journal.Log) error
		// done reports whether the stored state has the operation's effect.
		done func(size int64, erased int64, signed int64) bool
	}{
		{
			"append", func(l *journal.Log) error {
				return l.Update(background, func(tx *journal.Tx) error {
					e, err := tx.Append(say("new", "b1", "b2"))
					if err != nil {
						return err
					}
					if err := tx.PutPrivate(journal.Private{Kind: "done", ID: "append"}); err != nil {
						return err
					}
					head, _, err := tx.FeedHead("c")
					if err != nil {
						return err
					}
					return tx.PutFeed(journal.FeedRow{Chain: "c", Seq: head.Seq + 1, Entry: e.Number})
				})
			},
			func(size, _, _ int64) bool { return size > 3 },
		},
		{
			"erase", func(l *journal.Log) error {
				_, err := l.Erase(background, 1, someone, "x")
				return err
			},
			func(_, erased, _ int64) bool { return erased == 1 },
		},
		{
			"sign", func(l *journal.Log) error {
				_, err := l.Sign(background)
				return err
			},
			func(_, _, signed int64) bool { return signed == 3 },
		},
		{
			"rebuild", func(l *journal.Log) error {
				_, err := l.Rebuild(background)
				return err
			},
			func(int64, int64, int64) bool { return true },
		},
	} {
		t.Run(op.name, func(t *testing.T) {
			effects := make(map[bool]int)
			n := 1
			for last := false; !last; n++ {
				for _, when := range []storetest.When{storetest.Before, storetest.After} {
					s := newStore(t)
					appendAll(t, newLog(t, s), say("one", "b1"), say("two", "b1", "b2"))
					if _, err := newLog(t, s).Sign(background); err != nil {
						t.Fatal(err)
					}
					appendAll(t, newLog(t, s), say("three", "b2"))
					f := storetest.Faulty(s)
					l := newLog(t, f)
					f.FailAt(n, when)
					err := op.do(l)
					what := fmt.Sprintf("call %d (%s), failing %s", n, f.Failed(), []string{"before", "after"}[when])
					if f.Failed() == "" {
						last = true
						if err != nil {
							t.Fatalf("without a fault: %v", err)
						}
						continue
					}
					if !errors.Is(err, storetest.ErrInjected) {
						t.Errorf("%s: got %v", what, err)
					}
					committed := f.Failed() == "Update" && when == storetest.After
					f.FailAt(0, 0)
					r := wantOK(t, newLog(t, s))
					done := op.done(r.Size, r.Erased, r.Signed)
					effects[done]++
					if done != committed && op.name != "rebuild" {
						t.Errorf("%s: effect %v, committed %v", what, done, committed)
					}
					err = s.View(background, func(r journal.StoreReader) error {
						_, err := r.Private("done", "append")
						if op.name == "append" && (err == nil) != done {
							t.Errorf("%s: half of the effect is there", what)
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					if err := op.do(l); err != nil {
						t.Errorf("%s: doing it again: %v", what, err)
					}
					r = wantOK(t, newLog(t, s))
					if !op.done(r.Size, r.Erased, r.Signed) {
						t.Errorf("%s: done again without effect: %+v", what, r)
					}
				}
			}
			if n < 4 || effects[true] == 0 {
				t.Errorf("the test saw %d calls and effects %v", n, effects)
			}
		})
	}
}
