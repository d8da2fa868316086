package protocol_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// told writes events as "minute type what partner→to".
func told(events []protocol.Event) []string {
	var out []string
	for _, e := range events {
		s := fmt.Sprintf("%g %s", e.At.Sub(start).Minutes(), e.Type)
		if x := e.Clock + e.Task; x != "" {
			s += " " + x
		}
		if e.Partner != "" {
			s += " " + e.Partner
		}
		if e.To != "" {
			s += " → " + e.To
		}
		if e.Cause != "" {
			s += " (" + e.Cause + ")"
		}
		if !e.By.System {
			s += " not by time"
		}
		out = append(out, s)
	}
	return out
}

func only(events []protocol.Event, typ ...string) []protocol.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e protocol.Event) bool { return !slices.Contains(typ, e.Type) })
}

// TestEscalation: who is called next, for each partner by itself, until it answers.
func TestEscalation(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.activate(lensa)
	r.do(lensa, minute(3), protocol.Action{Verb: protocol.Acknowledge})
	got := told(slices.DeleteFunc(r.tick(minute(29)), func(e protocol.Event) bool { return e.Clock != "acknowledge" }))
	want := []string{
		"6 clock.escalated acknowledge nusa → next_on_roster",
		"11 clock.escalated acknowledge nusa → phone",
		"11 clock.overdue acknowledge nusa",
		"21 clock.escalated acknowledge nusa → partner_lead",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.do(nusa, minute(30), protocol.Action{Verb: protocol.Acknowledge}) // late is better than never
	for _, c := range r.a.Clocks {
		if c.ID == "acknowledge" && (c.Running() || c.Overdue != (c.Partner == "nusa")) {
			t.Errorf("%+v", c)
		}
	}
}

// TestVotersAreCalled: a partner that has not voted is called, one that has is not.
func TestVotersAreCalled(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.propose(nusa, minute(0), gema, lensa, amanah)
	r.do(lensa, minute(1), protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteAbstain})
	r.do(nusa, minute(2), protocol.Action{Verb: protocol.CallPartners, Partners: partners(tasman)})
	got := told(only(r.tick(minute(11)), protocol.EvClockEscalated))
	want := []string{
		"5 clock.escalated vote gema → next_on_roster",
		"7 clock.escalated vote tasman → next_on_roster",
		"10 clock.escalated vote gema → phone",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.do(nusa, minute(11), protocol.Action{Verb: protocol.UseEmergency, Reason: "it goes on"})
	var asked []string
	for _, c := range r.a.Clocks {
		if c.Running() && c.MetBy == protocol.ByVote {
			asked = append(asked, c.ID+" "+c.Partner)
		}
	}
	if diff := cmp.Diff([]string{"confirm_or_refuse gema", "confirm_or_refuse tasman"}, asked); diff != "" {
		t.Errorf("asked after the emergency (-want +got):\n%s", diff)
	}
}

// TestUpdatesRepeat: an update meets the clock and starts the next; a missed one starts again by itself.
func TestUpdatesRepeat(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.activate()
	r.do(nusa, minute(20), protocol.Action{Verb: protocol.PostUpdate})
	got := told(slices.DeleteFunc(r.tick(minute(210)), func(e protocol.Event) bool { return e.Clock != "next_update" && e.Clock != "first_update" }))
	want := []string{
		"70 clock.escalated next_update → next_on_roster", "80 clock.overdue next_update",
		"130 clock.escalated next_update → next_on_roster", "140 clock.overdue next_update",
		"190 clock.escalated next_update → next_on_roster", "200 clock.overdue next_update",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.do(nusa, minute(215), protocol.Action{Verb: protocol.PostUpdate})
	running := slices.DeleteFunc(slices.Clone(r.a.Clocks), func(c protocol.ClockState) bool { return !c.Running() || c.ID != "next_update" })
	if len(running) != 1 || !running[0].Due.Equal(minute(275)) || running[0].Period != 1 {
		t.Errorf("after an update runs %+v, want one clock until minute 275", running)
	}
}

// TestSunset: nobody renews, so it stands down; nobody settles, so it is
// concluded a day later, and its signals end then.
func TestSunset(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.activate()
	day := 24 * 60
	got := told(only(r.tick(minute(10*day)), protocol.EvStandingDown, protocol.EvConcluded, protocol.EvStandDownRefused))
	want := []string{"1441 activation.standing_down (sunset)", "2881 activation.concluded"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if end := r.a.SignalsEnd(); !end.Equal(minute(2881)) {
		t.Errorf("signals end at %v", end)
	}
	if next := protocol.NextDue(r.d, r.a); !next.Equal(minute(2881 + 14*day)) {
		t.Errorf("next is due %v, want the review 14 days after the conclusion", next)
	}
	if got := told(r.tick(minute(30 * day)))[0]; got != "23041 clock.overdue after_action" {
		t.Errorf("got %s", got)
	}
	if next := protocol.NextDue(r.d, r.a); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
}

// TestRenewal: a quorum prolongs it by one sunset from then on, never more,
// also out of a stand-down.
func TestRenewal(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.activate()
	renew := protocol.Action{Verb: protocol.Renew, Reason: "copies go on"}
	r.do(tasman, minute(100), renew)
	if got := r.do(nusa, minute(101), renew); slices.Contains(got, protocol.EvRenewed) {
		t.Errorf("two governments alone renewed it: %v", got)
	}
	if got := r.do(lensa, minute(102), renew); got[len(got)-1] != protocol.EvRenewed {
		t.Fatalf("got %v", got)
	}
	if !r.a.Sunset.Equal(minute(102+1440)) || len(r.a.RenewalVotes) != 0 || len(r.a.Renewals) != 1 {
		t.Fatalf("sunset %v, %d votes left, %d renewals", r.a.Sunset, len(r.a.RenewalVotes), len(r.a.Renewals))
	}
	r.tick(minute(102 + 1440))
	if r.a.State != protocol.StandingDown {
		t.Fatalf("state %s", r.a.State)
	}
	at := minute(102 + 1440 + 60)
	r.do(nusa, at, renew)
	r.do(gema, at, renew)
	if r.a.State != protocol.Active || !r.a.Sunset.Equal(at.Add(24*time.Hour)) {
		t.Fatalf("state %s until %v", r.a.State, r.a.Sunset)
	}
	if !r.a.SignalsEnd().IsZero() {
		t.Error("signals end although it is active again")
	}
	if !slices.ContainsFunc(r.a.Clocks, func(c protocol.ClockState) bool { return c.ID == "sunset" && c.Running() && c.Due.Equal(r.a.Sunset) }) {
		t.Error("no sunset clock runs")
	}
}

// TestEmergency: it ends by itself, at the instant, and goes back to a vote
// that is still open.
func TestEmergency(t *testing.T) {
	t.Run("lapses", func(t *testing.T) {
		r := newRun(t, "sea-crp")
		r.do(nusa, minute(0), protocol.Action{Verb: protocol.UseEmergency, Level: "watch", Reason: "now"})
		got := told(only(r.tick(minute(600)), protocol.EvLapsed, protocol.EvDeclined))
		want := []string{"60 activation.lapsed", "60 activation.declined"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("ended early", func(t *testing.T) {
		r := newRun(t, "sea-crp")
		r.propose(gema, minute(0))
		r.do(tasman, minute(1), protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteNo, Reason: "not sure"})
		r.do(tasman, minute(2), protocol.Action{Verb: protocol.UseEmergency, Reason: "now"})
		if v := r.a.Votes[1]; v.Vote != protocol.VoteNo {
			t.Errorf("emergency authority changed a vote: %+v", v)
		}
		r.do(tasman, minute(5), protocol.Action{Verb: protocol.EndEmergency, Reason: "a mistake"})
		if r.a.State != protocol.Voting {
			t.Fatalf("state %s, want the vote to go on", r.a.State)
		}
		if got := r.do(nusa, minute(6), yes); got[len(got)-1] != protocol.EvActivated {
			t.Errorf("got %v", got)
		}
	})
	t.Run("completes the quorum", func(t *testing.T) {
		r := newRun(t, "sea-crp")
		r.propose(gema, minute(0))
		got := r.do(nusa, minute(1), protocol.Action{Verb: protocol.UseEmergency, Reason: "now"})
		want := []string{protocol.EvProvisional, protocol.EvVoted, protocol.EvConfirmed}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestTasks: each partner its own, the lead's by whoever leads.
func TestTasks(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.activate(gema, lensa, amanah)
	r.do(gema, minute(2), protocol.Action{Verb: protocol.ReportTask, Task: "check_surfaces", Progress: protocol.TaskDoing})
	r.do(gema, minute(3), protocol.Action{Verb: protocol.ReportTask, Task: "check_surfaces", Progress: protocol.TaskDone, Reason: "12 copies"})
	r.do(nusa, minute(4), protocol.Action{Verb: protocol.HandOver, To: "lensa"})
	r.do(lensa, minute(5), protocol.Action{Verb: protocol.ReportTask, Task: "public_statement", Progress: protocol.TaskNotApplicable, Reason: "the police speak"})
	got := told(only(r.tick(minute(62)), protocol.EvTaskOverdue))
	want := []string{"61 task.overdue check_surfaces lensa", "61 task.overdue confirm_facts nusa"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.do(lensa, minute(70), protocol.Action{Verb: protocol.ReportTask, Task: "check_surfaces", Progress: protocol.TaskDone})
}

// TestAsks: what is asked of each, nearest deadline first, and not again when done.
func TestAsks(t *testing.T) {
	r := newRun(t, "sea-crp")
	asks := func(who access.Actor, at int) []string {
		var out []string
		for _, a := range protocol.Asks(r.d, r.a, who, minute(at)) {
			s := string(a.Do.Verb)
			if x := a.Do.Clock + a.Do.Task; x != "" {
				s += " " + x
			}
			if !a.Due.IsZero() {
				s += fmt.Sprintf(" by %g", a.Due.Sub(start).Minutes())
			}
			if a.Overdue {
				s += " overdue"
			}
			out = append(out, s)
		}
		return out
	}
	expect := func(who access.Actor, at int, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, asks(who, at)); diff != "" {
			t.Errorf("minute %d, %s (-want +got):\n%s", at, who.Partner, diff)
		}
	}
	r.propose(nusa, minute(0), gema, lensa, amanah)
	expect(gema, 1, "vote by 30")
	expect(nusa, 1, "report_task tell_contacts by 10")
	expect(amanah, 1)
	expect(gema, 31)
	r.do(gema, minute(2), yes)
	expect(gema, 3, "acknowledge acknowledge by 12", "report_task check_surfaces by 62", "report_task look_back by 122", "report_task preserve_evidence by 1442")
	expect(nusa, 45, "acknowledge acknowledge by 12 overdue", "post_update first_update by 32 overdue", "report_task confirm_facts by 62", "report_task public_statement by 62")
	r.do(nusa, minute(46), protocol.Action{Verb: protocol.PostUpdate})
	r.do(nusa, minute(46), protocol.Action{Verb: protocol.Acknowledge})
	expect(nusa, 47, "report_task confirm_facts by 62", "report_task public_statement by 62", "post_update next_update by 106")
	expect(tasman, 2+22*60, "renew sunset by 1442")
	r.do(gema, minute(50), protocol.Action{Verb: protocol.ProposeStandDown, Answers: []protocol.Answer{{ID: "volume_fell", Answer: "yes"}, {ID: "no_new_variants_for", Answer: "yes"}, {ID: "threat_over", Answer: "yes"}}})
	if got := asks(tasman, 51); !slices.Contains(got, "vote_stand_down by 110") {
		t.Errorf("not asked to vote: %v", got)
	}
	r.do(tasman, minute(52), protocol.Action{Verb: protocol.VoteStandDown, Vote: protocol.VoteYes})
	expect(nusa, 53, "conclude settle by 1492", "report_task withdraw_or_renew_signals", "report_task thank_partners")
	r.do(nusa, minute(60), protocol.Action{Verb: protocol.Conclude, Reason: "done by hand"})
	expect(nusa, 61, "file_review after_action by 20220")
}

// TestClockJumps: the node's clock jumps ahead and back in the middle of an
// activation. Every duty fires once, none twice, none never, and what fired
// early was not earlier than the jump.
func TestClockJumps(t *testing.T) {
	fire := func(at ...int) map[string]int {
		r := newRun(t, "sea-crp")
		r.activate(lensa, amanah)
		r.do(nusa, minute(2), protocol.Action{Verb: protocol.PostUpdate})
		fired := map[string]int{}
		for _, m := range at {
			for _, e := range r.tick(minute(m)) {
				if e.At.After(minute(m)) {
					t.Errorf("%s fired before it was due", e.Type)
				}
				fired[told([]protocol.Event{e})[0]]++
			}
		}
		return fired
	}
	quiet := fire(10, 20, 30, 90, 200)
	for name, at := range map[string][]int{
		"an hour ahead and back": {10, 80, 20, 30, 90, 200},
		"an hour back":           {10, 20, -40, 30, 90, 200},
		"to and fro":             {199, 10, 150, 20, 30, 200, 0, 200},
	} {
		if diff := cmp.Diff(quiet, fire(at...)); diff != "" {
			t.Errorf("%s (-quiet +jump):\n%s", name, diff)
		}
	}
	for what, n := range quiet {
		if n != 1 {
			t.Errorf("%s fired %d times", what, n)
		}
	}
	early := fire(10, 24*60+10, 30, 200, 24*60+10, 3*24*60)
	if diff := cmp.Diff(fire(3*24*60), early); diff != "" {
		t.Errorf("a day ahead and back (-quiet +jump):\n%s", diff)
	}
}
