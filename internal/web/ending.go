package web

import (
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

type handoverPage struct {
	*Frame
	form
	Inc     incident.Incident
	Runs    []runView
	AskList []Ask
	Clocks  []Clock
	Unknown []string
	Promise []incident.Question // asked of my partner and not answered
	Others  []partner.Partner   // that may lead
	In      map[string]string
}

func (s *Site) handover(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.handoverForm(w, r, f, http.StatusOK, form{}, map[string]string{})
}

func (s *Site) handoverForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in map[string]string) error {
	inc, err := s.part(r, f, "handover.of")
	if err != nil {
		return err
	}
	f.Live = nil
	p := handoverPage{Frame: f, form: m, Inc: inc, In: in}
	if p.Runs, err = s.runViews(r, f, inc); err != nil {
		return err
	}
	if p.AskList, err = s.asksOf(r.Context(), f, inc); err != nil {
		return err
	}
	for _, run := range p.Runs {
		p.Clocks = append(p.Clocks, s.clocks(f, run)...)
	}
	slices.SortFunc(p.Clocks, func(a, b Clock) int { return a.Due.Compare(b.Due) })
	p.Unknown = s.unknowns(r.Context(), f, inc, inc.Missing())
	for _, q := range inc.Questions {
		if q.Waits(f.Me.Partner) {
			p.Promise = append(p.Promise, q)
		}
	}
	all, err := s.readers(r.Context(), f, inc.Audience)
	if err != nil {
		return err
	}
	p.Others = slices.DeleteFunc(all, func(o partner.Partner) bool {
		return o.ID == f.Me.Partner && !slices.ContainsFunc(p.Runs, p.orphan) || (o.Kind != access.Government && o.Kind != access.Intergovernmental && o.Kind != access.Platform)
	})
	f.Form = true
	f.mistaken(m)
	return s.render(w, r, status, "handover", p)
}

// Leads reports whether the reader may hand over the lead of a run.
func (p handoverPage) Leads(r runView) bool {
	return r.State.Running() && (r.Lead == p.Me.Partner || p.orphan(r)) && p.Can(string(access.Activate))
}

// orphan reports whether the lead has left the partnership, and the reader's
// partner is of those who may take it or hand it on.
func (p handoverPage) orphan(r runView) bool {
	return slices.Contains(p.Inc.Leaderless, r.Name) && slices.Contains(r.Def.Authority.Activate.Kinds, p.Me.Kind)
}

// Mine reports whether the reader may accept an offer.
func (p handoverPage) Mine(o incident.Offer) bool {
	return o.Open() && o.To == p.Me.Partner && (o.Protocol != "" || o.By.Member != p.Me.Member) && p.Can(string(access.PostUpdate))
}

func (s *Site) handoverDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, id := r.PostForm, r.PathValue("id")
	var err error
	what := "handover"
	switch n := v.Get("number"); {
	case n != "":
		number, _ := strconv.Atoi(n) // a wrong one is not found
		back := v.Get("answer") == "back"
		what = map[bool]string{true: "taken_back", false: "accepted"}[back]
		_, err = s.o.Incidents.AnswerHandover(seen(r), f.Me, id, number, back)
	default:
		_, err = s.o.Incidents.OfferHandover(seen(r), f.Me, id, v.Get("protocol"), v.Get("to"), v.Get("note"))
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		return s.handoverForm(w, r, f, status, m, map[string]string{"protocol": v.Get("protocol"), "to": v.Get("to"), "note": v.Get("note")})
	}
	return sent(w, r, "/incidents/"+id+"/handover", what)
}

type briefPage struct {
	*Frame
	Inc      incident.Incident
	Runs     []runView
	Update   *updateView
	Done     []string
	Doing    []string
	Needed   []string
	Unknown  []string
	Number   int
	From     time.Time
	First    int64
	Next     time.Time
	Head     journal.Checkpoint
	Readers  int
	Platform int
}

// brief is the situation report: one page, made from entries.
func (s *Site) brief(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.part(r, f, "brief.of")
	if err != nil {
		return err
	}
	f.Live = nil
	p := briefPage{Frame: f, Inc: inc, From: inc.Notified.At, First: inc.Notified.Entry, Number: 1, Unknown: s.unknowns(r.Context(), f, inc, inc.Missing())}
	if p.Runs, err = s.runViews(r, f, inc); err != nil {
		return err
	}
	if views := updateViews(f, inc); len(views) > 0 {
		p.Update = &views[0]
		p.Number = len(views) + 1
	}
	readers, err := s.readers(r.Context(), f, inc.Audience)
	if err != nil {
		return err
	}
	p.Readers = len(readers)
	if err := s.briefWork(r, f, &p); err != nil {
		return err
	}
	if p.Head, err = s.o.Journal.Head(r.Context()); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "brief", p)
}

func (s *Site) briefWork(r *http.Request, f *Frame, p *briefPage) error {
	sigs, err := s.allSignals(r.Context(), f.Me, signal.Query{Incident: p.Inc.ID})
	if err != nil && !denied(err) {
		return err
	}
	n := map[signal.State]int{}
	for _, sig := range sigs {
		n[sig.State]++
	}
	if len(sigs) > 0 {
		p.Done = append(p.Done, f.N("brief.signals", len(sigs), "Active", n[signal.Active], "Proposed", n[signal.Proposed], "Suspended", n[signal.Suspended]))
	}
	spread, counts, err := s.spread(r.Context(), f, p.Inc.ID, 360)
	if err != nil {
		return err
	}
	p.Platform = len(spread.Charts)
	if counts.Blocked+counts.Review > 0 {
		p.Done = append(p.Done, f.T("brief.matches", "Blocked", counts.Blocked, "Review", counts.Review))
	}
	if counts.AddMS > 0 {
		p.Done = append(p.Done, f.T("brief.delivered", "Add", f.MS(counts.AddMS), "Current", counts.Current, "Of", counts.Edges))
	}
	if n, of := p.Inc.Acked(); of > 0 {
		p.Done = append(p.Done, f.T("tl.acks", "N", n, "Of", of))
	}
	for _, run := range p.Runs {
		needed := map[string][]string{} // partners, by what is asked of them and until when
		var order []string
		for _, t := range run.Activation.Tasks {
			d, _ := run.Def.Task(t.ID)
			name := f.InWords(d.Ask) + " (" + who(f, t.Partner, t.By) + ")"
			if t.Open() && t.Progress != protocol.TaskDoing && !t.Due.IsZero() {
				line := f.T("brief.by", "What", strings.TrimSuffix(f.InWords(d.Ask), "."), "Time", f.ClockText(t.Due))
				if needed[line] == nil {
					order = append(order, line)
				}
				needed[line] = append(needed[line], who(f, t.Partner, t.By))
				continue
			}
			switch {
			case t.Progress == protocol.TaskDone:
				p.Done = append(p.Done, name)
			case t.Progress == protocol.TaskDoing && t.Open():
				p.Doing = append(p.Doing, name)
			}
		}
		for _, line := range order {
			p.Needed = append(p.Needed, line+" ("+strings.Join(needed[line], f.Sep())+")")
		}
		for _, c := range s.clocks(f, run) {
			if slices.ContainsFunc(run.Activation.Clocks, func(k protocol.ClockState) bool {
				return k.Running() && k.MetBy == protocol.ByUpdate && k.Due.Equal(c.Due)
			}) && (p.Next.IsZero() || c.Due.Before(p.Next)) {
				p.Next = c.Due
			}
		}
		if run.State == protocol.Voting {
			p.Needed = append(p.Needed, f.T("brief.by", "What", f.T("clock.vote", "Protocol", run.Name), "Time", f.ClockText(run.Closes)))
		}
	}
	for _, m := range p.Inc.Missing() {
		p.Needed = append(p.Needed, f.T("brief.ack", "Partner", f.Name(m)))
	}
	if n[signal.Proposed] > 0 {
		p.Needed = append(p.Needed, f.N("brief.approve", n[signal.Proposed]))
	}
	for _, list := range []*[]string{&p.Done, &p.Doing, &p.Needed, &p.Unknown} { // one page: the rest is counted
		*list = fold(f, *list, 7)
	}
	return nil
}

// fold keeps the first lines, each once, and counts the others.
func fold(f *Frame, list []string, most int) []string {
	var out []string
	for _, l := range list {
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if n := len(out) - most; n > 1 {
		out = append(out[:most], f.N("brief.more", n))
	}
	return out
}

type standDownPage struct {
	*Frame
	form
	Inc     incident.Incident
	Runs    []standDownRun
	Signals []SignalRow
	Digits  string
	In      map[string]string
	Until   string // latest day
}

type standDownRun struct {
	runView
	Allowed  map[string]bool
	After    []taskView
	Tally    protocol.Tally
	HasTally bool
	Open     int
}

func (s *Site) standDown(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.standDownForm(w, r, f, http.StatusOK, form{}, map[string]string{})
}

func (s *Site) standDownForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in map[string]string) error {
	inc, err := s.part(r, f, "standdown.of")
	if err != nil {
		return err
	}
	f.Live, f.Form = nil, true
	p := standDownPage{Frame: f, form: m, Inc: inc, Digits: digits(inc.ID), In: in, Until: f.Now.AddDate(0, 0, 30).Format("2006-01-02")}
	runs, err := s.runViews(r, f, inc)
	if err != nil {
		return err
	}
	allowed, err := s.o.Incidents.Allowed(r.Context(), f.Me, inc)
	if err != nil {
		return err
	}
	for _, run := range runs {
		sr := standDownRun{runView: run, Allowed: map[string]bool{}}
		sr.Tally, sr.HasTally = run.StandDownTally(run.Def)
		for _, do := range allowed[run.Name] {
			sr.Allowed[string(do.Verb)] = sr.Allowed[string(do.Verb)] || f.Can(string(incident.RightFor(do.Verb)))
		}
		for _, t := range run.Activation.Tasks {
			if t.Phase == protocol.StandingDown {
				d, _ := run.Def.Task(t.ID)
				sr.After = append(sr.After, taskView{t, f.InWords(d.Ask), false, who(f, t.Partner, t.By)})
			}
		}
		p.Runs = append(p.Runs, sr)
	}
	sigs, _, err := s.o.Signals.List(r.Context(), f.Me, signal.Query{Incident: inc.ID, States: []signal.State{signal.Active, signal.Suspended}, Limit: signal.MaxSettle})
	if err != nil && !denied(err) {
		return err
	}
	for _, sig := range sigs {
		p.Signals = append(p.Signals, s.signalRow(f, sig))
	}
	f.mistaken(m)
	return s.render(w, r, status, "standdown", p)
}

// Question is the text of a stand-down question.
func (r standDownRun) Question(id, lang string) string {
	for _, q := range r.Def.StandDown.Ask {
		if q.ID == id {
			return q.Ask.In(lang)
		}
	}
	return id
}

// Ending reports whether signals are settled now: a protocol stands down.
func (p standDownPage) Ending() bool {
	return slices.ContainsFunc(p.Runs, func(r standDownRun) bool { return r.State == protocol.StandingDown })
}

// Unsettled counts the signals that are neither renewed nor withdrawn.
func (p standDownPage) Unsettled() int {
	n := 0
	for _, sig := range p.Signals {
		if sig.Renewed.IsZero() {
			n++
		}
	}
	return n
}

// standDownDo settles signals; proposing and voting post to the activation.
func (s *Site) standDownDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, id := r.PostForm, r.PathValue("id")
	in := map[string]string{}
	var list []signal.Settlement
	for k := range v {
		in[k] = v.Get(k)
		sig, ok := strings.CutPrefix(k, "s.")
		if !ok || (v.Get(k) != "renew" && v.Get(k) != "withdraw") {
			continue
		}
		one := signal.Settlement{Signal: sig}
		if v.Get(k) == "renew" {
			day, err := time.Parse("2006-01-02", strings.TrimSpace(v.Get("until")))
			if err != nil {
				var fields problem.InvalidFields
				fields.Add("until", "%s", f.T("standdown.until.error"))
				m, _ := f.mistakes(fields.Err())
				return s.standDownForm(w, r, f, http.StatusUnprocessableEntity, m, formMap(v))
			}
			one.Until = day.Add(24*time.Hour - time.Second)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b signal.Settlement) int { return strings.Compare(a.Signal, b.Signal) })
	err := confirm(f, v.Get("digits"), id)
	if err == nil {
		_, err = s.o.Signals.Settle(r.Context(), f.Me, id, list, v.Get("reason"))
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok {
			return err
		}
		return s.standDownForm(w, r, f, status, m, in)
	}
	return sent(w, r, "/incidents/"+id+"/stand-down", "settled")
}

func formMap(v map[string][]string) map[string]string {
	out := map[string]string{}
	for k, vs := range v {
		if len(vs) > 0 {
			out[k] = vs[0]
		}
	}
	return out
}
