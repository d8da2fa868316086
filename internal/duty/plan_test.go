package duty_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/duty"
)

var everyDay = []time.Weekday{0, 1, 2, 3, 4, 5, 6}

func clock(s string) duty.Clock {
	c, ok := duty.ParseClock(s)
	if !ok {
		panic(s)
	}
	return c
}

func shift(from, until string, members ...string) duty.Shift {
	return duty.Shift{Days: everyDay, From: clock(from), Until: clock(until), Members: members}
}

func plan(zone string, shifts ...duty.Shift) duty.Plan {
	return duty.Plan{Pattern: duty.Pattern{Zone: zone, Shifts: shifts}}
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNightsOfTheChange: the shift from 22 to 06 is an hour shorter or longer
// in the nights in which the clock changes, and meets the next one.
func TestNightsOfTheChange(t *testing.T) {
	for _, c := range []struct {
		name, zone, night string
		from, until       string
		hours             int
	}{
		{"spring in Paris", "Europe/Paris", "2026-03-28T23:30:00+01:00", "2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00", 7},
		{"autumn in Paris", "Europe/Paris", "2026-10-24T23:30:00+02:00", "2026-10-24T22:00:00+02:00", "2026-10-25T06:00:00+01:00", 9},
		{"spring in Auckland", "Pacific/Auckland", "2026-09-26T23:30:00+12:00", "2026-09-26T22:00:00+12:00", "2026-09-27T06:00:00+13:00", 7},
		{"autumn in New York", "America/New_York", "2026-10-31T23:30:00-04:00", "2026-10-31T22:00:00-04:00", "2026-11-01T06:00:00-05:00", 9},
		{"a night in Jakarta", "Asia/Jakarta", "2026-03-28T23:30:00+07:00", "2026-03-28T22:00:00+07:00", "2026-03-29T06:00:00+07:00", 8},
		{"half an hour on Lord Howe", "Australia/Lord_Howe", "2026-04-04T23:30:00+11:00", "2026-04-04T22:00:00+11:00", "2026-04-05T06:00:00+10:30", 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := plan(c.zone, shift("22:00", "06:00", "night"), shift("06:00", "22:00", "day"))
			s := p.Now(at(t, c.night))
			if !s.From.Equal(at(t, c.from)) || !s.Until.Equal(at(t, c.until)) || !slices.Equal(s.Members, []string{"night"}) {
				t.Errorf("on duty %v from %s until %s", s.Members, s.From, s.Until)
			}
			if got := int(s.Until.Sub(s.From).Hours()); got != c.hours {
				t.Errorf("the shift has %d hours, want %d", got, c.hours)
			}
			if gaps := p.Gaps(at(t, c.night), 3); len(gaps) > 0 {
				t.Errorf("gaps: %v", gaps)
			}
		})
	}
}

// TestTimesThatDoNotExist: a change of shift at a time that is left out happens
// at the change of the clock; one at a time that comes twice, at the first.
func TestTimesThatDoNotExist(t *testing.T) {
	p := plan("Europe/Paris", shift("02:30", "14:00", "a"), shift("14:00", "02:30", "b"))
	for at0, want := range map[string]string{
		"2026-03-28T20:00:00+01:00": "2026-03-29T01:00:00Z",
		"2026-10-24T20:00:00+02:00": "2026-10-25T00:30:00Z",
		"2026-06-01T20:00:00+02:00": "2026-06-02T00:30:00Z",
	} {
		s := p.Now(at(t, at0))
		if !s.Until.Equal(at(t, want)) || s.Members[0] != "b" {
			t.Errorf("at %s: %v until %s, want %s", at0, s.Members, s.Until.UTC(), want)
		}
	}
}

func TestHolidaysAndOverrides(t *testing.T) {
	p := plan("Asia/Jakarta", shift("06:00", "22:00", "day", "second"), shift("22:00", "06:00", "night"))
	p.Pattern.Holidays = []duty.Holiday{{Date: "2026-12-25", Name: "Christmas", Members: []string{"volunteer"}}, {Date: "2026-12-26"}}
	p.Pattern.Backup = []string{"chief", "day"}
	p.Overrides = []duty.Override{
		{ID: "1", From: at(t, "2026-12-20T03:00:00Z"), Until: at(t, "2026-12-20T05:00:00Z"), Members: []string{"x"}},
		{ID: "2", From: at(t, "2026-12-20T04:00:00Z"), Until: at(t, "2026-12-20T06:00:00Z"), Members: []string{"y"}, Handover: true},
	}
	p.Absent = func(m string) bool { return m == "gone" }
	for _, c := range []struct {
		at   string
		want []string
		why  string
	}{
		{"2026-12-20T02:00:00Z", []string{"day", "second"}, "shift"},
		{"2026-12-20T03:30:00Z", []string{"x"}, "override"},
		{"2026-12-20T04:30:00Z", []string{"y"}, "handover"},
		{"2026-12-20T06:00:00Z", []string{"day", "second"}, "shift"},
		{"2026-12-24T22:59:00Z", []string{"night"}, "shift"}, // began on the 24th
		{"2026-12-24T23:00:00Z", []string{"volunteer"}, "holiday"},
		{"2026-12-25T15:00:00Z", []string{"volunteer"}, "holiday"}, // the night that begins on the 25th
		{"2026-12-25T23:00:00Z", nil, ""},
		{"2026-12-26T23:30:00Z", []string{"day", "second"}, "shift"},
	} {
		s := p.Now(at(t, c.at))
		if !slices.Equal(s.Members, c.want) || s.Why != c.why {
			t.Errorf("at %s: %v (%s), want %v (%s)", c.at, s.Members, s.Why, c.want, c.why)
		}
	}
	if got := p.Order(at(t, "2026-12-20T02:00:00Z")); !slices.Equal(got, []string{"day", "second", "chief"}) {
		t.Errorf("order %v", got)
	}
	gaps := p.Gaps(at(t, "2026-12-20T00:00:00Z"), 14)
	want := []duty.Span{{From: at(t, "2026-12-25T23:00:00Z"), Until: at(t, "2026-12-26T23:00:00Z")}}
	for i := range gaps {
		gaps[i].From, gaps[i].Until = gaps[i].From.UTC(), gaps[i].Until.UTC()
	}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Error(diff)
	}
	// Who is gone leaves a hole, unless somebody else is in the same shift.
	p.Absent = func(m string) bool { return m == "night" || m == "day" }
	if s := p.Now(at(t, "2026-12-20T16:00:00Z")); len(s.Members) != 0 {
		t.Errorf("on duty: %v", s.Members)
	}
	if s := p.Now(at(t, "2026-12-20T02:00:00Z")); !slices.Equal(s.Members, []string{"second"}) {
		t.Errorf("on duty: %v", s.Members)
	}
}

var zones = []string{"UTC", "Asia/Jakarta", "Europe/Paris", "Pacific/Auckland", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca"}

func drawPlan(t *rapid.T) duty.Plan {
	member := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	p := duty.Plan{Pattern: duty.Pattern{Zone: rapid.SampledFrom(zones).Draw(t, "zone")}}
	for range rapid.IntRange(0, 5).Draw(t, "shifts") {
		p.Pattern.Shifts = append(p.Pattern.Shifts, duty.Shift{
			Days: rapid.SliceOfNDistinct(rapid.SampledFrom(everyDay), 0, 7, rapid.ID).Draw(t, "days"),
			From: duty.Clock(15 * rapid.IntRange(0, 95).Draw(t, "from")), Until: duty.Clock(15 * rapid.IntRange(0, 95).Draw(t, "until")),
			Members: rapid.SliceOfN(member, 0, 3).Draw(t, "members"),
		})
	}
	base := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	for i := range rapid.IntRange(0, 3).Draw(t, "overrides") {
		from := base.Add(time.Duration(rapid.IntRange(0, 20*24*4).Draw(t, "at")) * 15 * time.Minute)
		p.Overrides = append(p.Overrides, duty.Override{ID: fmt.Sprint(i), From: from, Until: from.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "for")) * 15 * time.Minute), Members: rapid.SliceOfN(member, 0, 2).Draw(t, "members")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "holidays") {
		p.Pattern.Holidays = append(p.Pattern.Holidays, duty.Holiday{Date: base.AddDate(0, 0, rapid.IntRange(0, 20).Draw(t, "day")).Format(time.DateOnly), Members: rapid.SliceOfN(member, 0, 2).Draw(t, "members")})
	}
	if gone := rapid.SampledFrom([]string{"", "", "a"}).Draw(t, "absent"); gone != "" {
		p.Absent = func(m string) bool { return m == gone }
	}
	return p
}

// TestSpansTile: the spans of any roster cover the time asked for without hole
// or overlap, neighbours differ, gaps are exactly the spans with nobody, and
// each instant within a span has its people.
func TestSpansTile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		from := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 20000).Draw(rt, "minute")) * time.Minute)
		days := rapid.IntRange(1, 16).Draw(rt, "days")
		until := from.AddDate(0, 0, days)
		spans := p.Spans(from, until)
		end, empty := from, 0
		for i, s := range spans {
			if !s.From.Equal(end) || !s.From.Before(s.Until) {
				rt.Fatalf("span %d is from %s until %s, after %s", i, s.From, s.Until, end)
			}
			if i > 0 && slices.Equal(s.Members, spans[i-1].Members) && s.Why == spans[i-1].Why {
				rt.Fatalf("spans %d and %d are one: %v", i-1, i, s)
			}
			if len(s.Members) == 0 {
				empty++
			}
			for _, at := range []time.Time{s.From, s.From.Add(s.Until.Sub(s.From) / 2), s.Until.Add(-time.Nanosecond)} {
				now := p.Now(at)
				if !slices.Equal(now.Members, s.Members) || now.Why != s.Why || now.From.After(at) || !now.Until.After(at) {
					rt.Fatalf("at %s: %+v, in the span %+v", at, now, s)
				}
				if order := p.Order(at); !slices.Equal(order[:len(s.Members)], s.Members) {
					rt.Fatalf("at %s: order %v, on duty %v", at, order, s.Members)
				}
			}
			end = s.Until
		}
		if !end.Equal(until) {
			rt.Fatalf("ends at %s, not %s", end, until)
		}
		if gaps := p.Gaps(from, days); len(gaps) != empty {
			rt.Fatalf("%d gaps, %d empty spans", len(gaps), empty)
		}
	})
}

// TestWholeDaysHaveNoGap: shifts that follow each other round the clock leave
// no gap and never overlap, in any zone and season.
func TestWholeDaysHaveNoGap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cuts := rapid.SliceOfNDistinct(rapid.IntRange(0, 95), 1, 5, rapid.ID).Draw(rt, "cuts")
		slices.Sort(cuts)
		p := duty.Plan{Pattern: duty.Pattern{Zone: rapid.SampledFrom(zones).Draw(rt, "zone")}}
		for i, c := range cuts {
			p.Pattern.Shifts = append(p.Pattern.Shifts, duty.Shift{Days: everyDay, From: duty.Clock(15 * c), Until: duty.Clock(15 * cuts[(i+1)%len(cuts)]), Members: []string{fmt.Sprint(i)}})
		}
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 364).Draw(rt, "day"))
		for _, s := range p.Spans(from, from.AddDate(0, 0, 10)) {
			if len(s.Members) != 1 {
				rt.Fatalf("from %s until %s: %v", s.From, s.Until, s.Members)
			}
		}
	})
}

func TestClock(t *testing.T) {
	for m := range 24 * 60 {
		c := duty.Clock(m)
		if got, ok := duty.ParseClock(c.String()); !ok || got != c {
			t.Errorf("%d is %q is %d", m, c, got)
		}
	}
	for _, s := range []string{"", "24:00", "12:60", "1200", "12:5", ":30", "-1:00", "12:+5", "012:00"} {
		if c, ok := duty.ParseClock(s); ok {
			t.Errorf("%q is %s", s, c)
		}
	}
}

func BenchmarkNow(b *testing.B) {
	p := plan("Europe/Paris", shift("06:00", "14:00", "a", "b"), shift("14:00", "22:00", "c"), shift("22:00", "06:00", "d"))
	now := time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		if len(p.Now(now).Members) == 0 {
			b.Fatal("nobody")
		}
	}
}
