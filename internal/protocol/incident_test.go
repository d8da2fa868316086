package protocol_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func TestIncident(t *testing.T) {
	d := lookup(t, "sea-crp")
	var s protocol.IncidentState
	do := func(who access.Actor, at int, act protocol.IncidentAction, want ...string) {
		t.Helper()
		events, err := protocol.StepIncident(d, s, act, who, minute(at))
		if err != nil {
			t.Fatalf("%s: %v", act.Verb, err)
		}
		var got []string
		for _, e := range events {
			got = append(got, e.Type)
			s = protocol.ApplyIncident(s, e)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", act.Verb, diff)
		}
	}
	do(lensa, 3, protocol.IncidentAction{Verb: protocol.Notify, MoreExpected: protocol.Yes}, protocol.EvNotified, protocol.EvThreatToLife)
	if s.Phase != protocol.Notified || s.Threat != protocol.ThreatHighUnspecific {
		t.Fatalf("%+v", s)
	}
	do(nusa, 5, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("real_world_attack", "yes", "threat_to_life", "high_specific")}, protocol.EvAssessed, protocol.EvThreatToLife)
	do(nusa, 6, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("threat_to_life", "high_specific")}, protocol.EvAssessed)
	do(amanah, 7, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("real_world_attack", "unknown", "threat_to_life", "medium")}, protocol.EvAssessed)
	do(nusa, 8, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("threat_to_life", "high_unspecific")}, protocol.EvAssessed, protocol.EvThreatToLife)
	if s.Phase != protocol.Assessing || len(s.Answers) != 2 || s.Answers[0].By.Partner != "amanah" || s.Answers[0].Answer != "unknown" || s.Answers[0].At.IsZero() {
		t.Fatalf("%+v", s)
	}
	r := newRun(t, "sea-crp")
	r.activate()
	open, ok := protocol.OpenedByActivation(s, protocol.Event{Type: protocol.EvActivated, At: minute(11)})
	if s = protocol.ApplyIncident(s, open); !ok || s.Phase != protocol.Open {
		t.Fatalf("%+v", s)
	}
	if _, ok := protocol.OpenedByActivation(s, protocol.Event{Type: protocol.EvConfirmed}); ok {
		t.Error("opened twice")
	}
	_, err := protocol.StepIncident(d, s, protocol.IncidentAction{Verb: protocol.CloseIncident, Reason: "over", Running: []string{"sea-crp", "cc-crp"}}, nusa, minute(20))
	if want := "still running on this incident: sea-crp, cc-crp; stand down and conclude first"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	do(nusa, 700, protocol.IncidentAction{Verb: protocol.CloseIncident, Reason: "over"}, protocol.EvClosed)
	do(nusa, 800, protocol.IncidentAction{Verb: protocol.ReopenIncident, Reason: "a second video"}, protocol.EvReopened)
	if s.Phase != protocol.Open || s.Reopened != 1 || !s.Closed.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestIncidentRefusals(t *testing.T) {
	d := lookup(t, "sea-crp")
	notified := protocol.IncidentState{Phase: protocol.Notified}
	for _, c := range []struct {
		name   string
		s      protocol.IncidentState
		who    access.Actor
		do     protocol.IncidentAction
		kind   problem.Kind
		want   string
		allows []string
	}{
		{"by nobody", notified, access.Actor{}, protocol.IncidentAction{Verb: protocol.Assess}, problem.SignIn, "this needs a partner's member; sign in", nil},
		{
			"twice", notified, nusa, protocol.IncidentAction{Verb: protocol.Notify}, problem.Conflict,
			"the incident is notified, which does not allow to notify it; allowed now: assess, open, close", []string{"assess", "open", "close"},
		},
		{
			"close by an observer", notified, amanah, protocol.IncidentAction{Verb: protocol.CloseIncident, Reason: "no"}, problem.Denied,
			"under sea-crp, partners of kind government, intergovernmental or platform may close incidents; yours is civil_society; ask a duty contact of such a partner to do it", nil,
		},
		{"close without a reason", notified, nusa, protocol.IncidentAction{Verb: protocol.CloseIncident}, problem.Invalid, "reason: Enter why, in one sentence. It is kept in the journal and shown in the review; correct the fields and send again", nil},
		{"assess nothing", notified, nusa, protocol.IncidentAction{Verb: protocol.Assess}, problem.Invalid, "answers: Answer at least one question; unknown is an answer; correct the fields and send again", nil},
		{"misspelt criterion", notified, nusa, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("real_word_attack", "yes")}, problem.Invalid, `answers.real_word_attack: sea-crp does not ask "real_word_attack"; did you mean real_world_attack?; correct the fields and send again`, nil},
		{"not an answer", notified, nusa, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("spread", "yes")}, problem.Invalid, "answers.spread: Answer one_service, several_services, viral or unknown; correct the fields and send again", nil},
		{"twice in one", notified, nusa, protocol.IncidentAction{Verb: protocol.Assess, Answers: answers("spread", "viral", "spread", "unknown")}, problem.Invalid, "answers.spread: Answer it once; correct the fields and send again", nil},
		{"without evidence", notified, nusa, protocol.IncidentAction{Verb: protocol.Assess, Answers: []protocol.Answer{{ID: "spread", Answer: "viral"}}}, problem.Invalid, "answers.spread: Enter what the answer rests on, or answer unknown; correct the fields and send again", nil},
		{"made-up verb", notified, nusa, protocol.IncidentAction{Verb: "merge"}, problem.Invalid, `"merge" is not something that can be done to an incident; use notify, assess, open, close or reopen`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := protocol.StepIncident(d, c.s, c.do, c.who, start)
			if err == nil {
				t.Fatal("was done")
			}
			if problem.KindOf(err) != c.kind || err.Error() != c.want {
				t.Errorf("\n got %s: %s\nwant %s: %s", problem.KindOf(err), err, c.kind, c.want)
			}
			if diff := cmp.Diff(c.allows, err.(*problem.Error).Allows); diff != "" {
				t.Errorf("allows (-want +got):\n%s", diff)
			}
		})
	}
}
