package protocol_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

var start = time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)

func actor(partner string, kind access.PartnerKind) access.Actor {
	return access.Actor{Partner: partner, Kind: kind, Member: partner + "-duty"}
}

var (
	nusa  = actor("nusa", access.Government)
	gema  = actor("gema", access.Platform)
	lensa = actor("lensa", access.Platform)
)

func lookup(t testing.TB, name string) *protocol.Definition {
	t.Helper()
	d, err := protocol.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func types(events []protocol.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}

// TestScenario plays the minutes 6 to 11 and the end of the story of Kota Seroja.
func TestScenario(t *testing.T) {
	d := lookup(t, "sea-crp")
	var a protocol.Activation
	at := func(min int) time.Time { return start.Add(time.Duration(min) * time.Minute) }
	do := func(who access.Actor, min int, act protocol.Action, want ...string) {
		t.Helper()
		events, err := protocol.Step(d, a, act, who, at(min))
		if err != nil {
			t.Fatalf("minute %d, %s: %v", min, act.Verb, err)
		}
		if diff := cmp.Diff(want, types(events)); diff != "" {
			t.Fatalf("minute %d, %s (-want +got):\n%s", min, act.Verb, diff)
		}
		a = protocol.Fold(a, events...)
	}
	called := []protocol.Participant{{ID: "lensa", Kind: access.Platform}, {ID: "gema", Kind: access.Platform}}
	do(nusa, 6, protocol.Action{Verb: protocol.UseEmergency, Level: "content_incident", Reason: "the stream names a second place", Partners: called},
		protocol.EvProposed, protocol.EvProvisional, protocol.EvVoted)
	if a.State != protocol.Provisional {
		t.Fatalf("state %q, want provisional", a.State)
	}
	do(gema, 11, protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes},
		protocol.EvClockEscalated, protocol.EvClockEscalated, protocol.EvVoted, protocol.EvConfirmed)
	if a.State != protocol.Active || !a.Sunset.Equal(at(11).Add(24*time.Hour)) {
		t.Fatalf("state %q, sunset %v; want active until 24 h later", a.State, a.Sunset)
	}
	do(gema, 12, protocol.Action{Verb: protocol.Acknowledge}, protocol.EvAcknowledged)
	do(nusa, 14, protocol.Action{Verb: protocol.PostUpdate}, protocol.EvUpdated)
	answers := []protocol.Answer{
		{ID: "volume_fell", Answer: "yes"}, {ID: "no_new_variants_for", Answer: "yes"}, {ID: "threat_over", Answer: "yes"},
	}
	events, err := protocol.Step(d, a, protocol.Action{Verb: protocol.ProposeStandDown, Answers: answers}, nusa, at(600))
	if err != nil {
		t.Fatal(err)
	}
	a = protocol.Fold(a, events...)
	do(lensa, 601, protocol.Action{Verb: protocol.VoteStandDown, Vote: protocol.VoteYes},
		protocol.EvStandDownVoted, protocol.EvStandingDown)
	do(nusa, 610, protocol.Action{Verb: protocol.Conclude, Reason: "signals are settled"}, protocol.EvConcluded)
	var review []protocol.Answer
	for _, q := range d.AfterAction.Questions {
		review = append(review, protocol.Answer{ID: q.ID, Answer: "written down"})
	}
	do(nusa, 5000, protocol.Action{Verb: protocol.FileReview, Answers: review}, protocol.EvReviewed)
}
