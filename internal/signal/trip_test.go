package signal_test

import (
	"errors"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// TestTrip: an edge's circuit breaker turns a signal to review everywhere, until
// somebody resumes it.
func TestTrip(t *testing.T) {
	w := open(t)
	w.active(true)
	sig := w.propose("lensa", w.proposal(88))
	sig, err := w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
	w.ok(err)
	gema := w.as("gema", access.Edge)
	trip := signal.Trip{Signal: sig.ID, Edge: "gema-1", Matches: 80, Distance: 90, Entry: sig.Last.Entry}
	before := w.size()
	old := trip
	old.Entry = sig.Last.Entry - 1
	w.ok(w.s.Trip(background, gema, old))
	if w.size() != before {
		t.Error("a report about what has changed since did something")
	}
	w.ok(w.s.Trip(background, gema, trip))
	w.ok(w.s.Trip(background, gema, trip))
	if n := w.size() - before; n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if got := w.feed.does("lensa", sig.ID); got != "review" {
		t.Errorf("after the trip an edge answers %q", got)
	}
	resume := func() {
		t.Helper()
		after, err := w.s.Resume(background, w.as("tasman"), sig.ID, signal.Decision{})
		w.ok(err)
		if got := w.feed.does("lensa", sig.ID); got != "block" {
			t.Errorf("resumed, an edge answers %q", got)
		}
		trip.Entry = after.Last.Entry
	}
	resume()
	// People have answered that edge. Another one, or a day later the same, is heard.
	w.ok(w.s.Trip(background, gema, trip))
	if got := w.feed.does("lensa", sig.ID); got != "block" {
		t.Errorf("the same edge again: %q", got)
	}
	another := trip
	another.Edge = "gema-2"
	w.ok(w.s.Trip(background, gema, another))
	if got := w.feed.does("lensa", sig.ID); got != "review" {
		t.Errorf("another edge: %q", got)
	}
	resume()
	w.clock.pass(25 * time.Hour)
	w.ok(w.s.Trip(background, w.as("gema", access.Edge), trip))
	if got := w.feed.does("lensa", sig.ID); got != "review" {
		t.Errorf("a day later: %q", got)
	}
}

// A stolen edge's token cannot turn the lists to review: what no breaker reports
// is refused, what it may not see is as if it was not there, and it does little
// in an hour.
func TestForgedTrips(t *testing.T) {
	w := open(t)
	w.active(true)
	publish := func(p signal.Proposal) signal.Signal {
		t.Helper()
		sig, err := w.s.Approve(background, w.as("nusa"), w.propose("lensa", p).ID, signal.Decision{})
		w.ok(err)
		return sig
	}
	sig := publish(w.proposal(88))
	sound := signal.Trip{Signal: sig.ID, Edge: "gema-1", Matches: 50, Distance: 32, Entry: sig.Last.Entry}
	gema := w.as("gema", access.Edge)
	before := w.size()
	for name, c := range map[string]struct {
		by     access.Actor
		change func(*signal.Trip)
		want   problem.Kind
	}{
		"no edge":             {w.as("gema"), func(*signal.Trip) {}, problem.Denied},
		"few matches":         {gema, func(x *signal.Trip) { x.Matches = 49 }, problem.Invalid},
		"none":                {gema, func(x *signal.Trip) { x.Matches, x.Distance = 0, 0 }, problem.Invalid},
		"alike":               {gema, func(x *signal.Trip) { x.Distance = 31 }, problem.Invalid},
		"no distance":         {gema, func(x *signal.Trip) { x.Distance = 257 }, problem.Invalid},
		"an entry to come":    {gema, func(x *signal.Trip) { x.Entry = 1 << 60 }, problem.Invalid},
		"no entry":            {gema, func(x *signal.Trip) { x.Entry = 0 }, problem.Invalid},
		"not there":           {gema, func(x *signal.Trip) { x.Signal = "S-9999" }, ""},
		"decided since":       {gema, func(x *signal.Trip) { x.Restored = sig.Last.Entry - 1 }, ""},
		"no name of a signal": {gema, func(x *signal.Trip) { x.Signal = "../" }, ""},
	} {
		x := sound
		c.change(&x)
		if err := w.s.Trip(background, c.by, x); problem.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if w.size() != before || w.feed.does("lensa", sig.ID) != "block" {
		t.Errorf("forged reports made %d entries; an edge answers %q", w.size()-before, w.feed.does("lensa", sig.ID))
	}
	// What is shared with others only is answered as what is not there.
	hidden := w.proposal(88)
	hidden.TLP, hidden.Partners = "red", []string{"nusa"}
	secret := publish(hidden)
	before = w.size()
	w.ok(w.s.Trip(background, gema, signal.Trip{Signal: secret.ID, Edge: "gema-1", Matches: 80, Distance: 90, Entry: secret.Last.Entry}))
	if w.size() != before {
		t.Error("an edge tripped a signal that its partner may not see")
	}
	// Twenty an hour.
	done := 0
	for range 25 {
		s := publish(w.proposal(88))
		x := sound
		x.Signal, x.Entry = s.ID, s.Last.Entry
		switch err := w.s.Trip(background, gema, x); problem.KindOf(err) {
		case "":
			done++
		case problem.Busy:
			if p, _ := errors.AsType[*problem.Error](err); p.Wait <= 0 || p.Wait > time.Hour {
				t.Errorf("wait %s", p.Wait)
			}
		default:
			t.Fatal(err)
		}
	}
	if done != 20 {
		t.Errorf("%d signals turned to review within an hour by one edge, want 20", done)
	}
}
