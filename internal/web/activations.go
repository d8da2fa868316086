package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/siaga-crp/siaga/internal/incident"
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
	for _, d := range protocol.Builtin() {
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
		p.Advised = levelTitle(p.Frame, p.Protocol, adv.Level)
	} else {
		p.Protocol, p.Advised = "", levelTitle(p.Frame, incident.DefaultProtocol, adv.Level)
	}
	sigs, _, err := s.o.Signals.List(r.Context(), f.Me, signal.Query{Incident: inc.ID, States: []signal.State{signal.Active}, Limit: 200})
	if err == nil {
		for _, sig := range sigs {
			if sig.Does != signal.Block && sig.Wanted == signal.Block {
				p.SignalsN++
			}
		}
	}
	f.Form, f.Title = true, f.T("activate.title", "Incident", inc.ID)
	if emergency {
		f.Title = f.T("activate.emergency.title", "Incident", inc.ID)
	}
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
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
		_, err = s.o.Incidents.Act(r.Context(), f.Me, id, v.Get("protocol"), do)
	}
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		return s.activateForm(w, r, f, http.StatusUnprocessableEntity, m, v.Get("protocol"), do.Level, do.Reason, emergency)
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
	Complete bool // my yes completes the quorum
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
		p.TaskList = append(p.TaskList, taskView{t, cmp.Or(d.Ask.In(f.Lang()), t.ID), mine, who(f, t.Partner, t.By)})
	}
	slices.SortStableFunc(p.TaskList, func(a, b taskView) int {
		if a.Mine != b.Mine && a.Mine {
			return -1
		}
		return 0
	})
	sigs, _, err := s.o.Signals.List(r.Context(), f.Me, signal.Query{Incident: inc.ID, States: []signal.State{signal.Active, signal.Suspended}, Limit: 200})
	if err == nil {
		for _, sig := range sigs {
			p.Signals = append(p.Signals, s.signalRow(f, sig))
		}
	}
	f.Title = name + " – " + inc.ID
	f.Form = true
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "activation", p)
}

// confirmed are the steps that a person confirms with the incident's digits.
var confirmed = map[protocol.Verb]bool{
	protocol.CastVote: true, protocol.ProposeStandDown: true, protocol.VoteStandDown: true, protocol.Renew: true, protocol.Conclude: true,
}

func (s *Site) activationDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	id, name, verb := r.PathValue("id"), r.PathValue("protocol"), protocol.Verb(r.PathValue("verb"))
	do := protocol.Action{
		Verb: verb, Reason: v.Get("reason"), Vote: protocol.VoteValue(v.Get("vote")), Task: v.Get("task"),
		Progress: protocol.TaskProgress(v.Get("progress")), Level: v.Get("level"), Clock: v.Get("clock"), To: v.Get("to"),
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
		_, err = s.o.Incidents.Act(r.Context(), f.Me, id, name, do)
	}
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		for i, e := range m.Errors {
			m.Errors[i].Name = strings.Replace(e.Name, "answers.", "q.", 1)
		}
		return s.activationForm(w, r, f, http.StatusUnprocessableEntity, m, in)
	}
	http.Redirect(w, r, "/incidents/"+id+"?sent="+string(verb), http.StatusSeeOther)
	return nil
}

// stepForm is one of several forms on a page that ask for a reason and for
// digits. Only the one that was sent shows its mistakes.
type stepForm struct {
	*Frame
	form
	Digits, Reason string
	After          string // makes the ids of this form's fields its own
}

// step returns the part of the page for the form that posts verb; "" on a page
// with one form.
func step(page any, verb string) stepForm {
	switch p := page.(type) {
	case activationPage:
		if p.In["verb"] == verb {
			return stepForm{p.Frame, p.form, p.Digits, p.In["reason"], ""}
		}
		return stepForm{p.Frame, form{}, p.Digits, "", "-" + verb}
	case closingPage:
		return stepForm{p.Frame, p.form, p.Digits, p.Reason, ""}
	}
	panic(fmt.Sprintf("web: a page of type %T has no steps", page))
}

// levelTitle is a level's name in the reader's language.
func levelTitle(f *Frame, protocolID, level string) string {
	if def, err := protocol.Lookup(cmp.Or(protocolID, incident.DefaultProtocol)); err == nil {
		if l, ok := def.Level(level); ok {
			return l.Title.In(f.Lang())
		}
	}
	return level
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
