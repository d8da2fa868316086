package web

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// part opens a page below an incident.
func (s *Site) part(r *http.Request, f *Frame, title string) (incident.Incident, error) {
	inc, err := s.load(r, f)
	if err != nil {
		return inc, err
	}
	f.Title = f.T(title, "Incident", inc.ID)
	f.Live = []string{"incident:" + inc.ID}
	return inc, nil
}

func (f *Frame) mistaken(m form) {
	if len(m.Errors) > 0 || m.Refused != nil {
		f.Title = f.T("form.title", "Title", f.Title)
	}
}

func sent(w http.ResponseWriter, r *http.Request, path, what string) error {
	http.Redirect(w, r, path+"?sent="+what, http.StatusSeeOther)
	return nil
}

// taskRow is a task on the page of tasks.
type taskRow struct {
	taskView
	Protocol string
	Chip     Chip
	Reporter string
}

type tasksPage struct {
	*Frame
	form
	Inc   incident.Incident
	Phase []taskGroup
	Open  int
	All   int
}

type taskGroup struct {
	Protocol, State string
	Rows            []taskRow
}

func (s *Site) tasks(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.tasksForm(w, r, f, http.StatusOK, form{})
}

func (s *Site) tasksForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form) error {
	inc, err := s.part(r, f, "tasks.of")
	if err != nil {
		return err
	}
	runs, err := s.runViews(r, f, inc)
	if err != nil {
		return err
	}
	allowed, err := s.o.Incidents.Allowed(r.Context(), f.Me, inc)
	if err != nil {
		return err
	}
	p := tasksPage{Frame: f, form: m, Inc: inc}
	for _, run := range runs {
		may := map[string]bool{}
		for _, do := range allowed[run.Name] {
			may[do.Task] = may[do.Task] || do.Verb == protocol.ReportTask && f.Can(string(access.DoTask))
		}
		for _, t := range run.Activation.Tasks {
			d, _ := run.Def.Task(t.ID)
			row := taskRow{
				taskView: taskView{t, cmp.Or(f.InWords(d.Ask), t.ID), may[t.ID] && t.Open() && (t.Partner == "" || t.Partner == f.Me.Partner), who(f, t.Partner, t.By)},
				Protocol: run.Name, Chip: taskChip(f, t), Reporter: f.Name(t.Who.Partner),
			}
			p.All++
			if t.Open() {
				p.Open++
			}
			i := slices.IndexFunc(p.Phase, func(g taskGroup) bool { return g.Protocol == run.Name && g.State == string(t.Phase) })
			if i < 0 {
				i = len(p.Phase)
				p.Phase = append(p.Phase, taskGroup{Protocol: run.Name, State: string(t.Phase)})
			}
			p.Phase[i].Rows = append(p.Phase[i].Rows, row)
		}
	}
	open := func(g taskGroup) int {
		return b2i(!slices.ContainsFunc(g.Rows, func(t taskRow) bool { return t.Open() }))
	}
	slices.SortStableFunc(p.Phase, func(a, b taskGroup) int { return open(a) - open(b) })
	for i := range p.Phase {
		p.Phase[i].Rows = foldTasks(p.Phase[i].Rows, func(t *taskRow) *taskView { return &t.taskView })
		slices.SortStableFunc(p.Phase[i].Rows, func(a, b taskRow) int {
			rank := func(t taskRow) int {
				switch {
				case t.Mine:
					return 0
				case t.Open():
					return 1
				}
				return 2
			}
			return rank(a) - rank(b)
		})
	}
	f.mistaken(m)
	return s.render(w, r, status, "tasks", p)
}

func taskChip(f *Frame, t protocol.TaskState) Chip {
	word := f.T("task." + string(t.Progress))
	switch {
	case !t.Stopped.IsZero() && t.Progress != protocol.TaskDone:
		return Chip{"", "done", f.T("task.stopped")}
	case t.Progress == protocol.TaskDone:
		return Chip{"ok", "ok", word}
	case t.Overdue:
		return Chip{"fail", "late", f.T("task.overdue")}
	case t.Progress == protocol.TaskDoing:
		return Chip{"info", "open", word}
	}
	return Chip{"", "open", word}
}

func (s *Site) tasksDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, id := r.PostForm, r.PathValue("id")
	do := protocol.Action{Verb: protocol.ReportTask, Task: v.Get("task"), Progress: protocol.TaskProgress(v.Get("progress")), Reason: v.Get("note")}
	if _, err := s.o.Incidents.Act(r.Context(), f.Me, id, v.Get("protocol"), do); err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		return s.tasksForm(w, r, f, status, m)
	}
	return sent(w, r, "/incidents/"+id+"/tasks", "report_task")
}

type assetsPage struct {
	*Frame
	Inc incident.Incident
}

func (s *Site) assets(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.part(r, f, "assets.of")
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "assets", assetsPage{f, inc})
}

type incidentSignalsPage struct {
	*Frame
	Inc     incident.Incident
	Signals []SignalRow
	By      []stateCount
}

type stateCount struct {
	Chip Chip
	N    int
}

// allSignals lists all signals that are asked for, however many pages they have.
func (s *Site) allSignals(ctx context.Context, me access.Actor, q signal.Query) ([]signal.Signal, error) {
	q.Limit = 500
	var out []signal.Signal
	for {
		list, next, err := s.o.Signals.List(ctx, me, q)
		if err != nil {
			return nil, err
		}
		if out = append(out, list...); next == "" {
			return out, nil
		}
		q.Cursor = next
	}
}

func (s *Site) incidentSignals(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.part(r, f, "signals.of")
	if err != nil {
		return err
	}
	f.Live = append(f.Live, "signal", "edges")
	p := incidentSignalsPage{Frame: f, Inc: inc}
	sigs, err := s.allSignals(r.Context(), f.Me, signal.Query{Incident: inc.ID})
	if err != nil {
		return err
	}
	n := map[signal.State]int{}
	for _, sig := range sigs {
		n[sig.State]++
		p.Signals = append(p.Signals, s.signalRow(f, sig))
	}
	for _, st := range signal.States() {
		if n[st] > 0 {
			p.By = append(p.By, stateCount{f.Chip(string(st)), n[st]})
		}
	}
	return s.render(w, r, http.StatusOK, "incidentsignals", p)
}

// updateView is a situation update as its readers see it.
type updateView struct {
	incident.Update
	Langs     []langText
	Corrected int // number of the later update that corrects it
}

type langText struct{ Lang, Name, Text string }

func updateViews(f *Frame, inc incident.Incident) []updateView {
	corrected := inc.Corrected()
	var out []updateView
	for _, u := range slices.Backward(inc.Updates) {
		out = append(out, updateView{u, langTexts(f, u.Texts), corrected[u.Number]})
	}
	return out
}

// langTexts lists an update's texts, the reader's language first.
func langTexts(f *Frame, texts map[string]string) []langText {
	var out []langText
	for l, t := range texts {
		out = append(out, langText{l, cmp.Or(names[l], l), t})
	}
	slices.SortFunc(out, func(a, b langText) int {
		rank := func(l string) int {
			switch l {
			case f.Lang():
				return 0
			case "en":
				return 1
			}
			return 2
		}
		return cmp.Or(rank(a.Lang)-rank(b.Lang), cmp.Compare(a.Lang, b.Lang))
	})
	return out
}

type updatesPage struct {
	*Frame
	Inc     incident.Incident
	Updates []updateView
	Draft   *incident.Draft
}

func (s *Site) updates(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.part(r, f, "updates.of")
	if err != nil {
		return err
	}
	p := updatesPage{Frame: f, Inc: inc, Updates: updateViews(f, inc)}
	if f.Can(string(access.PostUpdate)) {
		d, ok, err := s.o.Incidents.Draft(r.Context(), f.Me, inc.ID)
		if err != nil {
			return err
		}
		if ok {
			p.Draft = &d
		}
	}
	return s.render(w, r, http.StatusOK, "updates", p)
}

type questionsPage struct {
	*Frame
	form
	Inc     incident.Incident
	Readers []partner.Partner
	Text    string
	To      []string
	Which   string // question whose answer has mistakes
}

func (s *Site) questions(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.questionsForm(w, r, f, http.StatusOK, form{})
}

func (s *Site) questionsForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form) error {
	inc, err := s.part(r, f, "questions.of")
	if err != nil {
		return err
	}
	p := questionsPage{Frame: f, form: m, Inc: inc, Text: r.PostForm.Get("text"), To: r.PostForm["to"], Which: r.PostForm.Get("number")}
	if p.Readers, err = s.readers(r.Context(), f, inc.Audience); err != nil {
		return err
	}
	slices.Reverse(p.Inc.Questions)
	f.Form = status != http.StatusOK
	f.mistaken(m)
	return s.render(w, r, status, "questions", p)
}

// Asked reports whether a partner was chosen in the form.
func (p questionsPage) Asked(id string) bool { return slices.Contains(p.To, id) }

func (s *Site) questionsDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, id := r.PostForm, r.PathValue("id")
	var err error
	what := "asked"
	if n := v.Get("number"); n != "" {
		what = "answered"
		number, _ := strconv.Atoi(n) // a wrong one is not found
		_, err = s.o.Incidents.Answer(r.Context(), f.Me, id, number, v.Get("text"), v.Get("settles") != "")
	} else {
		_, err = s.o.Incidents.Ask(r.Context(), f.Me, id, v["to"], v.Get("text"))
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		for i, e := range m.Errors {
			if e.Name == "text" && v.Get("number") != "" {
				m.Errors[i].Name = "text-" + v.Get("number")
			}
		}
		return s.questionsForm(w, r, f, status, m)
	}
	return sent(w, r, "/incidents/"+id+"/questions", what)
}

// readers lists the partners that see what has the audience. Who is deactivated
// reads nothing and is not called.
func (s *Site) readers(ctx context.Context, f *Frame, aud access.Audience) ([]partner.Partner, error) {
	all, err := s.o.Partners.List(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(p partner.Partner) bool { return p.Disabled || !aud.SeenBy(p.ID, p.Kind) }), nil
}

type matchesPage struct {
	*Frame
	Inc      incident.Incident
	Counts   hour
	Spread   Spread
	Verdicts verdictTable
	Span     int64
}

// spans are how far back the page of matches may look, in minutes.
var spans = []int64{15, 60, 360}

func span(r *http.Request) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get("minutes"), 10, 64) // anything else is the first
	if slices.Contains(spans, n) {
		return n
	}
	return spans[0]
}

func (s *Site) matches(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.part(r, f, "matches.of")
	if err != nil {
		return err
	}
	f.Live = append(f.Live, "signal", "feedback", "edges")
	p := matchesPage{Frame: f, Inc: inc, Span: span(r)}
	if p.Spread, p.Counts, err = s.spread(r.Context(), f, inc.ID, p.Span); err != nil {
		return err
	}
	if f.readsSignals() {
		found, err := s.o.Signals.FeedbackOf(r.Context(), f.Me, inc.ID)
		if err != nil {
			return err
		}
		p.Verdicts = f.verdictsIn(found)
	}
	return s.render(w, r, http.StatusOK, "matches", p)
}

// Spans lists the choices of the page.
func (p matchesPage) Spans() []int64 { return spans }

func (s *Site) spread(ctx context.Context, f *Frame, id string, minutes int64) (Spread, hour, error) {
	if !f.Can(string(access.ReadSignals)) {
		return Spread{}, hour{}, nil
	}
	counts, err := s.o.Signals.CountsOf(ctx, f.Me, id, f.Now.Add(-time.Duration(minutes)*time.Minute))
	if err != nil {
		return Spread{}, hour{}, err
	}
	var edges []api.Edge
	var h hour
	if f.Can(string(access.ReadEdges)) {
		if edges, err = s.o.Edges.EdgesFor(ctx, f.Me); err != nil {
			return Spread{}, hour{}, err
		}
	}
	for _, e := range edges {
		h.Edges++
		if e.State == "current" {
			h.Current++
		}
		h.AddMS, h.RemoveMS = max(h.AddMS, e.AddMS), max(h.RemoveMS, e.RemoveMS)
	}
	for _, c := range counts {
		switch {
		case c.Exercise:
			h.Exercise += c.AtLeast()
		case c.Action == signal.Block:
			h.Blocked += c.AtLeast()
		default:
			h.Review += c.AtLeast()
		}
	}
	return spread(f, counts, edges, minutes), h, nil
}

// matchesCSV is the chart's numbers as comma-separated values (RFC 4180).
func (s *Site) matchesCSV(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	counts, err := s.o.Signals.CountsOf(r.Context(), f.Me, inc.ID, f.Now.Add(-time.Duration(span(r))*time.Minute))
	if err != nil {
		return err
	}
	type key struct {
		minute          int64
		partner, action string
		exercise        bool
	}
	sum, few := map[key]int64{}, map[key]int64{}
	var keys []key
	for _, c := range counts {
		k := key{c.Minute, c.Partner, string(c.Action), c.Exercise}
		if _, ok := sum[k]; !ok {
			keys = append(keys, k)
		}
		sum[k] += c.Matches
		few[k] += c.Few
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), strings.Compare(a.partner, b.partner), strings.Compare(a.action, b.action))
	})
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", strings.ToLower(inc.ID)+"-matches.csv"))
	out := csv.NewWriter(w)
	_ = out.Write([]string{"minute_utc", "partner", "action", "exercise", "matches", "reports_of_fewer_than_5"}) // the reader is gone if writing fails
	for _, k := range keys {
		_ = out.Write([]string{time.Unix(k.minute*60, 0).UTC().Format(time.RFC3339), k.partner, k.action, strconv.FormatBool(k.exercise), strconv.FormatInt(sum[k], 10), strconv.FormatInt(few[k], 10)})
	}
	out.Flush()
	return nil
}

// denied reports whether an error only says that a role may not.
func denied(err error) bool { return problem.KindOf(err) == problem.Denied }
