package duty_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// office is a partner with an administrator and two officers.
type office struct {
	t        *testing.T
	log      *journal.Log
	duty     *duty.Service
	now      time.Time
	id       string
	a, b, c  string // members; a is the administrator
	stranger access.Actor
}

func newOffice(t *testing.T) *office {
	t.Helper()
	db, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "siaga.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	o := &office{t: t, now: time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC), id: "nusa"}
	now := func() time.Time { return o.now }
	o.log, err = journal.NewLog(journal.Options{Store: db, Origin: "test.example/siaga", Folds: append(partner.Folds(), duty.Folds()...), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	add := func(typ, kind, id string, body any) {
		t.Helper()
		err := o.log.Update(t.Context(), func(tx *journal.Tx) error {
			o.now = o.now.Add(time.Millisecond) // so that members have an order
			_, err := tx.Append(journal.New(typ, access.Actor{System: true}, o.now, body, journal.Ref{Kind: kind, ID: id}))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"nusa", "lensa"} {
		add("partner.added", partner.KindPartner, p, partner.NewPartner{ID: p, Name: p, Kind: access.Government, Country: "ID", Zone: "Asia/Jakarta"})
	}
	member := func(p, id string, roles ...access.Role) string {
		add("member.added", partner.KindMember, id, map[string]any{"id": id, "partner": p, "name": id, "email": id + "@example.org", "roles": roles})
		return id
	}
	o.a, o.b, o.c = member("nusa", "ani", access.Administrator), member("nusa", "budi", access.Officer), member("nusa", "citra", access.Officer)
	member("lensa", "dewi", access.Administrator)
	o.stranger = access.Actor{Partner: "lensa", Kind: access.Government, Member: "dewi", Roles: []access.Role{access.Administrator}}
	o.duty = duty.New(duty.Options{Log: o.log, Now: now})
	return o
}

func (o *office) as(member string) access.Actor {
	roles := []access.Role{access.Officer}
	if member == o.a {
		roles = []access.Role{access.Administrator}
	}
	return access.Actor{Partner: o.id, Kind: access.Government, Member: member, Roles: roles}
}

func (o *office) wantKind(what string, err error, want problem.Kind, text string) {
	o.t.Helper()
	if problem.KindOf(err) != want || err != nil && !strings.Contains(err.Error(), text) {
		o.t.Errorf("%s: %v, want %s with %q", what, err, want, text)
	}
}

func (o *office) entries(types ...string) []journal.Entry {
	o.t.Helper()
	var out []journal.Entry
	err := o.log.View(context.Background(), func(r journal.StoreReader) (err error) {
		out, err = o.log.Entries(r, journal.RowQuery{Types: types, Limit: 1000})
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

func (o *office) pattern() duty.Pattern {
	return duty.Pattern{Zone: "Asia/Jakarta", Shifts: []duty.Shift{shift("06:00", "22:00", o.b), shift("22:00", "06:00", o.c)}, Backup: []string{o.a}}
}

func TestRights(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	_, err := o.duty.Set(ctx, o.as(o.b), o.pattern())
	o.wantKind("an officer sets the roster", err, problem.Denied, "administrator")
	_, err = o.duty.Get(ctx, access.Actor{})
	o.wantKind("nobody reads", err, problem.SignIn, "")
	if _, err := o.duty.Set(ctx, o.as(o.a), o.pattern()); err != nil {
		t.Fatal(err)
	}
	// The other partner sees its own roster, and cannot name our people.
	v, err := o.duty.Get(ctx, o.stranger)
	if err != nil || v.Partner != "lensa" || len(v.Pattern.Shifts) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	_, err = o.duty.Set(ctx, o.stranger, o.pattern())
	o.wantKind("another partner's people", err, problem.Invalid, "")
	for _, e := range o.entries("roster.set") {
		if e.Audience.SeenBy("lensa", access.Government) {
			t.Error("another partner may read the roster")
		}
	}
}

func TestHole(t *testing.T) {
	o := newOffice(t)
	p := o.pattern()
	p.Shifts[1].Days = []time.Weekday{1, 2, 3, 4, 5} // nights of the weekend are missing
	v, err := o.duty.Set(t.Context(), o.as(o.a), p)
	if err != nil {
		t.Fatal(err) // a hole is allowed: it is shown, not refused
	}
	if len(v.Gaps) != 2 || v.Gaps[0].From.UTC().Format(time.RFC3339) != "2026-03-07T15:00:00Z" || v.Gaps[0].Until.Sub(v.Gaps[0].From) != 8*time.Hour {
		t.Errorf("gaps %+v", v.Gaps)
	}
	if g, err := o.duty.Gaps(t.Context(), o.as(o.a)); err != nil || len(g) != 2 {
		t.Errorf("the administrator is told of %v, %v", g, err)
	}
	if g, err := o.duty.Gaps(t.Context(), o.as(o.b)); err != nil || len(g) != 0 {
		t.Errorf("an officer is told of %v, %v", g, err)
	}
	for range 3 { // the daily job warns of each gap once
		if err := o.duty.WarnOfGaps(t.Context(), struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(o.entries("roster.gap")); n != 1 {
		t.Errorf("warned %d times", n)
	}
	o.now = o.now.AddDate(0, 0, 6)
	if err := o.duty.WarnOfGaps(t.Context(), struct{}{}); err != nil {
		t.Fatal(err)
	}
	if n := len(o.entries("roster.gap")); n != 2 {
		t.Errorf("warned %d times in all", n)
	}
	// In the hole the backup and then officers are called.
	err = o.log.View(t.Context(), func(r journal.StoreReader) error {
		order, until, _, err := duty.Order(r, o.id, v.Gaps[0].From)
		if !slices.Equal(order, []string{o.a, o.b, o.c}) || !until.IsZero() {
			t.Errorf("order %v until %s", order, until)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMistakesAreToldAtOnce(t *testing.T) {
	o := newOffice(t)
	_, err := o.duty.Set(t.Context(), o.as(o.a), duty.Pattern{
		Zone:     "Asia/Jakart",
		Shifts:   []duty.Shift{{From: 0, Until: 60, Members: []string{"nobody"}}, {Days: []time.Weekday{9}, From: 3000}},
		Holidays: []duty.Holiday{{Date: "25/12/26"}, {Date: "2026-12-26"}, {Date: "2026-12-26"}},
		Backup:   []string{"dewi"},
	})
	p, ok := err.(*problem.Error)
	if !ok || p.Kind != problem.Invalid || len(p.Fields) != 9 {
		t.Fatalf("%v: %d mistakes", err, len(p.Fields))
	}
	if n := len(o.entries("roster.set")); n != 0 {
		t.Error("half of it was written")
	}
	for name, n := range map[string]duty.NewOverride{
		"no end":        {From: o.now, Members: []string{o.b}},
		"backwards":     {From: o.now.Add(2 * time.Hour), Until: o.now.Add(time.Hour), Members: []string{o.b}},
		"past":          {From: o.now.Add(-2 * time.Hour), Until: o.now.Add(-time.Hour), Members: []string{o.b}},
		"a season":      {From: o.now, Until: o.now.AddDate(0, 3, 0), Members: []string{o.b}},
		"nobody":        {From: o.now, Until: o.now.Add(time.Hour)},
		"a stranger":    {From: o.now, Until: o.now.Add(time.Hour), Members: []string{"dewi"}},
		"a long reason": {From: o.now, Until: o.now.Add(time.Hour), Members: []string{o.b}, Reason: strings.Repeat("x", 300)},
	} {
		_, err := o.duty.Override(t.Context(), o.as(o.a), n)
		o.wantKind(name, err, problem.Invalid, "")
	}
}

// TestHandOver: both press, and until then the old one holds it.
func TestHandOver(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	if _, err := o.duty.Set(ctx, o.as(o.a), o.pattern()); err != nil {
		t.Fatal(err)
	}
	// 03:00 UTC is 10:00 in Jakarta: budi is on duty.
	_, err := o.duty.HandOver(ctx, o.as(o.c), duty.NewOffer{To: o.b})
	o.wantKind("from somebody who is not on duty", err, problem.Conflict, "not on duty")
	_, err = o.duty.HandOver(ctx, o.as(o.b), duty.NewOffer{To: o.b})
	o.wantKind("to oneself", err, problem.Invalid, "somebody else")
	_, err = o.duty.HandOver(ctx, o.as(o.b), duty.NewOffer{To: "dewi"})
	o.wantKind("to a stranger", err, problem.Invalid, "")
	v, err := o.duty.HandOver(ctx, o.as(o.b), duty.NewOffer{To: o.c, Note: "vote on 0007 is open"})
	if err != nil || v.Offer == nil || !slices.Equal(v.Now.Members, []string{o.b}) {
		t.Fatalf("%+v, %v", v, err)
	}
	id := v.Offer.ID
	_, err = o.duty.Answer(ctx, o.as(o.b), id, true)
	o.wantKind("the one who offers accepts", err, problem.Denied, "the other one")
	_, err = o.duty.Answer(ctx, o.as(o.a), id, true)
	o.wantKind("a third one accepts", err, problem.Denied, "two others")
	_, err = o.duty.Answer(ctx, o.stranger, id, true)
	o.wantKind("another partner accepts", err, problem.NotFound, "")
	v, err = o.duty.Answer(ctx, o.as(o.c), id, true)
	if err != nil || v.Offer != nil || !slices.Equal(v.Now.Members, []string{o.c}) || v.Now.Why != "handover" {
		t.Fatalf("%+v, %v", v.Now, err)
	}
	if got := v.Now.Until.UTC().Format(time.RFC3339); got != "2026-03-02T15:00:00Z" {
		t.Errorf("until %s, want the end of the shift", got)
	}
	_, err = o.duty.Answer(ctx, o.as(o.c), id, true)
	o.wantKind("twice", err, problem.NotFound, "not offered any more")
	// Taken back before it is accepted.
	v, err = o.duty.HandOver(ctx, o.as(o.c), duty.NewOffer{To: o.b})
	if err != nil {
		t.Fatal(err)
	}
	v, err = o.duty.Answer(ctx, o.as(o.c), v.Offer.ID, false)
	if err != nil || v.Offer != nil || !slices.Equal(v.Now.Members, []string{o.c}) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestOverrides(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	if _, err := o.duty.Set(ctx, o.as(o.a), o.pattern()); err != nil {
		t.Fatal(err)
	}
	v, err := o.duty.Override(ctx, o.as(o.a), duty.NewOverride{From: o.now.Add(-time.Hour), Until: o.now.Add(time.Hour), Members: []string{o.c}, Reason: "budi is ill"})
	if err != nil || !slices.Equal(v.Now.Members, []string{o.c}) || v.Next == nil || !slices.Equal(v.Next.Members, []string{o.b}) {
		t.Fatalf("%+v, %v", v, err)
	}
	v, err = o.duty.RemoveOverride(ctx, o.as(o.a), v.Overrides[0].ID)
	if err != nil || !slices.Equal(v.Now.Members, []string{o.b}) {
		t.Fatalf("%+v, %v", v, err)
	}
	_, err = o.duty.RemoveOverride(ctx, o.as(o.a), "none")
	o.wantKind("removed twice", err, problem.NotFound, "")
}

// Each gap is warned of a week ahead, and once: two in one week, one that is
// there already though another was told of before, and one that goes on.
func TestEveryGapIsWarnedOf(t *testing.T) {
	o := newOffice(t)
	all := []time.Weekday{0, 1, 2, 3, 4, 5, 6}
	set := func(days ...string) {
		t.Helper()
		p := duty.Pattern{Zone: "UTC", Shifts: []duty.Shift{{Days: all, Members: []string{o.a}}}}
		for _, d := range days {
			p.Holidays = append(p.Holidays, duty.Holiday{Date: d, Name: "closed"})
		}
		if _, err := o.duty.Set(t.Context(), o.as(o.a), p); err != nil {
			t.Fatal(err)
		}
	}
	day := func(n int) string { return o.now.AddDate(0, 0, n).Format(time.DateOnly) }
	warned := func() int {
		t.Helper()
		before := len(o.entries("roster.gap"))
		if err := o.duty.WarnOfGaps(t.Context(), struct{}{}); err != nil {
			t.Fatal(err)
		}
		return len(o.entries("roster.gap")) - before
	}
	set(day(5), day(8))
	for n, want := range []int{1, 1, 0, 0, 0, 0, 0} { // days that pass: the second is seen once it is seven days ahead
		if got := warned(); got != want {
			t.Errorf("day %d: %d warnings, want %d", n, got, want)
		}
		o.now = o.now.AddDate(0, 0, 1)
	}
	// A day on which nobody is there any more, from now on.
	set(day(0))
	if got := warned(); got != 1 {
		t.Errorf("a gap that is there already: %d warnings", got)
	}
	if got := warned(); got != 0 {
		t.Errorf("told again: %d warnings", got)
	}
	v, err := o.duty.Get(t.Context(), o.as(o.a))
	if err != nil || len(v.Warned) > 3 {
		t.Errorf("it remembers %d gaps, %v", len(v.Warned), err)
	}
}
