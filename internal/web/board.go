package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/asks"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Edges tells pages what the node knows of edges.
type Edges interface {
	EdgesFor(ctx context.Context, by access.Actor) ([]api.Edge, error)
	// Reach says how far the newest operation on a signal has come; false if
	// the node does not remember.
	Reach(s signal.Signal) (feed.Reach, bool)
	// Version changes when what pages show of edges changes.
	Version(ctx context.Context) (uint64, error)
}

func notFound(detail, fix string) error { return problem.New(problem.NotFound, detail, fix) }

// Ask is something that is asked of the reader.
type Ask struct {
	Title    string
	Detail   string
	Incident string
	Due      time.Time // zero: no deadline
	Href     string    // page to open
	Post     string    // or form to send at once, without a page between
	Form     string    // or ID of the page's form to send; Title says what it does
	Verb     string    // on the button
	Primary  bool
	Exercise bool
}

// found finds what is asked.
func (s *Site) found() asks.Services {
	return asks.Services{Partners: s.o.Partners, Incidents: s.o.Incidents, Signals: s.o.Signals}
}

// asksOf lists what one incident asks of the reader.
func (s *Site) asksOf(ctx context.Context, f *Frame, inc incident.Incident) ([]Ask, error) {
	for _, o := range inc.Offers {
		if o.Open() && o.To == f.Me.Partner && o.Protocol == "" {
			f.personal() // of a shift, the one who hands it over is not asked
		}
	}
	for _, st := range inc.Statements {
		if st.State(f.Now) == partner.RequestOpen {
			f.personal() // its writer is not asked
		}
	}
	list, err := s.found().OfIncident(ctx, f.Me, f.Now, inc)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, a := range list {
		ask, err := s.ofIncident(ctx, f, inc, a)
		if err != nil {
			return nil, err
		}
		out = append(out, ask)
	}
	return out, nil
}

// ofIncident says what an incident asks, and where it is done.
func (s *Site) ofIncident(ctx context.Context, f *Frame, inc incident.Incident, a asks.Ask) (Ask, error) {
	base := "/incidents/" + inc.ID
	page := base + "/activations/" + a.Protocol
	ask := Ask{Incident: inc.ID, Exercise: inc.Exercise, Due: a.Due, Primary: true}
	switch a.Kind {
	case asks.Acknowledge:
		return *f.acknowledge(inc, a), nil
	case asks.Assess:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.assess"), inc.Title, base+"/assess", f.T("ask.assess.do")
	case asks.Activate:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.activate"), f.T("ask.activate.why", "Level", a.Text), base+"/activate", f.T("ask.activate.do")
	case asks.Answer:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.question", "Number", a.Number), a.Text, fmt.Sprintf("%s/questions#q%d", base, a.Number), f.T("ask.question.do")
	case asks.AcceptHandover:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.handover", "What", cmp.Or(a.Protocol, f.T("ask.handover.shift"))), a.Text, base+"/handover", f.T("ask.handover.do")
	case asks.ConfirmStatement:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.statement", "Partner", f.Name(a.By)), a.Text, fmt.Sprintf("%s/statements/%d", base, a.Number), f.T("ask.request.do")
		ask.Primary = a.By == f.Me.Partner
	case asks.TakeLead:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.take_lead", "Protocol", a.Protocol), f.T("ask.take_lead.why", "Partner", f.Name(a.By)), base+"/handover", f.T("ask.open")
	case asks.Vote:
		def, err := s.o.Incidents.Definition(ctx, inc, a.Protocol)
		if err != nil {
			return ask, err
		}
		t := inc.Activations[a.Protocol].Tally(def)
		ask.Title, ask.Href, ask.Verb = f.T("ask.vote", "Protocol", a.Protocol), page, f.T("ask.vote.do")
		ask.Detail = f.T("ask.vote.why", "Yes", t.Yes, "Quorum", t.Quorum, "Partner", f.Name(a.By))
	case asks.VoteStandDown:
		ask.Title, ask.Detail, ask.Href, ask.Verb = f.T("ask.stand_down", "Protocol", a.Protocol), a.Text, page, f.T("ask.vote.do")
	case asks.DoTask:
		def, err := s.o.Incidents.Definition(ctx, inc, a.Protocol)
		if err != nil {
			return ask, err
		}
		t, _ := def.Task(a.Object)
		ask.Title, ask.Detail, ask.Href, ask.Verb, ask.Primary = f.InWords(t.Ask), a.Protocol, page+"#tasks", f.T("ask.open"), false
	case asks.Conclude:
		ask.Title, ask.Detail, ask.Href, ask.Verb, ask.Primary = f.T("ask.conclude", "Protocol", a.Protocol), f.T("ask.conclude.why"), page, f.T("ask.open"), false
	default:
		return ask, fmt.Errorf("an incident asks for %q, which pages cannot say", a.Kind)
	}
	return ask, nil
}

// acknowledge asks the reader to say that their partner has seen the incident,
// or its activation, which asks anew; nil if it has, or the reader may not.
func acknowledge(f *Frame, inc incident.Incident) *Ask {
	a, ok := asks.Seen(f.Me, f.Now, inc)
	if !ok {
		return nil
	}
	return f.acknowledge(inc, a)
}

func (f *Frame) acknowledge(inc incident.Incident, a asks.Ask) *Ask {
	title := f.T("ask.acknowledge")
	if a.Protocol != "" {
		title = f.T("ask.acknowledge.active", "Protocol", a.Protocol)
	}
	if a.Threat {
		title = f.T("ask.acknowledge.threat")
	}
	return &Ask{Title: title, Detail: inc.Title, Incident: inc.ID, Exercise: inc.Exercise, Due: a.Due, Post: "/incidents/" + inc.ID + "/acknowledge", Verb: f.T("ask.acknowledge.do"), Primary: true}
}

// eachAlone is how many signals of one proposer in one incident are asked for
// one by one; more are one line that leads to their list.
const eachAlone = 3

// approvals lists the signals that wait for the reader's approval.
func (s *Site) approvals(ctx context.Context, f *Frame, incidentID string) ([]Ask, error) {
	list, over, err := s.found().Approvals(ctx, f.Me, f.Now, incidentID)
	if err != nil {
		return nil, err
	}
	like := map[[2]string][]asks.Ask{} // by incident and proposer
	for _, a := range list {
		k := [2]string{a.Incident, a.By}
		like[k] = append(like[k], a)
	}
	var out []Ask
	for _, a := range list {
		same, sig := like[[2]string{a.Incident, a.By}], a.Signal
		if len(same) > eachAlone && same[0].Object != a.Object {
			continue
		}
		if n := len(same); n > eachAlone {
			title := f.N("ask.approve.many", n, "Partner", f.Name(a.By))
			if over { // there are more than were read
				title = f.T("ask.approve.over", "N", n, "Partner", f.Name(a.By))
			}
			out = append(out, Ask{
				Title: title, Incident: sig.Incident, Exercise: sig.Exercise,
				Detail: f.T("ask.approve.first", "Time", f.ClockText(same[n-1].Signal.Proposed.At)),
				Href:   "/signals?" + url.Values{"state": {string(signal.Proposed)}, "incident": {sig.Incident}, "partner": {sig.Proposed.Partner}}.Encode(), Verb: f.T("ask.open"), Primary: true,
			})
			continue
		}
		out = append(out, Ask{
			Title: f.T("ask.approve", "Signal", sig.ID, "Action", f.T("action."+string(sig.Wanted))), Incident: sig.Incident, Exercise: sig.Exercise,
			Detail: f.T("ask.approve.why", "Partner", f.Name(sig.Proposed.Partner), "Time", f.ClockText(sig.Proposed.At)),
			Href:   "/signals/" + sig.ID + "/approve", Verb: f.T("ask.approve.do"), Primary: true,
		})
	}
	variants, err := s.variantAsks(ctx, f, incidentID)
	return append(out, variants...), err
}

func sortAsks(list []Ask, now time.Time) {
	slices.SortStableFunc(list, func(a, b Ask) int {
		return cmp.Or(asks.Weight(a.Exercise, a.Due, now)-asks.Weight(b.Exercise, b.Due, now), a.Due.Compare(b.Due), cmp.Compare(a.Title, b.Title))
	})
}

// open incidents that concern the reader, and what they ask.
func (s *Site) concerns(ctx context.Context, f *Frame) (list []incident.Incident, asked []Ask, err error) {
	if f.counted || !f.Can(string(access.ReadIncidents)) {
		return f.concern, f.asks, nil
	}
	list, err = s.found().Open(ctx, f.Me)
	if err != nil {
		return nil, nil, err
	}
	for _, inc := range list {
		a, err := s.asksOf(ctx, f, inc)
		if err != nil {
			return nil, nil, err
		}
		asked = append(asked, a...)
	}
	more, err := s.approvals(ctx, f, "")
	if err != nil {
		return nil, nil, err
	}
	asked = append(asked, more...)
	if more, err = s.versionAsks(ctx, f); err != nil {
		return nil, nil, err
	}
	asked = append(asked, more...)
	if more, err = s.requestAsks(ctx, f); err != nil {
		return nil, nil, err
	}
	asked = append(asked, more...)
	sortAsks(asked, f.Now)
	f.Asks, f.OpenNow = len(asked), len(list)
	f.concern, f.asks, f.counted = list, asked, true
	return list, asked, nil
}

// Row is an incident in a list.
type Row struct {
	incident.Incident
	Chip  Chip
	Lines string
}

// Chip is a state by shape, word and colour.
type Chip struct{ Class, Shape, Word string }

var chips = map[string][2]string{
	"active": {"active", "active"}, "provisional": {"warn", "late"}, "voting": {"info", "open"}, "assessing": {"info", "open"},
	"notified": {"info", "open"}, "proposed": {"info", "open"}, "standing_down": {"", "down"}, "concluded": {"", "done"},
	"reviewed": {"", "done"}, "closed": {"", "done"}, "declined": {"", "done"}, "refused": {"", "done"}, "withdrawn": {"", "done"},
	"expired": {"", "done"}, "suspended": {"warn", "late"}, "open": {"info", "open"}, "silent": {"fail", "fail"}, "behind": {"warn", "late"},
	"current":      {"ok", "ok"},
	"acknowledged": {"ok", "ok"}, "not_acknowledged": {"warn", "late"}, "exhausted": {"fail", "fail"}, "missed": {"fail", "fail"},
	"channel.works": {"ok", "ok"}, "channel.failing": {"fail", "fail"}, "channel.ended": {"fail", "fail"}, "channel.untested": {"", "unk"},
	"call.calling": {"info", "open"}, "call.acknowledged": {"ok", "ok"}, "call.ended": {"", "done"}, "call.exhausted": {"fail", "fail"},
}

// Chip returns the chip of a state.
func (f *Frame) Chip(state string) Chip {
	c := chips[state]
	return Chip{c[0], cmp.Or(c[1], "unk"), f.T("state." + state)}
}

func (s *Site) row(f *Frame, inc incident.Incident) Row {
	phase := inc.Phase()
	r := Row{Incident: inc, Chip: f.Chip(phase)}
	since := inc.Notified.At
	var parts []string
	running := inc.Running()
	slices.SortStableFunc(running, func(a, b string) int {
		return cmp.Compare(slices.Index(gravity, string(inc.Activations[a].State)), slices.Index(gravity, string(inc.Activations[b].State)))
	})
	for _, p := range running {
		a := inc.Activations[p]
		switch a.State {
		case protocol.Active:
			since = a.ActiveSince
			parts = append(parts, f.T("row.active", "Protocol", p, "Time", f.ClockText(a.ActiveSince)))
		case protocol.Voting:
			parts = append(parts, f.T("row.voting", "Protocol", p, "Time", f.ClockText(a.Closes)))
		default:
			parts = append(parts, p+" "+f.T("state."+string(a.State)))
		}
	}
	if n, of := inc.Acked(); of > 0 {
		parts = append(parts, f.T("row.acknowledged", "N", n, "Of", of))
	}
	parts = append(parts, f.T("row.lead", "Partner", f.Name(inc.Lead())))
	r.Lines = strings.Join(parts, " · ")
	r.Chip.Word += f.Sep() + f.Since(since)
	return r
}

var gravity = []string{"active", "provisional", "voting", "open", "assessing", "notified", "standing_down", "concluded", "closed"}

func sortRows(rows []Row) {
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(slices.Index(gravity, a.Phase()), slices.Index(gravity, b.Phase())), b.Notified.At.Compare(a.Notified.At))
	})
}

// Silence is a partner or an edge of which nothing was heard.
type Silence struct {
	Who, Late, Detail, Href string
}

type boardPage struct {
	*Frame
	Steps     []firstStep // of a new node
	StepsDone int
	AskList   []Ask
	Real      []Row
	Exercises []Row
	Silent    []Silence
	LastHour  hour
	Changes   []Line
	Changed   int       // how many in all
	Since     time.Time // the reader's last look; zero: this is the first
	Acked     int       // for the wall: over all real incidents
	Called    int
}

type hour struct {
	Blocked, Review, Exercise int64
	Edges, Current            int
	AddMS, RemoveMS           float64
	Chart                     Bars
	Spread                    Spread // by platform
}

func (s *Site) board(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Live = "board", []string{"incident", "signal", "request", "edges", "channel", "roster", "partner", "member", "token"}
	p := boardPage{Frame: f}
	list, asks, err := s.concerns(r.Context(), f)
	if err != nil {
		return err
	}
	p.AskList = asks
	if p.Steps, err = s.steps(r, f, list); err != nil {
		return err
	}
	p.StepsDone = stepsDone(p.Steps)
	for _, inc := range list {
		reached, missed, err := s.reached(r, f, inc.ID)
		if err != nil {
			return err
		}
		row := s.row(f, inc)
		if inc.Exercise {
			p.Exercises = append(p.Exercises, row)
		} else {
			p.Real = append(p.Real, row)
		}
		if inc.Exercise { // its row says who is missing; practice is never mixed with the real
			continue
		}
		for _, a := range inc.Acknowledgements() {
			if a.Waits && a.Partner != f.Me.Partner { // what I owe is asked of me
				late := f.T("silent.partner", "Incident", inc.ID, "Age", f.Since(a.Asked))
				if missed[a.Partner] { // and so not told
					late = f.T("silent.uncalled", "Incident", inc.ID)
				}
				p.Silent = append(p.Silent, Silence{Who: f.Name(a.Partner), Late: late, Detail: reached[a.Partner], Href: "/incidents/" + inc.ID})
			}
		}
	}
	sortRows(p.Real)
	sortRows(p.Exercises)
	if p.LastHour, err = s.lastHour(r.Context(), f, nil); err != nil {
		return err
	}
	silent, err := s.silentEdges(r.Context(), f)
	if err != nil {
		return err
	}
	p.Silent = append(p.Silent, silent...)
	if silent, err = s.silentMessages(r, f); err != nil {
		return err
	}
	p.Silent = append(p.Silent, silent...)
	look := s.look(w, r, f)
	p.Since = look.from
	q := journal.RowQuery{Newest: true, Limit: 60}
	if !look.from.IsZero() {
		q.From, q.Limit = look.entry, 500
	}
	if p.Changes, err = s.lines(r.Context(), f, q, q.Limit); err != nil {
		return err
	}
	p.Changes = slices.DeleteFunc(p.Changes, func(l Line) bool { return byClock(l.Entry) })
	if p.Changed = len(p.Changes); p.Changed > 12 {
		p.Changes = p.Changes[:12]
	}
	f.Title = f.T("board.title")
	if n := len(p.Real); n > 0 {
		f.Title = f.N("board.title.open", n)
	}
	if r.URL.Query().Has("wall") {
		for _, row := range p.Real {
			n, of := row.Incident.Acked()
			p.Acked, p.Called = p.Acked+n, p.Called+of
		}
		return s.render(w, r, http.StatusOK, "wall", p)
	}
	return s.render(w, r, http.StatusOK, "board", p)
}

// looked is from when on a reader wants to know what changed.
type looked struct {
	entry int64
	from  time.Time
}

// lookAgain is how long the board may be away before coming back is a new look.
const lookAgain = 2 * time.Minute

// look finds out when the reader looked at the board last. It is kept in a
// cookie of this browser: entry and time of the last look and of this one.
func (s *Site) look(w http.ResponseWriter, r *http.Request, f *Frame) looked {
	var base, this looked
	var baseAt, thisAt int64
	if c, err := r.Cookie(cookieLook); err == nil {
		if n, _ := fmt.Sscanf(c.Value, "%d.%d.%d.%d", &base.entry, &baseAt, &this.entry, &thisAt); n == 4 && thisAt <= f.Now.Unix() {
			base.from, this.from = time.Unix(baseAt, 0).UTC(), time.Unix(thisAt, 0).UTC()
		}
	}
	if baseAt == 0 {
		base.from = time.Time{}
	}
	if r.URL.Query().Get("region") != "" || r.URL.Query().Has("wall") {
		return base
	}
	if !this.from.IsZero() && f.Now.Sub(this.from) > lookAgain {
		base = this
	}
	was := int64(0)
	if !base.from.IsZero() {
		was = base.from.Unix()
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieLook, Value: fmt.Sprintf("%d.%d.%d.%d", base.entry, was, f.Entries, f.Now.Unix()), Path: "/", MaxAge: 30 * 24 * 3600,
		HttpOnly: true, Secure: s.o.Secure, SameSite: http.SameSiteLaxMode,
	})
	return base
}

func (s *Site) silentEdges(ctx context.Context, f *Frame) ([]Silence, error) {
	if !f.Can(string(access.ReadEdges)) {
		return nil, nil
	}
	list, err := s.o.Edges.EdgesFor(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	var out []Silence
	for _, e := range list {
		if e.State != "silent" {
			continue
		}
		late := f.T("silent.edge.never")
		if !e.SeenAt.IsZero() {
			late = f.T("silent.edge", "Time", f.ClockText(e.SeenAt), "Age", f.Since(e.SeenAt))
		}
		out = append(out, Silence{Who: f.Name(e.Partner) + f.Sep() + e.Name, Late: late, Detail: f.N("silent.edge.missing", int(e.Behind)), Href: "/edges"})
	}
	return out, nil
}

// lastHour counts what edges told of the last hour, of the given signals or of
// all that the reader may see.
func (s *Site) lastHour(ctx context.Context, f *Frame, only map[string]bool) (h hour, err error) {
	var all []signal.Count
	if f.Can(string(access.ReadSignals)) {
		counts, err := s.o.Signals.Counts(ctx, f.Me, f.Now.Add(-time.Hour))
		if err != nil {
			return h, err
		}
		per := map[int64]int64{}
		for _, c := range counts {
			if only != nil && !only[c.Signal] {
				continue
			}
			switch {
			case c.Exercise:
				h.Exercise += c.AtLeast()
				continue
			case c.Action == signal.Block:
				h.Blocked += c.AtLeast()
			default:
				h.Review += c.AtLeast()
			}
			per[c.Minute] += c.AtLeast()
		}
		h.Chart, all = minuteBars(f, per), counts
	}
	var edges []api.Edge
	defer func() {
		if all != nil {
			h.Spread = spread(f, all, edges, 60)
		}
	}()
	if f.Can(string(access.ReadEdges)) {
		list, err := s.o.Edges.EdgesFor(ctx, f.Me)
		if err != nil {
			return h, err
		}
		edges = list
		for _, e := range list {
			h.Edges++
			if e.State == "current" {
				h.Current++
			}
			h.AddMS, h.RemoveMS = max(h.AddMS, e.AddMS), max(h.RemoveMS, e.RemoveMS)
		}
	}
	return h, nil
}

func (s *Site) asks(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Live = "asks", []string{"incident", "signal", "request"}
	_, asks, err := s.concerns(r.Context(), f)
	if err != nil {
		return err
	}
	f.Title = f.T("asks.title")
	return s.render(w, r, http.StatusOK, "asks", struct {
		*Frame
		AskList []Ask
	}{f, asks})
}
