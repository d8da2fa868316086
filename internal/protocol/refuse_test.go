package protocol_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// run holds an activation that a test moves on.
type run struct {
	t testing.TB
	d *protocol.Definition
	a protocol.Activation
}

func newRun(t testing.TB, name string) *run { return &run{t: t, d: lookup(t, name)} }

func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

// do steps and returns the types of the events.
func (r *run) do(who access.Actor, at time.Time, act protocol.Action) []string {
	r.t.Helper()
	events, err := protocol.Step(r.d, r.a, act, who, at)
	if err != nil {
		r.t.Fatalf("%s by %s: %v", act.Verb, who.Partner, err)
	}
	for _, e := range events {
		if e.Clause == "" || e.Protocol == "" || e.At.IsZero() || (e.By.Partner == "") != e.By.System {
			r.t.Errorf("incomplete event %s: %+v", e.Type, e)
		}
	}
	r.a = protocol.Fold(r.a, events...)
	return types(events)
}

func (r *run) tick(at time.Time) []protocol.Event {
	events := protocol.Tick(r.d, r.a, at)
	r.a = protocol.Fold(r.a, events...)
	return events
}

func (r *run) propose(who access.Actor, at time.Time, called ...access.Actor) {
	r.t.Helper()
	r.do(who, at, protocol.Action{Verb: protocol.Propose, Level: r.d.Levels[0].ID, Reason: "an attack", Partners: partners(called...)})
}

func (r *run) activate(called ...access.Actor) {
	r.t.Helper()
	r.propose(nusa, minute(0), called...)
	r.do(gema, minute(1), protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes})
	if r.a.State != protocol.Active {
		r.t.Fatalf("state %q", r.a.State)
	}
}

func partners(who ...access.Actor) []protocol.Participant {
	var out []protocol.Participant
	for _, w := range who {
		out = append(out, protocol.Participant{ID: w.Partner, Kind: w.Kind})
	}
	return out
}

var (
	tasman = actor("tasman", access.Government)
	amanah = actor("amanah", access.CivilSociety)
	yes    = protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes}
)

// TestRefusals holds the sentences that people read, whole.
func TestRefusals(t *testing.T) {
	second := nusa
	second.Member = "nusa-second"
	voting := func(r *run) { r.propose(nusa, minute(0), gema, lensa) }
	active := func(r *run) { r.activate(gema, lensa) }
	provisional := func(r *run) {
		r.do(nusa, minute(0), protocol.Action{Verb: protocol.UseEmergency, Level: "watch", Reason: "a second place is named"})
	}
	declined := func(r *run) { voting(r); r.tick(minute(31)) }
	down := func(r *run) { active(r); r.tick(minute(1 + 24*60)) }
	concluded := func(r *run) { down(r); r.tick(minute(3 * 24 * 60)) }
	for _, c := range []struct {
		name   string
		given  func(*run)
		who    access.Actor
		at     int
		do     protocol.Action
		kind   problem.Kind
		want   string
		allows []string
	}{
		{
			"vote after closing, before any tick", voting, gema, 30, protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, AlsoActive: []string{"cc-crp"}}, problem.Conflict,
			"voting closed at 15:00 UTC; open a new vote, or join cc-crp, which is active",
			[]string{"propose"},
		},
		{
			"vote after closing, after the tick", declined, gema, 40, yes, problem.Conflict,
			"voting closed at 15:00 UTC; open a new vote",
			[]string{"propose"},
		},
		{
			"the same vote again", voting, nusa, 2, yes, problem.Conflict,
			"your partner has already voted yes, at 14:30 UTC; wait for the others, or change the vote",
			[]string{"use_emergency", "vote", "withdraw_proposal", "call_partners", "hand_over", "report_task"},
		},
		{
			"the same vote by another member", voting, second, 2, yes, problem.Conflict,
			"another member has already voted yes for your partner, at 14:30 UTC; wait for the others, or change the vote",
			[]string{"use_emergency", "vote", "withdraw_proposal", "call_partners", "hand_over", "report_task"},
		},
		{
			"vote when active", active, lensa, 2, yes, problem.Conflict,
			"sea-crp is already active since 14:31 UTC, by a quorum; allowed now: call_partners, set_level, hand_over, acknowledge, post_update, report_task, renew, propose_stand_down",
			[]string{"call_partners", "set_level", "hand_over", "acknowledge", "post_update", "report_task", "renew", "propose_stand_down"},
		},
		{
			"vote before anything", func(*run) {}, gema, 0, yes, problem.Conflict,
			"sea-crp is not proposed yet, which does not allow vote; allowed now: propose", []string{"propose"},
		},
		{
			"vote by an observer", voting, amanah, 1, yes, problem.Denied,
			"under sea-crp, partners of kind government, intergovernmental or platform may vote on its activation; yours is civil_society; ask a duty contact of such a partner to do it", nil,
		},
		{
			"vote by nobody", voting, access.Actor{}, 1, yes, problem.SignIn, "this needs a partner's member; sign in", nil,
		},
		{
			"no without a reason", voting, gema, 1, protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteNo}, problem.Invalid,
			"reason: Enter why not, in one sentence. It is kept in the journal and shown in the review; correct the fields and send again", nil,
		},
		{
			"no vote at all", voting, gema, 1, protocol.Action{Verb: protocol.CastVote, Vote: "maybe"}, problem.Invalid,
			"vote: Vote yes, no or abstain; correct the fields and send again", nil,
		},
		{
			"proposal with nothing", func(*run) {}, gema, 0, protocol.Action{Verb: protocol.Propose}, problem.Invalid,
			"2 fields need a change; first reason: Enter why, in one sentence. It is kept in the journal and shown in the review; correct the fields and send again", nil,
		},
		{
			"unknown level", func(*run) {}, gema, 0, protocol.Action{Verb: protocol.Propose, Reason: "an attack", Level: "severe"}, problem.Invalid,
			`level: sea-crp has no level "severe". Choose watch, content_incident or crisis; correct the fields and send again`, nil,
		},
		{
			"proposal when voting", voting, gema, 1, protocol.Action{Verb: protocol.Propose, Reason: "an attack", Level: "watch"}, problem.Conflict,
			"sea-crp is already being voted on; allowed now: vote, call_partners, hand_over", []string{"vote", "call_partners", "hand_over"},
		},
		{
			"emergency by a platform", func(*run) {}, gema, 0, protocol.Action{Verb: protocol.UseEmergency, Reason: "now", Level: "watch"}, problem.Denied,
			"under sea-crp, partners of kind government may use emergency authority; yours is platform; ask a duty contact of such a partner to do it", nil,
		},
		{
			"emergency twice", func(r *run) { provisional(r); r.tick(minute(60)) }, tasman, 61, protocol.Action{Verb: protocol.UseEmergency, Reason: "now", Level: "watch"}, problem.Conflict,
			"emergency authority was used once already, and no quorum has confirmed it; propose an activation and vote", []string{"propose"},
		},
		{
			"ending another's emergency", provisional, tasman, 1, protocol.Action{Verb: protocol.EndEmergency, Reason: "no need"}, problem.Denied,
			"your partner may not end emergency authority before its time: only the partner that used it may; ask that partner to do it", nil,
		},
		{
			"withdrawing another's proposal", voting, gema, 1, protocol.Action{Verb: protocol.WithdrawProposal, Reason: "no need"}, problem.Denied,
			"your partner may not withdraw the proposal: only the partner that made it may; ask that partner to do it", nil,
		},
		{
			"withdrawing what others support", func(r *run) { voting(r); r.do(tasman, minute(1), yes) }, nusa, 2, protocol.Action{Verb: protocol.WithdrawProposal, Reason: "no need"}, problem.Conflict,
			"other partners support the proposal by now; change your vote to no, and let the vote close at 15:00 UTC",
			[]string{"use_emergency", "vote", "call_partners", "hand_over", "report_task"},
		},
		{
			"acknowledging twice", func(r *run) { active(r); r.do(lensa, minute(2), protocol.Action{Verb: protocol.Acknowledge}) }, lensa, 3, protocol.Action{Verb: protocol.Acknowledge}, problem.Conflict,
			"your partner has acknowledged already; allowed now: call_partners, set_level, hand_over, post_update, report_task, renew, propose_stand_down",
			[]string{"call_partners", "set_level", "hand_over", "post_update", "report_task", "renew", "propose_stand_down"},
		},
		{
			"another's task", active, nusa, 2, protocol.Action{Verb: protocol.ReportTask, Task: "look_back", Progress: protocol.TaskDone}, problem.Denied,
			"the task look_back is not your partner's; ask the partner whose it is", nil,
		},
		{
			"no such task", active, nusa, 2, protocol.Action{Verb: protocol.ReportTask, Task: "sleep", Progress: protocol.TaskDone}, problem.Conflict,
			"the task sleep is not open; allowed now: call_partners, set_level, hand_over, acknowledge, post_update, report_task, renew, propose_stand_down",
			[]string{"call_partners", "set_level", "hand_over", "acknowledge", "post_update", "report_task", "renew", "propose_stand_down"},
		},
		{
			"stand-down without answers", active, nusa, 2, protocol.Action{Verb: protocol.ProposeStandDown}, problem.Invalid,
			"3 fields need a change; first answers.volume_fell: Answer: Has the number of copies clearly fallen?; correct the fields and send again", nil,
		},
		{
			"stand-down although it goes on", active, nusa, 2, protocol.Action{Verb: protocol.ProposeStandDown, Answers: []protocol.Answer{{ID: "volume_fell", Answer: "no"}, {ID: "no_new_variants_for", Answer: "unknown"}, {ID: "threat_over", Answer: "yes"}}}, problem.Invalid,
			"reason: Not every condition holds. Enter why it should end all the same, in one sentence; correct the fields and send again", nil,
		},
		{
			"conclusion with open steps", down, nusa, 25 * 60, protocol.Action{Verb: protocol.Conclude}, problem.Invalid,
			"reason: Not yet done: withdraw_or_renew_signals, thank_partners. Do it, or enter why it is left open; correct the fields and send again", nil,
		},
		{
			"update after the end", concluded, nusa, 4 * 24 * 60, protocol.Action{Verb: protocol.PostUpdate}, problem.Conflict,
			"sea-crp is concluded, which does not allow post update; allowed now: propose, use_emergency, file_review", []string{"propose", "use_emergency", "file_review"},
		},
		{
			"misspelt", voting, gema, 1, protocol.Action{Verb: "votes"}, problem.Invalid,
			`"votes" is not something that can be done to an activation; did you mean vote?`, nil,
		},
		{
			"calling nobody new", voting, gema, 1, protocol.Action{Verb: protocol.CallPartners, Partners: partners(lensa)}, problem.Conflict,
			"these partners were called already; call others, or remind them", []string{"vote", "call_partners", "hand_over"},
		},
		{
			"handing over to a stranger", voting, nusa, 1, protocol.Action{Verb: protocol.HandOver, To: "dana"}, problem.Invalid,
			"to: That partner does not take part. Call it first; correct the fields and send again", nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t, "sea-crp")
			c.given(r)
			events, err := protocol.Step(r.d, r.a, c.do, c.who, minute(c.at))
			if err == nil {
				t.Fatalf("was done: %v", types(events))
			}
			if got := problem.KindOf(err); got != c.kind {
				t.Errorf("kind %q, want %q", got, c.kind)
			}
			if err.Error() != c.want {
				t.Errorf("\n got %s\nwant %s", err, c.want)
			}
			if diff := cmp.Diff(c.allows, err.(*problem.Error).Allows); diff != "" {
				t.Errorf("allows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoEmergencyAuthority(t *testing.T) {
	r := newRun(t, "gifct-irf")
	_, err := protocol.Step(r.d, r.a, protocol.Action{Verb: protocol.UseEmergency, Reason: "now", Level: "incident"}, nusa, start)
	if want := "gifct-irf has no emergency authority; propose an activation and vote"; problem.KindOf(err) != problem.Denied || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestVersionIsKept: a running activation keeps the definition that it began
// with; another text of it may only begin another round.
func TestVersionIsKept(t *testing.T) {
	r := newRun(t, "sea-crp")
	r.activate(gema)
	newer := *r.d
	newer.Version, newer.Hash = "1.1.0", "another"
	if _, err := protocol.Step(&newer, r.a, protocol.Action{Verb: protocol.PostUpdate}, nusa, minute(5)); problem.KindOf(err) != problem.Internal {
		t.Errorf("another version stepped a running activation: %v", err)
	}
	r.tick(minute(3 * 24 * 60))
	if r.a.State != protocol.Concluded {
		t.Fatalf("state %s", r.a.State)
	}
	if _, err := protocol.Step(&newer, r.a, protocol.Action{Verb: protocol.FileReview}, nusa, minute(4*24*60)); problem.KindOf(err) != problem.Internal {
		t.Errorf("another version reviewed it: %v", err)
	}
	events, err := protocol.Step(&newer, r.a, protocol.Action{Verb: protocol.Propose, Reason: "again", Level: "watch"}, nusa, minute(4*24*60))
	if err != nil {
		t.Fatal(err)
	}
	a := protocol.Fold(r.a, events...)
	if a.Round != 2 || a.Version != "1.1.0" || len(a.Past) != 1 || a.Past[0].State != protocol.Concluded || a.Past[0].Version != "1.0.0" {
		t.Errorf("round %d, version %s, past %+v", a.Round, a.Version, a.Past)
	}
	if len(a.Votes) != 1 || len(a.Clocks) == 0 {
		t.Errorf("the new round begins with %d votes", len(a.Votes))
	}
}
