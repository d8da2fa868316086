package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Spread is matches a minute by platform: small multiples on one scale.
type Spread struct {
	Desc     string // the figure's sentence
	Charts   []PlatformBars
	Minutes  []string // labels of the table's rows
	Max      int64
	Total    int64
	Exercise bool
}

// PlatformBars is the chart of one platform. A gap stands where its edge was
// silent: nothing is known then.
type PlatformBars struct {
	Name, Desc string
	Total      int64
	Bars       []Bar
	N          []string // for the table, by minute; "?" where nothing is known
	GapX, GapW float64
	Silent     string // "? since 14:49"
}

const (
	multipleWidth, multipleHeight = 200.0, 64.0
	multiples                     = 5 // platforms with a chart of their own; the others are one
)

// spread draws the counts of the last span minutes.
func spread(f *Frame, counts []signal.Count, edges []api.Edge, span int64) Spread {
	now := f.Now.Unix() / 60
	per, total := map[string]map[int64]int64{}, map[string]int64{}
	out := Spread{}
	peakAt, atMinute := int64(0), map[int64]int64{}
	for _, c := range counts {
		if c.Exercise || c.Minute <= now-span || c.Minute > now {
			continue
		}
		if per[c.Partner] == nil {
			per[c.Partner] = map[int64]int64{}
		}
		per[c.Partner][c.Minute] += c.AtLeast()
		total[c.Partner] += c.AtLeast()
		out.Total += c.AtLeast()
		atMinute[c.Minute] += c.AtLeast()
		if atMinute[c.Minute] > atMinute[peakAt] {
			peakAt = c.Minute
		}
	}
	silent := map[string]time.Time{}
	for _, e := range edges {
		if e.State == "silent" && !e.SeenAt.IsZero() && f.Now.Sub(e.SeenAt) < time.Duration(span)*time.Minute {
			silent[e.Partner] = e.SeenAt
			if per[e.Partner] == nil {
				per[e.Partner] = map[int64]int64{}
			}
		}
	}
	if out.Total == 0 && len(silent) == 0 {
		return out
	}
	names := slices.SortedFunc(maps.Keys(per), func(a, b string) int { return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a, b)) })
	shown := names
	if len(names) > multiples+1 {
		shown = names[:multiples]
		others := map[int64]int64{}
		for _, n := range names[multiples:] {
			for m, c := range per[n] {
				others[m] += c
			}
			total[""] += total[n]
		}
		per[""] = others
		shown = append(slices.Clone(shown), "")
	}
	for _, n := range shown {
		for _, c := range per[n] {
			out.Max = max(out.Max, c)
		}
	}
	step := multipleWidth / float64(span)
	for i := range span {
		out.Minutes = append(out.Minutes, time.Unix((now-span+1+i)*60, 0).UTC().Format("15:04"))
	}
	for _, n := range shown {
		p := PlatformBars{Name: f.Name(n), Total: total[n]}
		if n == "" {
			p.Name = f.N("spread.others", len(names)-multiples)
		}
		gap := int64(0)
		if at, ok := silent[n]; ok {
			gap = at.Unix()/60 + 1
			p.Silent = f.T("spread.silent", "Time", at.UTC().Format("15:04"))
			x := max(0, float64(gap-(now-span+1))*step)
			p.GapX, p.GapW = round(x+1), round(max(2, multipleWidth-x-2))
		}
		high, highAt := int64(0), int64(0)
		for i := range span {
			m := now - span + 1 + i
			c := per[n][m]
			if gap > 0 && m >= gap {
				p.N = append(p.N, "?")
				continue
			}
			p.N = append(p.N, fmt.Sprint(c))
			if c > high {
				high, highAt = c, m
			}
			h := max(0.8, multipleHeight*float64(c)/float64(max(1, out.Max)))
			p.Bars = append(p.Bars, Bar{X: round(float64(i)*step + 0.5), Y: round(multipleHeight - h), W: round(step - 1), H: round(h), N: c})
		}
		p.Desc = f.T("spread.one", "Total", p.Total, "Max", high, "Time", time.Unix(highAt*60, 0).UTC().Format("15:04"))
		if p.Silent != "" {
			p.Desc += "; " + p.Silent
		}
		out.Charts = append(out.Charts, p)
	}
	switch {
	case out.Total == 0:
		out.Desc = f.T("spread.none")
	default:
		out.Desc = f.T("spread.desc", "Max", out.Max, "Partner", f.Name(names[0]), "Share", 100*total[names[0]]/out.Total, "Time", time.Unix(peakAt*60, 0).UTC().Format("15:04"))
	}
	return out
}

// Timeline is the drawn timeline of an incident: a lane a protocol, the
// acknowledgements as marks, clocks as brackets. It is drawn twice, wide and
// narrow.
type Timeline struct {
	Sentence, Title, Desc string
	Wide, Narrow          TimelineDrawing
	Rows                  []TimelineRow
}

// TimelineDrawing is one drawing in its own units.
type TimelineDrawing struct {
	W, H   float64
	Inset  float64 // where time begins
	Grid   []Tick
	Below  float64 // y of the labels of time
	Now    Tick
	Labels []TickAt
	Bars   []LaneBar
	Dots   []TickAt
	Lost   []TickAt // not heard
	Clocks []Bracket
	Zone   string
}

// TickAt is a text or a mark at a place.
type TickAt struct {
	X, Y   float64
	Text   string
	Class  string
	Anchor string
}

// LaneBar is a stretch of time in a state.
type LaneBar struct {
	X, Y, W float64
	Class   string
	Text    string
	Hollow  bool
}

// Bracket is a clock: from start to due.
type Bracket struct {
	X, W, Y float64
	Text    string
	Missed  bool
	Until   string
}

// TimelineRow is the same as a table.
type TimelineRow struct{ Time, What, Who string }

type stretch struct {
	from, to time.Time
	class    string
	word     string
	hollow   bool
}

type lane struct {
	name      string
	stretches []stretch
}

// timelineChart draws what happened since the incident was notified.
func timelineChart(f *Frame, inc incident.Incident, runs []runView) Timeline {
	start := inc.Notified.At
	if !inc.SeenAt.IsZero() && inc.SeenAt.Before(start) && start.Sub(inc.SeenAt) < time.Hour {
		start = inc.SeenAt
	}
	end := f.Now
	for _, r := range runs {
		if r.State == protocol.Voting && r.Closes.After(end) && r.Closes.Sub(f.Now) < 2*time.Hour {
			end = r.Closes
		}
	}
	if most := f.Now.Add(max(f.Now.Sub(start), 10*time.Minute)); end.After(most) { // what has happened keeps half of the drawing
		end = most
	}
	end = end.Add(max(end.Sub(start)/40, time.Minute))
	if end.Sub(start) < 15*time.Minute {
		end = start.Add(15 * time.Minute)
	}
	t := Timeline{Title: f.T("tl.title", "From", start.UTC().Format("15:04"), "To", end.UTC().Format("15:04"))}
	lanes := lanesOf(f, inc, runs)
	var desc []string
	for _, l := range lanes {
		var parts []string
		for _, s := range l.stretches {
			parts = append(parts, s.word+" "+s.from.UTC().Format("15:04"))
			t.Rows = append(t.Rows, TimelineRow{s.from.UTC().Format("15:04"), l.name + ": " + s.word, ""})
		}
		desc = append(desc, l.name+": "+strings.Join(parts, f.Sep()))
	}
	var acks []time.Time
	for p, a := range inc.Acks {
		if slices.Contains(inc.Called, p) {
			acks = append(acks, a.At)
			t.Rows = append(t.Rows, TimelineRow{a.At.UTC().Format("15:04"), f.T("tl.acknowledged"), f.Name(p)})
		}
	}
	slices.SortFunc(acks, time.Time.Compare)
	acked, asked := inc.Acked()
	missing := inc.Missing()
	var names []string
	for _, m := range missing {
		names = append(names, f.Name(m))
	}
	desc = append(desc, f.T("tl.acks", "N", acked, "Of", asked))
	t.Desc = strings.Join(desc, ". ") + "."
	slices.SortStableFunc(t.Rows, func(a, b TimelineRow) int { return strings.Compare(a.Time, b.Time) })
	t.Sentence = f.T("tl.sentence", "N", acked, "Of", asked)
	for _, r := range runs {
		if !r.ActiveSince.IsZero() {
			t.Sentence = f.T("tl.sentence.active", "Protocol", r.Name, "Age", f.Age(r.ActiveSince.Sub(inc.Notified.At)), "N", acked, "Of", asked)
			break
		}
	}
	var brackets []Bracket
	var spans [][2]time.Time
	for _, r := range runs {
		for _, c := range r.Activation.Clocks {
			if c.OnExpiry != "" || c.Due.Sub(start) > 6*end.Sub(start) || !c.Overdue && c.Met.IsZero() && !c.Stopped.IsZero() {
				continue
			}
			def, _ := r.Def.Clock(c.ID)
			name := cmp.Or(f.InWords(def.Title), c.ID)
			t.Rows = append(t.Rows, TimelineRow{c.Due.UTC().Format("15:04"), name + ": " + f.T(stateOf(c)), who(f, c.Partner, c.By)})
			if len(brackets) == 4 || slices.ContainsFunc(spans, func(s [2]time.Time) bool { return s[0].Equal(c.Started) && s[1].Equal(c.Due) }) {
				continue
			}
			// One bracket is for all whose clock it is: the worst of their states.
			state := stateOf(c)
			for _, o := range r.Activation.Clocks {
				if o.ID == c.ID && o.Started.Equal(c.Started) && o.Due.Equal(c.Due) && worse(stateOf(o), state) {
					state = stateOf(o)
				}
			}
			spans = append(spans, [2]time.Time{c.Started, c.Due})
			brackets = append(brackets, Bracket{Text: short(name, widest-len([]rune(f.T(state)))-2) + ": " + f.T(state), Missed: state == "tl.missed"})
		}
	}
	t.Wide = draw(f, 1100, 260, 5, start, end, lanes, acks, names, brackets, spans, false)
	t.Narrow = draw(f, 360, 0, 3, start, end, lanes, acks, names, brackets, spans, true)
	return t
}

// stateOf is how a clock stands, as a name in the catalogue; "" is one that was
// stopped.
func stateOf(c protocol.ClockState) string {
	switch {
	case c.Overdue:
		return "tl.missed"
	case !c.Met.IsZero():
		return "tl.met"
	case !c.Stopped.IsZero():
		return ""
	}
	return "tl.open"
}

// widest is how many characters stand at a lane of the drawing.
const widest = 34

// short cuts a text to n characters.
func short(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:max(n-1, 0)]) + "…"
	}
	return text
}

func worse(a, b string) bool {
	order := []string{"", "tl.met", "tl.open", "tl.missed"}
	return slices.Index(order, a) > slices.Index(order, b)
}

func lanesOf(f *Frame, inc incident.Incident, runs []runView) []lane {
	first := lane{name: f.T("tl.incident")}
	add := func(l *lane, from, to time.Time, class, state string, hollow bool) {
		if from.IsZero() || !to.After(from) {
			return
		}
		l.stretches = append(l.stretches, stretch{from, to, class, f.T("state." + state), hollow})
	}
	until := func(ts ...time.Time) time.Time {
		for _, t := range ts {
			if !t.IsZero() {
				return t
			}
		}
		return f.Now
	}
	st := inc.Status
	add(&first, inc.Notified.At, until(st.Assessed, st.Opened, st.Closed), "fe", "notified", false)
	add(&first, st.Assessed, until(st.Opened, st.Closed), "fi", "assessing", false)
	add(&first, st.Opened, until(st.Closed), "fi", "open", false)
	out := []lane{first}
	for _, r := range runs {
		l := lane{name: r.Name}
		voted := until(r.ProvisionalSince, r.ActiveSince)
		if r.State == protocol.Voting {
			voted = r.Closes
		}
		if r.ProvisionalSince.IsZero() || r.Proposed.Before(r.ProvisionalSince) {
			add(&l, r.Proposed, voted, "", "voting", true)
		}
		add(&l, r.ProvisionalSince, until(r.ActiveSince), "fw", "provisional", false)
		add(&l, r.ActiveSince, until(r.StandingDownSince), "fa", "active", false)
		add(&l, r.StandingDownSince, until(r.ConcludedAt), "fe", "standing_down", false)
		out = append(out, l)
	}
	return out
}

func draw(f *Frame, width, inset, maxTicks float64, start, end time.Time, lanes []lane, acks []time.Time, missing []string, brackets []Bracket, spans [][2]time.Time, narrow bool) TimelineDrawing {
	d := TimelineDrawing{W: width, Inset: inset, Zone: f.ZoneName(f.Now)}
	span := end.Sub(start)
	x := func(t time.Time) float64 {
		return round(min(width-1, max(inset, inset+(width-inset-4)*float64(t.Sub(start))/float64(span))))
	}
	y := 34.0
	const row = 40.0
	label := func(text string) {
		text = short(text, widest)
		if narrow {
			d.Labels = append(d.Labels, TickAt{X: 2, Y: y + 12, Text: text, Class: "b", Anchor: "start"})
			y += 20
		} else {
			d.Labels = append(d.Labels, TickAt{X: 0, Y: y + 18, Text: text, Class: "b", Anchor: "start"})
		}
	}
	for _, l := range lanes {
		label(l.name)
		for _, s := range l.stretches {
			b := LaneBar{X: x(s.from), Y: y, W: round(max(2, x(s.to)-x(s.from)-1)), Class: s.class, Hollow: s.hollow}
			if b.W > 9*float64(len([]rune(s.word)))+12 {
				b.Text = s.word
			}
			d.Bars = append(d.Bars, b)
		}
		y += row
	}
	label(f.T("tl.acknowledged"))
	placed := -100.0
	for _, a := range acks {
		at := max(x(a), placed+9)
		placed = at
		d.Dots = append(d.Dots, TickAt{X: at, Y: y + 13, Class: "fo"})
	}
	if len(missing) > 0 {
		at := max(x(f.Now)-8, placed+14)
		anchor := "start"
		if at > width*0.7 {
			anchor = "end"
		}
		d.Lost = append(d.Lost, TickAt{X: at, Y: y + 13, Text: f.T("tl.missing", "Names", strings.Join(missing, f.Sep())), Anchor: anchor})
	}
	y += row
	for i, b := range brackets {
		label(b.Text)
		b.X, b.Y = x(spans[i][0]), y+13
		b.W = round(max(3, x(spans[i][1])-b.X))
		if spans[i][1].After(end) {
			b.Until = f.T("tl.until", "Time", spans[i][1].UTC().Format("15:04"))
			b.W = round(width - 1 - b.X)
		}
		d.Clocks = append(d.Clocks, b)
		y += row
	}
	d.Below = y + 16
	d.H = round(y + 40)
	step := niceStep(span, int(maxTicks)+3)
	for at := start.Truncate(step); !at.After(end); at = at.Add(step) {
		if at.Before(start) {
			continue
		}
		d.Grid = append(d.Grid, Tick{X: x(at), Anchor: "middle", Text: at.UTC().Format("15:04"), Local: at.In(f.Zone).Format("15:04")})
	}
	if n := len(d.Grid); n > 0 && d.Grid[0].X < inset+20 {
		d.Grid[0].Anchor = "start"
	}
	if n := len(d.Grid); n > 0 && d.Grid[n-1].X > width-20 {
		d.Grid[n-1].Anchor = "end"
	}
	d.Now = Tick{X: x(f.Now), Anchor: "middle", Text: f.T("tl.now", "Time", f.Now.Format("15:04"))}
	if d.Now.X > width-60 {
		d.Now.Anchor = "end"
	}
	return d
}

// niceStep is a round step of time that gives at most n ticks.
func niceStep(span time.Duration, n int) time.Duration {
	for _, m := range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if span/m <= time.Duration(n) {
			return m
		}
	}
	return (span / time.Duration(n)).Truncate(24 * time.Hour)
}

// Foot is where the lines of time end.
func (d TimelineDrawing) Foot() float64 { return d.Below - 16 }

// Lower is the line of the labels in the reader's zone.
func (d TimelineDrawing) Lower() float64 { return d.Below + 18 }

// Middle and Base are where a bar's text stands.
func (b LaneBar) Middle() float64 { return round(b.X + b.W/2) }

// Base is the text's base line.
func (b LaneBar) Base() float64 { return b.Y + 18 }

// Cross draws a mark of what is missing.
func (t TickAt) Cross() string {
	return fmt.Sprintf("M%.1f %.1fl10 10m0-10l-10 10", t.X-5, t.Y-5)
}

// TextX and TextY are where the mark's text stands.
func (t TickAt) TextX() float64 {
	if t.Anchor == "end" {
		return t.X - 12
	}
	return t.X + 12
}

// TextY is the text's base line.
func (t TickAt) TextY() float64 { return t.Y + 5 }

// Path draws a clock as a bracket, open at its end if it is not due yet.
func (b Bracket) Path() string {
	end := b.X + b.W
	s := fmt.Sprintf("M%.1f %.1fv18M%.1f %.1fH%.1f", b.X, b.Y-9, b.X, b.Y, end)
	if b.Until == "" {
		s += fmt.Sprintf("M%.1f %.1fv18", end, b.Y-9)
	}
	return s
}

// EndX and TextY are where a clock's end is said.
func (b Bracket) EndX() float64 { return b.X + b.W }

// TextY is the text's base line.
func (b Bracket) TextY() float64 { return b.Y - 5 }
