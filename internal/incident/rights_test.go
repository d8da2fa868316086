package incident_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func (w *together) size(t *testing.T) int64 {
	t.Helper()
	h, err := w.Log.Head(t.Context())
	ok(t, err)
	return h.Size
}

// TestDenied asks for every step as those who have no right to it: each role
// without it, each kind of partner without it, a token without the scope, a
// person whose proof of presence has passed. Nothing is written.
func TestDenied(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	ctx := t.Context()
	type step struct {
		name  string
		right access.Action
		do    func(by access.Actor) error
	}
	no := false
	steps := []step{
		{"notify", access.Notify, func(by access.Actor) error {
			_, err := w.Incidents.Notify(ctx, by, incident.Notice{Description: "x", Country: "ID", Exercise: &no})
			return err
		}},
		{"assess", access.Assess, func(by access.Actor) error {
			_, err := w.Incidents.Assess(ctx, by, w.id, "", []incident.Answer{{Criterion: "real_world_attack", Answer: "yes"}})
			return err
		}},
		{"close", access.Assess, func(by access.Actor) error { _, err := w.Incidents.Close(ctx, by, w.id, "x"); return err }},
		{"reopen", access.Assess, func(by access.Actor) error { _, err := w.Incidents.Reopen(ctx, by, w.id, "x"); return err }},
		{"update", access.PostUpdate, func(by access.Actor) error {
			_, err := w.Incidents.PostUpdate(ctx, by, w.id, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": "x", "id": "x"}})
			return err
		}},
	}
	for _, v := range protocol.Verbs() {
		if v == protocol.PostUpdate || v == protocol.HandOver {
			continue // done in other ways
		}
		steps = append(steps, step{string(v), incident.RightFor(v), func(by access.Actor) error {
			_, err := w.Incidents.Act(ctx, by, w.id, "sea-crp", protocol.Action{Verb: v, Level: "crisis", Vote: protocol.VoteYes, Reason: "x", Task: "t", Clock: "c"})
			return err
		}})
	}
	before := w.size(t)
	asked := 0
	refused := func(what string, err error, kind problem.Kind) {
		t.Helper()
		asked++
		p, isProblem := errors.AsType[*problem.Error](err)
		if !isProblem || p.Kind != kind || p.Detail == "" || p.Fix == "" {
			t.Errorf("%s: %v, want %s with a fix", what, err, kind)
		}
	}
	for _, s := range steps {
		for _, r := range access.Roles() {
			by := w.nusa
			by.Roles = []access.Role{r}
			if access.Allow(by, s.right, w.now) != nil {
				refused(s.name+" as "+string(r), s.do(by), problem.Denied)
			}
		}
		for _, kind := range []access.PartnerKind{access.CivilSociety, access.Research} {
			by := w.warga
			by.Kind = kind
			if access.Allow(by, s.right, w.now) != nil {
				refused(s.name+" by "+string(kind), s.do(by), problem.Denied)
			}
		}
		token := w.nusa
		token.Token, token.Scopes, token.StepUp, token.For = "t1", []access.TokenScope{access.ScopeRead}, time.Time{}, ""
		refused(s.name+" with a token that reads", s.do(token), problem.Denied)
		refused(s.name+" by nobody", s.do(access.Actor{}), problem.SignIn)
		stale := w.nusa
		stale.StepUp = w.now.Add(-time.Second)
		if problem.KindOf(access.Allow(stale, s.right, w.now)) == problem.StepUp {
			refused(s.name+" without a proof of presence", s.do(stale), problem.StepUp)
		}
		if s.name != "notify" {
			by := w.warga // sees no incident of this audience
			if access.Allow(by, s.right, w.now) == nil {
				refused(s.name+" by one who does not see it", s.do(by), problem.NotFound)
			}
		}
	}
	if asked < 150 {
		t.Errorf("only %d refusals were asked for", asked)
	}
	if after := w.size(t); after != before {
		t.Errorf("%d entries were written", after-before)
	}
}

// TestVotes wants one vote a partner, within the time, by those who decide.
func TestVotes(t *testing.T) {
	w := newTogether(t)
	ctx := t.Context()
	vote := func(by access.Actor, v protocol.VoteValue) error {
		_, err := w.Incidents.Act(ctx, by, w.id, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: v, Reason: "x"})
		return err
	}
	refused := func(what string, err error, says string) {
		t.Helper()
		p, isProblem := errors.AsType[*problem.Error](err)
		if !isProblem || p.Kind != problem.Conflict || !strings.Contains(p.Detail, says) || p.Fix == "" {
			t.Errorf("%s: %v, want a conflict that says %q", what, err, says)
		}
	}
	refused("a vote before there is one", vote(w.nusa, protocol.VoteYes), "")
	_, err := w.Incidents.Act(ctx, w.nusa, w.id, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"})
	ok(t, err)
	before := w.size(t)
	refused("a vote by the proposer, whose proposal is its yes", vote(w.nusa, protocol.VoteYes), "already voted yes")
	refused("a vote by its colleague", vote(w.colleague, protocol.VoteYes), "already voted yes")
	_, err = w.Incidents.Act(ctx, w.lensa, w.id, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"})
	refused("a second proposal", err, "already")
	if after := w.size(t); after != before {
		t.Errorf("refused votes wrote %d entries", after-before)
	}
	inc, err := w.Incidents.Get(ctx, w.nusa, w.id)
	ok(t, err)
	w.now = inc.Activations["sea-crp"].Closes.Add(time.Second)
	before = w.size(t)
	refused("a vote after closing", vote(w.lensa, protocol.VoteYes), "voting closed")
	if after := w.size(t); after != before {
		t.Errorf("a late vote wrote %d entries", after-before)
	}

	// Once a quorum has decided, nobody votes any more.
	w = newTogether(t)
	w.activate(t)
	refused("a vote on what is active", vote(w.lensa, protocol.VoteYes), "already active")
}

// TestRefusalsOfferWhatIsAllowed wants a refused step to name those steps alone
// that this member may take now.
func TestRefusalsOfferWhatIsAllowed(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	ctx := t.Context()
	offered := func(err error) []string {
		t.Helper()
		p, isProblem := errors.AsType[*problem.Error](err)
		if !isProblem || p.Kind != problem.Conflict {
			t.Fatalf("%v, want a conflict", err)
		}
		return p.Allows
	}
	_, err := w.Incidents.Close(ctx, w.nusa, w.id, "done")
	if got := offered(err); !slices.Equal(got, []string{"assess"}) {
		t.Errorf("closing what runs offers %q, want assess alone", got)
	}
	_, err = w.Incidents.Reopen(ctx, w.nusa, w.id, "again")
	if got := offered(err); !slices.Equal(got, []string{"assess"}) || !strings.HasSuffix(err.Error(), "allowed now: assess") {
		t.Errorf("reopening what is open offers %q: %v", got, err)
	}

	// An analyst's token may do tasks; it neither votes nor leads.
	propose := func(by access.Actor) error {
		_, err := w.Incidents.Act(ctx, by, w.id, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "x"})
		return err
	}
	all := offered(propose(w.nusa))
	for _, step := range []string{string(protocol.Renew), string(protocol.ProposeStandDown)} {
		if !slices.Contains(all, step) {
			t.Errorf("an officer is offered %q, without %s", all, step)
		}
	}
	report := func(ctx context.Context, by access.Actor) error {
		_, err := w.Incidents.Act(ctx, by, w.id, "sea-crp", protocol.Action{Verb: protocol.ReportTask, Task: "nothing", Progress: "done"})
		return err
	}
	token := w.lensa
	token.Token, token.Scopes, token.Roles = "t1", []access.TokenScope{access.ScopeRead, access.ScopePropose}, []access.Role{access.Analyst, access.Officer}
	err = report(ctx, token)
	if p, isProblem := errors.AsType[*problem.Error](err); isProblem && p.Kind == problem.Conflict {
		for _, step := range p.Allows {
			if err := access.Allow(token, incident.RightFor(protocol.Verb(step)), w.now); err != nil {
				t.Errorf("a token is offered %s: %v", step, err)
			}
		}
		if len(p.Allows) >= len(all) {
			t.Errorf("a token that may not decide is offered %q, an officer %q", p.Allows, all)
		}
	} else {
		t.Errorf("a task that is not there: %v, want a conflict", err)
	}

	// When nothing runs any more, closing is offered and taken.
	w = newTogether(t)
	_, err = w.Incidents.Reopen(ctx, w.nusa, w.id, "again")
	if got := offered(err); !slices.Equal(got, []string{"assess", "close"}) {
		t.Errorf("a notified incident offers %q, want assess and close", got)
	}
	_, err = w.Incidents.Close(ctx, w.nusa, w.id, "nothing in it")
	ok(t, err)
	_, err = w.Incidents.Close(ctx, w.nusa, w.id, "once more")
	if got := offered(err); !slices.Equal(got, []string{"reopen"}) {
		t.Errorf("a closed incident offers %q, want reopen", got)
	}
}
