package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/problem"
)

// shiftRow is one shift of the form, with empty ones at the end.
type shiftRow struct {
	N           int
	Days        [7]bool // Monday first
	From, Until string
	Members     [3]string
}

type holidayRow struct {
	N          int
	Date, Name string
	Member     string
}

type dutyPage struct {
	*Frame
	form
	View     duty.View
	Names    map[string]string
	Shifts   []shiftRow
	Holidays []holidayRow
	Backup   [3]string
	OnDuty   bool // the reader is
	Editing  bool
	In       url.Values // of a form that was refused
}

// weekdays are the days of a week, Monday first.
var weekdays = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

// Days numbers the days of the form.
func (p dutyPage) Days() []int { return []int{0, 1, 2, 3, 4, 5, 6} }

// Day names a day of the form.
func (p dutyPage) Day(i int) string { return p.T(fmt.Sprintf("duty.day.%d", i)) }

// Who lists people by name.
func (p dutyPage) Who(ids []string) string {
	var out []string
	for _, id := range ids {
		name := p.Names[id]
		if name == "" {
			name = p.T("duty.somebody")
		}
		out = append(out, isolate(name))
	}
	if len(out) == 0 {
		return p.T("duty.nobody")
	}
	return strings.Join(out, p.Sep())
}

// Local is an instant in the roster's zone: "Mon 2 Mar, 22:00".
func (p dutyPage) Local(t time.Time) string {
	l := t.In(p.zone())
	return p.T("date.time", "Date", p.Day((int(l.Weekday())+6)%7)+" "+p.Date(l), "Time", l.Format("15:04"))
}

func (p dutyPage) zone() *time.Location {
	return duty.Plan{Pattern: p.View.Pattern}.Location()
}

// Value is what was typed into a field of a form that was refused.
func (p dutyPage) Value(name string) string { return p.In.Get(name) }

func (s *Site) duty(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.dutyForm(w, r, f, http.StatusOK, form{}, nil)
}

func (s *Site) dutyForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in url.Values) error {
	v, err := s.o.Duty.Get(r.Context(), f.Me)
	if err != nil {
		return err
	}
	page := dutyPage{Frame: f, form: m, View: v, Names: map[string]string{}, OnDuty: slices.Contains(v.Now.Members, f.Me.Member), In: in}
	for _, x := range v.Members {
		page.Names[x.ID] = x.Name
	}
	page.Editing = f.Can(string(access.ManageDuty)) && (r.URL.Query().Get("edit") != "" || len(m.Errors) > 0)
	pattern := v.Pattern
	if in.Get("do") == "set" {
		pattern = patternOf(in)
	}
	for i, sh := range pattern.Shifts {
		row := shiftRow{N: i, From: sh.From.String(), Until: sh.Until.String()}
		for j, d := range weekdays {
			row.Days[j] = slices.Contains(sh.Days, d)
		}
		copy(row.Members[:], sh.Members)
		page.Shifts = append(page.Shifts, row)
	}
	for range 2 {
		page.Shifts = append(page.Shifts, shiftRow{N: len(page.Shifts)})
	}
	for i, h := range pattern.Holidays {
		row := holidayRow{N: i, Date: h.Date, Name: h.Name}
		if len(h.Members) > 0 {
			row.Member = h.Members[0]
		}
		page.Holidays = append(page.Holidays, row)
	}
	for range 2 {
		page.Holidays = append(page.Holidays, holidayRow{N: len(page.Holidays)})
	}
	copy(page.Backup[:], pattern.Backup)
	page.View.Pattern.Zone = pattern.Zone
	f.Section, f.Title = "more", f.T("duty.title")
	if page.Editing {
		f.Form = true
	} else {
		f.Live = []string{"roster"}
	}
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "duty", page)
}

// patternOf reads the form of the weekly pattern. Rows without people, days and
// times are those that nobody filled in.
func patternOf(v url.Values) duty.Pattern {
	p := duty.Pattern{Zone: v.Get("zone"), Shifts: []duty.Shift{}}
	people := func(prefix string) []string {
		var out []string
		for i := range 3 {
			if id := v.Get(prefix + strconv.Itoa(i)); id != "" && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		return out
	}
	for i := range duty.MaxShifts + 2 {
		at := "shifts." + strconv.Itoa(i) + "."
		var sh duty.Shift
		for _, d := range v[at+"days"] {
			if n, err := strconv.Atoi(d); err == nil && n >= 0 && n < 7 {
				sh.Days = append(sh.Days, weekdays[n])
			}
		}
		sh.Members = people(at + "members.")
		from, until := v.Get(at+"from"), v.Get(at+"until")
		if len(sh.Days) == 0 && len(sh.Members) == 0 || v.Has(at+"remove") {
			continue
		}
		var ok bool
		if sh.From, ok = duty.ParseClock(asciiDigits2(from)); !ok {
			sh.From = -1
		}
		if sh.Until, ok = duty.ParseClock(asciiDigits2(until)); !ok {
			sh.Until = -1
		}
		p.Shifts = append(p.Shifts, sh)
	}
	for i := range duty.MaxHolidays + 2 {
		at := "holidays." + strconv.Itoa(i) + "."
		h := duty.Holiday{Date: strings.TrimSpace(v.Get(at + "date")), Name: strings.TrimSpace(v.Get(at + "name"))}
		if h.Date == "" {
			continue
		}
		if id := v.Get(at + "member"); id != "" {
			h.Members = []string{id}
		}
		p.Holidays = append(p.Holidays, h)
	}
	p.Backup = people("backup.")
	return p
}

// asciiDigits2 keeps what stands between the digits of a time.
func asciiDigits2(s string) string {
	h, m, ok := strings.Cut(strings.ReplaceAll(s, ".", ":"), ":")
	if !ok {
		return s
	}
	return asciiDigits(h) + ":" + asciiDigits(m)
}

// localTime reads a time of a form, in the roster's zone.
func localTime(s string, loc *time.Location) time.Time {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, strings.TrimSpace(s), loc); err == nil {
			return t
		}
	}
	return time.Time{}
}

func (s *Site) dutyDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	var err error
	switch do := v.Get("do"); do {
	case "set":
		_, err = s.o.Duty.Set(r.Context(), f.Me, patternOf(v))
	case "override":
		err = s.override(r.Context(), f, v)
	case "remove":
		_, err = s.o.Duty.RemoveOverride(r.Context(), f.Me, v.Get("id"))
	case "offer":
		_, err = s.o.Duty.HandOver(r.Context(), f.Me, duty.NewOffer{To: v.Get("to"), Note: v.Get("note")})
	case "accept", "withdraw":
		_, err = s.o.Duty.Answer(r.Context(), f.Me, v.Get("id"), do == "accept")
	default:
		err = problem.New(problem.Invalid, "the form does not say what to do", "go back and send it again")
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.dutyForm(w, r, f, http.StatusUnprocessableEntity, m, v)
	}
	http.Redirect(w, r, "/duty?sent=duty", http.StatusSeeOther)
	return nil
}

func (s *Site) override(ctx context.Context, f *Frame, v url.Values) error {
	now, err := s.o.Duty.Get(ctx, f.Me)
	if err != nil {
		return err
	}
	loc := duty.Plan{Pattern: now.Pattern}.Location()
	n := duty.NewOverride{From: localTime(v.Get("from"), loc), Until: localTime(v.Get("until"), loc), Reason: v.Get("reason")}
	if id := v.Get("members"); id != "" {
		n.Members = []string{id}
	}
	_, err = s.o.Duty.Override(ctx, f.Me, n)
	return err
}
