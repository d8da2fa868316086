package protocol

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
)

// State is where an activation stands. The zero value means that nothing was
// proposed yet.
type State string

// The states of an activation.
const (
	None         State = ""
	Voting       State = "voting"
	Declined     State = "declined"
	Provisional  State = "provisional"
	Active       State = "active"
	StandingDown State = "standing_down"
	Concluded    State = "concluded"
	Reviewed     State = "reviewed"
)

// States lists the states in the order in which a whole run passes them.
func States() []State {
	return []State{Voting, Declined, Provisional, Active, StandingDown, Concluded, Reviewed}
}

// Running reports whether people are still needed: a vote, an activation or
// its winding down goes on.
func (s State) Running() bool {
	return s == Voting || s == Provisional || s == Active || s == StandingDown
}

// By is who acted. System is true for what time brought about; then the rest
// is empty.
type By struct {
	Partner string             `json:"partner,omitempty"`
	Kind    access.PartnerKind `json:"kind,omitempty"`
	Member  string             `json:"member,omitempty"`
	System  bool               `json:"system,omitempty"`
}

func byActor(a access.Actor) By { return By{Partner: a.Partner, Kind: a.Kind, Member: a.Member} }

// Participant is a partner that takes part in the activation.
type Participant struct {
	ID   string             `json:"id"`
	Kind access.PartnerKind `json:"kind"`
}

// VoteValue is what a partner voted.
type VoteValue string

// The values of a vote.
const (
	VoteYes     VoteValue = "yes"
	VoteNo      VoteValue = "no"
	VoteAbstain VoteValue = "abstain"
)

// VoteValues lists the values of a vote.
func VoteValues() []VoteValue { return []VoteValue{VoteYes, VoteNo, VoteAbstain} }

// Vote is a partner's vote. A partner has one, whoever of its members cast it.
type Vote struct {
	Partner string             `json:"partner"`
	Kind    access.PartnerKind `json:"kind"`
	Member  string             `json:"member,omitempty"`
	Vote    VoteValue          `json:"vote"`
	Reason  string             `json:"reason,omitempty"`
	At      time.Time          `json:"at"`
}

// Answer answers a criterion or a question.
type Answer struct {
	ID       string    `json:"id"`
	Answer   string    `json:"answer"`             // yes, no, unknown, a choice's ID, or words
	Evidence string    `json:"evidence,omitempty"` // what it rests on
	By       By        `json:"by,omitzero"`
	At       time.Time `json:"at,omitzero"`
}

// Escalated is one step of a running clock's escalation.
type Escalated struct {
	At   time.Time `json:"at"` // when it is due
	To   string    `json:"to"`
	Done bool      `json:"done,omitempty"`
}

// ClockState is a clock that runs, was met, or was stopped because its phase
// ended. Each period of a repeating clock is one.
type ClockState struct {
	ID       string      `json:"id"`
	Partner  string      `json:"partner,omitempty"` // whose it is, when it is each partner's own
	By       Who         `json:"by"`
	MetBy    string      `json:"met_by"`
	Period   int         `json:"period"` // from 1
	Started  time.Time   `json:"started"`
	Due      time.Time   `json:"due"`
	Repeats  Duration    `json:"repeats,omitempty"`
	OnExpiry string      `json:"on_expiry,omitempty"`
	Escalate []Escalated `json:"escalate,omitempty"`
	Overdue  bool        `json:"overdue,omitempty"` // it became due unmet
	Met      time.Time   `json:"met,omitzero"`
	MetWho   By          `json:"met_who,omitzero"`
	Stopped  time.Time   `json:"stopped,omitzero"` // not needed any more
}

// Running reports whether the clock still waits for somebody.
func (c ClockState) Running() bool { return c.Met.IsZero() && c.Stopped.IsZero() }

// TaskProgress is how far a task is.
type TaskProgress string

// The progress of a task.
const (
	TaskAsked         TaskProgress = "asked"
	TaskDoing         TaskProgress = "doing"
	TaskDone          TaskProgress = "done"
	TaskNotApplicable TaskProgress = "not_applicable"
)

func taskReports() []TaskProgress {
	return []TaskProgress{TaskDoing, TaskDone, TaskNotApplicable}
}

// TaskState is one task asked of one partner, or of the lead or the authority.
type TaskState struct {
	ID       string       `json:"id"`
	Partner  string       `json:"partner,omitempty"`
	By       Who          `json:"by"`
	Phase    State        `json:"phase"`
	Asked    time.Time    `json:"asked"`
	Due      time.Time    `json:"due,omitzero"`
	Progress TaskProgress `json:"progress"`
	Overdue  bool         `json:"overdue,omitempty"`
	Note     string       `json:"note,omitempty"`
	Who      By           `json:"who,omitzero"` // who reported last
	At       time.Time    `json:"at,omitzero"`  // when
	Stopped  time.Time    `json:"stopped,omitzero"`
}

// Open reports whether the task still waits for somebody.
func (t TaskState) Open() bool {
	return t.Stopped.IsZero() && (t.Progress == TaskAsked || t.Progress == TaskDoing)
}

// StandDownVote is an open proposal to stand down.
type StandDownVote struct {
	Proposer By        `json:"proposer"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
	Closes   time.Time `json:"closes"`
	Answers  []Answer  `json:"answers"`
	Votes    []Vote    `json:"votes"`
}

// Renewal is one renewal of the activation.
type Renewal struct {
	At     time.Time `json:"at"`
	Sunset time.Time `json:"sunset"` // the new end
	Votes  []Vote    `json:"votes"`
}

// Decision is one use of authority, for the decision log.
type Decision struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // type of the event
	By     By        `json:"by"`
	Clause string    `json:"clause"`
	Why    string    `json:"why,omitempty"`
}

// Round is an earlier run of the same protocol on the same incident.
type Round struct {
	Round       int       `json:"round"`
	Version     string    `json:"version"`
	State       State     `json:"state"` // in which it ended
	Proposed    time.Time `json:"proposed"`
	ActiveSince time.Time `json:"active_since,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
	Why         string    `json:"why,omitempty"`
}

// Activation is one protocol's run on one incident: a fold of its events.
// The zero value is the state before the first proposal. It is a value: Apply
// returns another and leaves what it was given as it was.
type Activation struct {
	Protocol string `json:"protocol"`
	Version  string `json:"version"`
	Hash     string `json:"hash"`  // of the definition that this round began with
	Round    int    `json:"round"` // from 1; a new vote after the end begins another
	State    State  `json:"state"`
	Level    string `json:"level"`

	Proposer Participant   `json:"proposer"`
	Member   string        `json:"member,omitempty"` // who proposed
	Proposed time.Time     `json:"proposed"`
	Reason   string        `json:"reason,omitempty"` // for the proposal
	Lead     string        `json:"lead"`             // partner that leads
	Partners []Participant `json:"partners"`         // who was called, in that order
	Closes   time.Time     `json:"closes,omitzero"`  // of the vote
	Votes    []Vote        `json:"votes"`

	Emergency        Participant `json:"emergency,omitzero"`         // who used emergency authority last
	ProvisionalSince time.Time   `json:"provisional_since,omitzero"` //
	ProvisionalUntil time.Time   `json:"provisional_until,omitzero"` //
	EmergencyUsed    bool        `json:"emergency_used,omitempty"`   // until a quorum activates

	ActiveSince  time.Time      `json:"active_since,omitzero"`
	Sunset       time.Time      `json:"sunset,omitzero"`
	RenewalVotes []Vote         `json:"renewal_votes,omitempty"` // since the last renewal
	Renewals     []Renewal      `json:"renewals,omitempty"`
	LastUpdate   time.Time      `json:"last_update,omitzero"`
	StandDown    *StandDownVote `json:"stand_down,omitempty"` // the open or the decisive one

	StandingDownSince time.Time `json:"standing_down_since,omitzero"`
	StandingDownCause string    `json:"standing_down_cause,omitempty"` // CauseVote or CauseSunset
	ConcludedAt       time.Time `json:"concluded_at,omitzero"`
	ReviewedAt        time.Time `json:"reviewed_at,omitzero"`
	Review            []Answer  `json:"review,omitempty"`
	EndReason         string    `json:"end_reason,omitempty"` // why declined or concluded

	Clocks    []ClockState `json:"clocks,omitempty"`
	Tasks     []TaskState  `json:"tasks,omitempty"`
	Decisions []Decision   `json:"decisions,omitempty"`
	Past      []Round      `json:"past,omitempty"`
}

// Why an activation stands down.
const (
	CauseVote   = "vote"
	CauseSunset = "sunset"
)

// GraceAfterSunset is how long signals outlive a sunset that nobody answered;
// then the activation concludes by itself.
const GraceAfterSunset = 24 * time.Hour

// The types of an activation's events.
const (
	EvProposed          = "activation.proposed"
	EvVoted             = "activation.voted"
	EvVoteChanged       = "activation.vote_changed"
	EvActivated         = "activation.activated"
	EvDeclined          = "activation.declined"
	EvProvisional       = "activation.provisional"
	EvConfirmed         = "activation.confirmed"
	EvLapsed            = "activation.lapsed"
	EvCalled            = "activation.called"
	EvLevelChanged      = "activation.level_changed"
	EvHandedOver        = "activation.handed_over"
	EvAcknowledged      = "activation.acknowledged"
	EvUpdated           = "activation.updated"
	EvRenewalVoted      = "activation.renewal_voted"
	EvRenewed           = "activation.renewed"
	EvStandDownProposed = "activation.stand_down_proposed"
	EvStandDownVoted    = "activation.stand_down_voted"
	EvStandDownRefused  = "activation.stand_down_refused"
	EvStandingDown      = "activation.standing_down"
	EvConcluded         = "activation.concluded"
	EvReviewed          = "activation.reviewed"
	EvClockEscalated    = "clock.escalated"
	EvClockOverdue      = "clock.overdue"
	EvClockMet          = "clock.met"
	EvTaskReported      = "task.reported"
	EvTaskOverdue       = "task.overdue"
)

// EventTypes lists the types of an activation's events.
func EventTypes() []string {
	return []string{
		EvProposed, EvVoted, EvVoteChanged, EvActivated, EvDeclined, EvProvisional, EvConfirmed, EvLapsed,
		EvCalled, EvLevelChanged, EvHandedOver, EvAcknowledged, EvUpdated, EvRenewalVoted, EvRenewed,
		EvStandDownProposed, EvStandDownVoted, EvStandDownRefused, EvStandingDown, EvConcluded, EvReviewed,
		EvClockEscalated, EvClockOverdue, EvClockMet, EvTaskReported, EvTaskOverdue,
	}
}

// Event is something that happened to an activation. Its JSON is the body of
// a journal entry of the type Type. Which of the optional fields are set
// depends on the type; readers ignore those that they do not know.
type Event struct {
	Type   string    `json:"-"`      // the journal entry's type
	At     time.Time `json:"at"`     // when it took effect; for what time brought about, when it was due
	By     By        `json:"by"`     // who
	Clause string    `json:"clause"` // of the definition that allowed it, such as "authority.activate"
	Reason string    `json:"reason,omitempty"`

	Protocol string        `json:"protocol"`
	Version  string        `json:"version"`
	Hash     string        `json:"hash,omitempty"`     // proposed
	Round    int           `json:"round"`              //
	Level    string        `json:"level,omitempty"`    // proposed, level_changed
	Vote     VoteValue     `json:"vote,omitempty"`     // the three kinds of votes
	Closes   time.Time     `json:"closes,omitzero"`    // proposed, provisional, stand_down_proposed: end of the vote
	Until    time.Time     `json:"until,omitzero"`     // provisional
	Sunset   time.Time     `json:"sunset,omitzero"`    // activated, confirmed, renewed
	Partners []Participant `json:"partners,omitempty"` // proposed, called
	Lead     string        `json:"lead,omitempty"`     // handed_over
	Answers  []Answer      `json:"answers,omitempty"`  // stand_down_proposed, reviewed
	Cause    string        `json:"cause,omitempty"`    // standing_down

	Clock    string       `json:"clock,omitempty"`    // the clock events
	Task     string       `json:"task,omitempty"`     // the task events
	Partner  string       `json:"partner,omitempty"`  // whose clock or task, if one partner's
	Due      time.Time    `json:"due,omitzero"`       // overdue, escalated: when the clock or task was due
	To       string       `json:"to,omitempty"`       // escalated: to whom
	Progress TaskProgress `json:"progress,omitempty"` // task.reported

	Clocks []ClockState `json:"clocks,omitempty"` // that began to run with this event
	Tasks  []TaskState  `json:"tasks,omitempty"`  // that are asked from this event on
}

// Under returns the authority that the event used, as a journal entry says
// it: "sea-crp@1.0.0 authority.activate".
func (e Event) Under() string { return e.Protocol + "@" + e.Version + " " + e.Clause }

// Apply folds an event into the state. It never fails: an event of a type that
// it does not know, made by a newer node, changes nothing.
func Apply(a Activation, e Event) Activation { return a.apply(e, false) }

// apply is Apply. If own, the slices of clocks and tasks are the callee's to
// change in place; a fold of many events copies them once.
func (a Activation) apply(e Event, own bool) Activation {
	switch e.Type {
	case EvProposed:
		a = a.begin(e)
	case EvVoted, EvVoteChanged:
		a.Votes = castVote(a.Votes, e)
		a.Clocks = meet(a.Clocks, own, e, func(c *ClockState) bool { return c.MetBy == ByVote && c.Partner == e.By.Partner })
	case EvProvisional:
		a.State = Provisional
		a.Emergency = Participant{ID: e.By.Partner, Kind: e.By.Kind}
		a.EmergencyUsed = true
		a.ProvisionalSince, a.ProvisionalUntil, a.Closes = e.At, e.Until, e.Closes
		a.stopAll(e.At, own)
	case EvLapsed:
		a.State = Voting
		a.ProvisionalUntil = time.Time{}
		a.stopAll(e.At, own)
	case EvDeclined:
		a.State, a.EndReason = Declined, e.Reason
		a.stopAll(e.At, own)
	case EvActivated, EvConfirmed:
		a.State = Active
		a.ActiveSince, a.Sunset = e.At, e.Sunset
		a.ProvisionalUntil, a.EmergencyUsed = time.Time{}, false
		a.stopAll(e.At, own)
	case EvCalled:
		a.Partners = addPartners(a.Partners, e.Partners)
	case EvLevelChanged:
		a.Level = e.Level
	case EvHandedOver:
		a.Lead = e.Lead
	case EvAcknowledged:
		a.Clocks = meet(a.Clocks, own, e, func(c *ClockState) bool { return c.MetBy == ByAcknowledgement && c.Partner == e.By.Partner })
	case EvUpdated:
		a.LastUpdate = e.At
		a.Clocks = meet(a.Clocks, own, e, metBy(ByUpdate))
	case EvRenewalVoted:
		a.RenewalVotes = castVote(a.RenewalVotes, e)
	case EvRenewed:
		a.renew(e, own)
	case EvStandDownProposed:
		a.StandDown = &StandDownVote{Proposer: e.By, Reason: e.Reason, At: e.At, Closes: e.Closes, Answers: e.Answers}
	case EvStandDownVoted:
		if a.StandDown != nil {
			v := *a.StandDown
			v.Votes = castVote(v.Votes, e)
			a.StandDown = &v
		}
	case EvStandDownRefused:
		a.StandDown = nil
	case EvStandingDown:
		a.State, a.StandingDownSince, a.StandingDownCause = StandingDown, e.At, e.Cause
		a.RenewalVotes = nil
		if e.Cause == CauseSunset {
			a.StandDown = nil
			a.Clocks = changeClocks(a.Clocks, own, metBy(ByRenewal), func(c *ClockState) { c.Overdue = true })
		}
		a.stopAll(e.At, own)
	case EvConcluded:
		a.State, a.ConcludedAt, a.EndReason = Concluded, e.At, e.Reason
		a.RenewalVotes = nil
		if e.By.System {
			a.Clocks = changeClocks(a.Clocks, own, metBy(ByConclusion), func(c *ClockState) { c.Overdue = true })
		} else {
			a.Clocks = meet(a.Clocks, own, e, metBy(ByConclusion))
		}
		a.stopAll(e.At, own)
	case EvReviewed:
		a.State, a.ReviewedAt, a.Review = Reviewed, e.At, e.Answers
		a.Clocks = meet(a.Clocks, own, e, metBy(ByReview))
		a.stopAll(e.At, own)
	case EvClockEscalated:
		a.Clocks = escalated(a.Clocks, own, e)
	case EvClockOverdue:
		a.Clocks = changeClocks(a.Clocks, own, e.isClock, func(c *ClockState) { c.Overdue = true })
	case EvClockMet:
		a.Clocks = meet(a.Clocks, own, e, e.isClock)
	case EvTaskReported:
		a.Tasks = changeTasks(a.Tasks, own, e.isTask, func(t *TaskState) {
			t.Progress, t.Note, t.Who, t.At = e.Progress, e.Reason, e.By, e.At
		})
	case EvTaskOverdue:
		a.Tasks = changeTasks(a.Tasks, own, e.isTask, func(t *TaskState) { t.Overdue = true })
	default:
		return a
	}
	a.start(e, own)
	if usesAuthority(e.Type) {
		a.Decisions = append(slices.Clip(a.Decisions), Decision{At: e.At, What: e.Type, By: e.By, Clause: e.Clause, Why: e.Reason})
	}
	return a
}

// Fold applies the events in order.
func Fold(a Activation, events ...Event) Activation {
	if len(events) < 2 {
		for _, e := range events {
			a = Apply(a, e)
		}
		return a
	}
	a = a.owned()
	for _, e := range events {
		a = a.apply(e, true)
	}
	return a
}

// owned returns the state with clocks and tasks of its own.
func (a Activation) owned() Activation {
	a.Clocks, a.Tasks = slices.Clone(a.Clocks), slices.Clone(a.Tasks)
	return a
}

// usesAuthority reports whether the event belongs into the decision log.
func usesAuthority(typ string) bool {
	switch typ {
	case EvAcknowledged, EvUpdated, EvCalled, EvClockEscalated, EvClockOverdue, EvClockMet, EvTaskReported, EvTaskOverdue:
		return false
	}
	return true
}

// begin starts a round and keeps what is worth keeping of the one before.
func (a Activation) begin(e Event) Activation {
	past := slices.Clip(a.Past)
	if a.State != None {
		r := Round{Round: a.Round, Version: a.Version, State: a.State, Proposed: a.Proposed, ActiveSince: a.ActiveSince, Ended: a.ConcludedAt, Why: a.EndReason}
		if a.State == Declined && len(a.Decisions) > 0 {
			r.Ended = a.Decisions[len(a.Decisions)-1].At
		}
		past = append(past, r)
	}
	by := Participant{ID: e.By.Partner, Kind: e.By.Kind}
	return Activation{
		Protocol: e.Protocol, Version: e.Version, Hash: e.Hash, Round: e.Round,
		State: Voting, Level: e.Level,
		Proposer: by, Member: e.By.Member, Proposed: e.At, Reason: e.Reason, Lead: by.ID,
		Partners: addPartners([]Participant{by}, e.Partners), Closes: e.Closes,
		EmergencyUsed: a.EmergencyUsed,
		Decisions:     a.Decisions, Past: past,
	}
}

func (a *Activation) renew(e Event, own bool) {
	a.Renewals = append(slices.Clip(a.Renewals), Renewal{At: e.At, Sunset: e.Sunset, Votes: a.RenewalVotes})
	a.RenewalVotes, a.Sunset = nil, e.Sunset
	if a.State == StandingDown {
		a.State, a.StandDown = Active, nil
		a.StandingDownSince, a.StandingDownCause = time.Time{}, ""
		a.stopAll(e.At, own)
		return
	}
	a.Clocks = meet(a.Clocks, own, e, metBy(ByRenewal))
}

// stopAll ends what the phase that ends was waiting for.
func (a *Activation) stopAll(at time.Time, own bool) {
	a.Clocks = changeClocks(a.Clocks, own, func(*ClockState) bool { return true }, func(c *ClockState) { c.Stopped = at })
	a.Tasks = changeTasks(a.Tasks, own, func(t *TaskState) bool { return t.Open() }, func(t *TaskState) { t.Stopped = at })
}

// start adds what begins with the event. A clock that runs already is stopped
// in favour of its successor.
func (a *Activation) start(e Event, own bool) {
	for i := range e.Clocks {
		n := &e.Clocks[i]
		a.Clocks = changeClocks(a.Clocks, own, func(c *ClockState) bool { return c.ID == n.ID && c.Partner == n.Partner },
			func(c *ClockState) { c.Stopped = e.At })
	}
	if !own { // what others hold may not see what is appended
		a.Clocks, a.Tasks = slices.Clip(a.Clocks), slices.Clip(a.Tasks)
	}
	a.Clocks = append(a.Clocks, e.Clocks...)
	a.Tasks = append(a.Tasks, e.Tasks...)
}

func (e *Event) isClock(c *ClockState) bool { return c.ID == e.Clock && c.Partner == e.Partner }
func (e *Event) isTask(t *TaskState) bool {
	return t.Open() && t.ID == e.Task && t.Partner == e.Partner
}

// changeClocks returns the clocks with change made to each running one that
// which picks: in place if own, else in a copy.
func changeClocks(clocks []ClockState, own bool, which func(*ClockState) bool, change func(*ClockState)) []ClockState {
	for i := range clocks {
		if c := &clocks[i]; !c.Running() || !which(c) {
			continue
		}
		if !own {
			clocks, own = slices.Clone(clocks), true
		}
		change(&clocks[i])
	}
	return clocks
}

func changeTasks(tasks []TaskState, own bool, which func(*TaskState) bool, change func(*TaskState)) []TaskState {
	for i := range tasks {
		if !which(&tasks[i]) {
			continue
		}
		if !own {
			tasks, own = slices.Clone(tasks), true
		}
		change(&tasks[i])
	}
	return tasks
}

func metBy(what string) func(*ClockState) bool {
	return func(c *ClockState) bool { return c.MetBy == what }
}

func meet(clocks []ClockState, own bool, e Event, which func(*ClockState) bool) []ClockState {
	return changeClocks(clocks, own, which, func(c *ClockState) { c.Met, c.MetWho = e.At, e.By })
}

// escalated marks the first step that was not taken yet.
func escalated(clocks []ClockState, own bool, e Event) []ClockState {
	return changeClocks(clocks, own, e.isClock, func(c *ClockState) {
		c.Escalate = slices.Clone(c.Escalate)
		if i := c.nextStep(); i >= 0 {
			c.Escalate[i].Done = true
		}
	})
}

// nextStep returns the index of the step of escalation that comes next, or -1.
func (c *ClockState) nextStep() int {
	for i := range c.Escalate {
		if !c.Escalate[i].Done {
			return i
		}
	}
	return -1
}

// castVote adds the partner's vote or replaces the one it had.
func castVote(votes []Vote, e Event) []Vote {
	v := Vote{Partner: e.By.Partner, Kind: e.By.Kind, Member: e.By.Member, Vote: e.Vote, Reason: e.Reason, At: e.At}
	if i := slices.IndexFunc(votes, func(o Vote) bool { return o.Partner == v.Partner }); i >= 0 {
		votes = slices.Clone(votes)
		votes[i] = v
		return votes
	}
	return append(slices.Clip(votes), v)
}

func addPartners(have, more []Participant) []Participant {
	have = slices.Clip(have)
	for _, p := range more {
		if !slices.ContainsFunc(have, func(h Participant) bool { return h.ID == p.ID }) {
			have = append(have, p)
		}
	}
	return have
}
