package protocol_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func TestMaxAction(t *testing.T) {
	sea, eu := newRun(t, "sea-crp"), newRun(t, "eu-cp")
	state := func(r *run, move ...func(*run)) protocol.Run {
		c := &run{t: t, d: r.d}
		for _, m := range move {
			m(c)
		}
		return protocol.Run{Definition: c.d, Activation: c.a}
	}
	voting := func(r *run) { r.propose(nusa, minute(0)) }
	emergency := func(r *run) {
		r.do(nusa, minute(0), protocol.Action{Verb: protocol.UseEmergency, Level: r.d.Levels[0].ID, Reason: "now"})
	}
	active := func(r *run) { r.activate() }
	euActive := func(r *run) {
		r.propose(nusa, minute(0))
		r.do(actor("europol", access.Intergovernmental), minute(1), yes)
	}
	down := func(r *run) {
		active(r)
		ok := answers("volume_fell", "yes", "no_new_variants_for", "yes", "threat_over", "yes")
		r.do(nusa, minute(20), protocol.Action{Verb: protocol.ProposeStandDown, Answers: ok})
		r.do(gema, minute(20), protocol.Action{Verb: protocol.VoteStandDown, Vote: protocol.VoteYes})
	}
	poor, good := 49, 50
	approved := protocol.SignalCase{Approved: true}
	for _, c := range []struct {
		name string
		runs []protocol.Run
		sig  protocol.SignalCase
		at   int
		want protocol.Ceiling
	}{
		{"no activation", nil, approved, 30, protocol.Ceiling{Own: "block", Others: "review", Why: "not_active"}},
		{"voting", []protocol.Run{state(sea, voting)}, approved, 5, protocol.Ceiling{Own: "block", Others: "review", Why: "not_active"}},
		{"provisional", []protocol.Run{state(sea, emergency)}, approved, 5, protocol.Ceiling{Own: "block", Others: "review", Why: "provisional", Under: "sea-crp@1.0.0 authority.emergency"}},
		{"provisional has lapsed", []protocol.Run{state(sea, emergency)}, approved, 60, protocol.Ceiling{Own: "block", Others: "review", Why: "not_active"}},
		{"active", []protocol.Run{state(sea, active)}, approved, 5, protocol.Ceiling{Own: "block", Others: "block", Why: "active", Under: "sea-crp@1.0.0 authority.activate"}},
		{"active, not approved", []protocol.Run{state(sea, active)}, protocol.SignalCase{}, 5, protocol.Ceiling{Own: "block", Others: "review", Why: "not_approved", Under: "sea-crp@1.0.0 authority.activate"}},
		{"active, poor picture", []protocol.Run{state(sea, active)}, protocol.SignalCase{Approved: true, PDQQuality: &poor}, 5, protocol.Ceiling{Own: "review", Others: "review", Why: "quality", Under: "sea-crp@1.0.0 authority.activate"}},
		{"active, a picture of unknown quality", []protocol.Run{state(sea, active)}, protocol.SignalCase{Approved: true, Unmeasured: true}, 5, protocol.Ceiling{Own: "review", Others: "review", Why: "unmeasured", Under: "sea-crp@1.0.0 authority.activate"}},
		{"active, good picture", []protocol.Run{state(sea, active)}, protocol.SignalCase{Approved: true, PDQQuality: &good}, 5, protocol.Ceiling{Own: "block", Others: "block", Why: "active", Under: "sea-crp@1.0.0 authority.activate"}},
		{"exercise", []protocol.Run{state(sea, active)}, protocol.SignalCase{Approved: true, Exercise: true}, 5, protocol.Ceiling{Own: "review", Others: "review", Why: "exercise", Under: "sea-crp@1.0.0 authority.activate"}},
		{"past the sunset, no tick yet", []protocol.Run{state(sea, active)}, approved, 1441, protocol.Ceiling{Own: "block", Others: "review", Why: "standing_down", Under: "sea-crp@1.0.0 stand_down"}},
		{"protocol without blocking", []protocol.Run{state(eu, euActive)}, approved, 5, protocol.Ceiling{Own: "block", Others: "review", Why: "protocol", Under: "eu-cp@1.0.0 signals.at_most"}},
		{"one of two allows it", []protocol.Run{state(eu, euActive), state(sea, active)}, approved, 5, protocol.Ceiling{Own: "block", Others: "block", Why: "active", Under: "sea-crp@1.0.0 authority.activate"}},
		{"one of two allows it, other order", []protocol.Run{state(sea, active), state(eu, euActive)}, approved, 5, protocol.Ceiling{Own: "block", Others: "block", Why: "active", Under: "sea-crp@1.0.0 authority.activate"}},
		{"standing down, new", []protocol.Run{state(sea, down)}, approved, 25, protocol.Ceiling{Own: "block", Others: "review", Why: "standing_down", Under: "sea-crp@1.0.0 stand_down"}},
		{"standing down, from before", []protocol.Run{state(sea, down)}, protocol.SignalCase{Approved: true, Since: minute(10)}, 25, protocol.Ceiling{Own: "block", Others: "block", Why: "standing_down", Under: "sea-crp@1.0.0 stand_down"}},
		{"concluded", []protocol.Run{state(sea, down)}, protocol.SignalCase{Approved: true, Since: minute(10)}, 20 + 24*60, protocol.Ceiling{Own: "block", Others: "review", Why: "not_active"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, protocol.MaxAction(c.runs, c.sig, minute(c.at))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSignalRules(t *testing.T) {
	sea, eu := lookup(t, "sea-crp"), lookup(t, "eu-cp")
	for _, c := range []struct {
		d    *protocol.Definition
		p    protocol.Producer
		want protocol.SignalAction
	}{
		{sea, protocol.Perpetrator, protocol.Block},
		{sea, protocol.Accomplice, protocol.Block},
		{sea, protocol.Bystander, protocol.Review},
		{sea, protocol.Media, protocol.Review},
		{sea, protocol.UnknownProducer, protocol.Review},
		{sea, "made up", protocol.Review},
		{eu, protocol.Perpetrator, protocol.Review},
		{eu, protocol.Media, protocol.Monitor},
	} {
		if got := c.d.DefaultAction(c.p); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.d.ID, c.p, got, c.want)
		}
	}
	if got := sea.SignalExpiry(start); !got.Equal(start.Add(30 * 24 * time.Hour)) {
		t.Errorf("expires %v", got)
	}
	for _, c := range []struct {
		name      string
		approvals []protocol.Participant
		want      bool
	}{
		{"nobody", nil, false},
		{"the proposer", partners(lensa), false},
		{"the proposer twice", partners(lensa, lensa), false},
		{"an observer", partners(amanah), false},
		{"another partner", partners(lensa, gema), true},
		{"without a name", []protocol.Participant{{Kind: access.Platform}}, false},
	} {
		if got := sea.Approved("lensa", c.approvals); got != c.want {
			t.Errorf("approved by %s: %v, want %v", c.name, got, c.want)
		}
	}
	for name, err := range map[string]error{
		"own approval":         sea.MayApprove("lensa", lensa),
		"observer approves":    sea.MayApprove("lensa", amanah),
		"observer proposes":    eu.MayPropose(amanah),
		"research notifies eu": eu.MayNotify(actor("uni", access.Research)),
	} {
		if problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"another approves":   sea.MayApprove("lensa", gema),
		"observer proposes":  sea.MayPropose(amanah),
		"anybody may notify": sea.MayNotify(amanah),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
