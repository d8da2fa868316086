package protocol

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
)

// Ask is one thing that the activation waits for from an actor's partner.
type Ask struct {
	Do      Action    `json:"do"`              // the action that answers it, to be completed
	Since   time.Time `json:"since"`           // asked
	Due     time.Time `json:"due,omitzero"`    // zero: no deadline
	Overdue bool      `json:"overdue"`         //
	Title   Text      `json:"title,omitempty"` // of the clock, or the words of the task; nil for votes and ends
}

// Asks returns what is asked of the actor's partner at this time, the nearest
// deadline first and what has none last. A vote that the partner has cast, a
// clock that it has met and a task that it has done are not asked any more.
func Asks(d *Definition, a Activation, who access.Actor, at time.Time) []Ask {
	if who.Partner == "" {
		return nil
	}
	at = at.UTC().Truncate(time.Millisecond)
	_, a = advance(d, a, at)
	s := stepper{d: d, a: a, who: who, at: at}
	var out []Ask
	add := func(do Action, since, due time.Time, title Text) {
		if s.stateAllows(do.Verb) && s.authority(do.Verb) == nil {
			out = append(out, Ask{Do: do, Since: since, Due: due, Overdue: !due.IsZero() && !at.Before(due), Title: title})
		}
	}
	voted := func(votes []Vote) bool { return slices.ContainsFunc(votes, s.mine) }
	for _, c := range s.a.Clocks {
		if !c.Running() || !c.By.asks(d, s.a, c.Partner, who) {
			continue
		}
		ck, _ := d.Clock(c.ID)
		switch c.MetBy {
		case ByAcknowledgement:
			add(Action{Verb: Acknowledge, Clock: c.ID}, c.Started, c.Due, ck.Title)
		case ByUpdate:
			add(Action{Verb: PostUpdate, Clock: c.ID}, c.Started, c.Due, ck.Title)
		case ByReport:
			add(Action{Verb: MeetClock, Clock: c.ID}, c.Started, c.Due, ck.Title)
		case ByConclusion:
			add(Action{Verb: Conclude, Clock: c.ID}, c.Started, c.Due, ck.Title)
		case ByReview:
			add(Action{Verb: FileReview, Clock: c.ID}, c.Started, c.Due, nil)
		case ByRenewal:
			// Asked from the first step of its escalation on; before that the
			// end is far away.
			soon := len(c.Escalate) == 0 || !at.Before(c.Escalate[0].At)
			if soon && !voted(s.a.RenewalVotes) {
				add(Action{Verb: Renew, Clock: c.ID}, c.Started, c.Due, ck.Title)
			}
		}
	}
	if !voted(s.a.Votes) {
		add(Action{Verb: CastVote}, s.a.Proposed, s.a.Closes, nil)
	}
	if s.a.StandDown != nil && !voted(s.a.StandDown.Votes) {
		add(Action{Verb: VoteStandDown}, s.a.StandDown.At, s.a.StandDown.Closes, nil)
	}
	for _, t := range s.a.Tasks {
		if t.Open() && t.By.asks(d, s.a, t.Partner, who) {
			task, _ := d.Task(t.ID)
			add(Action{Verb: ReportTask, Task: t.ID}, t.Asked, t.Due, task.Ask)
		}
	}
	slices.SortStableFunc(out, func(x, y Ask) int {
		switch {
		case x.Due.IsZero() == y.Due.IsZero():
			return x.Due.Compare(y.Due)
		case x.Due.IsZero():
			return 1
		}
		return -1
	})
	return out
}
