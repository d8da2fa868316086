package protocol

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
)

// Tick returns what time alone has brought about until at, in order: votes
// that closed, emergency authority that ran out, clocks and tasks that became
// due, steps of escalation, the sunset. Each event carries the instant at
// which it was due. It is idempotent: with its events folded in, a second call
// with the same time returns nothing, and many calls return together what one
// call would have.
//
// How much it can return is bounded by the definition: a repeating clock's
// period is at least minRepeat and an activation ends at its sunset.
func Tick(d *Definition, a Activation, at time.Time) []Event {
	events, _ := advance(d, a, at)
	return events
}

// advance is Tick with the state that results.
func advance(d *Definition, a Activation, at time.Time) ([]Event, Activation) {
	var events []Event
	for {
		due := next(&a)
		if due.what == nothing || due.at.After(at) {
			return events, a
		}
		if events == nil {
			a = a.owned()
		}
		e := due.event(d, a)
		events = append(events, e)
		a = a.apply(e, true)
	}
}

// NextDue returns when Tick will next have something to say, or the zero time
// if only people can change the state. It may lie in the past if Tick has not
// run since.
func NextDue(_ *Definition, a Activation) time.Time { return next(&a).at }

// due is the next thing that time will bring about. Of several at the same
// instant it is the least what, then the first in the state: duties before the
// ends of phases, so that nothing that was due is lost with its phase.
type due struct {
	at   time.Time
	what int
	i    int // of the clock or task
}

const (
	escalation = iota + 1
	clockOverdue
	taskOverdue
	standDownRefused
	lapse
	decline
	sunset
	conclusion
	nothing
)

// next looks at everything that runs. It allocates nothing.
func next(a *Activation) due {
	best := due{what: nothing}
	offer := func(at time.Time, what, i int) {
		if at.IsZero() || best.what != nothing && (at.After(best.at) || at.Equal(best.at) && what >= best.what) {
			return
		}
		best = due{at, what, i}
	}
	for i := range a.Clocks {
		c := &a.Clocks[i]
		if !c.Running() {
			continue
		}
		if s := c.nextStep(); s >= 0 {
			offer(c.Escalate[s].At, escalation, i)
		}
		if !c.Overdue && c.OnExpiry == "" {
			offer(c.Due, clockOverdue, i)
		}
	}
	for i := range a.Tasks {
		if t := &a.Tasks[i]; t.Open() && !t.Overdue {
			offer(t.Due, taskOverdue, i)
		}
	}
	if end := nextPhase(a); end.what != nothing {
		offer(end.at, end.what, end.i)
	}
	return best
}

// nextPhase is next among the ends of phases and of votes alone.
func nextPhase(a *Activation) due {
	switch a.State {
	case Voting:
		return due{a.Closes, decline, 0}
	case Provisional:
		return due{a.ProvisionalUntil, lapse, 0}
	case Active:
		if v := a.StandDown; v != nil && !v.Closes.After(a.Sunset) {
			return due{v.Closes, standDownRefused, 0}
		}
		return due{a.Sunset, sunset, 0}
	case StandingDown:
		best := due{what: nothing}
		if a.StandingDownCause == CauseSunset {
			best = due{a.StandingDownSince.Add(GraceAfterSunset), conclusion, -1}
		}
		for i := range a.Clocks {
			if c := &a.Clocks[i]; c.Running() && c.OnExpiry == ExpiryConclude && (best.what == nothing || !c.Due.After(best.at)) {
				best = due{c.Due, conclusion, i}
			}
		}
		return best
	}
	return due{what: nothing}
}

// event writes down what the next thing is.
func (n due) event(d *Definition, a Activation) Event {
	e := Event{At: n.at, By: By{System: true}, Protocol: a.Protocol, Version: a.Version, Round: a.Round}
	switch n.what {
	case escalation:
		c := a.Clocks[n.i]
		e.Type, e.Clause, e.To = EvClockEscalated, "clocks."+c.ID, c.Escalate[c.nextStep()].To
		e.Clock, e.Partner, e.Due = c.ID, c.Partner, c.Due
	case clockOverdue:
		c := a.Clocks[n.i]
		e.Type, e.Clause = EvClockOverdue, "clocks."+c.ID
		e.Clock, e.Partner, e.Due = c.ID, c.Partner, c.Due
		if c.Repeats > 0 {
			e.Clocks = []ClockState{c.again(c.Due)}
		}
	case taskOverdue:
		t := a.Tasks[n.i]
		e.Type, e.Clause = EvTaskOverdue, taskClause(t)
		e.Task, e.Partner, e.Due = t.ID, t.Partner, t.Due
	case standDownRefused:
		e.Type, e.Clause, e.Reason = EvStandDownRefused, "authority.stand_down.vote_open", "the vote closed without a quorum"
	case lapse:
		e.Type, e.Clause, e.Reason = EvLapsed, "authority.emergency.confirm_within", "not confirmed in time"
	case decline:
		e.Type, e.Clause, e.Reason = EvDeclined, "authority.activate.vote_open", "the vote closed without a quorum"
	case sunset:
		e.Type, e.Clause, e.Reason, e.Cause = EvStandingDown, d.sunsetClause(), "nobody renewed it", CauseSunset
	case conclusion:
		e.Type, e.Clause, e.Reason = EvConcluded, d.sunsetClause(), "nobody answered the sunset within 24 hours"
		if n.i >= 0 {
			e.Clause, e.Reason = "clocks."+a.Clocks[n.i].ID, "the time to wind down is over"
		}
	}
	return d.enter(a, n.at, e)
}

// again returns the clock's next period.
func (c ClockState) again(from time.Time) ClockState {
	shift := from.Sub(c.Started)
	n := c
	n.Period++
	n.Started, n.Due = from, from.Add(c.Repeats.Std())
	n.Escalate = nil
	for _, s := range c.Escalate {
		n.Escalate = append(n.Escalate, Escalated{At: s.At.Add(shift), To: s.To})
	}
	n.Overdue, n.Met, n.MetWho, n.Stopped = false, time.Time{}, By{}, time.Time{}
	return n
}

func (d *Definition) sunsetClause() string {
	for _, c := range d.Clocks {
		if c.OnExpiry == ExpiryStandDown {
			return "clocks." + c.ID
		}
	}
	return "clocks"
}

func taskClause(t TaskState) string { return "tasks." + string(t.Phase) + "." + t.ID }

// enter completes the event that brings the activation into another phase at
// an instant with the clocks that begin to run and the tasks that are asked.
func (d *Definition) enter(a Activation, at time.Time, e Event) Event {
	var start string
	var phase State
	switch e.Type {
	case EvProposed, EvLapsed:
		start, phase = AtProposed, Voting
		if e.Type == EvLapsed {
			start = "" // the vote goes on; what it asked for was asked when it began
			phase = None
		}
	case EvProvisional:
		start, phase = AtProvisional, Provisional
	case EvActivated, EvConfirmed:
		start, phase = AtActivated, Active
		e.Sunset = at.Add(d.Sunset())
	case EvRenewed:
		if a.State == StandingDown {
			start, phase = AtActivated, Active
		}
	case EvStandingDown:
		start, phase = AtStandingDown, StandingDown
	case EvConcluded:
		start, phase = AtConcluded, Concluded
	case EvUpdated:
		start = AtLastUpdate
	}
	partners := a.Partners
	if e.Type == EvProposed {
		partners = addPartners([]Participant{{ID: e.By.Partner, Kind: e.By.Kind}}, e.Partners)
	}
	if start == "" && phase == None {
		return e
	}
	for _, c := range d.clocksAt(start, at, partners) {
		voted := slices.ContainsFunc(a.Votes, func(v Vote) bool { return v.Partner == c.Partner })
		if c.MetBy == ByVote && e.Type == EvProvisional && voted {
			continue // it need not say so again
		}
		e.Clocks = append(e.Clocks, c)
	}
	e.Tasks = append(e.Tasks, d.tasksAt(phase, at, partners)...)
	return e
}

// called completes the event that adds partners with what is asked of them
// from now on: what runs already for the others.
func (d *Definition) called(a Activation, at time.Time, e Event) Event {
	var start string
	switch a.State {
	case Voting:
		start = AtProposed
	case Provisional:
		start = AtProvisional
	case Active:
		start = AtActivated
	case StandingDown:
		start = AtStandingDown
	}
	for _, c := range d.clocksAt(start, at, e.Partners) {
		voted := slices.ContainsFunc(a.Votes, func(v Vote) bool { return v.Partner == c.Partner })
		if c.Partner != "" && (c.MetBy != ByVote || !voted) {
			e.Clocks = append(e.Clocks, c)
		}
	}
	for _, t := range d.tasksAt(a.State, at, e.Partners) {
		if t.Partner != "" {
			e.Tasks = append(e.Tasks, t)
		}
	}
	return e
}

// afterActionClock is the duty to review, which every definition has.
const afterActionClock = "after_action"

func (d *Definition) clocksAt(start string, at time.Time, partners []Participant) []ClockState {
	var out []ClockState
	add := func(c Clock) {
		for _, p := range c.By.partners(partners) {
			s := ClockState{
				ID: c.ID, Partner: p, By: c.By, MetBy: c.MetBy, Period: 1,
				Started: at, Due: at.Add(c.Due.Std()), OnExpiry: c.OnExpiry,
			}
			if c.Repeats {
				s.Repeats = c.Due
			}
			for _, x := range c.Escalate {
				s.Escalate = append(s.Escalate, Escalated{At: at.Add(x.After.Std()), To: x.To})
			}
			out = append(out, s)
		}
	}
	if start == "" {
		return nil
	}
	for _, c := range d.Clocks {
		if c.Starts == start {
			add(c)
		}
	}
	if start == AtConcluded {
		add(Clock{ID: afterActionClock, Due: d.AfterAction.Due, By: Who{Role: TheLead}, MetBy: ByReview})
	}
	return out
}

func (d *Definition) tasksAt(phase State, at time.Time, partners []Participant) []TaskState {
	var out []TaskState
	for _, t := range d.tasksIn(phase) {
		for _, p := range t.By.partners(partners) {
			s := TaskState{ID: t.ID, Partner: p, By: t.By, Phase: phase, Asked: at, Progress: TaskAsked}
			if t.Due > 0 {
				s.Due = at.Add(t.Due.Std())
			}
			out = append(out, s)
		}
	}
	return out
}

// partners returns whose own the clock or task is: each partner that is asked
// by itself, or "" when it is the lead's or the authority's together.
func (w Who) partners(called []Participant) []string {
	if w.Role == TheLead || w.Role == TheAuthority {
		return []string{""}
	}
	var out []string
	for _, p := range called {
		if w.Role == EveryPartner || slices.Contains(w.Kinds, p.Kind) {
			out = append(out, p.ID)
		}
	}
	return out
}

// asks reports whether the actor's partner is the one who is asked.
func (w Who) asks(d *Definition, a Activation, partner string, who access.Actor) bool {
	switch {
	case partner != "":
		return partner == who.Partner
	case w.Role == TheLead:
		return a.Lead == who.Partner
	case w.Role == TheAuthority:
		return slices.Contains(d.Authority.Activate.Kinds, who.Kind)
	}
	return false
}
