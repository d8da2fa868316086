package protocol_test

import (
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// voters returns enough partners to reach a rule, of at least two kinds where
// the protocol needs them.
func voters(d *protocol.Definition, r protocol.Rule) []access.Actor {
	var out []access.Actor
	add := func(k access.PartnerKind) {
		out = append(out, actor(string(k)+"-"+string(rune('a'+len(out))), k))
	}
	for _, k := range access.PartnerKinds() {
		for range r.AtLeast[k] {
			add(k)
		}
	}
	for i := 0; len(out) < r.Quorum || i < 2*len(r.Kinds); i++ {
		add(r.Kinds[i%len(r.Kinds)])
	}
	return out
}

// playRound runs a definition from proposal to review and returns the states
// that it passed.
func playRound(t testing.TB, d *protocol.Definition) []protocol.State {
	t.Helper()
	var a protocol.Activation
	var states []protocol.State
	at := start
	do := func(who access.Actor, act protocol.Action) {
		t.Helper()
		at = at.Add(time.Second)
		events, err := protocol.Step(d, a, act, who, at)
		if err != nil {
			t.Fatalf("%s: %s: %v", d.ID, act.Verb, err)
		}
		for _, e := range events {
			a = protocol.Apply(a, e)
			if n := len(states); n == 0 || states[n-1] != a.State {
				states = append(states, a.State)
			}
		}
	}
	vs := voters(d, d.Authority.Activate)
	var called []protocol.Participant
	for _, v := range vs {
		called = append(called, protocol.Participant{ID: v.Partner, Kind: v.Kind})
	}
	do(vs[0], protocol.Action{Verb: protocol.Propose, Level: d.Levels[0].ID, Reason: "test", Partners: called})
	for _, v := range vs[1:] {
		if a.State == protocol.Voting {
			do(v, protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes})
		}
	}
	if a.State != protocol.Active {
		t.Fatalf("%s: everybody voted yes and it is %s: %+v", d.ID, a.State, a.Tally(d))
	}
	do(vs[0], protocol.Action{Verb: protocol.PostUpdate})
	var answers []protocol.Answer
	for _, q := range d.StandDown.Ask {
		answers = append(answers, protocol.Answer{ID: q.ID, Answer: "yes"})
	}
	vs = voters(d, d.Authority.StandDown)
	do(vs[0], protocol.Action{Verb: protocol.ProposeStandDown, Answers: answers})
	for _, v := range vs[1:] {
		if a.State == protocol.Active {
			do(v, protocol.Action{Verb: protocol.VoteStandDown, Vote: protocol.VoteYes})
		}
	}
	do(vs[0], protocol.Action{Verb: protocol.Conclude, Reason: "all is settled"})
	answers = nil
	for _, q := range d.AfterAction.Questions {
		answers = append(answers, protocol.Answer{ID: q.ID, Answer: "written down"})
	}
	do(vs[0], protocol.Action{Verb: protocol.FileReview, Answers: answers})
	return states
}
