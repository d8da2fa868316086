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
	var events []Event
	for {
		e, ok := next(d, a)
		if !ok || e.At.After(at) {
			return events
		}
		events = append(events, e)
		a = Apply(a, e)
	}
}

// NextDue returns when Tick will next have something to say, or the zero time
// if only people can change the state. It may lie in the past if Tick has not
// run since.
func NextDue(d *Definition, a Activation) time.Time {
	e, ok := next(d, a)
	if !ok {
		return time.Time{}
	}
	return e.At
}

// next returns the event that time will bring about first. Of several at the
// same instant, it is the one that was looked at first here: duties before
// the ends of phases, so that nothing that was due is lost with its phase.
func next(d *Definition, a Activation) (Event, bool) {
	var best Event
	found := false
	offer := func(at time.Time, make func() Event) {
		if at.IsZero() || (found && !at.Before(best.At)) {
			return
		}
		best, found = make(), true
		best.At = at
		best.By = By{System: true}
		best.Protocol, best.Version, best.Round = a.Protocol, a.Version, a.Round
	}
	for i := range a.Clocks {
		offerClock(d, a, &a.Clocks[i], offer)
	}
	for i := range a.Tasks {
		t := &a.Tasks[i]
		if t.Open() && !t.Overdue {
			offer(t.Due, func() Event {
				return Event{Type: EvTaskOverdue, Task: t.ID, Partner: t.Partner, Due: t.Due, Clause: taskClause(*t)}
			})
		}
	}
	switch a.State {
	case Active:
		if a.StandDown != nil {
			offer(a.StandDown.Closes, func() Event {
				return Event{Type: EvStandDownRefused, Clause: "authority.stand_down.vote_open", Reason: "the vote closed without a quorum"}
			})
		}
		offer(a.Sunset, func() Event {
			return d.enter(a, a.Sunset, Event{Type: EvStandingDown, Cause: CauseSunset, Clause: d.sunsetClause(), Reason: "nobody renewed it"})
		})
	case Provisional:
		offer(a.ProvisionalUntil, func() Event {
			return d.enter(a, a.ProvisionalUntil, Event{Type: EvLapsed, Clause: "authority.emergency.confirm_within", Reason: "not confirmed in time"})
		})
	case Voting:
		offer(a.Closes, func() Event {
			return Event{Type: EvDeclined, Clause: "authority.activate.vote_open", Reason: "the vote closed without a quorum"}
		})
	case StandingDown:
		if a.StandingDownCause == CauseSunset {
			end := a.StandingDownSince.Add(GraceAfterSunset)
			offer(end, func() Event {
				return d.enter(a, end, Event{Type: EvConcluded, Clause: d.sunsetClause(), Reason: "nobody answered the sunset within 24 hours"})
			})
		}
	}
	return best, found
}

// offerClock offers the next step of one clock: of its escalation, or that it
// is overdue, with the period that follows it if it repeats.
func offerClock(d *Definition, a Activation, c *ClockState, offer func(time.Time, func() Event)) {
	if !c.Running() {
		return
	}
	clause := "clocks." + c.ID
	if i := slices.IndexFunc(c.Escalate, func(s Escalated) bool { return !s.Done }); i >= 0 {
		s := c.Escalate[i]
		offer(s.At, func() Event {
			return Event{Type: EvClockEscalated, Clock: c.ID, Partner: c.Partner, To: s.To, Due: c.Due, Clause: clause}
		})
	}
	if c.Overdue || c.OnExpiry == ExpiryStandDown {
		return // the sunset is the state's own
	}
	offer(c.Due, func() Event {
		if c.OnExpiry == ExpiryConclude {
			return d.enter(a, c.Due, Event{Type: EvConcluded, Clause: clause, Reason: "the time to wind down is over"})
		}
		e := Event{Type: EvClockOverdue, Clock: c.ID, Partner: c.Partner, Due: c.Due, Clause: clause}
		if c.Repeats > 0 {
			e.Clocks = []ClockState{c.again(c.Due)}
		}
		return e
	})
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
