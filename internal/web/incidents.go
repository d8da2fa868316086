package web

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

type incidentsPage struct {
	*Frame
	form
	Rows []Row
	Q    string
	All  bool
	Next string
}

func (s *Site) incidents(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if handleAway(w, r) {
		return nil
	}
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
	said, status := f.noHandle(r)
	p.form = said
	return s.render(w, r, status, "incidents", p)
}

type notifyPage struct {
	*Frame
	form
	In       notifyInput
	Told     []partner.Partner
	Readers  []partner.Partner   // that could read it
	Uncalled []string            // names of those that could read it and are not called
	Others   []partner.Partner   // that can be named as readers
	Changed  bool                // who is told is not who was shown: shown first
	Same     []incident.Incident // that may be the same
}

type notifyInput struct {
	Real, What, Place, Country, URLs, Live, Since, More string

	TLP   access.TLP
	Named []string // partners that read it, beside whom the label admits
}

// Names reports whether the partner is named as a reader.
func (in notifyInput) Names(partner string) bool { return slices.Contains(in.Named, partner) }

// Default reports whether whom it goes to was left as it stands.
func (in notifyInput) Default() bool { return in.TLP == access.Amber && len(in.Named) == 0 }

// Told is what a form shows of its readers, so that the one that comes back is
// known to be for those.
func (in notifyInput) Told() string {
	return strings.Join(append([]string{string(in.TLP)}, slices.Sorted(slices.Values(in.Named))...), " ")
}

// noticeLabels are the labels of a notice. It has words of people who are not
// asked: what everyone may read is a statement.
var noticeLabels = []access.TLP{access.Green, access.Amber, access.AmberStrict, access.Red}

// Labels are the labels that can be chosen.
func (notifyPage) Labels() []access.TLP { return noticeLabels }

func (s *Site) notify(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if err := access.Allow(f.Me, access.Notify, s.o.Now()); err != nil {
		return err
	}
	return s.notifyForm(w, r, f, http.StatusOK, form{}, notifyInput{Country: f.Me.Country, TLP: access.Amber}, nil)
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
	for _, o := range all {
		if o.ID != f.Me.Partner && !o.Disabled {
			p.Others = append(p.Others, o)
		}
	}
	if p.Told, p.Readers, err = s.o.Incidents.Reach(r.Context(), f.Me, in.TLP, in.Named); err != nil {
		return err
	}
	for _, o := range p.Readers {
		if !slices.ContainsFunc(p.Told, func(t partner.Partner) bool { return t.ID == o.ID }) {
			p.Uncalled = append(p.Uncalled, isolate(o.Name))
		}
	}
	told := r.PostForm.Get("told")
	p.Changed = r.Method == http.MethodPost && told != "" && told != in.Told()
	// On a phone the button is always in reach, beside whom it tells.
	names := make([]string, len(p.Told))
	for i, o := range p.Told {
		names[i] = isolate(o.Name)
	}
	verb := f.N("notify.do", len(p.Told))
	if p.Same != nil {
		verb = f.T("notify.do.new")
	}
	f.Dock = []Ask{{Form: "notify", Title: strings.Join(names, ", "), Verb: verb}}
	return s.render(w, r, status, "notify", p)
}

func (s *Site) notifyDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	in := notifyInput{v.Get("real"), v.Get("what"), v.Get("place"), v.Get("country"), v.Get("urls"), v.Get("live"), v.Get("since"), v.Get("more"), access.TLP(cmp.Or(v.Get("tlp"), string(access.Amber))), v["reader"]}
	var fields problem.InvalidFields
	n := incident.Notice{
		Description: in.What, Where: in.Place, Country: in.Country, Live: incident.Truth(in.Live), MoreExpected: incident.Truth(in.More),
		TLP: string(in.TLP), Partners: in.Named,
	}
	if !slices.Contains(noticeLabels, in.TLP) {
		fields.Add("tlp", "%s", f.T("notify.tlp.error"))
		in.TLP = access.Amber
	}
	// Before sending, it shows exactly who will be told: other readers than the
	// form had shown are shown first.
	if told := v.Get("told"); v.Get("do") == "show" || told != in.Told() && (told != "" || !in.Default()) {
		if fields.Err() == nil {
			return s.notifyForm(w, r, f, http.StatusOK, form{}, in, nil)
		}
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
		m, _ := f.mistakes(err)
		if more, ok := f.mistakes(s.o.Incidents.Check(n)); ok {
			m.Errors = append(m.Errors, more.Errors...)
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
		m, ok := f.mistakes(err)
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
	order := []string{"real", "what", "place", "country", "urls", "live", "since", "more", "tlp", "partners"}
	out := form{word: m.word}
	for _, e := range m.Errors {
		unread := e.Name == "since" // no time at all: said where it was read
		e.Name = cmp.Or(ids[e.Name], e.Name)
		if id := "notify.error." + e.Name; !unread && f.word.has(id) {
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

// Question is a criterion in words.
func (p assessPage) Question(id string) string {
	for _, c := range p.Def.Criteria {
		if c.ID == id {
			return p.InWords(c.Ask)
		}
	}
	return id
}

// Answered is the answer to a criterion in words.
func (p assessPage) Answered(a protocol.Answer) string {
	for _, c := range p.Def.Criteria {
		for _, o := range c.Choices {
			if c.ID == a.ID && o.ID == a.Answer {
				return p.InWords(o.Title)
			}
		}
	}
	return p.maybe("answer.", a.Answer)
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
	if p.Advice, err = s.o.Incidents.Advice(r.Context(), inc, ""); err != nil {
		return err
	}
	if l, ok := def.Level(p.Advice.Level); ok {
		p.Level = f.InWords(l.Title)
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
		return s.assessForm(w, r, f, http.StatusUnprocessableEntity, f.wrong(problem.Field{Name: "a." + def.Criteria[0].ID, Detail: f.T("assess.nothing")}), given)
	}
	if _, err := s.o.Incidents.Assess(seen(r), f.Me, inc.ID, "", answers); err != nil {
		m, status, ok := s.again(r, f, inc.ID, err)
		if !ok {
			return err
		}
		for i, e := range m.Errors {
			m.Errors[i].Name = strings.Replace(e.Name, "answers.", "a.", 1)
		}
		return s.assessForm(w, r, f, status, m, given)
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=assessed", http.StatusSeeOther)
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
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.assetForm(w, r, f, http.StatusUnprocessableEntity, m, in)
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=asset#assets", http.StatusSeeOther)
	return nil
}

// timelines are the filters of an incident's entries.
var timelines = map[string]func(*Frame, journal.Entry) bool{
	"all":       func(*Frame, journal.Entry) bool { return true },
	"authority": func(_ *Frame, e journal.Entry) bool { return e.Under != "" },
	"updates": func(_ *Frame, e journal.Entry) bool {
		return e.Type == "update.posted" || strings.HasPrefix(e.Type, "statement.")
	},
	"signals":  func(_ *Frame, e journal.Entry) bool { return strings.HasPrefix(e.Type, "signal.") },
	"messages": func(_ *Frame, e journal.Entry) bool { return strings.HasPrefix(e.Type, "call.") },
	"mine":     func(f *Frame, e journal.Entry) bool { return e.Partner == f.Me.Partner },
}

func (s *Site) timeline(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64) // anything else is the newest
	filter := r.URL.Query().Get("show")
	if timelines[filter] == nil {
		filter = "all"
	}
	const most = 100
	var lines []Line
	older := int64(0)
	for range 50 { // a filter passes over pages of others, and ends when 5,000 were looked at
		entries, err := s.o.Incidents.Timeline(r.Context(), f.Me, inc.ID, before, most)
		if err != nil {
			return err
		}
		older = 0
		if len(entries) == most {
			older = entries[most-1].Number
		}
		for _, e := range entries {
			if !timelines[filter](f, e) {
				continue
			}
			if lines = append(lines, s.line(f, e)); len(lines) == most {
				older = e.Number
				break
			}
		}
		if before = older; older == 0 || len(lines) == most {
			break
		}
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

	Running string // what must end before it can be closed
	Down    bool   // some of that stands down, it is no vote
}

func (s *Site) closing(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.closingForm(w, r, f, http.StatusOK, form{}, "")
}

func (s *Site) closingForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, reason string) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	p := closingPage{Frame: f, form: m, Inc: inc, Reopen: inc.Status.Phase == protocol.Closed, Reason: reason, Digits: digits(inc.ID)}
	var running []string
	for _, name := range inc.Running() {
		st := inc.Activations[name].State
		running = append(running, name+" ("+f.T("state."+string(st))+")")
		p.Down = p.Down || st != protocol.Voting
	}
	p.Running = strings.Join(running, f.Sep())
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
		_, err = do(seen(r), f.Me, id, reason)
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		return s.closingForm(w, r, f, status, m, reason)
	}
	http.Redirect(w, r, "/incidents/"+id+"?sent=closed", http.StatusSeeOther)
	return nil
}
