package journal_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
	"github.com/siaga-crp/siaga/internal/problem"
)

func TestCopy(t *testing.T) {
	from := small(t)
	err := from.Update(background, func(tx journal.StoreTx) error {
		for i := range 2500 {
			if err := tx.PutPrivate(journal.Private{Kind: "session", ID: fmt.Sprint(i), Owner: "m1", Doc: []byte{byte(i)}, Expires: time.UnixMilli(int64(i) * 7).UTC()}); err != nil {
				return err
			}
		}
		if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "edge", ID: "e1"}, Doc: []byte("{}")}); err != nil {
			return err
		}
		return tx.SetCounter("n", 41)
	})
	if err != nil {
		t.Fatal(err)
	}
	var more []journal.Entry
	for i := range 1500 {
		more = append(more, say(fmt.Sprint(i), fmt.Sprint("b", i%300)))
	}
	appendAll(t, newLog(t, from), more...)
	if _, err := newLog(t, from).Sign(background); err != nil {
		t.Fatal(err)
	}
	to := newStore(t)
	var last journal.Progress
	if err := journal.Copy(background, from, to, journal.CopyOptions{Progress: func(p journal.Progress) { last = p }}); err != nil {
		t.Fatal(err)
	}
	equal(t, "progress", last, journal.Progress{Part: "entries", Done: 1508, Total: 1508})
	equal(t, "copy", storetest.Dump(t, to), storetest.Dump(t, from))
	want, got := wantOK(t, newLog(t, from)), wantOK(t, newLog(t, to))
	equal(t, "report", got, want)
	err = to.Update(background, func(tx journal.StoreTx) error {
		n, err := tx.Next("n")
		equal(t, "counter", n, int64(42))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Copy(background, from, to, journal.CopyOptions{}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("copying to what is not empty: %v", err)
	}
}

func TestCopyRefusesWhatIsDamaged(t *testing.T) {
	s := small(t)
	for name, c := range map[string]change{
		"size":           {size: func(n int64) int64 { return n + 1 }},
		"missing hash":   {hash: func(index *int64, _ *tlog.Hash) bool { return *index != 3 }},
		"a missing leaf": {hash: func(index *int64, _ *tlog.Hash) bool { return *index != 0 }},
	} {
		if err := journal.Copy(background, tampered{s, c}, newStore(t), journal.CopyOptions{}); err == nil {
			t.Errorf("%s: copied", name)
		}
	}
}
