package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

type runView struct {
	protocol.Activation
	Name       string
	Def        *protocol.Definition
	LevelTitle string
	Chip       Chip
	Class      string
	Main       string
	Detail     string
	Tally      protocol.Tally
}

// Clock is a deadline in the room.
type Clock struct {
	Due  time.Time
	What string
	Who  string
}

type roomPage struct {
	*Frame
	Inc         incident.Incident
	Chip        Chip
	Runs        []runView
	AskList     []Ask
	Missing     []string
	Reached     map[string]string // by partner that is missing: the last attempt and the next
	Uncalled    map[string]bool   // partners that are missing and were not told
	Acked       int               // of Asked
	Asked       int
	Waits       map[string]incident.Acknowledgement // by partner
	AckDue      time.Time                           // when the earliest clock of acknowledgements is or was due
	Clocks      []Clock
	ClocksHref  string
	Latest      *updateView
	Unknown     []string
	UnknownMore int
	Counts      hour
	Spread      Spread
	Matches     int64
	Chart       Timeline
	Signals     []signal.Signal
	Lines       []Line
	Folded      int // entries of the node itself, left out here
	Filter      string
	Readers     int
	Advice      protocol.Advice
	AdviceTitle string
	Differs     string // the authority decided otherwise than the answers advise
	Tasks       int
	TasksOf     int
}

func (s *Site) load(r *http.Request, f *Frame) (incident.Incident, error) {
	inc, err := s.o.Incidents.Get(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return inc, err
	}
	f.Section, f.Watch = "incidents", "incident:"+inc.ID
	f.beyond(inc.Audience, "incident", inc.ID)
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
			level = f.InWords(l.Title)
		}
		v.LevelTitle = level
		switch a.State {
		case protocol.Voting:
			v.Chip.Word = f.T("run.voting", "Yes", v.Tally.Yes, "Quorum", v.Tally.Quorum)
			v.Main = f.T("run.closes", "Time", f.ClockText(a.Closes), "Age", f.Until(a.Closes))
			v.Detail = votesText(f, a.Votes)
		case protocol.Provisional:
			v.Main = f.T("run.provisional", "Time", f.ClockText(a.ProvisionalUntil), "Age", f.Until(a.ProvisionalUntil))
			v.Detail = f.T("run.provisional.why", "Partner", f.Name(a.Emergency.ID)) + " · " + votesText(f, a.Votes)
		case protocol.Active:
			v.Main = f.T("run.active", "Time", f.ClockText(a.ActiveSince), "Age", f.Since(a.ActiveSince))
			v.Detail = f.T("run.active.why", "Level", level, "Lead", f.Name(a.Lead), "Time", f.ClockText(a.Sunset))
		case protocol.StandingDown:
			v.Main = f.T("run.standing_down", "Time", f.ClockText(a.StandingDownSince), "Age", f.Since(a.StandingDownSince))
			v.Detail = f.T("run.standing_down.why", "Lead", f.Name(a.Lead))
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
		parts = append(parts, f.Name(v.Partner)+": "+f.T("vote."+string(v.Vote)))
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
	p.Acked, p.Asked = inc.Acked()
	p.Waits = map[string]incident.Acknowledgement{}
	for _, a := range inc.Acknowledgements() {
		p.Waits[a.Partner] = a
	}
	if p.Reached, p.Uncalled, err = s.reached(r, f, inc.ID); err != nil {
		return err
	}
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
	for i := range p.AskList {
		p.AskList[i].Incident, p.AskList[i].Exercise = "", false // both stand above
	}
	sortAsks(p.AskList, f.Now)
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
	p.ClocksHref = "/incidents/" + inc.ID + "/timeline"
	if len(p.Runs) > 0 {
		p.ClocksHref = "/incidents/" + inc.ID + "/activations/" + p.Runs[0].Name + "#clocks"
	}
	p.AckDue = ackDue(p.Runs)
	if views := updateViews(f, inc); len(views) > 0 {
		p.Latest = &views[0]
	}
	if err := s.advise(r.Context(), f, &p); err != nil {
		return err
	}
	p.Unknown = s.unknowns(r.Context(), f, inc, p.Missing)
	if asked(r, "") { // the links to the parts stand in no region
		if p.Signals, err = s.allSignals(r.Context(), f.Me, signal.Query{Incident: inc.ID}); err != nil && !denied(err) {
			return err
		}
	}
	if asked(r, "counts") || asked(r, "spread") {
		if p.Spread, p.Counts, err = s.spread(r.Context(), f, inc.ID, spans[0]); err != nil {
			return err
		}
	}
	p.Matches = p.Spread.Total
	if f.Can(string(access.ReadEdges)) {
		silent, err := s.silentEdges(r.Context(), f)
		if err != nil {
			return err
		}
		for _, e := range silent {
			p.Unknown = append(p.Unknown, f.T("unknown.edge", "Edge", e.Who))
		}
	}
	p.UnknownMore = len(p.Unknown) - 5
	if asked(r, "timeline") {
		p.Chart = timelineChart(f, inc, p.Runs)
	}
	entries, err := s.o.Incidents.Timeline(r.Context(), f.Me, inc.ID, 0, 60)
	if err != nil {
		return err
	}
	p.Filter = "all"
	for _, e := range entries {
		switch {
		case byClock(e):
			p.Folded++
		case len(p.Lines) < 10:
			p.Lines = append(p.Lines, s.line(f, e))
		}
	}
	readers, err := s.readers(r.Context(), f, inc.Audience)
	if err != nil {
		return err
	}
	p.Readers = len(readers)
	f.Dock = s.dock(f, &p)
	return s.render(w, r, http.StatusOK, "room", p)
}

// byClock reports whether only time did it: a clock rang or was escalated. What
// came of it is an entry of its own.
func byClock(e journal.Entry) bool {
	return e.Partner == "" && (e.Under == "" || strings.HasPrefix(e.Type, "clock.") || strings.HasPrefix(e.Type, "task."))
}

// ackDue is when partners were to acknowledge at the latest; zero if no clock
// asks for it.
func ackDue(runs []runView) time.Time {
	var due time.Time
	for _, run := range runs {
		for _, c := range run.Activation.Clocks {
			if c.MetBy == protocol.ByAcknowledgement && (due.IsZero() || c.Due.Before(due)) {
				due = c.Due
			}
		}
	}
	return due
}

// advise puts the computed advice beside what the authority decided.
func (s *Site) advise(ctx context.Context, f *Frame, p *roomPage) error {
	var err error
	if p.Advice, err = s.o.Incidents.Advice(ctx, p.Inc, ""); err != nil {
		return err
	}
	def, err := s.o.Incidents.Definition(ctx, p.Inc, incident.DefaultProtocol)
	if err != nil {
		return err
	}
	if l, ok := def.Level(p.Advice.Level); ok {
		p.AdviceTitle = f.InWords(l.Title)
	}
	for _, run := range p.Runs {
		if run.Name == incident.DefaultProtocol && run.State.Running() && run.Level != "" && p.Advice.Level != "" && run.Level != p.Advice.Level {
			p.Differs = f.T("room.differs", "Level", run.LevelTitle)
		}
	}
	return nil
}

// dock is what the phone offers above its navigation: what is asked first.
func (s *Site) dock(f *Frame, p *roomPage) []Ask {
	var out []Ask
	for _, a := range p.AskList {
		if len(out) < 2 {
			out = append(out, a)
		}
	}
	if len(p.Missing) > 0 && p.Missing[0] != f.Me.Partner {
		out = append(out, Ask{Href: "/partners/" + p.Missing[0], Verb: f.T("dock.call", "Partner", f.Name(p.Missing[0]))})
	}
	return out
}

func (s *Site) unknowns(ctx context.Context, f *Frame, inc incident.Incident, missing []string) []string {
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
				out = append(out, f.InWords(c.Ask))
			}
		}
	}
	for _, q := range inc.Questions {
		if !q.Settled {
			out = append(out, f.T("unknown.question", "Number", q.Number, "Text", isolate(q.Text)))
		}
	}
	for _, m := range missing {
		out = append(out, f.T("unknown.partner", "Partner", f.Name(m)))
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
		out = append(out, Clock{c.Due, cmp.Or(f.InWords(def.Title), c.ID), who(f, c.Partner, c.By)})
	}
	for _, t := range run.Activation.Tasks {
		if !t.Open() || t.Due.IsZero() {
			continue
		}
		def, _ := run.Def.Task(t.ID)
		out = append(out, Clock{t.Due, cmp.Or(f.InWords(def.Ask), t.ID), who(f, t.Partner, t.By)})
	}
	// Each partner's own copy of one clock is one line.
	var folded []Clock
	for _, c := range out {
		i := slices.IndexFunc(folded, func(o Clock) bool { return o.What == c.What && o.Due.Equal(c.Due) })
		if i < 0 {
			folded = append(folded, c)
		} else {
			folded[i].Who += f.Sep() + c.Who
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
	return strings.Join(kinds, f.Sep())
}

func (s *Site) acknowledgeDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.o.Incidents.Acknowledge(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/incidents/"+inc.ID+"?sent=acknowledged", http.StatusSeeOther)
	return nil
}

// who names the partner that something waits for, or else the kinds that may.
func who(f *Frame, partner string, w protocol.Who) string {
	if partner != "" {
		return f.Name(partner)
	}
	return whoText(f, w)
}
