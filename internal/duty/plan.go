package duty

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Clock is a time of day on the wall, in minutes after midnight, 0 to 1439.
type Clock int

// ParseClock reads "22:00".
func ParseClock(s string) (Clock, bool) {
	h, m, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok || len(m) != 2 || len(h) < 1 || len(h) > 2 {
		return 0, false
	}
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if err1 != nil || err2 != nil || hour > 23 || minute > 59 {
		return 0, false
	}
	return Clock(hour*60 + minute), true
}

// String returns "22:00".
func (c Clock) String() string {
	return strconv.Itoa(int(c)/600) + strconv.Itoa(int(c)/60%10) + ":" + strconv.Itoa(int(c)%60/10) + strconv.Itoa(int(c)%10)
}

// MarshalText implements encoding.TextMarshaler.
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Clock) UnmarshalText(b []byte) error {
	v, ok := ParseClock(string(b))
	if !ok {
		return errClock
	}
	*c = v
	return nil
}

// on returns the instant at which the clock on the wall shows c on a day. A
// time that the change to summer time leaves out is the instant of the change;
// of one that comes twice it is the first. So a shift that ends at a time and
// another one that begins at it meet, whatever the date.
func (c Clock) on(year int, month time.Month, day int, loc *time.Location) time.Time {
	t := time.Date(year, month, day, int(c)/60, int(c)%60, 0, 0, loc)
	if want := time.Date(year, month, day, int(c)/60, int(c)%60, 0, 0, time.UTC); t.Hour() != want.Hour() || t.Minute() != want.Minute() {
		// Left out. Around the change, Date gave an instant that is off by the
		// difference: the change itself is where the zone's period ends.
		start, end := t.ZoneBounds()
		if !start.IsZero() && t.Sub(start) < 3*time.Hour {
			return start
		}
		return end
	}
	// The same wall time may have come before, in the period until then.
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		_, now := t.Zone()
		_, before := start.Add(-time.Second).Zone()
		if earlier := t.Add(time.Duration(now-before) * time.Second); before > now && earlier.Before(start) {
			return earlier
		}
	}
	return t
}

// Shift is one of the weekly pattern: it begins on each of its days and ends
// on the same or, if Until is not after From, on the next day.
type Shift struct {
	Days    []time.Weekday `json:"days"` // of the day on which it begins, 0 is Sunday
	From    Clock          `json:"from"`
	Until   Clock          `json:"until"`
	Members []string       `json:"members"` // in the order in which they are called
}

// Holiday gives the shifts that begin on a day to others.
type Holiday struct {
	Date    string   `json:"date"` // of the roster's zone, "2026-12-25"
	Name    string   `json:"name,omitempty"`
	Members []string `json:"members"` // none: the shifts fall out
}

// Override puts others on duty for a time, whatever the pattern says. Of two
// that overlap the later one in the roster counts.
type Override struct {
	ID       string    `json:"id"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Members  []string  `json:"members"`
	Reason   string    `json:"reason,omitempty"`
	Handover bool      `json:"handover,omitempty"` // both have pressed
}

// Pattern is what a roster repeats, apart from overrides.
type Pattern struct {
	Zone     string    `json:"zone"` // IANA name
	Shifts   []Shift   `json:"shifts"`
	Holidays []Holiday `json:"holidays,omitempty"`
	Backup   []string  `json:"backup,omitempty"` // called after those on duty; they fill no hole
}

// Span is a time during which the same people are on duty. Nobody: a gap.
type Span struct {
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Members []string  `json:"members"`
	Why     string    `json:"why,omitempty"` // shift, holiday, override, handover; "" for a gap
}

// Plan is a roster to be asked who is on duty when. It is a pure value: the
// same question always has the same answer.
type Plan struct {
	Pattern   Pattern
	Overrides []Override
	// Absent reports members who cannot be on duty (any more). Nil: nobody.
	Absent func(member string) bool
}

// Location returns the roster's time zone, UTC if it is unknown here.
func (p Plan) Location() *time.Location {
	if l, err := time.LoadLocation(p.Pattern.Zone); err == nil && p.Pattern.Zone != "" {
		return l
	}
	return time.UTC
}

func (p Plan) present(members []string) []string {
	var out []string
	for _, m := range members {
		if m != "" && (p.Absent == nil || !p.Absent(m)) && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// shifts returns the spans of the weekly pattern that may touch a time, in the
// order of the roster.
func (p Plan) shifts(from, until time.Time) []Span {
	loc := p.Location()
	var out []Span
	// A shift lasts a day at most; a day more covers every zone.
	y, m, d := from.In(loc).AddDate(0, 0, -2).Date()
	for day := time.Date(y, m, d, 12, 0, 0, 0, time.UTC); !day.After(until.AddDate(0, 0, 2)); day = day.AddDate(0, 0, 1) {
		y, m, d := day.Date()
		holiday := slices.IndexFunc(p.Pattern.Holidays, func(h Holiday) bool { return h.Date == day.Format(time.DateOnly) })
		for _, s := range p.Pattern.Shifts {
			if !slices.Contains(s.Days, day.Weekday()) {
				continue
			}
			span := Span{From: s.From.on(y, m, d, loc), Members: s.Members, Why: "shift"}
			if s.Until > s.From {
				span.Until = s.Until.on(y, m, d, loc)
			} else {
				y, m, d := day.AddDate(0, 0, 1).Date()
				span.Until = s.Until.on(y, m, d, loc)
			}
			if holiday >= 0 {
				span.Members, span.Why = p.Pattern.Holidays[holiday].Members, "holiday"
			}
			if span.From.Before(until) && from.Before(span.Until) && span.From.Before(span.Until) {
				out = append(out, span)
			}
		}
	}
	return out
}

// at returns who is on duty at an instant, from the shifts around it.
func (p Plan) at(t time.Time, shifts []Span) (members []string, why string) {
	covers := func(from, until time.Time) bool { return !t.Before(from) && t.Before(until) }
	for _, o := range slices.Backward(p.Overrides) {
		if covers(o.From, o.Until) {
			if m := p.present(o.Members); len(m) > 0 {
				if o.Handover {
					return m, "handover"
				}
				return m, "override"
			}
		}
	}
	for _, s := range shifts {
		if covers(s.From, s.Until) {
			for _, m := range p.present(s.Members) {
				if !slices.Contains(members, m) {
					members = append(members, m)
				}
			}
			if len(members) > 0 && why == "" {
				why = s.Why
			}
		}
	}
	return members, why
}

// Spans returns the time from one instant until another, without holes and in
// order: neighbours differ in who is on duty, or why.
func (p Plan) Spans(from, until time.Time) []Span {
	if !from.Before(until) {
		return nil
	}
	shifts := p.shifts(from, until)
	cuts := []time.Time{from, until}
	cut := func(t time.Time) {
		if t.After(from) && t.Before(until) {
			cuts = append(cuts, t)
		}
	}
	for _, s := range shifts {
		cut(s.From)
		cut(s.Until)
	}
	for _, o := range p.Overrides {
		cut(o.From)
		cut(o.Until)
	}
	sort.Slice(cuts, func(i, j int) bool { return cuts[i].Before(cuts[j]) })
	var out []Span
	for i := 1; i < len(cuts); i++ {
		if !cuts[i-1].Before(cuts[i]) {
			continue
		}
		members, why := p.at(cuts[i-1], shifts)
		if last := len(out) - 1; last >= 0 && slices.Equal(out[last].Members, members) && out[last].Why == why {
			out[last].Until = cuts[i]
			continue
		}
		out = append(out, Span{From: cuts[i-1], Until: cuts[i], Members: members, Why: why})
	}
	return out
}

// horizon is how far Now and Next look.
const horizon = 14 * 24 * time.Hour

// Now returns the span that an instant lies in: who is on duty, since when at
// least, and until when, at most two weeks ahead.
func (p Plan) Now(t time.Time) Span {
	shifts := p.shifts(t, t.Add(time.Nanosecond))
	members, why := p.at(t, shifts)
	s := Span{From: t, Until: t.Add(horizon), Members: members, Why: why}
	if spans := p.Spans(t, t.Add(horizon)); len(spans) > 0 {
		s = spans[0]
	}
	if spans := p.Spans(t.Add(-48*time.Hour), t.Add(time.Nanosecond)); len(spans) > 0 {
		s.From = spans[len(spans)-1].From
	}
	return s
}

// Next returns the span after the one that an instant lies in; ok is false if
// nothing changes within two weeks.
func (p Plan) Next(t time.Time) (s Span, ok bool) {
	spans := p.Spans(t, t.Add(horizon))
	if len(spans) < 2 {
		return Span{}, false
	}
	return spans[1], true
}

// Gaps returns the times within the given days during which nobody is on duty.
func (p Plan) Gaps(t time.Time, days int) []Span {
	var out []Span
	for _, s := range p.Spans(t, t.AddDate(0, 0, days)) {
		if len(s.Members) == 0 {
			out = append(out, s)
		}
	}
	return out
}

// Order returns in which order people are called at an instant: those on duty,
// then the backup.
func (p Plan) Order(t time.Time) []string {
	out, _ := p.at(t, p.shifts(t, t.Add(time.Nanosecond)))
	for _, m := range p.present(p.Pattern.Backup) {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}
