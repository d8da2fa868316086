package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

type incidentsPage struct {
	*Frame
	Rows []Row
	Q    string
	All  bool
	Next string
}

func (s *Site) incidents(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Live = "incidents", []string{"incident"}
	q := r.URL.Query()
	p := incidentsPage{Frame: f, Q: q.Get("q"), All: q.Get("all") != ""}
	query := incident.Query{Text: p.Q, Cursor: q.Get("cursor"), Limit: 50}
	if !p.All {
		query.States = []string{"notified", "assessing", "open"}
	}
	list, next, err := s.o.Incidents.List(r.Context(), f.Me, query)
	if err != nil {
		return err
	}
	for _, inc := range list {
		p.Rows = append(p.Rows, s.row(f, inc))
	}
	p.Next = next
	f.Title = f.T("incidents.title")
	return s.render(w, r, http.StatusOK, "incidents", p)
}

type notifyPage struct {
	*Frame
	form
	In   notifyInput
	Told []partner.Partner
	Same []incident.Incident // that may be the same
}

type notifyInput struct {
	Real, What, Place, Country, URLs, Live, Since, More string
}

func (s *Site) notify(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if err := access.Allow(f.Me, access.Notify, s.o.Now()); err != nil {
		return err
	}
	return s.notifyForm(w, r, f, http.StatusOK, form{}, notifyInput{Country: f.Me.Country}, nil)
}

func (s *Site) notifyForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in notifyInput, same []incident.Incident) error {
	f.Section, f.Form, f.Title = "incidents", true, f.T("notify.title")
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	p := notifyPage{Frame: f, form: m, In: in, Same: same}
	all, err := s.o.Partners.List(r.Context(), f.Me)
	if err != nil {
		return err
	}
	aud := access.Audience{TLP: access.Amber, Origin: f.Me.Partner}
	for _, o := range all {
		if aud.SeenBy(o.ID, o.Kind) {
			p.Told = append(p.Told, o)
		}
	}
	return s.render(w, r, status, "notify", p)
}

func (s *Site) notifyDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	in := notifyInput{v.Get("real"), v.Get("what"), v.Get("place"), v.Get("country"), v.Get("urls"), v.Get("live"), v.Get("since"), v.Get("more")}
	var fields problem.InvalidFields
	n := incident.Notice{
		Description: in.What, Where: in.Place, Country: in.Country, Live: incident.Truth(in.Live), MoreExpected: incident.Truth(in.More),
	}
	if in.Real == "real" || in.Real == "exercise" {
		exercise := in.Real == "exercise"
		n.Exercise = &exercise
	}
	for u := range strings.FieldsFuncSeq(in.URLs, func(c rune) bool { return c == '\n' || c == '\r' || c == ',' }) {
		if u = strings.TrimSpace(u); u != "" {
			n.URLs = append(n.URLs, u)
		}
	}
	if t := strings.TrimSpace(in.Since); t != "" {
		at, err := localClock(t, f.Now, f.Zone)
		if err != nil {
			fields.Add("since", "%s", f.T("notify.since.error"))
		}
		n.SeenAt = at
	}
	if err := fields.Err(); err != nil { // with all other mistakes, in the form's order
		_, rest := s.o.Incidents.Notify(r.Context(), access.Actor{Partner: f.Me.Partner, Roles: f.Me.Roles, Kind: f.Me.Kind}, incident.Notice{Country: "?", Exercise: n.Exercise, Description: n.Description, URLs: n.URLs})
		m, _ := mistakes(err)
		if more, ok := mistakes(rest); ok {
			for _, e := range more.Errors {
				if e.Name != "country" {
					m.Errors = append(m.Errors, e)
				}
			}
		}
		return s.notifyForm(w, r, f, http.StatusUnprocessableEntity, named(f, m), in, nil)
	}
	if v.Get("new") == "" && n.Exercise != nil && !*n.Exercise {
		same, err := s.alike(r, f, n)
		if err != nil {
			return err
		}
		if len(same) > 0 && n.Description != "" {
			return s.notifyForm(w, r, f, http.StatusConflict, form{}, in, same)
		}
	}
	inc, err := s.o.Incidents.Notify(r.Context(), f.Me, n)
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		return s.notifyForm(w, r, f, http.StatusUnprocessableEntity, named(f, m), in, nil)
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=notified", http.StatusSeeOther)
	return nil
}

// named gives mistakes the form's field names and the reader's language where
// the catalogue has the sentence.
func named(f *Frame, m form) form {
	ids := map[string]string{"exercise": "real", "description": "what", "title": "what", "where": "place", "seen_at": "since", "more_expected": "more"}
	order := []string{"real", "what", "place", "country", "urls", "live", "since", "more"}
	out := form{}
	for _, e := range m.Errors {
		e.Name = cmp.Or(ids[e.Name], e.Name)
		if id := "notify.error." + e.Name; f.word.has(id) {
			e.Detail = f.T(id, "UTC", f.Now.Format("15:04"), "Local", f.LocalTime(f.Now))
		}
		if !slices.ContainsFunc(out.Errors, func(o problem.Field) bool { return o.Name == e.Name }) {
			out.Errors = append(out.Errors, e)
		}
	}
	slices.SortStableFunc(out.Errors, func(a, b problem.Field) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return out
}

// localClock reads "21:30" in the reader's zone as the last such moment, up to
// two minutes ahead, since clocks differ.
func localClock(s string, now time.Time, zone *time.Location) (time.Time, error) {
	s = strings.NewReplacer(".", ":", " ", "").Replace(s)
	t, err := time.ParseInLocation("15:04", s, zone)
	if err != nil {
		return time.Time{}, err
	}
	local := now.In(zone)
	at := time.Date(local.Year(), local.Month(), local.Day(), t.Hour(), t.Minute(), 0, 0, zone)
	if at.After(now.Add(12 * time.Hour)) {
		at = at.AddDate(0, 0, -1)
	}
	return at, nil
}

// alike finds open incidents that may be the same one: the same address, or
// the same country within six hours.
func (s *Site) alike(r *http.Request, f *Frame, n incident.Notice) ([]incident.Incident, error) {
	if !f.Can(string(access.ReadIncidents)) {
		return nil, nil
	}
	list, _, err := s.o.Incidents.List(r.Context(), f.Me, incident.Query{States: []string{"notified", "assessing", "open"}, Limit: 100})
	if err != nil {
		return nil, err
	}
	var out []incident.Incident
	for _, inc := range list {
		if inc.Exercise {
			continue
		}
		url := slices.ContainsFunc(n.URLs, func(u string) bool { return slices.Contains(inc.URLs, u) })
		near := n.Country != "" && strings.EqualFold(n.Country, inc.Country) && f.Now.Sub(inc.Notified.At) < 6*time.Hour
		if url || near {
			out = append(out, inc)
		}
	}
	return out, nil
}

type runView struct {
	protocol.Activation
	Name   string
	Def    *protocol.Definition
	Chip   Chip
	Class  string
	Main   string
	Detail string
	Tally  protocol.Tally
}

// Clock is a deadline in the room.
type Clock struct {
	Due  time.Time
	What string
	Who  string
}

type roomPage struct {
	*Frame
	Inc     incident.Incident
	Chip    Chip
	Runs    []runView
	AskList []Ask
	Missing []string
	Acked   int
	Clocks  []Clock
	Update  *incident.Update
	Unknown []string
	Counts  hour
	Signals []SignalRow
	Lines   []Line
	Readers int
	Advice  protocol.Advice
	Tasks   int
	TasksOf int
}

func (s *Site) load(r *http.Request, f *Frame) (incident.Incident, error) {
	inc, err := s.o.Incidents.Get(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return inc, err
	}
	f.Section = "incidents"
	f.Title = inc.ID + " " + f.T("state."+inc.Phase())
	if inc.Exercise {
		f.Exercise = inc.ID + " “" + inc.Title + "”"
	}
	return inc, nil
}

func (s *Site) runViews(r *http.Request, f *Frame, inc incident.Incident) ([]runView, error) {
	var out []runView
	for p, a := range inc.Activations {
		def, err := s.o.Incidents.Definition(r.Context(), inc, p)
		if err != nil {
			return nil, err
		}
		v := runView{Activation: a, Name: p, Def: def, Chip: f.Chip(string(a.State)), Tally: a.Tally(def)}
		v.Class = v.Chip.Class
		level := a.Level
		if l, ok := def.Level(a.Level); ok {
			level = l.Title.In(f.Lang())
		}
		switch a.State {
		case protocol.Voting:
			v.Chip.Word = f.T("run.voting", "Yes", v.Tally.Yes, "Quorum", v.Tally.Quorum)
			v.Main = f.T("run.closes", "Time", f.ClockText(a.Closes), "Age", f.Until(a.Closes))
			v.Detail = votesText(f, a.Votes)
		case protocol.Provisional:
			v.Main = f.T("run.provisional", "Time", f.ClockText(a.ProvisionalUntil), "Age", f.Until(a.ProvisionalUntil))
			v.Detail = f.T("run.provisional.why", "Partner", a.Emergency.ID) + " · " + votesText(f, a.Votes)
		case protocol.Active:
			v.Main = f.T("run.active", "Time", f.ClockText(a.ActiveSince), "Age", f.Since(a.ActiveSince))
			v.Detail = f.T("run.active.why", "Level", level, "Lead", a.Lead, "Time", f.ClockText(a.Sunset))
		case protocol.StandingDown:
			v.Main = f.T("run.standing_down", "Time", f.ClockText(a.StandingDownSince), "Age", f.Since(a.StandingDownSince))
			v.Detail = f.T("run.standing_down.why", "Lead", a.Lead)
		default:
			v.Main = a.EndReason
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b runView) int {
		return cmp.Or(cmp.Compare(slices.Index(gravity, string(a.State)), slices.Index(gravity, string(b.State))), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

func votesText(f *Frame, votes []protocol.Vote) string {
	var parts []string
	for _, v := range votes {
		parts = append(parts, v.Partner+": "+f.T("vote."+string(v.Vote)))
	}
	return strings.Join(parts, " · ")
}

func (s *Site) room(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	f.Live = []string{"incident:" + inc.ID, "signal", "edges"}
	p := roomPage{Frame: f, Inc: inc, Chip: f.Chip(string(inc.Status.Phase)), Missing: inc.Missing()}
	p.Acked = len(inc.Called) - len(p.Missing)
	if p.Runs, err = s.runViews(r, f, inc); err != nil {
		return err
	}
	if p.AskList, err = s.asksOf(r.Context(), f, inc); err != nil {
		return err
	}
	more, err := s.approvals(r.Context(), f, inc.ID)
	if err != nil {
		return err
	}
	p.AskList = append(p.AskList, more...)
	sortAsks(p.AskList)
	f.Asks = len(p.AskList)
	f.Title = inc.ID + " " + f.T("state."+inc.Phase())
	for _, run := range p.Runs {
		p.Clocks = append(p.Clocks, s.clocks(f, run)...)
		for _, t := range run.Activation.Tasks {
			p.TasksOf++
			if !t.Open() {
				p.Tasks++
			}
		}
	}
	slices.SortFunc(p.Clocks, func(a, b Clock) int { return a.Due.Compare(b.Due) })
	if n := len(inc.Updates); n > 0 {
		p.Update = &inc.Updates[n-1]
	}
	if p.Advice, err = s.o.Incidents.Advice(inc, ""); err != nil {
		return err
	}
	p.Unknown = s.unknowns(r.Context(), f, inc, p)
	sigs, _, err := s.o.Signals.List(r.Context(), f.Me, signal.Query{Incident: inc.ID, Limit: 200})
	if err != nil && problem.KindOf(err) != problem.Denied {
		return err
	}
	only := map[string]bool{}
	for _, sig := range sigs {
		only[sig.ID] = true
		p.Signals = append(p.Signals, s.signalRow(f, sig))
	}
	if p.Counts, err = s.lastHour(r.Context(), f, only); err != nil {
		return err
	}
	if f.Can(string(access.ReadEdges)) {
		silent, err := s.silentEdges(r.Context(), f)
		if err != nil {
			return err
		}
		for _, e := range silent {
			p.Unknown = append(p.Unknown, f.T("unknown.edge", "Edge", e.Who))
		}
	}
	entries, err := s.o.Incidents.Timeline(r.Context(), f.Me, inc.ID, 0, 40)
	if err != nil {
		return err
	}
	for _, e := range entries {
		p.Lines = append(p.Lines, s.line(f, e))
	}
	p.Readers = len(inc.Called)
	return s.render(w, r, http.StatusOK, "room", p)
}

func (s *Site) unknowns(ctx context.Context, f *Frame, inc incident.Incident, p roomPage) []string {
	var out []string
	answered := map[string]bool{}
	for _, a := range inc.Status.Answers {
		if a.Answer != "unknown" {
			answered[a.ID] = true
		}
	}
	def, err := s.o.Incidents.Definition(ctx, inc, incident.DefaultProtocol)
	if err == nil {
		for _, c := range def.Criteria {
			if !answered[c.ID] {
				out = append(out, c.Ask.In(f.Lang()))
			}
		}
	}
	for _, m := range p.Missing {
		out = append(out, f.T("unknown.partner", "Partner", m))
	}
	return out
}

func (s *Site) clocks(f *Frame, run runView) []Clock {
	var out []Clock
	if run.State == protocol.Voting {
		out = append(out, Clock{run.Closes, f.T("clock.vote", "Protocol", run.Name), f.T("clock.authority")})
	}
	for _, c := range run.Activation.Clocks {
		if !c.Running() {
			continue
		}
		def, _ := run.Def.Clock(c.ID)
		out = append(out, Clock{c.Due, cmp.Or(def.Title.In(f.Lang()), c.ID), cmp.Or(c.Partner, whoText(f, c.By))})
	}
	for _, t := range run.Activation.Tasks {
		if !t.Open() || t.Due.IsZero() {
			continue
		}
		def, _ := run.Def.Task(t.ID)
		out = append(out, Clock{t.Due, cmp.Or(def.Ask.In(f.Lang()), t.ID), cmp.Or(t.Partner, whoText(f, t.By))})
	}
	// Each partner's own copy of one clock is one line.
	var folded []Clock
	for _, c := range out {
		i := slices.IndexFunc(folded, func(o Clock) bool { return o.What == c.What && o.Due.Equal(c.Due) })
		if i < 0 {
			folded = append(folded, c)
		} else {
			folded[i].Who += ", " + c.Who
		}
	}
	return folded
}

func whoText(f *Frame, w protocol.Who) string {
	if w.Role != "" {
		return f.T("who." + w.Role)
	}
	var kinds []string
	for _, k := range w.Kinds {
		kinds = append(kinds, f.T("kind."+string(k)))
	}
	return strings.Join(kinds, ", ")
}

func (s *Site) acknowledgeDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.o.Incidents.Acknowledge(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=acknowledged", http.StatusSeeOther)
	return nil
}

type assessPage struct {
	*Frame
	form
	Inc     incident.Incident
	Def     *protocol.Definition
	Given   map[string]protocol.Answer
	Advice  protocol.Advice
	Level   string
	Because string
}

func (s *Site) assess(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.assessForm(w, r, f, http.StatusOK, form{}, nil)
}

func (s *Site) assessForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, given map[string]protocol.Answer) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	def, err := s.o.Incidents.Definition(r.Context(), inc, incident.DefaultProtocol)
	if err != nil {
		return err
	}
	p := assessPage{Frame: f, form: m, Inc: inc, Def: def, Given: given}
	if given == nil {
		p.Given = map[string]protocol.Answer{}
		for _, a := range inc.Status.Answers {
			p.Given[a.ID] = a
		}
	}
	if p.Advice, err = s.o.Incidents.Advice(inc, ""); err != nil {
		return err
	}
	if l, ok := def.Level(p.Advice.Level); ok {
		p.Level = l.Title.In(f.Lang())
	}
	f.Form, f.Title = true, f.T("assess.title", "Incident", inc.ID)
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "assess", p)
}

func (s *Site) assessDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	def, err := s.o.Incidents.Definition(r.Context(), inc, incident.DefaultProtocol)
	if err != nil {
		return err
	}
	before := map[string]protocol.Answer{}
	for _, a := range inc.Status.Answers {
		before[a.ID] = a
	}
	given := map[string]protocol.Answer{}
	var answers []incident.Answer
	for _, c := range def.Criteria {
		a := protocol.Answer{ID: c.ID, Answer: r.PostForm.Get("a." + c.ID), Evidence: strings.TrimSpace(r.PostForm.Get("e." + c.ID))}
		if a.Answer == "" {
			continue
		}
		given[c.ID] = a
		if b := before[c.ID]; b.Answer != a.Answer || b.Evidence != a.Evidence {
			answers = append(answers, incident.Answer{Criterion: c.ID, Answer: a.Answer, Evidence: a.Evidence})
		}
	}
	if len(answers) == 0 {
		return s.assessForm(w, r, f, http.StatusUnprocessableEntity, form{[]problem.Field{{Name: "a." + def.Criteria[0].ID, Detail: f.T("assess.nothing")}}}, given)
	}
	if _, err := s.o.Incidents.Assess(r.Context(), f.Me, inc.ID, "", answers); err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		for i, e := range m.Errors {
			m.Errors[i].Name = strings.Replace(e.Name, "answers.", "a.", 1)
		}
		return s.assessForm(w, r, f, http.StatusUnprocessableEntity, m, given)
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=assessed", http.StatusSeeOther)
	return nil
}

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
	adv, err := s.o.Incidents.Advice(inc, "")
	if err != nil {
		return err
	}
	p.Advised = adv.Level
	p.Level = cmp.Or(p.Level, adv.Level)
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
		p.TaskList = append(p.TaskList, taskView{t, cmp.Or(d.Ask.In(f.Lang()), t.ID), mine, cmp.Or(t.Partner, whoText(f, t.By))})
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
		return s.activationForm(w, r, f, http.StatusUnprocessableEntity, m, in)
	}
	http.Redirect(w, r, "/incidents/"+id+"?sent="+string(verb), http.StatusSeeOther)
	return nil
}

type updatePage struct {
	*Frame
	form
	Inc      incident.Incident
	Audience string
	Texts    map[string]string
	Template map[string]string
	Readers  map[string][]string
	TLP      map[string]access.TLP
}

func (s *Site) update(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.updateForm(w, r, f, http.StatusOK, form{}, "partners", nil)
}

func (s *Site) updateForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, audience string, texts map[string]string) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	if err := access.Allow(f.Me, access.PostUpdate, s.o.Now()); err != nil {
		return err
	}
	proto := incident.DefaultProtocol
	if run := inc.Running(); len(run) > 0 {
		proto = run[0]
	}
	def, err := s.o.Incidents.Definition(r.Context(), inc, proto)
	if err != nil {
		return err
	}
	a := inc.Activations[proto]
	fill := strings.NewReplacer("{number}", inc.ID, "{title}", inc.Title, "{level}", a.Level, "{protocol}", proto,
		"{since}", a.ActiveSince.UTC().Format("2 Jan 15:04")+" UTC", "{sunset}", a.Sunset.UTC().Format("2 Jan 15:04")+" UTC",
		"{lead}", inc.Lead(), "{next_update}", f.Now.Add(time.Hour).Format("15:04")+" UTC")
	p := updatePage{
		Frame: f, form: m, Inc: inc, Audience: audience, Texts: texts, Template: map[string]string{}, Readers: map[string][]string{},
		TLP: map[string]access.TLP{"partners": def.Audiences.Partners, "observers": def.Audiences.Observers, "public": def.Audiences.Public},
	}
	for _, l := range []string{"en", "id"} {
		p.Template[l] = fill.Replace(def.Templates.Update.In(l))
	}
	if texts == nil {
		p.Texts = map[string]string{}
	}
	all, err := s.o.Partners.List(r.Context(), f.Me)
	if err != nil {
		return err
	}
	for name, tlp := range p.TLP {
		for _, o := range all {
			if (access.Audience{TLP: tlp, Origin: f.Me.Partner, Partners: inc.Audience.Partners}).SeenBy(o.ID, o.Kind) {
				p.Readers[name] = append(p.Readers[name], o.Name)
			}
		}
	}
	f.Form, f.Title = true, f.T("update.title", "Incident", inc.ID)
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "update", p)
}

func (s *Site) updateDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	texts := map[string]string{"en": v.Get("en"), "id": v.Get("id")}
	inc, err := s.o.Incidents.PostUpdate(r.Context(), f.Me, r.PathValue("id"), incident.NewUpdate{Audience: v.Get("audience"), Texts: texts})
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		return s.updateForm(w, r, f, http.StatusUnprocessableEntity, m, v.Get("audience"), texts)
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=update", http.StatusSeeOther)
	return nil
}

type assetPage struct {
	*Frame
	form
	Inc       incident.Incident
	In        incident.NewAsset
	Kinds     []string
	Producers []signal.Producer
}

func (s *Site) asset(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.assetForm(w, r, f, http.StatusOK, form{}, incident.NewAsset{})
}

func (s *Site) assetForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in incident.NewAsset) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	f.Form, f.Title = true, f.T("asset.title", "Incident", inc.ID)
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "asset", assetPage{f, m, inc, in, incident.AssetKinds(), signal.Producers()})
}

func (s *Site) assetDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	in := incident.NewAsset{Kind: v.Get("kind"), Producer: v.Get("producer"), Where: v.Get("where"), Text: v.Get("text"), SHA256: strings.ToLower(strings.TrimSpace(v.Get("sha256")))}
	inc, err := s.o.Incidents.AddAsset(r.Context(), f.Me, r.PathValue("id"), in)
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		return s.assetForm(w, r, f, http.StatusUnprocessableEntity, m, in)
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=asset#assets", http.StatusSeeOther)
	return nil
}

func (s *Site) timeline(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64) // anything else is the newest
	filter := r.URL.Query().Get("show")
	entries, err := s.o.Incidents.Timeline(r.Context(), f.Me, inc.ID, before, 100)
	if err != nil {
		return err
	}
	var lines []Line
	for _, e := range entries {
		switch filter {
		case "authority":
			if e.Under == "" {
				continue
			}
		case "signals":
			if !strings.HasPrefix(e.Type, "signal.") {
				continue
			}
		case "mine":
			if e.Partner != f.Me.Partner {
				continue
			}
		}
		lines = append(lines, s.line(f, e))
	}
	older := int64(0)
	if len(entries) == 100 {
		older = entries[99].Number
	}
	f.Title = f.T("timeline.title", "Incident", inc.ID)
	f.Live = []string{"incident:" + inc.ID}
	return s.render(w, r, http.StatusOK, "timeline", struct {
		*Frame
		Inc    incident.Incident
		Lines  []Line
		Filter string
		Older  int64
	}{f, inc, lines, filter, older})
}

type closingPage struct {
	*Frame
	form
	Inc    incident.Incident
	Reopen bool
	Reason string
	Digits string
}

func (s *Site) closing(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.closingForm(w, r, f, http.StatusOK, form{}, "")
}

func (s *Site) closingForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, reason string) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	p := closingPage{f, m, inc, inc.Status.Phase == protocol.Closed, reason, digits(inc.ID)}
	f.Form, f.Title = true, f.T("close.title", "Incident", inc.ID)
	if p.Reopen {
		f.Title = f.T("reopen.title", "Incident", inc.ID)
	}
	return s.render(w, r, status, "closing", p)
}

func (s *Site) closingDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id, reason := r.PathValue("id"), r.PostForm.Get("reason")
	err := confirm(f, r.PostForm.Get("digits"), id)
	if err == nil {
		do := s.o.Incidents.Close
		if r.PostForm.Get("reopen") != "" {
			do = s.o.Incidents.Reopen
		}
		_, err = do(r.Context(), f.Me, id, reason)
	}
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		return s.closingForm(w, r, f, http.StatusUnprocessableEntity, m, reason)
	}
	http.Redirect(w, r, "/incidents/"+id+"?sent=closed", http.StatusSeeOther)
	return nil
}
