package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

func objects(t *testing.T, s journal.Store, _ func() journal.Store) {
	o := journal.Object{
		Ref: journal.Ref{Kind: "signal", ID: "s1"}, Version: 12, Doc: []byte(`{"a":1,  "b":"é"}`),
		Keys: journal.Keys{State: "active", Partner: "p1", Parent: "i1", Unique: "pdq:0f", Sort: "2026", Text: "some text", DueMS: 99},
	}
	get := func(ref journal.Ref) (got journal.Object, err error) {
		t.Helper()
		err = s.View(context.Background(), func(r journal.StoreReader) error {
			got, err = r.Object(ref)
			return err
		})
		return got, err
	}
	putObject := func(o journal.Object) {
		t.Helper()
		update(t, s, func(tx journal.StoreTx) error { return tx.PutObject(o) })
		got, err := get(o.Ref)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "object", got, o)
	}
	putObject(o)
	o.Version, o.Doc, o.Keys = 13, []byte(`{}`), journal.Keys{}
	putObject(o)
	putObject(journal.Object{Ref: journal.Ref{Kind: "incident", ID: "s1"}, Doc: []byte("1")})
	update(t, s, func(tx journal.StoreTx) error {
		if err := tx.DeleteObject(journal.Ref{Kind: "signal", ID: "none"}); err != nil {
			return err
		}
		return tx.DeleteObject(o.Ref)
	})
	_, err := get(o.Ref)
	wantKind(t, err, problem.NotFound)
	if _, err := get(journal.Ref{Kind: "incident", ID: "s1"}); err != nil {
		t.Errorf("an object of another kind with the same ID: %v", err)
	}
	err = s.View(context.Background(), func(r journal.StoreReader) error {
		_, err := r.Objects(journal.ObjectQuery{Kind: "signal", After: "no separator"})
		return err
	})
	wantKind(t, err, problem.Invalid)
}

// sortKeys are few, so that objects share them, and of all kinds of bytes.
var sortKeys = []string{"", "a", "A", "b", "aa", "é", "Z", "~", "a b", "日", "\U0001f6a8"}

func drawObject(t *rapid.T, kinds []string) journal.Object {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	return journal.Object{
		Ref:     journal.Ref{Kind: pick("kind", kinds...), ID: pick("id", "1", "2", "3", "4", "5", "6", "7", "8", "A", "a", "é", "-")},
		Version: rapid.Int64Range(0, 1<<62).Draw(t, "version"),
		Doc:     []byte(pick("doc", `{}`, `{"a":1}`, `[]`)),
		Keys: journal.Keys{
			State: pick("state", "", "new", "active"), Partner: pick("partner", "", "p1", "p2"), Parent: pick("parent", "", "i1", "i2"),
			Unique: pick("unique", "", "u1", "u2"), Sort: pick("sort", sortKeys...), Text: pick("text", "", "cats and dogs", "50% off_", "dogs"),
			DueMS: rapid.SampledFrom([]int64{0, 1, 5, 9}).Draw(t, "due"),
		},
	}
}

func drawQuery(t *rapid.T, kinds []string) journal.ObjectQuery {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	q := journal.ObjectQuery{
		Kind:    pick("kind", kinds...),
		States:  rapid.SampledFrom([][]string{nil, nil, {"new"}, {"new", "active"}, {"gone"}}).Draw(t, "states"),
		Partner: pick("partner", "", "", "p1"), Parent: pick("parent", "", "", "i1"), Unique: pick("unique", "", "", "u1"),
		Text:  pick("text", "", "", "dogs", "%", "_", "x"),
		DueBy: rapid.SampledFrom([]int64{0, 0, 4, 5, 100}).Draw(t, "due by"), Newest: rapid.Bool().Draw(t, "newest"),
		Limit: rapid.SampledFrom([]int{0, 1, 2, 5}).Draw(t, "limit"),
	}
	if q.DueBy == 0 && rapid.Bool().Draw(t, "page on") {
		q.After = pick("after sort", sortKeys...) + "\x00" + pick("after id", "", "1", "5", "a", "é")
	}
	return q
}

// selectObjects is ObjectQuery as its comments define it.
func selectObjects(all map[journal.Ref]journal.Object, q journal.ObjectQuery) []journal.Object {
	var out []journal.Object
	bySort := func(a, b journal.Object) int {
		return cmp.Or(strings.Compare(a.Keys.Sort, b.Keys.Sort), strings.Compare(a.ID, b.ID))
	}
	for _, o := range all {
		k := o.Keys
		match := o.Kind == q.Kind && (len(q.States) == 0 || slices.Contains(q.States, k.State)) &&
			(q.Partner == "" || k.Partner == q.Partner) && (q.Parent == "" || k.Parent == q.Parent) && (q.Unique == "" || k.Unique == q.Unique) &&
			strings.Contains(k.Text, q.Text) && (q.DueBy == 0 || k.DueMS > 0 && k.DueMS <= q.DueBy)
		if match && q.After != "" && q.DueBy == 0 {
			sort, id, _ := strings.Cut(q.After, "\x00")
			c := bySort(o, journal.Object{Ref: journal.Ref{ID: id}, Keys: journal.Keys{Sort: sort}})
			match = c > 0 && !q.Newest || c < 0 && q.Newest
		}
		if match {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b journal.Object) int {
		switch {
		case q.DueBy > 0:
			return cmp.Or(cmp.Compare(a.Keys.DueMS, b.Keys.DueMS), strings.Compare(a.ID, b.ID))
		case q.Newest:
			return bySort(b, a)
		}
		return bySort(a, b)
	})
	limit := q.Limit
	if limit == 0 {
		limit = journal.DefaultLimit
	}
	return out[:min(len(out), limit)]
}

func objectModel(t *testing.T, s journal.Store, _ func() journal.Store) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		kinds := []string{fmt.Sprint("x", run), fmt.Sprint("y", run)}
		all := make(map[journal.Ref]journal.Object)
		batch := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) journal.Object { return drawObject(t, kinds) }), 0, 40).Draw(rt, "objects")
		remove := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) journal.Object { return drawObject(t, kinds) }), 0, 4).Draw(rt, "removed")
		err := s.Update(context.Background(), func(tx journal.StoreTx) error {
			for _, o := range batch {
				all[o.Ref] = o
				if err := tx.PutObject(o); err != nil {
					return err
				}
			}
			for _, o := range remove {
				delete(all, o.Ref)
				if err := tx.DeleteObject(o.Ref); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		for range 6 {
			q := drawQuery(rt, kinds)
			err := s.View(context.Background(), func(r journal.StoreReader) error {
				got, err := r.Objects(q)
				equal(rt, fmt.Sprintf("%+v", q), got, selectObjects(all, q))
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func objectOrder(t *testing.T, s journal.Store, _ func() journal.Store) {
	all := make(map[journal.Ref]journal.Object)
	update(t, s, func(tx journal.StoreTx) error {
		for i := range 250 {
			o := journal.Object{Ref: journal.Ref{Kind: "k", ID: fmt.Sprint(i)}, Doc: []byte("{}"), Keys: journal.Keys{Sort: sortKeys[i%len(sortKeys)], State: "s"}}
			all[o.Ref] = o
			if err := tx.PutObject(o); err != nil {
				return err
			}
		}
		return nil
	})
	for _, newest := range []bool{false, true} {
		want := selectObjects(all, journal.ObjectQuery{Kind: "k", Newest: newest, Limit: 1000})
		for _, limit := range []int{1, 7, 100} {
			var got []journal.Object
			q := journal.ObjectQuery{Kind: "k", States: []string{"s"}, Newest: newest, Limit: limit}
			for {
				var page []journal.Object
				view(t, s, func(r journal.StoreReader) (err error) {
					page, err = r.Objects(q)
					return err
				})
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
				q.After = page[len(page)-1].Cursor()
			}
			equal(t, fmt.Sprintf("pages of %d, newest %v", limit, newest), got, want)
		}
	}
}
