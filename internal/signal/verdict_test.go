package signal_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// edgeOf is an edge of a partner.
func (w *world) edgeOf(partner string) access.Actor {
	a := w.as(partner)
	return access.Actor{Partner: a.Partner, Kind: a.Kind, Name: partner + "-1", Token: "t-" + partner, Roles: []access.Role{access.Edge}, Scopes: []access.TokenScope{access.ScopeFeed}}
}

// Verdicts are counted once for each batch and told as the reader may know them.
func TestVerdicts(t *testing.T) {
	w := open(t)
	w.active(true)
	p := w.proposal(88)
	p.TLP, p.Partners = "red", []string{"nusa", "gema"}
	named := w.propose("lensa", p)
	p = w.proposal(88)
	p.TLP, p.Partners = "red", []string{"nusa"}
	secret := w.propose("lensa", p)
	wide := w.propose("lensa", w.proposal(88))
	give := func(partner, batch string, counts ...signal.VerdictCount) []string {
		t.Helper()
		unknown, err := w.s.AddVerdicts(background, w.edgeOf(partner), partner+"-1", batch, counts)
		w.ok(err)
		return unknown
	}
	batch := []signal.VerdictCount{
		{Signal: wide.ID, Verdict: signal.TruePositive, Count: 31},
		{Signal: wide.ID, Verdict: signal.FalsePositive, Count: 3},
		{Signal: named.ID, Verdict: signal.FalsePositive, Count: 3},
		{Signal: named.ID, Verdict: signal.TruePositive, Count: 9},
		{Signal: secret.ID, Verdict: signal.TruePositive, Count: 1},
		{Signal: "S-9999", Verdict: signal.TruePositive, Count: 1},
	}
	before := w.size()
	if diff := cmp.Diff([]string{secret.ID, "S-9999"}, give("gema", "x.v.1", batch...)); diff != "" {
		t.Error(diff)
	}
	give("gema", "x.v.1", batch...)
	if n := w.size() - before; n != 2 {
		t.Errorf("%d entries for verdicts on two signals that the partner may see", n)
	}
	give("gema", "x.v.2", signal.VerdictCount{Signal: wide.ID, Verdict: signal.FalsePositive, Count: -1}, signal.VerdictCount{Signal: wide.ID, Verdict: signal.Disputed, Count: 1})
	give("gema", "x.v.1", batch...) // an answer that came late
	give("gema", "y.v.1", signal.VerdictCount{Signal: wide.ID, Verdict: signal.TruePositive, Few: true})
	give("lensa", "x.v.1", signal.VerdictCount{Signal: named.ID, Verdict: signal.Disputed, Count: 2})

	get := func(reader, id string) string {
		t.Helper()
		f, err := w.s.Feedback(background, w.as(reader), id)
		w.ok(err)
		out := ""
		say := func(name string, j signal.Judged) {
			out += fmt.Sprintf("%s %+v %+v %+v; ", name, j.True, j.False, j.Disputed)
		}
		for _, p := range f.Partners {
			say(p.Partner, p.Judged)
		}
		say("all", f.Total)
		return out
	}
	for _, c := range []struct{ reader, signal, want string }{
		{"nusa", wide.ID, "gema {N:31 Few:1} {N:2 Few:0} {N:1 Few:0}; all {N:31 Few:1} {N:2 Few:0} {N:1 Few:0}; "},
		{"nusa", named.ID, "gema {N:9 Few:0} {N:0 Few:1} {N:0 Few:0}; lensa {N:0 Few:0} {N:0 Few:0} {N:0 Few:1}; all {N:9 Few:0} {N:0 Few:1} {N:0 Few:1}; "},
		{"gema", named.ID, "gema {N:9 Few:0} {N:3 Few:0} {N:0 Few:0}; lensa {N:0 Few:0} {N:0 Few:0} {N:0 Few:1}; all {N:9 Few:0} {N:3 Few:0} {N:0 Few:1}; "},
	} {
		if got := get(c.reader, c.signal); got != c.want {
			t.Errorf("%s reads of %s: %s\nwant %s", c.reader, c.signal, got, c.want)
		}
	}
	_, err := w.s.Feedback(background, w.as("gema"), secret.ID)
	w.want("verdicts on a signal of others", err, problem.NotFound)
	if f, err := w.s.Feedback(background, w.as("nusa"), wide.ID); err != nil || f.Total.Exact() {
		t.Errorf("%+v, %v", f, err)
	} else if share, ok := f.Total.FalseShare(); !ok || share != 2.0/35 {
		t.Errorf("share of false positives %v", share)
	}
	of, err := w.s.FeedbackOf(background, w.as("nusa"), incidentID)
	w.ok(err)
	if len(of) != 2 || of[0].Signal != wide.ID || of[1].Signal != named.ID {
		t.Errorf("of the incident: %+v", of)
	}

	// The entry has the partner's numbers, so others do not read it.
	w.ok(w.log.View(background, func(r journal.StoreReader) error {
		es, err := w.log.Entries(r, journal.RowQuery{Types: []string{"signal.judged"}})
		for _, e := range es {
			if e.Audience.Sees(w.as("nusa")) || !e.Audience.Sees(w.as(e.Partner)) {
				t.Errorf("entry %d of %s is for %+v", e.Number, e.Partner, e.Audience)
			}
		}
		if len(es) != 5 {
			t.Errorf("%d entries", len(es))
		}
		return err
	}))

	_, err = w.s.AddVerdicts(background, w.as("gema"), "gema-1", "z", nil)
	w.want("a person's verdict in an edge's name", err, problem.Denied)
	for name, c := range map[string]signal.VerdictCount{"no verdict": {Signal: wide.ID, Count: 1}, "too many": {Signal: wide.ID, Verdict: signal.Disputed, Count: 1 << 60}} {
		_, err := w.s.AddVerdicts(background, w.edgeOf("gema"), "gema-1", "z", []signal.VerdictCount{c})
		w.want(name, err, problem.Invalid)
	}
}

// Where the signal's audience is named, small numbers of matches are "fewer
// than 5" to other partners.
func TestFewMatchesOfNamedAudience(t *testing.T) {
	w := open(t)
	w.active(true)
	p := w.proposal(88)
	p.TLP, p.Partners = "red", []string{"nusa", "gema"}
	named := w.propose("lensa", p)
	minute := w.clock.now().Unix() / 60
	for i, n := range []int64{3, 7} {
		w.ok(w.s.AddCounts(background, "gema", "gema-1", fmt.Sprint("x.t.", i+1), []signal.MatchCount{{Signal: named.ID, Minute: minute - int64(i), Action: signal.Block, Matches: n}}))
	}
	for reader, want := range map[string]string{"gema": "[7+0 3+0]", "nusa": "[7+0 0+1]"} {
		cs, err := w.s.Counts(background, w.as(reader), w.clock.now().Add(-3600e9))
		w.ok(err)
		var got []string
		for _, c := range cs {
			got = append(got, fmt.Sprintf("%d+%d", c.Matches, c.Few))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s reads %v, want %s", reader, got, want)
		}
	}
}

// An edge that somebody took over cannot fill the journal with verdicts: beyond
// 1,000 signals an hour or 5,000 a day its batches are refused, whole, with the
// time to wait. Other edges are not affected, and nothing is lost.
func TestVerdictsOfOneEdgeAreBounded(t *testing.T) {
	w := open(t)
	w.active(true)
	sig := w.propose("lensa", w.proposal(88))
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	w.clock.at = day.Add(10*time.Hour + 20*time.Minute)
	batch := 0
	give := func(edge string) error {
		batch++
		before := w.size()
		_, err := w.s.AddVerdicts(background, w.edgeOf("gema"), edge, fmt.Sprintf("x.v.%d", batch), []signal.VerdictCount{{Signal: sig.ID, Verdict: signal.TruePositive, Count: 1}})
		if made := w.size() - before; made == 1 != (err == nil) {
			t.Errorf("%d entries with %v", made, err)
		}
		return err
	}
	spent := func(hours, days int) {
		w.ok(w.log.Update(background, func(tx *journal.Tx) error {
			return tx.PutPrivate(journal.Private{Kind: "verdicts_spent", ID: "gema/gema-1", Owner: "gema",
				Doc: fmt.Appendf(nil, `{"hour":%d,"day":%d,"h":%d,"d":%d}`, w.clock.now().Unix()/3600, w.clock.now().Unix()/86_400, hours, days)})
		}))
	}
	refused := func(what string, wait time.Duration) {
		t.Helper()
		err := give("gema-1")
		w.want(what, err, problem.Busy)
		if p, ok := errors.AsType[*problem.Error](err); !ok || p.Wait != wait || p.Fix == "" {
			t.Errorf("%s: %+v, want a wait of %s", what, p, wait)
		}
	}
	w.ok(give("gema-1"))
	spent(999, 999)
	w.ok(give("gema-1"))
	refused("beyond 1,000 an hour", 40*time.Minute)
	refused("again", 40*time.Minute)
	w.ok(give("gema-2"))
	w.clock.pass(40 * time.Minute)
	w.ok(give("gema-1")) // the batch that was refused, under any number
	spent(10, 4999)
	w.ok(give("gema-1"))
	refused("beyond 5,000 a day", 13*time.Hour)
	w.clock.pass(13 * time.Hour)
	w.ok(give("gema-1"))
}
