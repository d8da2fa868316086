package signal_test

import (
	"testing"

	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// What is told before a decision is what the decision then does, whatever holds
// the signal down, everywhere and at one's own platform.
func TestOutlookIsWhatHappens(t *testing.T) {
	w := open(t)
	for _, c := range []struct {
		name            string
		state           protocol.State
		quality         *int
		alone           bool // of no incident
		everywhere, own signal.Action
		why             string
	}{
		{"active", protocol.Active, new(90), false, signal.Block, signal.Block, ""},
		{"none active", "", new(90), false, signal.Review, signal.Block, protocol.WhyNotActive},
		{"of no incident", "", new(90), true, signal.Review, signal.Block, signal.WhyNoIncident},
		{"emergency", protocol.Provisional, new(90), false, signal.Review, signal.Block, protocol.WhyProvisional},
		{"standing down", protocol.StandingDown, new(90), false, signal.Review, signal.Block, protocol.WhyStandingDown},
		{"no quality", protocol.Active, nil, false, signal.Review, signal.Review, protocol.WhyUnmeasured},
	} {
		w.active(true)
		p := w.proposal(0)
		p.Provenance.Quality = c.quality
		if c.quality == nil {
			p.Action = "" // the protocol's default, to block
		}
		if c.alone {
			p.Incident = ""
		}
		sig := w.propose("lensa", p)
		w.active(false)
		if c.state != "" {
			w.run(protocol.Activation{State: c.state, ActiveSince: w.clock.now(), StandingDownSince: w.clock.now()})
		}
		told := func(what string) signal.Outlook {
			out, err := w.s.Outlook(background, w.as("nusa"), sig.ID)
			w.ok(err)
			if sig.Wanted != signal.Block || out.Everywhere != c.everywhere || out.Own != c.own || out.Why != c.why {
				t.Errorf("%s, %s: wanted %s, told %+v", c.name, what, sig.Wanted, out)
			}
			return out
		}
		out := told("proposed")
		mine, err := w.s.Approve(background, w.as("gema"), sig.ID, signal.Decision{Reach: signal.Mine})
		w.ok(err)
		got, err := w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
		w.ok(err)
		if got.Does != out.Everywhere || mine.Own["gema"].Action != out.Own {
			t.Errorf("%s: it does %s, at one's own platform %s; told %+v", c.name, got.Does, mine.Own["gema"].Action, out)
		}
		if c.state == protocol.StandingDown {
			continue // suspended now, it was active before
		}
		_, err = w.s.Suspend(background, w.as("nusa"), sig.ID, signal.Decision{Reach: signal.Everywhere, Reason: "to look again"})
		w.ok(err)
		out = told("suspended")
		got, err = w.s.Resume(background, w.as("nusa"), sig.ID, signal.Decision{})
		w.ok(err)
		if got.Does != out.Everywhere {
			t.Errorf("%s: resumed it does %s, told %+v", c.name, got.Does, out)
		}
	}
}
