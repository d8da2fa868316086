package protocol

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Verb is what somebody does to an activation.
type Verb string

// The verbs, and the fields of Action that each reads besides Reason.
const (
	Propose          Verb = "propose"            // Level, Partners; counts as the partner's yes
	UseEmergency     Verb = "use_emergency"      // Level, Partners if nothing was proposed yet
	CastVote         Verb = "vote"               // Vote
	EndEmergency     Verb = "end_emergency"      // before its time
	WithdrawProposal Verb = "withdraw_proposal"  //
	CallPartners     Verb = "call_partners"      // Partners
	SetLevel         Verb = "set_level"          // Level
	HandOver         Verb = "hand_over"          // To
	Acknowledge      Verb = "acknowledge"        //
	PostUpdate       Verb = "post_update"        // a situation update went out
	MeetClock        Verb = "meet_clock"         // Clock, Reason as a note
	ReportTask       Verb = "report_task"        // Task, Progress, Reason as a note
	Renew            Verb = "renew"              // Vote; yes if empty
	ProposeStandDown Verb = "propose_stand_down" // Answers; counts as the partner's yes
	VoteStandDown    Verb = "vote_stand_down"    // Vote
	Conclude         Verb = "conclude"           //
	FileReview       Verb = "file_review"        // Answers
)

// Verbs lists the verbs.
func Verbs() []Verb {
	return []Verb{
		Propose, UseEmergency, CastVote, EndEmergency, WithdrawProposal, CallPartners, SetLevel, HandOver,
		Acknowledge, PostUpdate, MeetClock, ReportTask, Renew, ProposeStandDown, VoteStandDown, Conclude, FileReview,
	}
}

// Action is one thing that somebody wants to do.
type Action struct {
	Verb     Verb          `json:"verb"`
	Reason   string        `json:"reason,omitempty"`
	Level    string        `json:"level,omitempty"`
	Vote     VoteValue     `json:"vote,omitempty"`
	Partners []Participant `json:"partners,omitempty"` // whom to call
	To       string        `json:"to,omitempty"`       // ID of the partner that shall lead
	Clock    string        `json:"clock,omitempty"`
	Task     string        `json:"task,omitempty"`
	Progress TaskProgress  `json:"progress,omitempty"`
	Answers  []Answer      `json:"answers,omitempty"`

	// AlsoActive names protocols that are active on the same incident, for
	// the sentence that refuses a late vote. It has no effect.
	AlsoActive []string `json:"-"`
}

// Step returns the events that the action makes from the state, in order: what
// time had brought about until then (as Tick says), what the actor did, and
// what followed from it, such as an activation by the vote that completes the
// quorum. Nothing has happened until the caller has stored them all.
//
// Otherwise it returns a problem: SignIn for nobody, Denied if the protocol
// does not give the actor's partner the authority, Conflict if the state does
// not allow the action (Allows then lists what the actor may do instead), and
// Invalid if the action's own fields are wrong. What roles and tokens allow is
// checked before, by package access.
func Step(d *Definition, a Activation, do Action, who access.Actor, at time.Time) ([]Event, error) {
	at = at.UTC().Truncate(time.Millisecond)
	if who.Partner == "" {
		return nil, problem.New(problem.SignIn, "this needs a partner's member", "sign in")
	}
	// Another version may only begin another round.
	begins := !a.State.Running() && (do.Verb == Propose || do.Verb == UseEmergency)
	if a.State != None && (a.Protocol != d.ID || (a.Hash != d.Hash && !begins)) {
		return nil, problem.Newf(problem.Internal, "this activation runs under %s@%s, of which %s is another text", a.Protocol, a.Version, d.Ref()).
			WithFix("load the definition that it began with")
	}
	late, now := advance(d, a, at)
	s := stepper{d: d, before: a, a: now, do: do, who: who, at: at, events: late}
	if err := s.step(); err != nil {
		return nil, err
	}
	return s.events, nil
}

// Allowed returns what the actor may do in this state at this time, each with
// the fields that name what it concerns (clock, task) and without those that
// the actor must fill in. It is empty for an actor without authority here.
func Allowed(d *Definition, a Activation, who access.Actor, at time.Time) []Action {
	if who.Partner == "" {
		return nil
	}
	at = at.UTC().Truncate(time.Millisecond)
	_, a = advance(d, a, at)
	s := stepper{d: d, a: a, who: who, at: at}
	var out []Action
	for _, v := range Verbs() {
		if s.stateAllows(v) && s.authority(v) == nil {
			out = append(out, s.offers(v)...)
		}
	}
	return out
}

// stepper is one call of Step.
type stepper struct {
	d      *Definition
	before Activation // as given
	a      Activation // brought up to date
	do     Action
	who    access.Actor
	at     time.Time
	events []Event
}

// emit adds an event by the actor and folds it in.
func (s *stepper) emit(e Event) {
	e.At, e.By = s.at, byActor(s.who)
	e.Protocol, e.Version = s.d.ID, s.d.Version
	if e.Round == 0 {
		e.Round = s.a.Round
	}
	s.events = append(s.events, e)
	s.a = Apply(s.a, e)
}

func (s *stepper) step() error {
	do := s.do.Verb
	if !slices.Contains(Verbs(), do) {
		fix := "use one of " + joinVerbs(Verbs())
		if v, ok := problem.Nearest(string(do), verbNames()); ok {
			fix = "did you mean " + v + "?"
		}
		return problem.Newf(problem.Invalid, "%q is not something that can be done to an activation", do).WithFix("%s", fix)
	}
	// Who may never do it is told so first; then what the state allows.
	if err := s.authority(do); err != nil {
		return err
	}
	if !s.stateAllows(do) {
		return s.refuseState()
	}
	switch do {
	case Propose:
		return s.propose()
	case UseEmergency:
		return s.useEmergency()
	case CastVote:
		return s.vote()
	case EndEmergency:
		return s.withReason(func(reason string) {
			s.emit(s.d.enter(s.a, s.at, Event{Type: EvLapsed, Clause: "authority.emergency", Reason: reason}))
			s.closeIfDue()
		})
	case WithdrawProposal:
		return s.withReason(func(reason string) {
			s.emit(Event{Type: EvDeclined, Clause: "authority.activate", Reason: reason})
		})
	case CallPartners:
		return s.call()
	case SetLevel:
		return s.setLevel()
	case HandOver:
		return s.handOver()
	case Acknowledge:
		return s.acknowledge()
	case PostUpdate:
		s.update()
		return nil
	case MeetClock:
		return s.meetClock()
	case ReportTask:
		return s.reportTask()
	case Renew:
		return s.renew()
	case ProposeStandDown:
		return s.proposeStandDown()
	case VoteStandDown:
		return s.voteStandDown()
	case Conclude:
		return s.conclude()
	default: // FileReview
		return s.review()
	}
}

// stateAllows reports whether the state knows the verb at all.
func (s *stepper) stateAllows(v Verb) bool {
	st := s.a.State
	ended := st == None || st == Declined || st == Concluded || st == Reviewed
	switch v {
	case Propose:
		return ended
	case UseEmergency:
		return s.d.Authority.Emergency != nil && !s.a.EmergencyUsed && (ended || st == Voting)
	case CastVote:
		return st == Voting || st == Provisional
	case EndEmergency:
		return st == Provisional
	case WithdrawProposal:
		return s.mayBeWithdrawn()
	case CallPartners, HandOver:
		return st.Running()
	case SetLevel, PostUpdate:
		return st == Provisional || st == Active || st == StandingDown
	case Acknowledge:
		return s.runningClock(func(c *ClockState) bool { return c.MetBy == ByAcknowledgement })
	case MeetClock:
		return s.runningClock(func(c *ClockState) bool { return c.MetBy == ByReport })
	case ReportTask:
		return slices.ContainsFunc(s.a.Tasks, TaskState.Open)
	case Renew:
		return st == Active || st == StandingDown
	case ProposeStandDown:
		return st == Active && s.a.StandDown == nil
	case VoteStandDown:
		return st == Active && s.a.StandDown != nil
	case Conclude:
		return st == StandingDown
	case FileReview:
		return st == Concluded
	}
	return false
}

// mayBeWithdrawn reports whether the proposal is still its proposer's alone:
// no other partner voted yes, and none uses emergency authority on it.
func (s *stepper) mayBeWithdrawn() bool {
	others := slices.ContainsFunc(s.a.Votes, func(v Vote) bool { return v.Vote == VoteYes && v.Partner != s.a.Proposer.ID })
	switch s.a.State {
	case Voting:
		return !others
	case Provisional:
		return !others && s.a.Emergency.ID == s.a.Proposer.ID
	}
	return false
}

func (s *stepper) runningClock(which func(*ClockState) bool) bool {
	for i := range s.a.Clocks {
		if c := &s.a.Clocks[i]; c.Running() && which(c) {
			return true
		}
	}
	return false
}

// authority returns a problem if the protocol does not let the actor's partner
// do this.
func (s *stepper) authority(v Verb) error {
	au := s.d.Authority
	switch v {
	case Propose, CastVote:
		return s.kind(au.Activate.Kinds, "vote on its activation")
	case UseEmergency:
		if au.Emergency == nil {
			return problem.Newf(problem.Denied, "%s has no emergency authority", s.d.ID).WithFix("propose an activation and vote")
		}
		return s.kind(au.Emergency.Kinds, "use emergency authority")
	case EndEmergency:
		if s.a.State == Provisional && s.who.Partner != s.a.Emergency.ID {
			return s.kind(nil, "end emergency authority before its time: only the partner that used it may")
		}
	case WithdrawProposal:
		if (s.a.State == Voting || s.a.State == Provisional) && s.who.Partner != s.a.Proposer.ID {
			return s.kind(nil, "withdraw the proposal: only the partner that made it may")
		}
	case CallPartners, SetLevel, HandOver, PostUpdate:
		if s.a.State == None || s.who.Partner == s.a.Lead {
			return nil
		}
		return s.kind(au.Activate.Kinds, "lead")
	case Renew:
		return s.kind(au.Renew.Kinds, "vote on its renewal")
	case ProposeStandDown, VoteStandDown:
		return s.kind(au.StandDown.Kinds, "vote on standing down")
	case Conclude, FileReview:
		if s.a.State != None && s.who.Partner == s.a.Lead {
			return nil
		}
		return s.kind(au.StandDown.Kinds, "end it")
	}
	return nil // acknowledgements, clocks and tasks: whoever is asked, see there
}

func (s *stepper) kind(kinds []access.PartnerKind, what string) error {
	if slices.Contains(kinds, s.who.Kind) {
		return nil
	}
	if len(kinds) == 0 {
		return problem.Newf(problem.Denied, "your partner may not %s", problem.Say(what)).WithFix("ask that partner to do it")
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return problem.Newf(problem.Denied, "under %s, partners of kind %s may %s; yours is %s", s.d.ID, orList(names), problem.Say(what), s.who.Kind).
		WithFix("ask a duty contact of such a partner to do it")
}

// refuseState says why the state does not allow the verb, and what it does.
func (s *stepper) refuseState() error {
	b, v := s.before, s.do.Verb
	wasVoting := b.State == Voting || b.State == Provisional
	if v == CastVote && wasVoting && !s.at.Before(b.Closes) {
		return s.conflict(problem.Say("voting closed at %s", clockText(b.Closes)), s.afterClosing())
	}
	if v == CastVote && s.a.State == Declined && !s.a.Closes.IsZero() {
		if !s.at.Before(s.a.Closes) {
			return s.conflict(problem.Say("voting closed at %s", clockText(s.a.Closes)), s.afterClosing())
		}
		return s.conflict(problem.Say("the proposal was withdrawn: %s", s.a.EndReason), s.afterClosing())
	}
	switch v {
	case Propose:
		return s.conflict(problem.Say("%s is already %s", s.d.ID, stateWords(s.a.State)), none)
	case UseEmergency:
		if s.a.EmergencyUsed && s.a.State != Provisional {
			return s.conflict(problem.Say("emergency authority was used once already, and no quorum has confirmed it"), problem.Say("propose an activation and vote"))
		}
		return s.conflict(problem.Say("%s is already %s", s.d.ID, stateWords(s.a.State)), none)
	case CastVote:
		if s.a.State == Active || s.a.State == StandingDown {
			return s.conflict(problem.Say("%s is already active since %s, by a quorum", s.d.ID, clockText(s.a.ActiveSince)), none)
		}
	case WithdrawProposal:
		if s.a.State == Voting || s.a.State == Provisional {
			return s.conflict(problem.Say("other partners support the proposal by now"), problem.Say("change your vote to no, and let the vote close at %s", clockText(s.a.Closes)))
		}
	case ProposeStandDown:
		if s.a.State == Active {
			return s.conflict(problem.Say("a vote to stand down is open until %s", clockText(s.a.StandDown.Closes)), problem.Say("vote on it"))
		}
	case VoteStandDown:
		if s.a.State == Active {
			return s.conflict(problem.Say("no vote to stand down is open"), problem.Say("propose to stand down"))
		}
	case Acknowledge:
		return s.conflict(problem.Say("nothing waits to be acknowledged"), none)
	case MeetClock:
		return s.conflict(problem.Say("no such clock is running"), none)
	case ReportTask:
		return s.conflict(problem.Say("no task is open"), none)
	}
	return s.conflict(problem.Say("%s is %s, which does not allow %s", s.d.ID, stateWords(s.a.State), verbWords(v)), none)
}

// afterClosing says what can be done instead of a late vote.
func (s *stepper) afterClosing() problem.Words {
	if also := s.do.AlsoActive; len(also) > 0 {
		return problem.Say("open a new vote, or join %s, which is active", also[0])
	}
	return problem.Say("open a new vote")
}

// conflict is the problem that lists what the actor may do instead. Without a
// fix it offers that list, or names who can go on.
func (s *stepper) conflict(detail, fix problem.Words) *problem.Error {
	var allows []string
	for _, v := range Verbs() {
		if s.stateAllows(v) && s.authority(v) == nil && len(s.offers(v)) > 0 {
			allows = append(allows, string(v))
		}
	}
	if fix.Format == "" {
		fix = allowedNow(allows)
	}
	e := problem.Of(problem.Conflict, detail, fix)
	e.Allows = allows
	return e
}

// allowedNow says what can be done instead.
func allowedNow(allows []string) problem.Words {
	if len(allows) == 0 {
		return nothingNow
	}
	return problem.Say("allowed now: %s", steps(allows))
}

func steps(allows []string) problem.List {
	words := make(problem.List, len(allows))
	for i, v := range allows {
		words[i] = problem.Words{Format: v}
	}
	return words
}

// Offer returns err, a Conflict of Step or StepIncident, with those steps alone
// that keep admits: a partner may do more than this member of it.
func Offer(err error, keep func(step string) bool) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Conflict || len(p.Allows) == 0 {
		return err
	}
	listed := p.Fix == allowedNow(p.Allows).String()
	c := *p
	c.Allows = slices.DeleteFunc(slices.Clone(p.Allows), func(step string) bool { return !keep(step) })
	switch {
	case !listed:
		return &c
	case len(c.Allows) == 0:
		return c.WithFix("nothing can be done here by your partner now")
	}
	return c.WithFix("allowed now: %s", steps(c.Allows))
}

// nothingNow is what to do where nothing can be done.
var nothingNow = problem.Say("nothing can be done here by your partner now")

// none stands for the fix that a conflict finds by itself.
var none problem.Words

// offers returns the actions that a verb stands for, given that state and
// authority allow it: one for each clock and task that waits for the actor.
func (s *stepper) offers(v Verb) []Action {
	switch v {
	case Acknowledge:
		if !s.runningClock(s.mayAcknowledge) {
			return nil
		}
	case MeetClock:
		var out []Action
		for _, c := range s.a.Clocks {
			if c.Running() && c.MetBy == ByReport && c.By.asks(s.d, s.a, c.Partner, s.who) {
				out = append(out, Action{Verb: v, Clock: c.ID})
			}
		}
		return out
	case ReportTask:
		var out []Action
		for _, t := range s.a.Tasks {
			if t.Open() && t.By.asks(s.d, s.a, t.Partner, s.who) {
				out = append(out, Action{Verb: v, Task: t.ID})
			}
		}
		return out
	}
	return []Action{{Verb: v}}
}

func (s *stepper) withReason(then func(reason string)) error {
	reason := strings.TrimSpace(s.do.Reason)
	if reason == "" {
		return invalid("reason", "Enter why, in one sentence. It is kept in the journal and shown in the review")
	}
	then(reason)
	return nil
}

func invalid(field, format string, args ...any) error {
	var f problem.InvalidFields
	f.Add(field, format, args...)
	return f.Err()
}

// clockText is a time as sentences say it.
func clockText(t time.Time) string { return t.UTC().Format("15:04 UTC") }

func stateWords(s State) problem.Words {
	switch s {
	case None:
		return problem.Say("not proposed yet")
	case Voting:
		return problem.Say("being voted on")
	case StandingDown:
		return problem.Say("standing down")
	}
	return problem.Words{Format: string(s)}
}

func verbWords(v Verb) problem.Words {
	return problem.Words{Format: strings.ReplaceAll(string(v), "_", " ")}
}

func verbNames() []string {
	var names []string
	for _, v := range Verbs() {
		names = append(names, string(v))
	}
	return names
}

func joinVerbs(vs []Verb) string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

// orList joins with commas and "or".
func orList(names []string) problem.AnyOf { return problem.AnyOf(problem.Names(names...)) }

// clip shortens what somebody sent before it goes into a sentence.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
