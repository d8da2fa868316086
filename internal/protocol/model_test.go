package protocol_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// model is the plain telling of an activation that the engine is held against:
// a few maps and instants, no events, no clauses, no duties.
type model struct {
	d          *protocol.Definition
	state      protocol.State
	proposer   string
	closes     time.Time
	votes      map[string]ballot
	emergency  string
	until      time.Time
	used       bool // emergency authority
	sunset     time.Time
	renewal    map[string]ballot
	first      string // of the renewal votes
	ending     map[string]ballot
	endCloses  time.Time
	downSince  time.Time
	downSunset bool
}

type ballot struct {
	kind access.PartnerKind
	vote protocol.VoteValue
}

// quorum counts in the plainest way.
func (m *model) quorum(r protocol.Rule, votes map[string]ballot, strict bool, proposer string) bool {
	var yes []string
	perKind := map[access.PartnerKind]int{}
	for partner, b := range votes {
		if b.vote == protocol.VoteYes && slices.Contains(r.Kinds, b.kind) {
			yes = append(yes, partner)
			perKind[b.kind]++
		}
	}
	if len(yes) < r.Quorum {
		return false
	}
	for k, n := range r.AtLeast {
		if perKind[k] < n {
			return false
		}
	}
	if !strict {
		return true
	}
	if len(yes) == 1 && yes[0] == proposer {
		return false
	}
	if m.d.Signals.AtMost != protocol.Block {
		return true
	}
	return len(perKind) >= 2 && len(yes) > perKind[access.Government]
}

func (m *model) advance(t time.Time) {
	for {
		switch m.state {
		case protocol.Provisional:
			if !t.Before(m.until) {
				m.state = protocol.Voting
				continue
			}
		case protocol.Voting:
			if !t.Before(m.closes) {
				m.state = protocol.Declined
			}
		case protocol.Active:
			if m.ending != nil && !m.sunset.Before(m.endCloses) && !t.Before(m.endCloses) {
				m.ending = nil
				continue
			}
			if !t.Before(m.sunset) {
				m.down(m.sunset, true)
				continue
			}
		case protocol.StandingDown:
			end := time.Time{}
			for _, c := range m.d.Clocks {
				if c.OnExpiry == protocol.ExpiryConclude {
					end = m.downSince.Add(c.Due.Std())
				}
			}
			if grace := m.downSince.Add(24 * time.Hour); m.downSunset && (end.IsZero() || grace.Before(end)) {
				end = grace
			}
			if !end.IsZero() && !t.Before(end) {
				m.state = protocol.Concluded
			}
		}
		return
	}
}

func (m *model) down(at time.Time, sunset bool) {
	m.state, m.downSince, m.downSunset, m.renewal, m.ending = protocol.StandingDown, at, sunset, nil, nil
}

func (m *model) tryActivate(at time.Time) {
	if m.quorum(m.d.Authority.Activate, m.votes, true, m.proposer) {
		m.state, m.used, m.sunset = protocol.Active, false, at.Add(m.d.Sunset())
		m.renewal, m.ending = nil, nil
	}
}

// cast records a vote; a partner's second equal vote is refused.
func cast(votes map[string]ballot, who access.Actor, v protocol.VoteValue) bool {
	if old, ok := votes[who.Partner]; ok && old.vote == v {
		return false
	}
	votes[who.Partner] = ballot{who.Kind, v}
	return true
}

// act returns the kind of problem that the engine must answer with, or "".
func (m *model) act(do protocol.Action, who access.Actor, at time.Time) problem.Kind {
	au := m.d.Authority
	ended := slices.Contains([]protocol.State{protocol.None, protocol.Declined, protocol.Concluded, protocol.Reviewed}, m.state)
	may := func(kinds []access.PartnerKind) bool { return slices.Contains(kinds, who.Kind) }
	switch do.Verb {
	case protocol.Propose:
		if !may(au.Activate.Kinds) {
			return problem.Denied
		}
		if !ended {
			return problem.Conflict
		}
		m.begin(who, at.Add(au.Activate.VoteOpen.Std()))
		cast(m.votes, who, protocol.VoteYes)
		m.tryActivate(at)
	case protocol.UseEmergency:
		if au.Emergency == nil || !may(au.Emergency.Kinds) {
			return problem.Denied
		}
		if m.used || !(ended || m.state == protocol.Voting) {
			return problem.Conflict
		}
		until := at.Add(au.Emergency.ConfirmWithin.Std())
		if ended {
			m.begin(who, until)
		}
		if until.After(m.closes) {
			m.closes = until
		}
		m.state, m.until, m.emergency, m.used = protocol.Provisional, until, who.Partner, true
		if _, voted := m.votes[who.Partner]; !voted && may(au.Activate.Kinds) {
			cast(m.votes, who, protocol.VoteYes)
			m.tryActivate(at)
		}
	case protocol.CastVote:
		if !may(au.Activate.Kinds) {
			return problem.Denied
		}
		if m.state != protocol.Voting && m.state != protocol.Provisional {
			return problem.Conflict
		}
		if !cast(m.votes, who, do.Vote) {
			return problem.Conflict
		}
		m.tryActivate(at)
	case protocol.EndEmergency:
		if m.state == protocol.Provisional && who.Partner != m.emergency {
			return problem.Denied
		}
		if m.state != protocol.Provisional {
			return problem.Conflict
		}
		m.state = protocol.Voting
		m.advance(at)
	case protocol.WithdrawProposal:
		voting := m.state == protocol.Voting || m.state == protocol.Provisional
		if voting && who.Partner != m.proposer {
			return problem.Denied
		}
		for partner, b := range m.votes {
			if partner != m.proposer && b.vote == protocol.VoteYes {
				voting = false
			}
		}
		if !voting || (m.state == protocol.Provisional && m.emergency != m.proposer) {
			return problem.Conflict
		}
		m.state = protocol.Declined
	case protocol.Renew:
		if !may(au.Renew.Kinds) {
			return problem.Denied
		}
		if m.state != protocol.Active && m.state != protocol.StandingDown {
			return problem.Conflict
		}
		if len(m.renewal) == 0 {
			m.renewal, m.first = map[string]ballot{}, who.Partner
		}
		if !cast(m.renewal, who, do.Vote) {
			return problem.Conflict
		}
		if m.quorum(au.Renew, m.renewal, true, m.first) {
			if m.state == protocol.StandingDown {
				m.ending = nil
			}
			m.state, m.sunset, m.renewal = protocol.Active, at.Add(m.d.Sunset()), nil
		}
	case protocol.ProposeStandDown, protocol.VoteStandDown:
		if !may(au.StandDown.Kinds) {
			return problem.Denied
		}
		proposes := do.Verb == protocol.ProposeStandDown
		if m.state != protocol.Active || proposes != (m.ending == nil) {
			return problem.Conflict
		}
		vote := do.Vote
		if proposes {
			m.ending, m.endCloses, vote = map[string]ballot{}, at.Add(au.StandDown.VoteOpen.Std()), protocol.VoteYes
		}
		if !cast(m.ending, who, vote) {
			return problem.Conflict
		}
		if m.quorum(au.StandDown, m.ending, false, "") {
			m.down(at, false)
		}
	case protocol.Conclude:
		if m.state != protocol.None && who.Partner != m.lead() && !may(au.StandDown.Kinds) || m.state == protocol.None && !may(au.StandDown.Kinds) {
			return problem.Denied
		}
		if m.state != protocol.StandingDown {
			return problem.Conflict
		}
		m.state = protocol.Concluded
	}
	return ""
}

func (m *model) lead() string { return m.proposer }

func (m *model) begin(who access.Actor, closes time.Time) {
	used := m.used
	*m = model{d: m.d, state: protocol.Voting, proposer: who.Partner, closes: closes, votes: map[string]ballot{}, used: used}
}

var cast_ = []access.Actor{
	actor("nusa", access.Government), actor("tasman", access.Government), actor("dana", access.Government),
	actor("lensa", access.Platform), actor("gema", access.Platform), actor("suara", access.Platform),
	actor("sekretariat", access.Intergovernmental), actor("amanah", access.CivilSociety),
}

// drawDefinition draws a built-in definition, or the minimal one with another
// quorum, among them such as the checks would refuse: the engine must hold
// even if a definition came from elsewhere.
func drawDefinition(t *rapid.T, whole *protocol.Definition) *protocol.Definition {
	all := protocol.Builtin()
	if i := rapid.IntRange(0, 2*len(all)-1).Draw(t, "definition"); i < len(all) {
		return all[i]
	}
	d := *whole
	rule := func(name string) protocol.Rule {
		r := protocol.Rule{
			Quorum:   rapid.IntRange(1, 3).Draw(t, name+" quorum"),
			Kinds:    rapid.SampledFrom([][]access.PartnerKind{{access.Government}, {access.Platform}, {access.Government, access.Platform}, {access.Government, access.Platform, access.Intergovernmental}}).Draw(t, name+" kinds"),
			VoteOpen: protocol.Duration(rapid.IntRange(1, 90).Draw(t, name+" minutes")) * protocol.Duration(time.Minute),
		}
		if rapid.Bool().Draw(t, name+" at least") {
			r.AtLeast = map[access.PartnerKind]int{rapid.SampledFrom(r.Kinds).Draw(t, name+" kind"): rapid.IntRange(1, 2).Draw(t, name+" least")}
		}
		return r
	}
	d.Authority.Activate, d.Authority.Renew, d.Authority.StandDown = rule("activate"), rule("renew"), rule("stand down")
	d.Signals.AtMost = rapid.SampledFrom([]protocol.SignalAction{protocol.Block, protocol.Review}).Draw(t, "at most")
	return &d
}

func drawAction(t *rapid.T, d *protocol.Definition) protocol.Action {
	do := protocol.Action{
		Verb: rapid.SampledFrom([]protocol.Verb{
			protocol.CastVote, protocol.CastVote, protocol.CastVote, protocol.Propose, protocol.Propose, protocol.UseEmergency,
			protocol.EndEmergency, protocol.WithdrawProposal, protocol.Renew, protocol.ProposeStandDown, protocol.VoteStandDown,
			protocol.Conclude, protocol.PostUpdate,
		}).Draw(t, "verb"),
		Vote:   rapid.SampledFrom([]protocol.VoteValue{protocol.VoteYes, protocol.VoteYes, protocol.VoteYes, protocol.VoteNo, protocol.VoteAbstain}).Draw(t, "vote"),
		Reason: "test", Level: d.Levels[0].ID,
	}
	for _, q := range d.StandDown.Ask {
		do.Answers = append(do.Answers, protocol.Answer{ID: q.ID, Answer: "yes"})
	}
	if do.Verb == protocol.Propose || do.Verb == protocol.UseEmergency {
		for _, who := range cast_ {
			do.Partners = append(do.Partners, protocol.Participant{ID: who.Partner, Kind: who.Kind})
		}
	}
	return do
}

// drawPause draws how much time passes: mostly minutes, sometimes exactly to
// the next instant that matters, or a millisecond before it.
func drawPause(t *rapid.T, d *protocol.Definition, a protocol.Activation, at time.Time) time.Time {
	next := protocol.NextDue(d, a)
	switch rapid.IntRange(0, 9).Draw(t, "pause") {
	case 0:
		return at
	case 1:
		if next.After(at) {
			return next
		}
	case 2:
		if next.After(at) {
			return next.Add(-time.Millisecond)
		}
	case 3:
		return at.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "hours")) * time.Hour)
	}
	return at.Add(time.Duration(rapid.IntRange(1, 20*60).Draw(t, "seconds")) * time.Second)
}

// TestAgainstModel runs random partners, actions and pauses through the engine
// and the model side by side. It holds the promises of the package comment:
// active only by a quorum, each partner counted once, never the proposer's
// alone; provisional never blocks; time acts the same however often Tick runs;
// a refusal lists what is allowed.
func TestAgainstModel(t *testing.T) {
	whole, mistakes := protocol.Parse([]byte(minimal(t)))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	seen := map[protocol.State]int{}
	rapid.Check(t, func(t *rapid.T) {
		d := drawDefinition(t, whole)
		m := &model{d: d}
		var often, seldom protocol.Activation // ticked at every pause, and never by itself
		at := start
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			then := drawPause(t, d, often, at)
			for range rapid.IntRange(0, 3).Draw(t, "ticks") { // on the way
				at = at.Add(then.Sub(at) / 2)
				often = protocol.Fold(often, protocol.Tick(d, often, at)...)
			}
			at = then.Truncate(time.Millisecond)
			often = protocol.Fold(often, protocol.Tick(d, often, at)...)
			m.advance(at)

			do, who := drawAction(t, d), rapid.SampledFrom(cast_).Draw(t, "who")
			who.Member = fmt.Sprintf("%s-%d", who.Partner, rapid.IntRange(1, 2).Draw(t, "member"))
			frozen := mustJSON(t, often)
			allowed := protocol.Allowed(d, often, who, at)
			events, err := protocol.Step(d, often, do, who, at)
			lateEvents, lateErr := protocol.Step(d, seldom, do, who, at)
			if string(frozen) != string(mustJSON(t, often)) {
				t.Fatal("Step changed the state that it was given")
			}
			if do.Verb != protocol.PostUpdate {
				if want, got := m.act(do, who, at), problem.KindOf(err); want != got {
					t.Fatalf("%s by %s in %q: model says %q, engine %q (%v)", do.Verb, who.Partner, often.State, want, got, err)
				}
			}
			if problem.KindOf(err) != problem.KindOf(lateErr) {
				t.Fatalf("with ticks %v, without %v", err, lateErr)
			}
			if err != nil {
				checkRefusal(t, err, allowed)
			} else {
				said := mustJSON(t, events)
				protocol.Fold(often, events...)
				if string(frozen) != string(mustJSON(t, often)) || string(said) != string(mustJSON(t, events)) {
					t.Fatal("Fold changed what it was given")
				}
				if !slices.ContainsFunc(allowed, func(x protocol.Action) bool { return x.Verb == do.Verb }) {
					t.Fatalf("%s was done and was not allowed: %v", do.Verb, allowed)
				}
				often = foldThroughJSON(t, often, events)
				seldom = protocol.Fold(seldom, lateEvents...)
				if diff := cmp.Diff(often, protocol.Fold(seldom, protocol.Tick(d, seldom, at)...)); diff != "" {
					t.Fatalf("it matters how often Tick ran (-often +seldom):\n%s", diff)
				}
			}
			check(t, d, m, often, at)
			seen[often.State]++
		}
	})
	for _, s := range protocol.States() {
		if s != protocol.Reviewed && seen[s] == 0 {
			t.Errorf("no run reached %s: %v", s, seen)
		}
	}
}

// check holds the state against the model and against what is always true.
func check(t *rapid.T, d *protocol.Definition, m *model, a protocol.Activation, at time.Time) {
	t.Helper()
	if a.State != m.state {
		t.Fatalf("state %q, the model says %q", a.State, m.state)
	}
	if a.State == protocol.Active && !a.Sunset.Equal(m.sunset) {
		t.Fatalf("sunset %v, the model says %v", a.Sunset, m.sunset)
	}
	for i, v := range a.Votes {
		if slices.ContainsFunc(a.Votes[i+1:], func(o protocol.Vote) bool { return o.Partner == v.Partner }) {
			t.Fatalf("%s has two votes", v.Partner)
		}
		if m.votes[v.Partner].vote != v.Vote {
			t.Fatalf("%s voted %s, counted as %s", v.Partner, m.votes[v.Partner].vote, v.Vote)
		}
	}
	if more := protocol.Tick(d, a, at); len(more) > 0 {
		t.Fatalf("a second tick at the same time says %v", types(more))
	}
	if next := protocol.NextDue(d, a); !next.IsZero() {
		if !next.After(at) {
			t.Fatalf("next is due at %v, it is %v", next, at)
		}
		if early := protocol.Tick(d, a, next.Add(-time.Millisecond)); len(early) > 0 {
			t.Fatalf("due at %v, came before: %v", next, types(early))
		}
		if len(protocol.Tick(d, a, next)) == 0 {
			t.Fatal("nothing came when it was due")
		}
	}
	c := protocol.MaxAction([]protocol.Run{{Definition: d, Activation: a}}, protocol.SignalCase{Approved: true}, at)
	if mayBlock := m.state == protocol.Active && d.Signals.AtMost == protocol.Block; (c.Others == protocol.Block) != mayBlock {
		t.Fatalf("state %s, a new signal may %s", m.state, c.Others)
	}
}

// checkRefusal holds that a Conflict lists what Allowed says.
func checkRefusal(t *rapid.T, err error, allowed []protocol.Action) {
	t.Helper()
	p := err.(*problem.Error)
	if p.Detail == "" || p.Fix == "" || strings.HasSuffix(p.Detail, ".") {
		t.Fatalf("not a sentence and a fix: %q, %q", p.Detail, p.Fix)
	}
	if p.Kind != problem.Conflict {
		return
	}
	var want []string
	for _, a := range allowed {
		if !slices.Contains(want, string(a.Verb)) {
			want = append(want, string(a.Verb))
		}
	}
	if diff := cmp.Diff(want, p.Allows); diff != "" {
		t.Fatalf("%v allows (-Allowed +Allows):\n%s", err, diff)
	}
}

func mustJSON(t interface{ Fatal(...any) }, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// foldThroughJSON folds the events as a journal keeps them, and compares.
func foldThroughJSON(t *rapid.T, a protocol.Activation, events []protocol.Event) protocol.Activation {
	t.Helper()
	var stored protocol.Activation
	if err := json.Unmarshal(mustJSON(t, a), &stored); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		back := protocol.Event{Type: e.Type}
		if err := json.Unmarshal(mustJSON(t, e), &back); err != nil {
			t.Fatal(err)
		}
		a, stored = protocol.Apply(a, e), protocol.Apply(stored, back)
	}
	if x, y := mustJSON(t, a), mustJSON(t, stored); string(x) != string(y) {
		t.Fatalf("folded in memory and from the journal differ:\n%s", cmp.Diff(string(x), string(y)))
	}
	return a
}
