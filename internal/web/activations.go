package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/asks"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

type activatePage struct {
	*Frame
	form
	Inc       incident.Incident
	Defs      []*protocol.Definition
	Protocol  string
	Level     string
	Advised   string
	Reason    string
	Emergency bool
	Digits    string
	Contacts  int
	SignalsN  int
}

func (s *Site) activate(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.activateForm(w, r, f, http.StatusOK, form{}, "", "", "", r.URL.Query().Get("emergency") != "")
}

func (s *Site) activateForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, proto, level, reason string, emergency bool) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	p := activatePage{Frame: f, form: m, Inc: inc, Protocol: cmp.Or(proto, incident.DefaultProtocol), Level: level, Reason: reason, Emergency: emergency, Digits: digits(inc.ID), Contacts: len(inc.Called)}
	defs, err := s.o.Incidents.Startable(r.Context(), f.Me)
	if err != nil {
		return err
	}
	for _, d := range defs {
		if !inc.Activations[d.ID].State.Running() {
			p.Defs = append(p.Defs, d)
		}
	}
	adv, err := s.o.Incidents.Advice(r.Context(), inc, "")
	if err != nil {
		return err
	}
	p.Advised = adv.Level
	if slices.ContainsFunc(p.Defs, func(d *protocol.Definition) bool { return d.ID == p.Protocol }) {
		p.Level = cmp.Or(p.Level, adv.Level)
	} else {
		p.Protocol = ""
	}
	for _, d := range defs {
		if l, ok := d.Level(adv.Level); ok && d.ID == incident.DefaultProtocol {
			p.Advised = f.InWords(l.Title)
		}
	}
	sigs, err := s.allSignals(r.Context(), f.Me, signal.Query{Incident: inc.ID, States: []signal.State{signal.Active}})
	if err == nil {
		for _, sig := range sigs {
			if sig.Does != signal.Block && sig.Wanted == signal.Block && sig.Weak().String() == "" {
				p.SignalsN++
			}
		}
	}
	f.Form, f.Title = true, f.T("activate.title", "Incident", inc.ID)
	if emergency {
		f.Title = f.T("activate.emergency.title", "Incident", inc.ID)
	}
	f.mistaken(m)
	return s.render(w, r, status, "activate", p)
}

func (s *Site) activateDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	id := r.PathValue("id")
	emergency := v.Get("emergency") != ""
	do := protocol.Action{Verb: protocol.Propose, Level: v.Get("level"), Reason: v.Get("reason")}
	if emergency {
		do.Verb = protocol.UseEmergency
	}
	err := confirm(f, v.Get("digits"), id)
	if err == nil {
		_, err = s.o.Incidents.Act(seen(r), f.Me, id, v.Get("protocol"), do)
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		return s.activateForm(w, r, f, status, m, v.Get("protocol"), do.Level, do.Reason, emergency)
	}
	http.Redirect(w, r, "/incidents/"+id+"?sent=activation", http.StatusSeeOther)
	return nil
}

// digits are the last four of a number, which a person types to confirm.
func digits(id string) string { return id[max(0, len(id)-4):] }

func confirm(f *Frame, typed, id string) error {
	typed = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, typed)
	if d := asciiDigits(typed); d != digits(id) {
		var fields problem.InvalidFields
		fields.Add("digits", "%s", f.T("confirm.error", "Digits", digits(id)))
		return fields.Err()
	}
	return nil
}

type activationPage struct {
	*Frame
	form
	Inc      incident.Incident
	Run      runView
	Allowed  map[string]bool
	TaskList []taskView
	Clocks   []Clock
	Mine     string // my partner's vote
	Digits   string
	Signals  []SignalRow
	In       map[string]string
	Complete bool              // my yes completes the quorum
	Voters   []partner.Partner // that may vote and have not
	Starts   starts
	Others   []partner.Partner // that see the incident and are not called
}

// starts is what a vote sets going.
type starts struct {
	Called  []string
	Turn    int // signals that turn from review to block
	Stay    int
	Clocks  []string
	Mine    []string // tasks of the reader's partner
	TasksOf int
}

// whatStarts says before a vote what it brings about.
func (s *Site) whatStarts(r *http.Request, f *Frame, p *activationPage) error {
	readers, err := s.readers(r.Context(), f, p.Inc.Audience)
	if err != nil {
		return err
	}
	run := p.Run
	called := map[string]bool{}
	for _, c := range run.Partners {
		called[c.ID] = true
		p.Starts.Called = append(p.Starts.Called, f.Name(c.ID))
	}
	for _, o := range readers {
		if slices.Contains(run.Def.Authority.Activate.Kinds, o.Kind) && !asks.Voted(run.Votes, o.ID) {
			p.Voters = append(p.Voters, o)
		}
		if !called[o.ID] && o.Kind != access.CivilSociety && o.Kind != access.Research {
			p.Others = append(p.Others, o)
		}
	}
	for _, sig := range p.Signals {
		switch {
		case sig.State == signal.Active && sig.Does != signal.Block && sig.Wanted == signal.Block && run.Def.MayBlock() && sig.Weak == "" && !sig.Exercise:
			p.Starts.Turn++
		case sig.State == signal.Active:
			p.Starts.Stay++
		}
	}
	for _, c := range run.Def.Clocks {
		if c.Starts == protocol.AtActivated {
			p.Starts.Clocks = append(p.Starts.Clocks, cmp.Or(f.InWords(c.Title), c.ID)+" "+f.span(c.Due))
		}
	}
	for _, t := range run.Def.Tasks.Active {
		p.Starts.TasksOf++
		if slices.Contains(t.By.Kinds, f.Me.Kind) || t.By.Role == protocol.EveryPartner || t.By.Role == protocol.TheLead && run.Lead == f.Me.Partner {
			p.Starts.Mine = append(p.Starts.Mine, f.InWords(t.Ask))
		}
	}
	return nil
}

type taskView struct {
	protocol.TaskState
	Ask  string
	Mine bool
	Who2 string
}

func (s *Site) activation(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.activationForm(w, r, f, http.StatusOK, form{}, map[string]string{})
}

func (s *Site) activationForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in map[string]string) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	name := r.PathValue("protocol")
	if _, ok := inc.Activations[name]; !ok {
		return notFound(f.T("activation.none", "Protocol", name, "Incident", inc.ID), f.T("activation.none.fix"))
	}
	runs, err := s.runViews(r, f, inc)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(runs, func(v runView) bool { return v.Name == name })
	p := activationPage{Frame: f, form: m, Inc: inc, Run: runs[i], Allowed: map[string]bool{}, Digits: digits(inc.ID), In: in}
	p.Clocks = s.clocks(f, p.Run)
	allowed, err := s.o.Incidents.Allowed(r.Context(), f.Me, inc)
	if err != nil {
		return err
	}
	tasks := map[string]bool{}
	for _, do := range allowed[name] {
		if f.Can(string(incident.RightFor(do.Verb))) {
			p.Allowed[string(do.Verb)] = true
			tasks[do.Task] = tasks[do.Task] || do.Verb == protocol.ReportTask
		}
	}
	for _, v := range p.Run.Votes {
		if v.Partner == f.Me.Partner {
			p.Mine = string(v.Vote)
		}
	}
	if p.Allowed[string(protocol.CastVote)] && p.Mine != "yes" {
		trial := p.Run.Activation
		trial.Votes = append(slices.DeleteFunc(slices.Clone(trial.Votes), func(v protocol.Vote) bool { return v.Partner == f.Me.Partner }),
			protocol.Vote{Partner: f.Me.Partner, Kind: f.Me.Kind, Vote: protocol.VoteYes})
		p.Complete = trial.Tally(p.Run.Def).Reached
	}
	for _, t := range p.Run.Activation.Tasks {
		d, _ := p.Run.Def.Task(t.ID)
		mine := tasks[t.ID] && t.Open() && (t.Partner == "" || t.Partner == f.Me.Partner)
		p.TaskList = append(p.TaskList, taskView{t, cmp.Or(f.InWords(d.Ask), t.ID), mine, who(f, t.Partner, t.By)})
	}
	p.TaskList = foldTasks(p.TaskList, func(t *taskView) *taskView { return t })
	slices.SortStableFunc(p.TaskList, func(a, b taskView) int {
		if a.Mine != b.Mine && a.Mine {
			return -1
		}
		return 0
	})
	sigs, err := s.allSignals(r.Context(), f.Me, signal.Query{Incident: inc.ID, States: []signal.State{signal.Active, signal.Suspended}})
	if err == nil {
		for _, sig := range sigs {
			p.Signals = append(p.Signals, s.signalRow(f, sig))
		}
	}
	f.Title = name + " – " + inc.ID
	f.Form = true
	if err := s.whatStarts(r, f, &p); err != nil {
		return err
	}
	f.mistaken(m)
	return s.render(w, r, status, "activation", p)
}

// foldTasks makes one line of what is asked of several partners alike and none
// of them has reported.
func foldTasks[T any](list []T, of func(*T) *taskView) []T {
	var out []T
	for _, row := range list {
		t := of(&row)
		i := slices.IndexFunc(out, func(o T) bool {
			have := of(&o)
			return have.ID == t.ID && have.Phase == t.Phase && have.Due.Equal(t.Due) && have.Progress == t.Progress && have.Overdue == t.Overdue && have.Stopped.Equal(t.Stopped) &&
				!have.Mine && !t.Mine && have.At.IsZero() && t.At.IsZero() && have.Note == "" && t.Note == ""
		})
		if i < 0 {
			out = append(out, row)
			continue
		}
		o := of(&out[i])
		o.Who2 += ", " + t.Who2
	}
	return out
}

// confirmed are the steps that a person confirms with the incident's digits.
var confirmed = map[protocol.Verb]bool{
	protocol.CastVote: true, protocol.ProposeStandDown: true, protocol.VoteStandDown: true, protocol.Renew: true, protocol.Conclude: true,
	protocol.EndEmergency: true, protocol.WithdrawProposal: true,
}

func (s *Site) activationDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	id, name, verb := r.PathValue("id"), r.PathValue("protocol"), protocol.Verb(r.PathValue("verb"))
	do := protocol.Action{
		Verb: verb, Reason: v.Get("reason"), Vote: protocol.VoteValue(v.Get("vote")), Task: v.Get("task"),
		Progress: protocol.TaskProgress(v.Get("progress")), Level: v.Get("level"), Clock: v.Get("clock"), To: v.Get("to"),
	}
	if verb == protocol.CallPartners {
		readers, err := s.o.Partners.List(r.Context(), f.Me)
		if err != nil {
			return err
		}
		for _, o := range readers {
			if slices.Contains(v["call"], o.ID) {
				do.Partners = append(do.Partners, protocol.Participant{ID: o.ID, Kind: o.Kind})
			}
		}
	}
	in := map[string]string{"verb": string(verb)}
	for k := range v {
		in[k] = v.Get(k)
		if q, ok := strings.CutPrefix(k, "q."); ok && strings.TrimSpace(v.Get(k)) != "" {
			do.Answers = append(do.Answers, protocol.Answer{ID: q, Answer: strings.TrimSpace(v.Get(k)), Evidence: strings.TrimSpace(v.Get("e." + q))})
		}
	}
	slices.SortFunc(do.Answers, func(a, b protocol.Answer) int { return cmp.Compare(a.ID, b.ID) })
	var err error
	if confirmed[verb] {
		err = confirm(f, v.Get("digits"), id)
	}
	if err == nil {
		_, err = s.o.Incidents.Act(seen(r), f.Me, id, name, do)
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		for i, e := range m.Errors {
			m.Errors[i].Name = strings.Replace(e.Name, "answers.", "q.", 1)
		}
		return s.activationForm(w, r, f, status, m, in)
	}
	http.Redirect(w, r, "/incidents/"+id+"?sent="+string(verb), http.StatusSeeOther)
	return nil
}

// stepForm is one of several forms on a page that ask for a reason and for
// digits. Only the one that was sent shows its mistakes.
type stepForm struct {
	*Frame
	form
	Seen           int64 // the entry that the page was made from
	Digits, Reason string
	After          string // makes the ids of this form's fields its own
}

// step returns the part of the page for the form that posts verb; "" on a page
// with one form.
func step(page any, verb string) stepForm {
	switch p := page.(type) {
	case activationPage:
		if p.In["verb"] == verb {
			return stepForm{p.Frame, p.form, p.Inc.Last.Entry, p.Digits, p.In["reason"], ""}
		}
		return stepForm{p.Frame, form{}, p.Inc.Last.Entry, p.Digits, "", "-" + verb}
	case closingPage:
		return stepForm{p.Frame, p.form, p.Inc.Last.Entry, p.Digits, p.Reason, ""}
	}
	panic(fmt.Sprintf("web: a page of type %T has no steps", page))
}

// Vote says what the author of a decision had voted when it was recorded.
func (p activationPage) Vote(d protocol.Decision) string {
	votes := p.Run.Votes
	if p.Run.StandDown != nil && strings.Contains(d.What, "stand_down") {
		votes = p.Run.StandDown.Votes
	}
	for _, v := range votes {
		if v.Partner == d.By.Partner {
			return p.T("vote." + string(v.Vote))
		}
	}
	return ""
}

// Level is a level's name in the reader's language, under the definition that
// the activation began with.
func (p activationPage) Level(id string) string {
	if l, ok := p.Run.Def.Level(id); ok {
		return p.InWords(l.Title)
	}
	return id
}
