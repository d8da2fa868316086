package incident

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Signals follows what an incident's protocols allow, in the transaction that
// changed it.
type Signals interface {
	Reconsider(tx *journal.Tx, incident string, now time.Time, ended bool) error
}

// Options configures a Service. All are required; Signals is set by SetSignals
// before the first write, as both need each other.
type Options struct {
	Log      *journal.Log
	Now      func() time.Time
	Protocol string // of the first assessment; "": sea-crp
}

// Service keeps incidents. Its methods may be called concurrently.
type Service struct {
	o       Options
	defs    *definitions
	signals Signals
}

// DefaultProtocol is the protocol under which an incident is notified and
// first assessed.
const DefaultProtocol = "sea-crp"

// New returns a Service.
func New(o Options) *Service {
	o.Protocol = cmp.Or(o.Protocol, DefaultProtocol)
	return &Service{o: o, defs: newDefinitions()}
}

// SetSignals says who follows changes of activations.
func (s *Service) SetSignals(sig Signals) { s.signals = sig }

// Check says what is wrong with a notice, all of it at once, and changes
// nothing. nil means that Notify would take it.
func (s *Service) Check(n Notice) error {
	_, _, err := s.checkNotice(n, s.o.Now())
	return err
}

// Notify opens an incident in the state notified and calls the partners that
// may see it.
func (s *Service) Notify(ctx context.Context, by access.Actor, n Notice) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Notify, now); err != nil {
		return Incident{}, err
	}
	body, tlp, err := s.checkNotice(n, now)
	if err != nil {
		return Incident{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "incident.notify", now, func(tx *journal.Tx) (Incident, error) {
		def, err := s.defs.current(tx, s.o.Protocol)
		if err != nil {
			return Incident{}, err
		}
		events, err := protocol.StepIncident(def, protocol.IncidentState{}, protocol.IncidentAction{Verb: protocol.Notify, MoreExpected: body.MoreExpected}, by, now)
		if err != nil {
			return Incident{}, err
		}
		aud := access.Audience{TLP: tlp, Origin: by.Partner, Partners: slices.Sorted(slices.Values(n.Partners))}
		all, err := partner.All(tx)
		if err != nil {
			return Incident{}, err
		}
		for _, id := range n.Partners {
			if !slices.ContainsFunc(all, func(p partner.Partner) bool { return p.ID == id }) {
				return Incident{}, fieldError("partners", fmt.Sprintf("there is no partner %q", id))
			}
		}
		body := body
		for _, p := range called(all, aud) {
			body.Called = append(body.Called, p.ID)
		}
		prefix := cmp.Or(iso3(body.Country), iso3(by.Country), "INT")
		if *n.Exercise {
			prefix = "EX"
		}
		year := now.UTC().Year()
		seq, err := tx.Next(fmt.Sprintf("incident %s %d", prefix, year))
		if err != nil {
			return Incident{}, err
		}
		body.ID = number(prefix, year, seq)
		body.Event = events[0]
		e := journal.New(events[0].Type, by, now, body, journal.Ref{Kind: KindIncident, ID: body.ID})
		e.Audience, e.Exercise, e.Under = aud, *n.Exercise, events[0].Under()
		if _, err := tx.Append(e); err != nil {
			return Incident{}, err
		}
		inc, err := load(tx, body.ID)
		if err != nil {
			return inc, err
		}
		if err := s.appendIncident(tx, by, &inc, now, events[1:]...); err != nil {
			return inc, err
		}
		return inc, nil
	})
}

// called returns the partners that are called for an incident with an audience.
func called(all []partner.Partner, aud access.Audience) (out []partner.Partner) {
	for _, p := range all {
		if !p.Disabled && aud.SeenBy(p.ID, p.Kind) && acts(p.Kind) {
			out = append(out, p)
		}
	}
	return out
}

// Reach says, before an incident is notified with a label and named readers,
// which partners would be called at once and which could read it.
func (s *Service) Reach(ctx context.Context, by access.Actor, tlp access.TLP, named []string) (call, readers []partner.Partner, err error) {
	if err := access.Allow(by, access.Notify, s.o.Now()); err != nil {
		return nil, nil, err
	}
	aud := access.Audience{TLP: tlp, Origin: by.Partner, Partners: named}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		all, err := partner.All(r)
		if err != nil {
			return err
		}
		call = called(all, aud)
		for _, p := range all {
			if !p.Disabled && aud.SeenBy(p.ID, p.Kind) {
				readers = append(readers, p)
			}
		}
		return nil
	})
	return call, readers, err
}

func acts(k access.PartnerKind) bool {
	return k == access.Government || k == access.Intergovernmental || k == access.Platform
}

// shortReason is a reason without what surrounds it, or an error if it is too
// long to be one.
func shortReason(reason string) (string, error) {
	reason = strip(reason)
	var f problem.InvalidFields
	if c := len([]rune(reason)); c > signal.MaxReason {
		f.Add("reason", "the reason has %d characters, the limit is %d", c, signal.MaxReason)
	}
	return reason, f.Err()
}

func fieldError(name, detail string) error {
	var f problem.InvalidFields
	f.Add(name, "%s", detail)
	return f.Err()
}

func load(r journal.StoreReader, id string) (Incident, error) {
	inc, _, err := journal.Load[Incident](r, KindIncident, id)
	if err == nil {
		err = inc.dropLeft(r)
	}
	return inc, err
}

// visible loads an incident that the actor may see; one that it may not see
// is NotFound in the same words as one that is not there.
func visible(r journal.StoreReader, by access.Actor, id string) (Incident, error) {
	id = strings.ToUpper(strings.TrimSpace(id))
	inc, err := load(r, id)
	if problem.KindOf(err) == problem.NotFound || (err == nil && !inc.Audience.Sees(by)) {
		return Incident{}, unseen(id)
	}
	return inc, err
}

// readable is visible for reading alone: who broke the glass over an incident
// reads all of it (broke), and still changes nothing.
func (s *Service) readable(r journal.StoreReader, by access.Actor, id string) (inc Incident, broke bool, err error) {
	id = strings.ToUpper(strings.TrimSpace(id))
	inc, err = load(r, id)
	if problem.KindOf(err) == problem.NotFound || (err == nil && !inc.Audience.Reads(by, KindIncident, inc.ID, s.o.Now())) {
		return Incident{}, false, unseen(id)
	}
	return inc, by.Broke(KindIncident, inc.ID, s.o.Now()), err
}

func unseen(id string) error {
	return problem.Newf(problem.NotFound, "there is no incident %q that you may see", id).WithFix("check its number on the page Incidents")
}

// Get returns one incident. Updates that the actor may not see are left out.
func (s *Service) Get(ctx context.Context, by access.Actor, id string) (Incident, error) {
	if err := access.Allow(by, access.ReadIncidents, s.o.Now()); err != nil {
		return Incident{}, err
	}
	var inc Incident
	var broke bool
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		inc, broke, err = s.readable(r, by, id)
		return err
	})
	if !broke {
		inc.Updates = inc.VisibleUpdates(by)
	}
	return inc, err
}

// Query selects incidents. Empty fields do not restrict.
type Query struct {
	States []string // notified, assessing, open, closed
	Text   string
	Cursor string
	Limit  int // zero: 50
}

// List returns the incidents that the actor may see, newest first, and the
// cursor of the next page or "".
func (s *Service) List(ctx context.Context, by access.Actor, q Query) ([]Incident, string, error) {
	if err := access.Allow(by, access.ReadIncidents, s.o.Now()); err != nil {
		return nil, "", err
	}
	q.Limit = cmp.Or(q.Limit, 50)
	out, next, last := []Incident{}, "", ""
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		oq := journal.ObjectQuery{Kind: KindIncident, States: q.States, Text: strings.ToLower(strings.TrimSpace(q.Text)), After: q.Cursor, Newest: true}
		return journal.Each(r, oq, func(inc Incident, o journal.Object) error {
			if !inc.Audience.Sees(by) {
				return nil
			}
			if len(out) == q.Limit {
				next = last
				return journal.ErrStop
			}
			if err := inc.dropLeft(r); err != nil {
				return err
			}
			inc.Updates = inc.VisibleUpdates(by)
			out, last = append(out, inc), o.Cursor()
			return nil
		})
	})
	return out, next, err
}

// Timeline returns the journal's entries about the incident that the actor may
// see, newest first, from before the given number on (0: the newest).
func (s *Service) Timeline(ctx context.Context, by access.Actor, id string, before int64, limit int) ([]journal.Entry, error) {
	if err := access.Allow(by, access.ReadIncidents, s.o.Now()); err != nil {
		return nil, err
	}
	limit = cmp.Or(limit, 50)
	out := []journal.Entry{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		inc, broke, err := s.readable(r, by, id)
		if err != nil {
			return err
		}
		for len(out) < limit {
			page, err := s.o.Log.Entries(r, journal.RowQuery{About: journal.Ref{Kind: KindIncident, ID: inc.ID}, Before: before, Newest: true, Limit: limit})
			if err != nil {
				return err
			}
			for _, e := range page {
				before = e.Number
				if (broke || e.Audience.Sees(by)) && len(out) < limit {
					out = append(out, e)
				}
			}
			if len(page) < limit || before == 0 {
				return nil
			}
		}
		return nil
	})
	return out, err
}

// Answer is one answer of an assessment.
type Answer struct {
	Criterion string `json:"criterion"`
	Answer    string `json:"answer"`
	Evidence  string `json:"evidence,omitempty"`
}

// Assess answers criteria of a protocol (empty: the default one). The advice
// is computed from all answers so far; the authority decides.
func (s *Service) Assess(ctx context.Context, by access.Actor, id, proto string, answers []Answer) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Assess, now); err != nil {
		return Incident{}, err
	}
	do := protocol.IncidentAction{Verb: protocol.Assess}
	for _, a := range answers {
		ev := strip(a.Evidence)
		if len([]rune(ev)) > MaxText {
			return Incident{}, fieldError("answers."+a.Criterion, fmt.Sprintf("the evidence has more than %d characters", MaxText))
		}
		do.Answers = append(do.Answers, protocol.Answer{ID: strings.TrimSpace(a.Criterion), Answer: strings.ToLower(strings.TrimSpace(a.Answer)), Evidence: ev})
	}
	return s.change(ctx, by, id, "incident.assess", now, func(tx *journal.Tx, inc *Incident) error {
		do.Running = inc.Running()
		def, err := s.defs.current(tx, cmp.Or(proto, s.o.Protocol))
		if err != nil {
			return err
		}
		events, err := protocol.StepIncident(def, inc.Status, do, by, now)
		if err != nil {
			return err
		}
		return s.appendIncident(tx, by, inc, now, events...)
	})
}

// Close ends an incident on which no activation runs any more; Reopen takes
// that back.
func (s *Service) Close(ctx context.Context, by access.Actor, id, reason string) (Incident, error) {
	return s.verb(ctx, by, id, protocol.CloseIncident, reason)
}

// Reopen opens a closed incident again.
func (s *Service) Reopen(ctx context.Context, by access.Actor, id, reason string) (Incident, error) {
	return s.verb(ctx, by, id, protocol.ReopenIncident, reason)
}

func (s *Service) verb(ctx context.Context, by access.Actor, id string, v protocol.IncidentVerb, reason string) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Assess, now); err != nil {
		return Incident{}, err
	}
	reason, err := shortReason(reason)
	if err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "incident."+string(v), now, func(tx *journal.Tx, inc *Incident) error {
		def, err := s.defs.current(tx, s.o.Protocol)
		if err != nil {
			return err
		}
		events, err := protocol.StepIncident(def, inc.Status, protocol.IncidentAction{Verb: v, Reason: reason, Running: inc.Running()}, by, now)
		if err != nil {
			return err
		}
		if err := s.appendIncident(tx, by, inc, now, events...); err != nil {
			return err
		}
		return s.signals.Reconsider(tx, inc.ID, now, v == protocol.CloseIncident)
	})
}

// change runs fn on an incident that the actor may see, in one transaction.
func (s *Service) change(ctx context.Context, by access.Actor, id, operation string, now time.Time, fn func(tx *journal.Tx, inc *Incident) error) (Incident, error) {
	return journal.Do(ctx, s.o.Log, by, operation+" "+id, now, func(tx *journal.Tx) (Incident, error) {
		inc, err := visible(tx, by, id)
		if err != nil {
			return inc, err
		}
		if err := s.unchanged(ctx, tx, by, &inc); err != nil {
			return inc, err
		}
		if err := fn(tx, &inc); err != nil {
			return inc, protocol.Offer(err, func(step string) bool { return may(by, step, now) })
		}
		inc, err = load(tx, inc.ID)
		inc.Updates = inc.VisibleUpdates(by)
		return inc, err
	})
}

func (s *Service) append(tx *journal.Tx, by access.Actor, inc *Incident, now time.Time, typ, under, why string, aud access.Audience, body any, about ...journal.Ref) error {
	e := journal.New(typ, by, now, body, append([]journal.Ref{{Kind: KindIncident, ID: inc.ID}}, about...)...)
	e.Audience, e.Exercise, e.Under, e.Why = aud, inc.Exercise, under, why
	if _, err := tx.Append(e); err != nil {
		return err
	}
	var err error
	*inc, err = load(tx, inc.ID)
	return err
}

func (s *Service) appendIncident(tx *journal.Tx, by access.Actor, inc *Incident, now time.Time, events ...protocol.IncidentEvent) error {
	for _, ev := range events {
		var body any = ev
		if ev.Type == protocol.EvThreatToLife {
			told, err := s.told(tx, by, inc)
			if err != nil {
				return err
			}
			body = threatened{ev, told}
		}
		if err := s.append(tx, by, inc, now, ev.Type, ev.Under(), ev.Reason, inc.Audience, body); err != nil {
			return err
		}
	}
	return nil
}

// rights says which row of the table of rights each verb needs.
var rights = map[protocol.Verb]access.Action{
	protocol.Propose: access.Vote, protocol.UseEmergency: access.Vote, protocol.CastVote: access.Vote,
	protocol.EndEmergency: access.Activate, protocol.WithdrawProposal: access.Activate, protocol.CallPartners: access.Activate,
	protocol.SetLevel: access.Activate, protocol.HandOver: access.Activate, protocol.Acknowledge: access.Acknowledge,
	protocol.PostUpdate: access.PostUpdate, protocol.MeetClock: access.DoTask, protocol.ReportTask: access.DoTask,
	protocol.Renew: access.Vote, protocol.ProposeStandDown: access.Vote, protocol.VoteStandDown: access.Vote,
	protocol.Conclude: access.Vote, protocol.FileReview: access.Activate,
}

// incidentRights is rights for what is done to an incident itself. It is opened
// by an activation alone.
var incidentRights = map[protocol.IncidentVerb]access.Action{
	protocol.Assess: access.Assess, protocol.CloseIncident: access.Assess, protocol.ReopenIncident: access.Assess,
}

// may reports whether the actor may do this step, once it has proved that it
// is itself where that is asked for.
func may(by access.Actor, step string, now time.Time) bool {
	right, ok := rights[protocol.Verb(step)]
	if !ok {
		if right, ok = incidentRights[protocol.IncidentVerb(step)]; !ok {
			return false
		}
	}
	err := access.Allow(by, right, now)
	return err == nil || problem.KindOf(err) == problem.StepUp
}

// RightFor returns the row of the table of rights that a verb needs.
func RightFor(v protocol.Verb) access.Action { return rights[v] }

// Act does something to an activation: proposes it, votes, renews it, stands
// it down. A proposal counts as the yes of the proposer's partner. Which
// partners are called is decided here: those that may see the incident.
func (s *Service) Act(ctx context.Context, by access.Actor, id, proto string, do protocol.Action) (Incident, error) {
	now := s.o.Now()
	right, ok := rights[do.Verb]
	if !ok {
		return Incident{}, problem.Newf(problem.Invalid, "%q is not something that can be done to an activation", do.Verb)
	}
	if do.Verb == protocol.PostUpdate {
		return Incident{}, problem.New(problem.Invalid, "an update needs its text", "post it as a situation update")
	}
	if do.Verb == protocol.HandOver {
		return Incident{}, problem.New(problem.Invalid, "a hand-over needs both sides", "offer it; the other partner accepts it")
	}
	if err := access.Allow(by, right, now); err != nil {
		return Incident{}, err
	}
	var err error
	if do.Reason, err = shortReason(do.Reason); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "activation."+string(do.Verb)+" "+proto, now, func(tx *journal.Tx, inc *Incident) error {
		return s.act(tx, by, inc, proto, do, now)
	})
}

func (s *Service) act(tx *journal.Tx, by access.Actor, inc *Incident, proto string, do protocol.Action, now time.Time) error {
	a := inc.Activations[proto]
	begins := (do.Verb == protocol.Propose || do.Verb == protocol.UseEmergency) && !a.State.Running()
	var def *protocol.Definition
	var err error
	if begins || a.State == protocol.None {
		def, err = s.defs.current(tx, proto)
	} else {
		def, err = s.defs.of(tx, a)
	}
	if err != nil {
		return err
	}
	if begins {
		if inc.Status.Phase == protocol.Closed {
			return problem.Newf(problem.Conflict, "incident %s is closed", inc.ID).WithFix("reopen it first")
		}
		if do.Level == "" { // the advice, if it says anything
			do.Level = protocol.Advise(def, inc.Status.Answers).Level
		}
	}
	if calls := do.Verb == protocol.Propose || do.Verb == protocol.UseEmergency || do.Verb == protocol.CallPartners; begins || calls && len(do.Partners) > 0 {
		if do.Partners, err = s.called(tx, inc, do.Partners); err != nil {
			return err
		}
	}
	for p, other := range inc.Activations {
		if p != proto && other.State == protocol.Active {
			do.AlsoActive = append(do.AlsoActive, p)
		}
	}
	slices.Sort(do.AlsoActive)
	events, err := protocol.Step(def, a, do, by, now)
	if err != nil {
		return err
	}
	if begins {
		if err := s.defs.record(tx, by, def, now); err != nil {
			return err
		}
	}
	return s.appendEvents(tx, by, inc, now, events)
}

func (s *Service) participants(r journal.StoreReader, inc *Incident) ([]protocol.Participant, error) {
	all, err := partner.Acting(r)
	if err != nil {
		return nil, err
	}
	var out []protocol.Participant
	for _, p := range all {
		if inc.Audience.SeenBy(p.ID, p.Kind) && acts(p.Kind) {
			out = append(out, protocol.Participant{ID: p.ID, Kind: p.Kind})
		}
	}
	return out, nil
}

// called returns the partners that are named, of those that may be called: all
// of them where none is named. Their kinds are the directory's, whatever the
// caller says of them. One that may not be called is refused by its name, in the
// same words whether it is there or not: it would be called for what it may not
// read.
func (s *Service) called(r journal.StoreReader, inc *Incident, named []protocol.Participant) ([]protocol.Participant, error) {
	all, err := s.participants(r, inc)
	if err != nil || len(named) == 0 {
		return all, err
	}
	var f problem.InvalidFields
	out := make([]protocol.Participant, 0, len(named))
	for _, n := range named {
		id := strings.TrimSpace(n.ID)
		i := slices.IndexFunc(all, func(p protocol.Participant) bool { return p.ID == id })
		if i < 0 {
			f.Add("partners", "%q is no government, organisation or platform that may see this incident and can be called. Leave it out", clipped(id))
			continue
		}
		out = append(out, all[i])
	}
	return out, f.Err()
}

// clipped keeps what a caller wrote short enough for an error.
func clipped(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// appendEvents appends an activation's events, opens the incident if one of
// them does, and lets signals follow.
func (s *Service) appendEvents(tx *journal.Tx, by access.Actor, inc *Incident, now time.Time, events []protocol.Event) error {
	changed, ended := false, false
	for _, ev := range events {
		who := by
		if ev.By.System || ev.By.Partner == "" {
			who = access.Actor{System: true}
		}
		aud := inc.Audience
		if used(ev.Type) && !aud.Named() && access.Green.Wider(aud.TLP) {
			aud.TLP = access.Green // observers see at once which powers are used
		}
		if err := s.append(tx, who, inc, now, ev.Type, ev.Under(), ev.Reason, aud, ev); err != nil {
			return err
		}
		if open, ok := protocol.OpenedByActivation(inc.Status, ev); ok {
			if err := s.appendIncident(tx, who, inc, now, open); err != nil {
				return err
			}
		}
		switch ev.Type {
		case protocol.EvActivated, protocol.EvConfirmed, protocol.EvProvisional, protocol.EvLapsed, protocol.EvRenewed, protocol.EvStandingDown, protocol.EvDeclined:
			changed = true
		case protocol.EvConcluded:
			changed, ended = true, true
		}
	}
	if !changed {
		return nil
	}
	return s.signals.Reconsider(tx, inc.ID, now, ended && len(inc.Running()) == 0)
}

// used reports whether the event uses authority, so that observers are told.
func used(typ string) bool {
	switch typ {
	case protocol.EvActivated, protocol.EvConfirmed, protocol.EvProvisional, protocol.EvLapsed, protocol.EvDeclined, protocol.EvRenewed, protocol.EvStandingDown, protocol.EvConcluded:
		return true
	}
	return false
}

// Acknowledge says that the actor's partner has seen the incident: once for
// the incident, and for every activation whose clock waits for it.
func (s *Service) Acknowledge(ctx context.Context, by access.Actor, id string) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Acknowledge, now); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "incident.acknowledge", now, func(tx *journal.Tx, inc *Incident) error {
		did, err := s.acknowledge(tx, by, inc, true, now)
		if err == nil && !did {
			return problem.Newf(problem.Conflict, "%s has acknowledged %s already", by.Partner, inc.ID).WithFix("nothing more is needed")
		}
		return err
	})
}

// leading returns the definition that leads the incident: of the activation
// that does (Incident.Leading), else the default one.
func (s *Service) leading(r journal.StoreReader, inc *Incident) (*protocol.Definition, error) {
	if p := inc.Leading(); p != "" {
		return s.defs.of(r, inc.Activations[p])
	}
	return s.defs.current(r, s.o.Protocol)
}

// Definition returns the definition that an activation of the incident began
// with, or the current one if there is none yet.
func (s *Service) Definition(ctx context.Context, inc Incident, proto string) (*protocol.Definition, error) {
	a, ok := inc.Activations[proto]
	var def *protocol.Definition
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		if !ok || a.State == protocol.None {
			def, err = s.defs.current(r, proto)
		} else {
			def, err = s.defs.of(r, a)
		}
		return err
	})
	return def, err
}

// Leading returns the definition that leads the incident: of the activation
// that does (Incident.Leading), else the default one.
func (s *Service) Leading(ctx context.Context, inc Incident) (*protocol.Definition, error) {
	var def *protocol.Definition
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		def, err = s.leading(r, &inc)
		return err
	})
	return def, err
}

// Advice returns what the incident's answers amount to under a protocol.
func (s *Service) Advice(ctx context.Context, inc Incident, proto string) (protocol.Advice, error) {
	var out protocol.Advice
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		def, err := s.defs.current(r, cmp.Or(proto, s.o.Protocol))
		if err == nil {
			out = protocol.Advise(def, inc.Status.Answers)
		}
		return err
	})
	return out, err
}

// runs returns the incident's activations with their definitions.
func (s *Service) runs(r journal.StoreReader, inc Incident) ([]protocol.Run, error) {
	var out []protocol.Run
	for _, p := range inc.Running() {
		def, err := s.defs.of(r, inc.Activations[p])
		if err != nil {
			return nil, err
		}
		out = append(out, protocol.Run{Definition: def, Activation: inc.Activations[p]})
	}
	return out, nil
}

// Standing implements signal.Incidents.
func (s *Service) Standing(r journal.StoreReader, by access.Actor, id string, now time.Time) (signal.Standing, error) {
	inc, err := visible(r, by, id)
	if err != nil {
		return signal.Standing{}, err
	}
	runs, err := s.runs(r, inc)
	if err != nil {
		return signal.Standing{}, err
	}
	def, err := s.leading(r, &inc)
	if err != nil {
		return signal.Standing{}, err
	}
	return signal.Standing{
		Incident: inc.ID, Open: inc.Status.Phase != protocol.Closed, Exercise: inc.Exercise, Audience: inc.Audience,
		Definition: def, Runs: runs,
	}, nil
}

func activationNames(inc Incident) []string { return slices.Sorted(maps.Keys(inc.Activations)) }

// Allowed returns, by protocol, what the actor's partner may do to each
// activation of the incident now, apart from rights of the member.
func (s *Service) Allowed(ctx context.Context, by access.Actor, inc Incident) (map[string][]protocol.Action, error) {
	out := make(map[string][]protocol.Action, len(inc.Activations))
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		for _, p := range activationNames(inc) {
			def, err := s.defs.of(r, inc.Activations[p])
			if err != nil {
				return err
			}
			out[p] = protocol.Allowed(def, inc.Activations[p], by, s.o.Now())
		}
		return nil
	})
	return out, err
}
