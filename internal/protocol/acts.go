package protocol

import (
	"slices"
	"strings"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

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
		fix := problem.Say("wait for the others, or change the vote")
		if v.Member != "" && v.Member != s.who.Member {
			return "", s.conflict(problem.Say("another member has already voted %s for your partner, at %s", v.Vote, clockText(v.At)), fix)
		}
		return "", s.conflict(problem.Say("your partner has already voted %s, at %s", v.Vote, clockText(v.At)), fix)
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
		return s.conflict(problem.Say("these partners were called already"), problem.Say("call others, or remind them"))
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
		return s.conflict(problem.Say("the level is %s already", s.a.Level), problem.Say("choose another level"))
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
		return s.conflict(problem.Say("that partner leads already"), problem.Say("choose another partner"))
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
			return s.conflict(problem.Say("your partner has acknowledged already"), none)
		}
		return s.conflict(problem.Say("your partner is not asked to acknowledge"), none)
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
		return s.conflict(problem.Say("the clock %s is not running", s.do.Clock), none)
	}
	if found.MetBy != ByReport {
		return s.conflict(problem.Say("the clock %s ends by itself, with the %s", found.ID, found.MetBy), none)
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
		return s.conflict(problem.Say("the task %s is not open", s.do.Task), none)
	}
	if !found.By.asks(s.d, s.a, found.Partner, s.who) {
		return problem.Newf(problem.Denied, "the task %s is not your partner's", found.ID).WithFix("ask the partner whose it is")
	}
	if found.Progress == s.do.Progress {
		return s.conflict(problem.Say("the task %s is %s already", found.ID, s.do.Progress), problem.Say("say done or not_applicable"))
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
