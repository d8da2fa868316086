package protocol

import (
	"fmt"
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
		if v, ok := nearest(string(do), verbNames()); ok {
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
		return problem.Newf(problem.Denied, "your partner may not %s", what).WithFix("ask that partner to do it")
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return problem.Newf(problem.Denied, "under %s, partners of kind %s may %s; yours is %s", s.d.ID, orList(names), what, s.who.Kind).
		WithFix("ask a duty contact of such a partner to do it")
}

// refuseState says why the state does not allow the verb, and what it does.
func (s *stepper) refuseState() error {
	b, v := s.before, s.do.Verb
	wasVoting := b.State == Voting || b.State == Provisional
	if v == CastVote && wasVoting && !s.at.Before(b.Closes) {
		return s.conflict("voting closed at "+clockText(b.Closes), s.afterClosing())
	}
	if v == CastVote && s.a.State == Declined && !s.a.Closes.IsZero() {
		if !s.at.Before(s.a.Closes) {
			return s.conflict("voting closed at "+clockText(s.a.Closes), s.afterClosing())
		}
		return s.conflict("the proposal was withdrawn: "+s.a.EndReason, s.afterClosing())
	}
	switch v {
	case Propose:
		return s.conflict(fmt.Sprintf("%s is already %s", s.d.ID, stateWords(s.a.State)), "")
	case UseEmergency:
		if s.a.EmergencyUsed && s.a.State != Provisional {
			return s.conflict("emergency authority was used once already, and no quorum has confirmed it", "propose an activation and vote")
		}
		return s.conflict(fmt.Sprintf("%s is already %s", s.d.ID, stateWords(s.a.State)), "")
	case CastVote:
		if s.a.State == Active || s.a.State == StandingDown {
			return s.conflict(fmt.Sprintf("%s is already active since %s, by a quorum", s.d.ID, clockText(s.a.ActiveSince)), "")
		}
	case WithdrawProposal:
		if s.a.State == Voting || s.a.State == Provisional {
			return s.conflict("other partners support the proposal by now", "change your vote to no, and let the vote close at "+clockText(s.a.Closes))
		}
	case ProposeStandDown:
		if s.a.State == Active {
			return s.conflict("a vote to stand down is open until "+clockText(s.a.StandDown.Closes), "vote on it")
		}
	case VoteStandDown:
		if s.a.State == Active {
			return s.conflict("no vote to stand down is open", "propose to stand down")
		}
	case Acknowledge:
		return s.conflict("nothing waits to be acknowledged", "")
	case MeetClock:
		return s.conflict("no such clock is running", "")
	case ReportTask:
		return s.conflict("no task is open", "")
	}
	return s.conflict(fmt.Sprintf("%s is %s, which does not allow %s", s.d.ID, stateWords(s.a.State), verbWords(v)), "")
}

// afterClosing says what can be done instead of a late vote.
func (s *stepper) afterClosing() string {
	fix := "open a new vote"
	if also := s.do.AlsoActive; len(also) > 0 {
		fix += ", or join " + also[0] + ", which is active"
	}
	return fix
}

// conflict is the problem that lists what the actor may do instead. Without a
// fix it offers that list, or names who can go on.
func (s *stepper) conflict(detail, fix string) *problem.Error {
	var allows []string
	for _, v := range Verbs() {
		if s.stateAllows(v) && s.authority(v) == nil && len(s.offers(v)) > 0 {
			allows = append(allows, string(v))
		}
	}
	if fix == "" {
		fix = "nothing can be done here by your partner now"
		if len(allows) > 0 {
			fix = "allowed now: " + strings.Join(allows, ", ")
		}
	}
	e := problem.New(problem.Conflict, detail, fix)
	e.Allows = allows
	return e
}

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

// opening checks what a proposal needs.
func (s *stepper) opening() (Event, error) {
	var f problem.InvalidFields
	reason := strings.TrimSpace(s.do.Reason)
	if reason == "" {
		f.Add("reason", "Enter why, in one sentence. It is kept in the journal and shown in the review")
	}
	s.checkLevel(&f)
	s.checkPartners(&f, true)
	if err := f.Err(); err != nil {
		return Event{}, err
	}
	return Event{
		Type: EvProposed, Clause: "authority.activate", Reason: reason, Level: s.do.Level, Hash: s.d.Hash,
		Round: s.a.Round + 1, Partners: s.do.Partners, Closes: s.at.Add(s.d.Authority.Activate.VoteOpen.Std()),
		By: byActor(s.who),
	}, nil
}

func (s *stepper) checkLevel(f *problem.InvalidFields) {
	if _, ok := s.d.Level(s.do.Level); ok {
		return
	}
	ids := make([]string, len(s.d.Levels))
	for i, l := range s.d.Levels {
		ids[i] = l.ID
	}
	if s.do.Level == "" {
		f.Add("level", "Choose a level: %s", orList(ids))
		return
	}
	f.Add("level", "%s has no level %q. Choose %s", s.d.ID, s.do.Level, orList(ids))
}

// maxPartners bounds how many partners one activation calls.
const maxPartners = 2000

func (s *stepper) checkPartners(f *problem.InvalidFields, mayBeEmpty bool) {
	if len(s.do.Partners) == 0 && !mayBeEmpty {
		f.Add("partners", "Name at least one partner")
	}
	if len(s.a.Partners)+len(s.do.Partners) > maxPartners {
		f.Add("partners", "One activation calls at most %d partners", maxPartners)
		return
	}
	for _, p := range s.do.Partners {
		if p.ID == "" || !slices.Contains(access.PartnerKinds(), p.Kind) {
			f.Add("partners", "Every partner needs its identifier and its kind")
			return
		}
	}
}

func (s *stepper) propose() error {
	e, err := s.opening()
	if err != nil {
		return err
	}
	s.emit(s.d.enter(s.a, s.at, e))
	s.emit(Event{Type: EvVoted, Clause: "authority.activate", Vote: VoteYes, Reason: e.Reason})
	s.activateIfReached()
	return nil
}

func (s *stepper) useEmergency() error {
	until := s.at.Add(s.d.Authority.Emergency.ConfirmWithin.Std())
	reason := strings.TrimSpace(s.do.Reason)
	if s.a.State == Voting {
		if reason == "" {
			return s.withReason(func(string) {})
		}
	} else {
		e, err := s.opening()
		if err != nil {
			return err
		}
		e.Closes = until
		s.emit(s.d.enter(s.a, s.at, e))
	}
	closes := s.a.Closes
	if until.After(closes) {
		closes = until
	}
	s.emit(s.d.enter(s.a, s.at, Event{Type: EvProvisional, Clause: "authority.emergency", Reason: reason, Until: until, Closes: closes}))
	// Whoever sees an emergency is for the protocol, unless it has said otherwise.
	if slices.Contains(s.d.Authority.Activate.Kinds, s.who.Kind) && !slices.ContainsFunc(s.a.Votes, s.mine) {
		s.emit(Event{Type: EvVoted, Clause: "authority.activate", Vote: VoteYes, Reason: reason})
		s.activateIfReached()
	}
	return nil
}

func (s *stepper) mine(v Vote) bool { return v.Partner == s.who.Partner }

// ballot checks a vote against those cast, and returns the type of its event.
func (s *stepper) ballot(votes []Vote, first, change string) (string, error) {
	if !slices.Contains(VoteValues(), s.do.Vote) {
		return "", invalid("vote", "Vote yes, no or abstain")
	}
	if s.do.Vote == VoteNo && strings.TrimSpace(s.do.Reason) == "" {
		return "", invalid("reason", "Enter why not, in one sentence. It is kept in the journal and shown in the review")
	}
	i := slices.IndexFunc(votes, s.mine)
	if i < 0 {
		return first, nil
	}
	if v := votes[i]; v.Vote == s.do.Vote {
		fix := "wait for the others, or change the vote"
		if v.Member != "" && v.Member != s.who.Member {
			return "", s.conflict(fmt.Sprintf("another member has already voted %s for your partner, at %s", v.Vote, clockText(v.At)), fix)
		}
		return "", s.conflict(fmt.Sprintf("your partner has already voted %s, at %s", v.Vote, clockText(v.At)), fix)
	}
	return change, nil
}

func (s *stepper) vote() error {
	typ, err := s.ballot(s.a.Votes, EvVoted, EvVoteChanged)
	if err != nil {
		return err
	}
	s.emit(Event{Type: typ, Clause: "authority.activate", Vote: s.do.Vote, Reason: strings.TrimSpace(s.do.Reason)})
	s.activateIfReached()
	return nil
}

func (s *stepper) activateIfReached() {
	if !s.a.Tally(s.d).Reached {
		return
	}
	e := Event{Type: EvActivated, Clause: "authority.activate"}
	if s.a.State == Provisional {
		e.Type = EvConfirmed
	}
	s.emit(s.d.enter(s.a, s.at, e))
}

// closeIfDue declines a vote whose time was over already.
func (s *stepper) closeIfDue() {
	late, now := advance(s.d, s.a, s.at)
	s.events, s.a = append(s.events, late...), now
}

func (s *stepper) call() error {
	var f problem.InvalidFields
	s.checkPartners(&f, false)
	if err := f.Err(); err != nil {
		return err
	}
	var more []Participant
	for _, p := range s.do.Partners {
		if !slices.ContainsFunc(s.a.Partners, func(h Participant) bool { return h.ID == p.ID }) {
			more = addPartners(more, []Participant{p})
		}
	}
	if len(more) == 0 {
		return s.conflict("these partners were called already", "call others, or remind them")
	}
	s.emit(s.d.called(s.a, s.at, Event{Type: EvCalled, Clause: "authority", Partners: more, Reason: strings.TrimSpace(s.do.Reason)}))
	return nil
}

func (s *stepper) setLevel() error {
	var f problem.InvalidFields
	s.checkLevel(&f)
	if err := f.Err(); err != nil {
		return err
	}
	if s.do.Level == s.a.Level {
		return s.conflict("the level is "+s.a.Level+" already", "choose another level")
	}
	return s.withReason(func(reason string) {
		s.emit(Event{Type: EvLevelChanged, Clause: "levels." + s.do.Level, Level: s.do.Level, Reason: reason})
	})
}

func (s *stepper) handOver() error {
	if s.do.To == "" {
		return invalid("to", "Name the partner that shall lead")
	}
	if s.do.To == s.a.Lead {
		return s.conflict("that partner leads already", "choose another partner")
	}
	if !slices.ContainsFunc(s.a.Partners, func(p Participant) bool { return p.ID == s.do.To }) {
		return invalid("to", "That partner does not take part. Call it first")
	}
	s.emit(Event{Type: EvHandedOver, Clause: "authority", Lead: s.do.To, Reason: strings.TrimSpace(s.do.Reason)})
	return nil
}

func (s *stepper) mayAcknowledge(c *ClockState) bool {
	return c.MetBy == ByAcknowledgement && c.Partner == s.who.Partner
}

func (s *stepper) acknowledge() error {
	if !s.runningClock(s.mayAcknowledge) {
		if slices.ContainsFunc(s.a.Clocks, func(c ClockState) bool { return !c.Met.IsZero() && s.mayAcknowledge(&c) }) {
			return s.conflict("your partner has acknowledged already", "")
		}
		return s.conflict("your partner is not asked to acknowledge", "")
	}
	s.emit(Event{Type: EvAcknowledged, Clause: s.clauseOf(s.mayAcknowledge), Partner: s.who.Partner})
	return nil
}

func (s *stepper) clauseOf(which func(*ClockState) bool) string {
	for i := range s.a.Clocks {
		if c := &s.a.Clocks[i]; c.Running() && which(c) {
			return "clocks." + c.ID
		}
	}
	return "clocks"
}

func (s *stepper) update() {
	byUpdate := metBy(ByUpdate)
	e := s.d.enter(s.a, s.at, Event{Type: EvUpdated, Clause: s.clauseOf(byUpdate)})
	if s.a.State == StandingDown {
		e.Clocks = nil // the next update is not owed any more
	}
	for i := range s.a.Clocks {
		c := &s.a.Clocks[i]
		if c.Running() && byUpdate(c) && c.Repeats > 0 && !slices.ContainsFunc(e.Clocks, func(n ClockState) bool { return n.ID == c.ID }) {
			e.Clocks = append(e.Clocks, c.again(s.at))
		}
	}
	s.emit(e)
}

func (s *stepper) meetClock() error {
	if s.do.Clock == "" {
		return invalid("clock", "Name the clock")
	}
	var found *ClockState
	for i := range s.a.Clocks {
		c := &s.a.Clocks[i]
		if c.ID == s.do.Clock && c.Running() && (found == nil || c.Partner == s.who.Partner) {
			found = c
		}
	}
	if found == nil {
		return s.conflict(fmt.Sprintf("the clock %s is not running", s.do.Clock), "")
	}
	if found.MetBy != ByReport {
		return s.conflict(fmt.Sprintf("the clock %s ends by itself, with the %s", found.ID, found.MetBy), "")
	}
	if !found.By.asks(s.d, s.a, found.Partner, s.who) {
		return problem.Newf(problem.Denied, "the clock %s is not your partner's", found.ID).WithFix("ask the partner whose it is")
	}
	e := Event{Type: EvClockMet, Clock: found.ID, Partner: found.Partner, Due: found.Due, Clause: "clocks." + found.ID, Reason: strings.TrimSpace(s.do.Reason)}
	if found.Repeats > 0 {
		e.Clocks = []ClockState{found.again(s.at)}
	}
	s.emit(e)
	return nil
}

func (s *stepper) reportTask() error {
	var f problem.InvalidFields
	if s.do.Task == "" {
		f.Add("task", "Name the task")
	}
	if !slices.Contains(taskReports(), s.do.Progress) {
		f.Add("progress", "Say doing, done or not_applicable")
	}
	reason := strings.TrimSpace(s.do.Reason)
	if s.do.Progress == TaskNotApplicable && reason == "" {
		f.Add("reason", "Enter why it does not apply, in one sentence")
	}
	if err := f.Err(); err != nil {
		return err
	}
	var found *TaskState
	for i := range s.a.Tasks {
		t := &s.a.Tasks[i]
		if t.ID == s.do.Task && t.Open() && (found == nil || t.Partner == s.who.Partner) {
			found = t
		}
	}
	if found == nil {
		return s.conflict(fmt.Sprintf("the task %s is not open", s.do.Task), "")
	}
	if !found.By.asks(s.d, s.a, found.Partner, s.who) {
		return problem.Newf(problem.Denied, "the task %s is not your partner's", found.ID).WithFix("ask the partner whose it is")
	}
	if found.Progress == s.do.Progress {
		return s.conflict(fmt.Sprintf("the task %s is %s already", found.ID, s.do.Progress), "say done or not_applicable")
	}
	s.emit(Event{Type: EvTaskReported, Task: found.ID, Partner: found.Partner, Progress: s.do.Progress, Reason: reason, Clause: taskClause(*found)})
	return nil
}

func (s *stepper) renew() error {
	if s.do.Vote == "" {
		s.do.Vote = VoteYes
	}
	first := len(s.a.RenewalVotes) == 0
	if first && strings.TrimSpace(s.do.Reason) == "" {
		return s.withReason(func(string) {})
	}
	_, err := s.ballot(s.a.RenewalVotes, EvRenewalVoted, EvRenewalVoted)
	if err != nil {
		return err
	}
	s.emit(Event{Type: EvRenewalVoted, Clause: "authority.renew", Vote: s.do.Vote, Reason: strings.TrimSpace(s.do.Reason)})
	if !s.a.RenewalTally(s.d).Reached {
		return nil
	}
	e := s.d.enter(s.a, s.at, Event{Type: EvRenewed, Clause: "authority.renew", Sunset: s.at.Add(s.d.Sunset())})
	if s.a.State == Active {
		for _, c := range s.d.clocksAt(AtActivated, s.at, s.a.Partners) {
			if c.OnExpiry == ExpiryStandDown {
				e.Clocks = append(e.Clocks, c)
			}
		}
	}
	s.emit(e)
	return nil
}

// answers checks answers against the questions and returns them signed.
func (s *stepper) answers(questions []Question, free bool) ([]Answer, error) {
	var f problem.InvalidFields
	var out []Answer
	for _, a := range s.do.Answers {
		if !slices.ContainsFunc(questions, func(q Question) bool { return q.ID == a.ID }) {
			f.Add("answers."+clip(a.ID), "%s does not ask %q", s.d.ID, clip(a.ID))
		}
	}
	for _, q := range questions {
		i := slices.IndexFunc(s.do.Answers, func(a Answer) bool { return a.ID == q.ID })
		if i < 0 || strings.TrimSpace(s.do.Answers[i].Answer) == "" {
			f.Add("answers."+q.ID, "Answer: %s", q.Ask.In("en"))
			continue
		}
		a := s.do.Answers[i]
		if !free && !slices.Contains([]string{string(Yes), string(No), string(Unknown)}, a.Answer) {
			f.Add("answers."+q.ID, "Answer yes, no or unknown")
			continue
		}
		a.By, a.At = byActor(s.who), s.at
		out = append(out, a)
	}
	return out, f.Err()
}

func (s *stepper) proposeStandDown() error {
	answers, err := s.answers(s.d.StandDown.Ask, false)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(s.do.Reason)
	open := slices.ContainsFunc(answers, func(a Answer) bool { return a.Answer != string(Yes) })
	if open && reason == "" {
		return invalid("reason", "Not every condition holds. Enter why it should end all the same, in one sentence")
	}
	s.emit(Event{
		Type: EvStandDownProposed, Clause: "stand_down.ask", Reason: reason, Answers: answers,
		Closes: s.at.Add(s.d.Authority.StandDown.VoteOpen.Std()),
	})
	s.emit(Event{Type: EvStandDownVoted, Clause: "authority.stand_down", Vote: VoteYes, Reason: reason})
	s.standDownIfReached()
	return nil
}

func (s *stepper) voteStandDown() error {
	if _, err := s.ballot(s.a.StandDown.Votes, "", ""); err != nil {
		return err
	}
	s.emit(Event{Type: EvStandDownVoted, Clause: "authority.stand_down", Vote: s.do.Vote, Reason: strings.TrimSpace(s.do.Reason)})
	s.standDownIfReached()
	return nil
}

func (s *stepper) standDownIfReached() {
	if t, ok := s.a.StandDownTally(s.d); ok && t.Reached {
		s.emit(s.d.enter(s.a, s.at, Event{Type: EvStandingDown, Clause: "authority.stand_down", Cause: CauseVote}))
	}
}

func (s *stepper) conclude() error {
	reason := strings.TrimSpace(s.do.Reason)
	var open []string
	for _, t := range s.a.Tasks {
		if t.Phase == StandingDown && t.Open() && !slices.Contains(open, t.ID) {
			open = append(open, t.ID)
		}
	}
	if len(open) > 0 && reason == "" {
		return invalid("reason", "Not yet done: %s. Do it, or enter why it is left open", strings.Join(open, ", "))
	}
	s.emit(s.d.enter(s.a, s.at, Event{Type: EvConcluded, Clause: "stand_down.after", Reason: reason}))
	return nil
}

func (s *stepper) review() error {
	answers, err := s.answers(s.d.AfterAction.Questions, true)
	if err != nil {
		return err
	}
	s.emit(Event{Type: EvReviewed, Clause: "after_action", Answers: answers, Reason: strings.TrimSpace(s.do.Reason)})
	return nil
}

// clockText is a time as sentences say it.
func clockText(t time.Time) string { return t.UTC().Format("15:04 UTC") }

func stateWords(s State) string {
	switch s {
	case None:
		return "not proposed yet"
	case Voting:
		return "being voted on"
	case StandingDown:
		return "standing down"
	}
	return string(s)
}

func verbWords(v Verb) string { return strings.ReplaceAll(string(v), "_", " ") }

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
func orList(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// clip shortens what somebody sent before it goes into a sentence.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
