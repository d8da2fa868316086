package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// IncidentPhase is where an incident stands. The zero value means that nobody
// has notified it.
type IncidentPhase string

// The phases of an incident.
const (
	NotNotified IncidentPhase = ""
	Notified    IncidentPhase = "notified"
	Assessing   IncidentPhase = "assessing"
	Open        IncidentPhase = "open"
	Closed      IncidentPhase = "closed"
)

// IncidentPhases lists the phases in order.
func IncidentPhases() []IncidentPhase { return []IncidentPhase{Notified, Assessing, Open, Closed} }

// IncidentState is the part of an incident that rules depend on: a fold of its
// events. Title, place and all else that people write belong to the service.
type IncidentState struct {
	Phase    IncidentPhase `json:"phase"`
	By       By            `json:"by"`
	Notified time.Time     `json:"notified"`
	Answers  []Answer      `json:"answers,omitempty"` // the last one to each criterion
	Assessed time.Time     `json:"assessed,omitzero"` // last
	Threat   ThreatToLife  `json:"threat_to_life,omitempty"`
	NoticeAt time.Time     `json:"notice_at,omitzero"` // when the notice of a threat to life became due, last
	Opened   time.Time     `json:"opened,omitzero"`
	Closed   time.Time     `json:"closed,omitzero"`
	Why      string        `json:"why,omitempty"` // of the last close or reopening
	Reopened int           `json:"reopened,omitempty"`
}

// The types of an incident's events.
const (
	EvNotified     = "incident.notified"
	EvAssessed     = "incident.assessed"
	EvThreatToLife = "incident.threat_to_life" // the competent authority must be told at once
	EvOpened       = "incident.opened"
	EvClosed       = "incident.closed"
	EvReopened     = "incident.reopened"
)

// IncidentEvent is something that happened to an incident. Its JSON is part
// of the body of a journal entry of the type Type.
type IncidentEvent struct {
	Type     string       `json:"-"`
	At       time.Time    `json:"at"`
	By       By           `json:"by"`
	Clause   string       `json:"clause,omitempty"`
	Protocol string       `json:"protocol,omitempty"` // whose criteria were answered, or whose activation opened it
	Version  string       `json:"version,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Answers  []Answer     `json:"answers,omitempty"`
	Threat   ThreatToLife `json:"threat_to_life,omitempty"`
}

// Under returns the authority that the event used, as a journal entry says
// it; "" if it needs none.
func (e IncidentEvent) Under() string {
	if e.Protocol == "" || e.Clause == "" {
		return ""
	}
	return e.Protocol + "@" + e.Version + " " + e.Clause
}

// IncidentVerb is what somebody does to an incident.
type IncidentVerb string

// The verbs, and the fields of IncidentAction that each reads.
const (
	Notify         IncidentVerb = "notify" // MoreExpected
	Assess         IncidentVerb = "assess" // Answers
	OpenIncident   IncidentVerb = "open"   // Reason
	CloseIncident  IncidentVerb = "close"  // Reason
	ReopenIncident IncidentVerb = "reopen" // Reason
)

// IncidentVerbs lists the verbs.
func IncidentVerbs() []IncidentVerb {
	return []IncidentVerb{Notify, Assess, OpenIncident, CloseIncident, ReopenIncident}
}

// IncidentAction is one thing that somebody wants to do to an incident.
type IncidentAction struct {
	Verb         IncidentVerb
	Reason       string
	Answers      []Answer
	MoreExpected Truth    // notify: does anyone say that more will follow?
	Running      []string // protocols whose activation still runs (State.Running); close waits for them
}

// StepIncident returns the events that the action makes, or a problem, in the
// manner of Step. The definition is the one under which the actor acts: its
// criteria are answered, its authority lets partners notify and assess.
//
// An activation opens an incident by itself: the caller adds the event of
// OpenedByActivation to those of Step.
func StepIncident(d *Definition, s IncidentState, do IncidentAction, who access.Actor, at time.Time) ([]IncidentEvent, error) {
	at = at.UTC().Truncate(time.Millisecond)
	if who.Partner == "" {
		return nil, problem.New(problem.SignIn, "this needs a partner's member", "sign in")
	}
	if !slices.Contains(IncidentVerbs(), do.Verb) {
		return nil, problem.Newf(problem.Invalid, "%q is not something that can be done to an incident", clip(string(do.Verb))).
			WithFix("use notify, assess, open, close or reopen")
	}
	kinds, what := d.Authority.Activate.Kinds, string(do.Verb)+" incidents"
	if do.Verb == Notify || do.Verb == Assess {
		kinds = d.Authority.Notify.Kinds
	}
	if err := d.may(kinds, who, what); err != nil {
		return nil, err
	}
	if !s.allows(do.Verb) {
		return nil, s.conflict(d, do.Running, who, problem.Say("the incident is %s, which does not allow to %s it", s.Phase.words(), problem.Words{Format: string(do.Verb)}))
	}
	reason := strings.TrimSpace(do.Reason)
	e := IncidentEvent{At: at, By: byActor(who), Protocol: d.ID, Version: d.Version, Reason: reason}
	switch do.Verb {
	case Notify:
		e.Type, e.Clause = EvNotified, "authority.notify"
		events := []IncidentEvent{e}
		if do.MoreExpected == Yes {
			// Somebody says that more will follow: until it is assessed, that
			// is a threat to life.
			e.Type, e.Clause, e.Threat = EvThreatToLife, "criteria."+ThreatCriterion, ThreatHighUnspecific
			events = append(events, e)
		}
		return events, nil
	case Assess:
		return s.assess(d, do, e)
	case OpenIncident:
		e.Type, e.Clause = EvOpened, "authority.activate"
	case CloseIncident:
		if len(do.Running) > 0 {
			return nil, s.conflict(d, do.Running, who, problem.Say("still running on this incident: %s", problem.Names(do.Running...))).
				WithFix("stand down and conclude first")
		}
		e.Type, e.Clause = EvClosed, "authority.activate"
	case ReopenIncident:
		e.Type, e.Clause = EvReopened, "authority.activate"
	}
	if reason == "" {
		return nil, invalid("reason", "Enter why, in one sentence. It is kept in the journal and shown in the review")
	}
	return []IncidentEvent{e}, nil
}

// AllowedIncident returns what the actor's partner may do to the incident,
// while activations of these protocols run.
func AllowedIncident(d *Definition, s IncidentState, running []string, who access.Actor) []IncidentVerb {
	var out []IncidentVerb
	for _, v := range IncidentVerbs() {
		kinds := d.Authority.Activate.Kinds
		if v == Notify || v == Assess {
			kinds = d.Authority.Notify.Kinds
		}
		if v == CloseIncident && len(running) > 0 {
			continue
		}
		if who.Partner != "" && s.allows(v) && slices.Contains(kinds, who.Kind) {
			out = append(out, v)
		}
	}
	return out
}

// OpenedByActivation returns the event that opens the incident because an
// activation became active or provisional; ok is false if it is open already.
// A closed incident is reopened.
func OpenedByActivation(s IncidentState, e Event) (IncidentEvent, bool) {
	starts := e.Type == EvActivated || e.Type == EvConfirmed || e.Type == EvProvisional
	if !starts || s.Phase == Open {
		return IncidentEvent{}, false
	}
	out := IncidentEvent{Type: EvOpened, At: e.At, By: e.By, Clause: e.Clause, Protocol: e.Protocol, Version: e.Version}
	if s.Phase == Closed {
		out.Type = EvReopened
	}
	return out, true
}

// ApplyIncident folds an event into the state. It never fails.
func ApplyIncident(s IncidentState, e IncidentEvent) IncidentState {
	switch e.Type {
	case EvNotified:
		s.Phase, s.By, s.Notified = Notified, e.By, e.At
	case EvAssessed:
		if s.Phase == Notified {
			s.Phase = Assessing
		}
		s.Assessed = e.At
		s.Answers = slices.Clone(s.Answers)
		for _, a := range e.Answers {
			s.Answers = slices.DeleteFunc(s.Answers, func(o Answer) bool { return o.ID == a.ID })
			s.Answers = append(s.Answers, a)
		}
		if t := ThreatOf(e.Answers); t != "" {
			s.Threat = t
		}
	case EvThreatToLife:
		s.Threat, s.NoticeAt = e.Threat, e.At
	case EvOpened:
		s.Phase, s.Opened = Open, e.At
	case EvClosed:
		s.Phase, s.Closed, s.Why = Closed, e.At, e.Reason
	case EvReopened:
		s.Phase, s.Closed, s.Why = Open, time.Time{}, e.Reason
		s.Reopened++
	}
	return s
}

func (s IncidentState) allows(v IncidentVerb) bool {
	switch v {
	case Notify:
		return s.Phase == NotNotified
	case Assess:
		return s.Phase == Notified || s.Phase == Assessing || s.Phase == Open
	case OpenIncident:
		return s.Phase == Notified || s.Phase == Assessing
	case CloseIncident:
		return s.Phase == Notified || s.Phase == Assessing || s.Phase == Open
	case ReopenIncident:
		return s.Phase == Closed
	}
	return false
}

func (s IncidentState) conflict(d *Definition, running []string, who access.Actor, detail problem.Words) *problem.Error {
	var allows []string
	for _, v := range AllowedIncident(d, s, running, who) {
		allows = append(allows, string(v))
	}
	e := problem.Of(problem.Conflict, detail, allowedNow(allows))
	e.Allows = allows
	return e
}

func (p IncidentPhase) words() problem.Words {
	if p == NotNotified {
		return problem.Say("not notified yet")
	}
	return problem.Words{Format: string(p)}
}

// assess checks the answers; a threat to life that is high, and was not as
// high before, makes the notice due in the same step.
func (s IncidentState) assess(d *Definition, do IncidentAction, e IncidentEvent) ([]IncidentEvent, error) {
	var f problem.InvalidFields
	if len(do.Answers) == 0 {
		f.Add("answers", "Answer at least one question; unknown is an answer")
	}
	seen := map[string]bool{}
	for _, a := range do.Answers {
		c, ok := d.Criterion(a.ID)
		switch {
		case !ok:
			detail := fmt.Sprintf("%s does not ask %q", d.ID, clip(a.ID))
			if n, ok := problem.Nearest(a.ID, criterionIDs(d)); ok {
				detail += "; did you mean " + n + "?"
			}
			f.Add("answers."+clip(a.ID), "%s", detail)
		case seen[a.ID]:
			f.Add("answers."+a.ID, "Answer it once")
		case !slices.Contains(c.Values(), a.Answer):
			f.Add("answers."+a.ID, "Answer %s", orList(c.Values()))
		case c.needsEvidence(a.Answer) && strings.TrimSpace(a.Evidence) == "":
			f.Add("answers."+a.ID, "Enter what the answer rests on, or answer unknown")
		}
		seen[a.ID] = true
		a.By, a.At = e.By, e.At
		e.Answers = append(e.Answers, a)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	e.Type, e.Clause = EvAssessed, "criteria"
	events := []IncidentEvent{e}
	if t := ThreatOf(e.Answers); t.NoticeAtOnce() && t.rank() > s.Threat.rank() {
		n := e
		n.Type, n.Clause, n.Threat, n.Answers = EvThreatToLife, "criteria."+ThreatCriterion, t, nil
		events = append(events, n)
	}
	return events, nil
}

// needsEvidence reports whether an answer must say what it rests on: every
// answer but unknown.
func (c Criterion) needsEvidence(answer string) bool { return answer != string(Unknown) }

func criterionIDs(d *Definition) []string {
	ids := make([]string, len(d.Criteria))
	for i, c := range d.Criteria {
		ids[i] = c.ID
	}
	return ids
}
