// Package asks finds what is asked of one person now: what waits for their
// partner's acknowledgement, vote, answer or approval, by their roles. Pages and
// the JSON interface show the same list.
//
// It decides nothing and changes nothing. What it lists was read through the
// services, so it tells nobody of what they may not read; whether the person may
// then do it, the service says that they go to, which may also want a proof that
// they are present.
package asks

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Kind says what is asked.
type Kind string

// What can be asked.
const (
	Acknowledge    Kind = "acknowledge"     // say that your partner has seen it; with Protocol: that it is active
	Assess         Kind = "assess"          // nobody has yet
	Activate       Kind = "activate"        // the answers advise a level; nothing runs
	Answer         Kind = "answer"          // a question of another partner
	AcceptHandover Kind = "accept_handover" // the lead of Protocol, or without it a colleague's shift
	TakeLead       Kind = "take_lead"       // of Protocol, whose lead By has left the partnership, or hand it on
	Vote           Kind = "vote"            // on an activation
	VoteStandDown  Kind = "vote_stand_down" // on the end of one
	DoTask         Kind = "task"            // and report it
	Conclude       Kind = "conclude"        // an activation whose end was voted for
	ApproveSignal  Kind = "approve_signal"  // or refuse it
	ApproveGroup   Kind = "approve_group"   // or take back: variants that went out at once
	VoteVersion    Kind = "vote_version"    // of a protocol
	ConfirmRequest Kind = "confirm_request" // of another administrator, or refuse it

	ConfirmStatement Kind = "confirm_statement" // as the second person of a public statement, or refuse it
)

// Ask is one thing that is asked.
type Ask struct {
	Kind     Kind      `json:"kind" enum:"acknowledge,assess,activate,answer,accept_handover,take_lead,vote,vote_stand_down,task,conclude,approve_signal,approve_group,vote_version,confirm_request,confirm_statement"`
	Incident string    `json:"incident,omitempty"`
	Exercise bool      `json:"exercise"`
	Protocol string    `json:"protocol,omitempty"`
	Object   string    `json:"object,omitempty" doc:"A signal, a group, the SHA-256 of a version, a request, or a task of the protocol"`
	Number   int       `json:"number,omitempty" doc:"Of a question, a hand-over or a statement in the incident"`
	By       string    `json:"by,omitempty" doc:"Partner that asks"`
	Text     string    `json:"text,omitempty" doc:"In their words"`
	Due      time.Time `json:"due,omitzero" doc:"When it must be done; none: no deadline"`
	Threat   bool      `json:"threat,omitempty" doc:"Acknowledge: it is a threat to life"`

	// What it is about, for those who show more of it; nil of other kinds.
	Signal  *signal.Signal    `json:"-"`
	Version *incident.Version `json:"-"`
	Request *partner.Request  `json:"-"`
}

// Services are where it looks.
type Services struct {
	Partners  *partner.Service
	Incidents *incident.Service
	Signals   *signal.Service
}

// may reports whether the actor's roles may do it. Presence is asked for later,
// and by a token's scope nothing is left out: who reads may know what is asked.
func may(by access.Actor, do access.Action, now time.Time) bool {
	by.Token, by.StepUp, by.For = "", now, do
	return access.Allow(by, do, now) == nil
}

// Voted reports whether the partner is among those who voted.
func Voted(votes []protocol.Vote, partner string) bool {
	return slices.ContainsFunc(votes, func(v protocol.Vote) bool { return v.Partner == partner })
}

// Open returns the incidents that are not closed and that the actor may read,
// newest first. All of them: what an old one asks is asked too.
func (s Services) Open(ctx context.Context, by access.Actor) ([]incident.Incident, error) {
	q := incident.Query{States: []string{string(protocol.Notified), string(protocol.Assessing), string(protocol.Open)}, Limit: 200}
	var out []incident.Incident
	for {
		list, next, err := s.Incidents.List(ctx, by, q)
		if err != nil {
			return nil, err
		}
		if out = append(out, list...); next == "" {
			return out, nil
		}
		q.Cursor = next
	}
}

// All returns everything that is asked of the actor: what ends within half an
// hour first, then what waits without an end, then the rest, then practice.
func (s Services) All(ctx context.Context, by access.Actor, now time.Time) ([]Ask, error) {
	open, err := s.Open(ctx, by)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, inc := range open {
		list, err := s.OfIncident(ctx, by, now, inc)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	signals, _, err := s.Approvals(ctx, by, now, "")
	if err != nil {
		return nil, err
	}
	groups, err := s.Groups(ctx, by, now, "")
	if err != nil {
		return nil, err
	}
	versions, err := s.Versions(ctx, by, now)
	if err != nil {
		return nil, err
	}
	out = slices.Concat(out, signals, groups, versions)
	if access.Allow(by, access.ReadMembers, now) == nil { // another right than that of this list
		requests, err := s.Requests(ctx, by, now)
		if err != nil {
			return nil, err
		}
		out = append(out, requests...)
	}
	slices.SortStableFunc(out, func(a, b Ask) int {
		return cmp.Or(cmp.Compare(Weight(a.Exercise, a.Due, now), Weight(b.Exercise, b.Due, now)), a.Due.Compare(b.Due))
	})
	return out, nil
}

// Weight orders what is asked: the lower, the sooner.
func Weight(exercise bool, due, now time.Time) int {
	switch {
	case exercise: // practice waits for the real
		return 3
	case !due.IsZero() && due.Sub(now) < 30*time.Minute:
		return 0
	case due.IsZero():
		return 1
	}
	return 2
}

// Seen returns the ask to acknowledge an incident, or its activation, which asks
// anew; false if the partner has, or the actor may not.
func Seen(by access.Actor, now time.Time, inc incident.Incident) (Ask, bool) {
	wait, ok := inc.Waiting(by.Partner)
	if !ok || inc.Status.Phase == protocol.Closed || !may(by, access.Acknowledge, now) {
		return Ask{}, false
	}
	a := Ask{Kind: Acknowledge, Incident: inc.ID, Exercise: inc.Exercise, Due: wait.Due, Threat: wait.Threat}
	if !wait.At.IsZero() {
		a.Protocol = wait.Protocol
	}
	return a, true
}

// OfIncident returns what an incident, which the actor has read, asks of them.
func (s Services) OfIncident(ctx context.Context, by access.Actor, now time.Time, inc incident.Incident) ([]Ask, error) {
	if inc.Status.Phase == protocol.Closed || !inc.Audience.Sees(by) { // who reads by break-glass is asked nothing
		return nil, nil
	}
	var out []Ask
	add := func(a Ask) {
		a.Incident, a.Exercise = inc.ID, inc.Exercise
		out = append(out, a)
	}
	if a, ok := Seen(by, now, inc); ok {
		add(a)
	}
	if inc.Status.Phase == protocol.Notified && may(by, access.Assess, now) {
		add(Ask{Kind: Assess, By: inc.Notified.Partner})
	}
	if inc.Status.Phase == protocol.Assessing && len(inc.Activations) == 0 && may(by, access.Vote, now) {
		if adv, err := s.Incidents.Advice(ctx, inc, ""); err == nil && adv.Level != "" {
			add(Ask{Kind: Activate, Text: adv.Level})
		}
	}
	for _, q := range inc.Questions {
		if q.Waits(by.Partner) && may(by, access.Ask, now) {
			add(Ask{Kind: Answer, Number: q.Number, By: q.By.Partner, Text: q.Text})
		}
	}
	for _, o := range inc.Offers {
		// Of a shift, the one who hands it over is not asked.
		if o.Open() && o.To == by.Partner && (o.Protocol != "" || o.By.Member != by.Member) && may(by, access.PostUpdate, now) {
			add(Ask{Kind: AcceptHandover, Number: o.Number, Protocol: o.Protocol, By: o.By.Partner, Text: o.Note})
		}
	}
	for _, st := range inc.Statements {
		if st.State(now) == partner.RequestOpen && st.MayConfirm(by) && may(by, access.PostUpdate, now) {
			add(Ask{Kind: ConfirmStatement, Number: st.Number, By: st.By.Partner, Text: st.Why, Due: st.Until})
		}
	}
	free := by
	free.Token, free.Scopes = "", nil
	allowed, err := s.Incidents.Allowed(ctx, free, inc)
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Sorted(maps.Keys(allowed)) {
		run := inc.Activations[p]
		for _, do := range allowed[p] {
			if !may(by, incident.RightFor(do.Verb), now) {
				continue
			}
			switch do.Verb {
			case protocol.CastVote:
				if !Voted(run.Votes, by.Partner) {
					add(Ask{Kind: Vote, Protocol: p, Due: run.Closes, By: run.Proposer.ID})
				}
			case protocol.VoteStandDown:
				if run.StandDown != nil && !Voted(run.StandDown.Votes, by.Partner) {
					add(Ask{Kind: VoteStandDown, Protocol: p, Due: run.StandDown.Closes, Text: run.StandDown.Reason})
				}
			case protocol.HandOver:
				if slices.Contains(inc.Leaderless, p) {
					add(Ask{Kind: TakeLead, Protocol: p, By: run.Lead})
				}
			case protocol.ReportTask:
				a := Ask{Kind: DoTask, Protocol: p, Object: do.Task}
				if i := slices.IndexFunc(run.Tasks, func(t protocol.TaskState) bool { return t.Open() && t.ID == do.Task }); i >= 0 {
					a.Due = run.Tasks[i].Due
				}
				add(a)
			case protocol.Conclude:
				add(Ask{Kind: Conclude, Protocol: p})
			}
		}
	}
	return out, nil
}

// MostApprovals is how many proposals are read; more says that there are more.
const MostApprovals = 200

// Approvals returns the signals, of one incident or of all (""), that other
// partners proposed and that wait for an approver.
func (s Services) Approvals(ctx context.Context, by access.Actor, now time.Time, incident string) (out []Ask, more bool, err error) {
	if !may(by, access.Decide, now) {
		return nil, false, nil
	}
	list, next, err := s.Signals.List(ctx, by, signal.Query{Incident: incident, States: []signal.State{signal.Proposed}, Limit: MostApprovals})
	if err != nil {
		return nil, false, err
	}
	for i := range list {
		if sig := &list[i]; sig.Proposed.Partner != by.Partner {
			out = append(out, Ask{Kind: ApproveSignal, Incident: sig.Incident, Exercise: sig.Exercise, Object: sig.ID, By: sig.Proposed.Partner, Signal: sig})
		}
	}
	return out, next != "", nil
}

// newest is how many active signals are looked at for variants that went out
// before somebody approved them.
const newest = 20

// Groups returns the groups with variants of other partners that went out at
// once and wait for an approver.
func (s Services) Groups(ctx context.Context, by access.Actor, now time.Time, incident string) ([]Ask, error) {
	if !may(by, access.Decide, now) {
		return nil, nil
	}
	list, _, err := s.Signals.List(ctx, by, signal.Query{Incident: incident, States: []signal.State{signal.Active}, Limit: newest})
	if err != nil {
		return nil, err
	}
	var out []Ask
	seen := map[string]bool{}
	for i := range list {
		sig := &list[i]
		if !sig.AtOnce || sig.Proposed.Partner == by.Partner || seen[sig.Group] {
			continue
		}
		seen[sig.Group] = true
		out = append(out, Ask{Kind: ApproveGroup, Incident: sig.Incident, Exercise: sig.Exercise, Object: sig.Group, By: sig.Proposed.Partner, Signal: sig})
	}
	return out, nil
}

// MayVoteVersion reports whether the actor's partner may vote on a version now.
func MayVoteVersion(by access.Actor, now time.Time, v incident.Version) bool {
	return v.State == incident.Voted && now.Before(v.Closes) && may(by, access.Vote, now) && slices.Contains(v.Rule.Kinds, by.Kind)
}

// Versions returns the proposed versions of protocols that wait for the vote of
// the actor's partner.
func (s Services) Versions(ctx context.Context, by access.Actor, now time.Time) ([]Ask, error) {
	if !may(by, access.Vote, now) {
		return nil, nil
	}
	views, err := s.Incidents.Protocols(ctx, by)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, p := range views {
		for i := range p.Versions {
			if v := &p.Versions[i]; MayVoteVersion(by, now, *v) && !Voted(v.Votes, by.Partner) {
				out = append(out, Ask{Kind: VoteVersion, Protocol: v.Protocol, Object: v.Hash, By: v.By.Partner, Due: v.Closes, Version: v})
			}
		}
	}
	return out, nil
}

// Requests returns what other administrators of the actor's partner asked for
// and a second one must confirm.
func (s Services) Requests(ctx context.Context, by access.Actor, now time.Time) ([]Ask, error) {
	if !may(by, access.ConfirmRequest, now) || by.Member == "" {
		return nil, nil
	}
	list, err := s.Partners.Requests(ctx, by)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for i := range list {
		if q := &list[i]; q.State(now) == partner.RequestOpen && q.Member != by.Member {
			out = append(out, Ask{Kind: ConfirmRequest, Object: q.ID, By: q.Partner, Text: q.Why, Due: q.Until, Request: q})
		}
	}
	return out, nil
}
