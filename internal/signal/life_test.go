package signal_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// life is a signal's life written a second time, as plainly as it goes: the
// state everywhere, and each platform's own decision.
type life struct {
	quality  int
	active   bool // sea-crp, now
	state    signal.State
	own      map[string]signal.State
	ownBlock map[string]bool // what the platform's own decision was good for
	begun    bool            // was active everywhere once
}

func (m *life) ended() bool {
	return m.state == signal.Refused || m.state == signal.Withdrawn || m.state == signal.Expired
}

// at is the state that holds at a platform.
func (m *life) at(partner string) signal.State {
	if s, ok := m.own[partner]; ok {
		return s
	}
	return m.state
}

// may says whether a decision is one that the state and the rights admit, and
// changes the model if it is.
func (m *life) may(verb, by string, reach signal.Reach) bool {
	if reach == signal.Mine {
		if kinds[by] != access.Platform {
			return false
		}
		here := m.at(by)
		_, decided := m.own[by]
		switch verb {
		case "approve": // by the proposer's own people too, but not by the proposer
			if m.ended() || decided || here == signal.Active || by == "lensa" {
				return false
			}
			m.own[by], m.ownBlock[by] = signal.Active, m.quality >= 50
		case "resume":
			if m.ended() || !decided || here == signal.Active {
				return false
			}
			m.own[by], m.ownBlock[by] = signal.Active, m.quality >= 50
		case "suspend":
			if here != signal.Active {
				return false
			}
			m.own[by] = signal.Suspended
		case "withdraw":
			if here != signal.Active && here != signal.Suspended {
				return false
			}
			m.own[by] = signal.Withdrawn
		default:
			panic(verb)
		}
		return true
	}
	another := by != "lensa" && kinds[by] != access.CivilSociety
	switch verb {
	case "approve":
		if m.state != signal.Proposed || !another {
			return false
		}
		m.state, m.begun = signal.Active, true
	case "resume":
		if m.state != signal.Suspended || !another {
			return false
		}
		m.state = signal.Active
	case "refuse":
		if m.state != signal.Proposed {
			return false
		}
		m.state = signal.Refused
	case "suspend":
		if m.state != signal.Active {
			return false
		}
		m.state = signal.Suspended
		for p, s := range m.own {
			if s == signal.Active {
				m.own[p] = signal.Suspended
			}
		}
	case "withdraw":
		if m.ended() {
			return false
		}
		m.state = signal.Withdrawn
	}
	return true
}

// does is what a partner's edge must answer.
func (m *life) does(partner string) string {
	if m.ended() {
		return ""
	}
	if s, ok := m.own[partner]; ok {
		switch {
		case s != signal.Active:
			return ""
		case m.ownBlock[partner]:
			return "block"
		}
		return "review"
	}
	switch {
	case m.state != signal.Active:
		return ""
	case m.active && m.quality >= 50:
		return "block"
	}
	return "review"
}

// TestLife plays random decisions of random people and compares state, refusals
// and what each edge answers with the model after each.
func TestLife(t *testing.T) {
	w := open(t)
	seen := map[signal.State]int{}
	verbs := map[string]func(context.Context, access.Actor, string, signal.Decision) (signal.Signal, error){
		"approve": w.s.Approve, "refuse": w.s.Refuse, "suspend": w.s.Suspend, "resume": w.s.Resume, "withdraw": w.s.Withdraw,
	}
	names := slices.Sorted(maps.Keys(verbs))
	people := slices.Sorted(maps.Keys(kinds))
	rapid.Check(t, func(rt *rapid.T) {
		quality := rapid.SampledFrom([]int{20, 49, 50, 88}).Draw(rt, "quality")
		p := w.proposal(quality)
		p.TLP, p.Action = "amber", signal.Block
		if quality < 50 { // block is refused at once
			p.Action = signal.Review
		}
		p.Partners = []string{"warga"} // so that civil society sees it, too
		on := rapid.Bool().Draw(rt, "active")
		w.active(on)
		sig := w.propose("lensa", p)
		m := &life{quality: quality, active: on, state: signal.Proposed, own: map[string]signal.State{}, ownBlock: map[string]bool{}}
		check := func(what string) {
			seen[m.state]++
			got, err := w.s.Get(background, w.as("nusa"), sig.ID)
			if err != nil {
				rt.Fatal(err)
			}
			if got.State != m.state {
				rt.Fatalf("%s: the state is %s, want %s", what, got.State, m.state)
			}
			if !m.begun && got.State == signal.Active {
				rt.Fatalf("%s: active without another partner's approval", what)
			}
			for _, partner := range people {
				if got, want := w.feed.does(partner, sig.ID), m.does(partner); got != want {
					rt.Fatalf("%s: an edge of %s answers %q, want %q", what, partner, got, want)
				}
			}
			if sig.ID != got.ID || got.Number != sig.Number {
				rt.Fatalf("%s: it is another signal: %+v", what, got)
			}
		}
		check("proposed")
		if rapid.Bool().Draw(rt, "approved at once") {
			if _, err := w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{}); err != nil {
				rt.Fatal(err)
			}
			m.may("approve", "nusa", signal.Everywhere)
			check("approved")
		}
		for range rapid.IntRange(3, 9).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				m.active = !m.active
				w.active(m.active)
				check("the protocol changed")
				continue
			case 1:
				if !m.ended() {
					w.clock.pass(31 * 24 * time.Hour)
					if err := w.s.Tick(background); err != nil {
						rt.Fatal(err)
					}
					if m.begun || anyOwn(m) {
						m.state = signal.Expired
					}
					check("its time passed")
				}
				continue
			}
			verb := rapid.SampledFrom(names).Draw(rt, "verb")
			by := rapid.SampledFrom(people).Draw(rt, "by")
			d := signal.Decision{Reason: "because", Reach: signal.Everywhere}
			if verb != "refuse" && rapid.Bool().Draw(rt, "mine") {
				d.Reach = signal.Mine
			}
			_, err := verbs[verb](background, w.as(by), sig.ID, d)
			want := m.may(verb, by, d.Reach)
			if (err == nil) != want {
				rt.Fatalf("%s %s by %s: %v, want it to be allowed: %t", verb, d.Reach, by, err, want)
			}
			if k := problem.KindOf(err); err != nil && k != problem.Conflict && k != problem.Denied {
				rt.Fatalf("%s %s by %s: %q, %v", verb, d.Reach, by, k, err)
			}
			check(verb + " " + string(d.Reach) + " by " + by)
		}
	})
	for _, s := range signal.States() {
		if seen[s] == 0 {
			t.Errorf("no signal was ever %s: the test shows less than it should", s)
		}
	}
	w.verify()
}

func anyOwn(m *life) bool { return len(m.own) > 0 }

// verify folds everything again from its entries and compares.
func (w *world) verify() {
	w.t.Helper()
	_, err := w.log.Sign(background)
	w.ok(err)
	report, err := w.log.Verify(background, journal.VerifyOptions{})
	w.ok(err)
	if report.Found > 0 {
		w.t.Errorf("the journal does not verify: %v", report.Faults)
	}
}
