package duty

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// KindRoster is the kind of the object that a partner's roster is; its ID is
// the partner's.
const KindRoster = "roster"

// Limits of a roster.
const (
	MaxShifts    = 60
	MaxHolidays  = 60
	MaxOverrides = 200
	maxMembers   = 20
	maxOverride  = 31 * 24 * time.Hour
	maxText      = 200
)

// Roster is the folded state of a partner's roster.
type Roster struct {
	Partner   string     `json:"partner"`
	Pattern   Pattern    `json:"pattern"`
	Overrides []Override `json:"overrides,omitempty"` // in the order of time
	Offer     *Offer     `json:"offer,omitempty"`     // a hand-over that waits for the other
	Warned    []Gap      `json:"warned_of,omitempty"` // gaps that were warned of, as they were seen then
	ChangedAt time.Time  `json:"changed_at"`
	ChangedBy string     `json:"changed_by,omitempty"`
}

// Offer is a hand-over that the other has not accepted yet.
type Offer struct {
	ID    string    `json:"id"`
	From  string    `json:"from"` // member on duty
	To    string    `json:"to"`   // member who shall take over
	Until time.Time `json:"until"`
	Note  string    `json:"note,omitempty"` // open asks, promises made
	At    time.Time `json:"at"`
}

// Gap is a time during which nobody is on duty.
type Gap struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// gaps is the body of "roster.gap": the first, and the others that are new.
type gaps struct {
	Gap
	More []Gap `json:"more,omitempty"`
}

// knows reports whether the gap was warned of: it begins in one that was. A gap
// that goes on beyond what was warned of, or begins sooner, is told of again.
func (r Roster) knows(g Span) bool {
	return slices.ContainsFunc(r.Warned, func(w Gap) bool { return !w.From.After(g.From) && w.Until.After(g.From) })
}

// Folds returns the fold of rosters.
func Folds() []journal.Fold {
	return []journal.Fold{journal.FoldOf(KindRoster, apply, func(r *Roster) journal.Keys {
		return journal.Keys{Partner: r.Partner, Sort: r.Partner}
	})}
}

func apply(r *Roster, e journal.Entry) error {
	if len(e.About) > 0 && r.Partner == "" {
		r.Partner = e.About[0].ID
	}
	if e.Erased {
		return nil // a later state says what came of it
	}
	switch e.Type {
	case "roster.set":
		r.Pattern = Pattern{}
		if err := e.Decode(&r.Pattern); err != nil {
			return err
		}
	case "override.added":
		var o Override
		if err := e.Decode(&o); err != nil {
			return err
		}
		r.add(o, e.At)
	case "override.removed":
		var o Override
		if err := e.Decode(&o); err != nil {
			return err
		}
		r.Overrides = slices.DeleteFunc(r.Overrides, func(x Override) bool { return x.ID == o.ID })
	case "shift.offered":
		var o Offer
		if err := e.Decode(&o); err != nil {
			return err
		}
		r.Offer = &o
	case "shift.withdrawn":
		r.Offer = nil
	case "shift.accepted":
		if o := r.Offer; o != nil {
			r.add(Override{ID: o.ID, From: e.At, Until: o.Until, Members: []string{o.To}, Reason: o.Note, Handover: true}, e.At)
		}
		r.Offer = nil
	case "roster.gap":
		var g gaps
		if err := e.Decode(&g); err != nil {
			return err
		}
		kept := slices.DeleteFunc(slices.Clone(r.Warned), func(w Gap) bool { return !w.Until.After(e.At) })
		r.Warned = append(append(kept, g.Gap), g.More...)
		return nil // the roster was not changed
	default:
		return nil
	}
	r.ChangedAt, r.ChangedBy = e.At, e.Member
	return nil
}

// add adds an override and forgets those that are long over.
func (r *Roster) add(o Override, now time.Time) {
	kept := slices.DeleteFunc(slices.Clone(r.Overrides), func(x Override) bool { return x.Until.Before(now.AddDate(0, 0, -7)) })
	r.Overrides = append(kept, o)
}

// Options of a Service. All are required.
type Options struct {
	Log *journal.Log
	Now func() time.Time
}

// Service keeps rosters. Its methods may be called concurrently.
type Service struct{ o Options }

// New returns a Service.
func New(o Options) *Service { return &Service{o} }

// Load reads a partner's roster and its members, by ID. A partner without a
// roster has an empty one in its own zone.
func Load(r journal.StoreReader, partnerID string) (Roster, map[string]partner.Member, error) {
	members := make(map[string]partner.Member)
	err := journal.Each(r, journal.ObjectQuery{Kind: partner.KindMember, Partner: partnerID}, func(m partner.Member, _ journal.Object) error {
		members[m.ID] = m
		return nil
	})
	if err != nil {
		return Roster{}, nil, err
	}
	roster, _, err := journal.Load[Roster](r, KindRoster, partnerID)
	if problem.KindOf(err) == problem.NotFound {
		roster, err = Roster{Partner: partnerID}, nil
	}
	if err == nil && roster.Pattern.Zone == "" {
		p, perr := partner.Load(r, partnerID)
		if perr != nil {
			return roster, members, perr
		}
		roster.Pattern.Zone = p.Zone
	}
	return roster, members, err
}

// PlanOf returns the roster as something that can be asked. Members that are
// disabled or gone are absent.
func PlanOf(r Roster, members map[string]partner.Member) Plan {
	return Plan{Pattern: r.Pattern, Overrides: r.Overrides, Absent: func(id string) bool {
		m, ok := members[id]
		return !ok || m.Disabled
	}}
}

// Order returns whom of a partner to call, and in which order: those on duty,
// the backup, then administrators and officers, so that a hole in the roster
// leaves nobody uncalled. until is when the shift ends.
func Order(r journal.StoreReader, partnerID string, now time.Time) (order []string, until time.Time, members map[string]partner.Member, err error) {
	roster, members, err := Load(r, partnerID)
	if err != nil {
		return nil, time.Time{}, nil, err
	}
	plan := PlanOf(roster, members)
	order = plan.Order(now)
	if on := plan.Now(now); len(on.Members) > 0 {
		until = on.Until
	}
	for _, role := range []access.Role{access.Officer, access.Administrator} {
		for _, id := range sortedIDs(members) {
			if m := members[id]; !m.Disabled && slices.Contains(m.Roles, role) && !slices.Contains(order, id) {
				order = append(order, id)
			}
		}
	}
	return order, until, members, nil
}

func sortedIDs(members map[string]partner.Member) []string {
	out := make([]string, 0, len(members))
	for id := range members {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(members[a].AddedAt.Compare(members[b].AddedAt), strings.Compare(a, b))
	})
	return out
}

// View is a roster as the page and the API show it.
type View struct {
	Roster
	Now     Span             `json:"now"`
	Next    *Span            `json:"next,omitempty"`
	Ahead   []Span           `json:"ahead"` // the coming days
	Gaps    []Span           `json:"gaps"`
	Days    int              `json:"days"` // how far ahead and gaps look
	Members []partner.Member `json:"-"`
}

// GapDays is how far ahead gaps are warned of.
const GapDays = 7

// Get returns the roster of the actor's own partner.
func (s *Service) Get(ctx context.Context, by access.Actor) (View, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ReadDuty, now); err != nil {
		return View{}, err
	}
	var v View
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		roster, members, err := Load(r, by.Partner)
		if err != nil {
			return err
		}
		v = view(roster, members, now)
		return nil
	})
	return v, err
}

func view(roster Roster, members map[string]partner.Member, now time.Time) View {
	plan := PlanOf(roster, members)
	v := View{Roster: roster, Now: plan.Now(now), Days: GapDays, Ahead: plan.Spans(now, now.AddDate(0, 0, GapDays)), Gaps: plan.Gaps(now, GapDays)}
	if v.Gaps == nil {
		v.Gaps = []Span{}
	}
	if next, ok := plan.Next(now); ok {
		v.Next = &next
	}
	for _, id := range sortedIDs(members) {
		v.Members = append(v.Members, members[id])
	}
	return v
}

// Gaps returns the gaps of the coming days that concern the actor: of its own
// partner, if it may do something about them.
func (s *Service) Gaps(ctx context.Context, by access.Actor) ([]Span, error) {
	if access.Allow(by, access.ManageDuty, s.o.Now()) != nil {
		return nil, nil
	}
	v, err := s.Get(ctx, by)
	if len(v.Pattern.Shifts) == 0 {
		return nil, err // a partner without a roster has no hole in it: its officers are called
	}
	return v.Gaps, err
}

func (s *Service) change(ctx context.Context, by access.Actor, do access.Action, fn func(tx *journal.Tx, r Roster, members map[string]partner.Member, now time.Time) error) (View, error) {
	now := s.o.Now()
	if err := access.Allow(by, do, now); err != nil {
		return View{}, err
	}
	var v View
	_, err := journal.Do(ctx, s.o.Log, by, string(do), now, func(tx *journal.Tx) (struct{}, error) {
		roster, members, err := Load(tx, by.Partner)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, fn(tx, roster, members, now)
	})
	if err != nil {
		return v, err
	}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		roster, members, err := Load(r, by.Partner)
		v = view(roster, members, now)
		return err
	})
	return v, err
}

func appendEntry(tx *journal.Tx, by access.Actor, partnerID, typ, why string, now time.Time, body any) error {
	e := journal.New(typ, by, now, body, journal.Ref{Kind: KindRoster, ID: partnerID})
	e.Audience, e.Why = access.Audience{TLP: access.AmberStrict, Origin: partnerID}, why
	_, err := tx.Append(e)
	return err
}

// Set replaces the weekly pattern, the holidays and the backup of the actor's
// partner. Every mistake is told at once.
func (s *Service) Set(ctx context.Context, by access.Actor, p Pattern) (View, error) {
	return s.change(ctx, by, access.ManageDuty, func(tx *journal.Tx, r Roster, members map[string]partner.Member, now time.Time) error {
		if p.Zone = strings.TrimSpace(p.Zone); p.Zone == "" {
			p.Zone = r.Pattern.Zone
		}
		if err := check(&p, members); err != nil {
			return err
		}
		return appendEntry(tx, by, by.Partner, "roster.set", "", now, p)
	})
}

func check(p *Pattern, members map[string]partner.Member) error {
	var f problem.InvalidFields
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "" || p.Zone == "Local" {
		f.Add("zone", "enter a time zone by its name, for example Asia/Jakarta")
	}
	if len(p.Shifts) > MaxShifts {
		f.Add("shifts", "a roster has up to %d shifts, this one has %d", MaxShifts, len(p.Shifts))
	}
	if len(p.Holidays) > MaxHolidays {
		f.Add("holidays", "a roster has up to %d holidays, this one has %d", MaxHolidays, len(p.Holidays))
	}
	people := func(field string, list []string, needed bool) {
		if needed && len(list) == 0 {
			f.Add(field, "choose who is on duty")
		}
		if len(list) > maxMembers {
			f.Add(field, "choose up to %d people", maxMembers)
		}
		for _, id := range list {
			if m, ok := members[id]; !ok {
				f.Add(field, "%q is not a member of your partner", id)
			} else if m.Disabled {
				f.Add(field, "%s cannot sign in any more; choose somebody else", m.Name)
			}
		}
	}
	for i, sh := range p.Shifts {
		at := fmt.Sprintf("shifts.%d", i)
		if len(sh.Days) == 0 {
			f.Add(at+".days", "choose the days on which the shift begins")
		}
		for _, d := range sh.Days {
			if d < time.Sunday || d > time.Saturday {
				f.Add(at+".days", "days are 0 (Sunday) to 6 (Saturday); %d is none", d)
			}
		}
		for _, c := range []Clock{sh.From, sh.Until} {
			if c < 0 || c >= 24*60 {
				f.Add(at+".from", "write times as 22:00")
			}
		}
		people(at+".members", sh.Members, true)
	}
	seen := map[string]bool{}
	for i, h := range p.Holidays {
		at := fmt.Sprintf("holidays.%d", i)
		if _, err := time.Parse(time.DateOnly, h.Date); err != nil {
			f.Add(at+".date", "write the date as 2026-12-25; %q is none", h.Date)
		}
		if seen[h.Date] {
			f.Add(at+".date", "%s is there twice", h.Date)
		}
		seen[h.Date] = true
		if len([]rune(h.Name)) > maxText {
			f.Add(at+".name", "enter up to %d characters", maxText)
		}
		people(at+".members", h.Members, false)
	}
	people("backup", p.Backup, false)
	return f.Err()
}

// NewOverride is a time for which others are on duty.
type NewOverride struct {
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Members []string  `json:"members"`
	Reason  string    `json:"reason,omitempty"`
}

// Override puts others on duty for a time.
func (s *Service) Override(ctx context.Context, by access.Actor, n NewOverride) (View, error) {
	return s.change(ctx, by, access.ManageDuty, func(tx *journal.Tx, r Roster, members map[string]partner.Member, now time.Time) error {
		o := Override{
			ID: newID(), From: n.From.UTC().Truncate(time.Second), Until: n.Until.UTC().Truncate(time.Second),
			Members: n.Members, Reason: strings.TrimSpace(n.Reason),
		}
		var f problem.InvalidFields
		switch {
		case o.From.IsZero():
			f.Add("from", "enter when it begins")
		case o.Until.IsZero():
			f.Add("until", "enter when it ends")
		case !o.From.Before(o.Until):
			f.Add("until", "the end must be after the beginning")
		case o.Until.Sub(o.From) > maxOverride:
			f.Add("until", "an override lasts up to 31 days; change the weekly pattern instead")
		case !o.Until.After(now):
			f.Add("until", "the end must be in the future. It is now %s UTC", now.UTC().Format("15:04"))
		}
		if len([]rune(o.Reason)) > maxText {
			f.Add("reason", "enter up to %d characters", maxText)
		}
		if len(r.Overrides) >= MaxOverrides {
			f.Add("from", "there are %d overrides; change the weekly pattern instead", len(r.Overrides))
		}
		p := Pattern{Zone: "UTC", Backup: o.Members}
		if len(o.Members) == 0 {
			f.Add("members", "choose who is on duty")
		} else if err := check(&p, members); err != nil {
			f.Add("members", "choose members of your partner who can sign in")
		}
		if err := f.Err(); err != nil {
			return err
		}
		return appendEntry(tx, by, by.Partner, "override.added", o.Reason, now, o)
	})
}

// RemoveOverride takes an override back.
func (s *Service) RemoveOverride(ctx context.Context, by access.Actor, id string) (View, error) {
	return s.change(ctx, by, access.ManageDuty, func(tx *journal.Tx, r Roster, _ map[string]partner.Member, now time.Time) error {
		i := slices.IndexFunc(r.Overrides, func(o Override) bool { return o.ID == id })
		if i < 0 {
			return problem.New(problem.NotFound, "there is no such override", "reload the page")
		}
		return appendEntry(tx, by, by.Partner, "override.removed", "", now, Override{ID: id, From: r.Overrides[i].From, Until: r.Overrides[i].Until})
	})
}

// NewOffer is a hand-over to be offered.
type NewOffer struct {
	To    string    `json:"to"`             // member
	Until time.Time `json:"until,omitzero"` // zero: the end of the shift
	Note  string    `json:"note,omitempty"` // open asks, unknowns, promises made
}

// HandOver offers the rest of the actor's own shift to somebody else. The
// actor stays on duty until the other one accepts.
func (s *Service) HandOver(ctx context.Context, by access.Actor, n NewOffer) (View, error) {
	return s.change(ctx, by, access.HandOver, func(tx *journal.Tx, r Roster, members map[string]partner.Member, now time.Time) error {
		on := PlanOf(r, members).Now(now)
		if !slices.Contains(on.Members, by.Member) {
			return problem.New(problem.Conflict, "you are not on duty, so there is nothing to hand over", "ask who is on duty, or an administrator to add an override")
		}
		o := Offer{ID: newID(), From: by.Member, To: n.To, Until: n.Until.UTC(), Note: strings.TrimSpace(n.Note), At: now.UTC()}
		if o.Until.IsZero() || o.Until.After(on.Until) {
			o.Until = on.Until.UTC()
		}
		var f problem.InvalidFields
		if m, ok := members[n.To]; !ok || m.Disabled {
			f.Add("to", "choose a member of your partner who can sign in")
		} else if n.To == by.Member {
			f.Add("to", "choose somebody else")
		}
		if !o.Until.After(now) {
			f.Add("until", "the end must be in the future. It is now %s UTC", now.UTC().Format("15:04"))
		}
		if len([]rune(o.Note)) > 10*maxText {
			f.Add("note", "enter up to %d characters", 10*maxText)
		}
		if err := f.Err(); err != nil {
			return err
		}
		return appendEntry(tx, by, by.Partner, "shift.offered", o.Note, now, o)
	})
}

// Answer accepts a hand-over, as the one it was offered to, or withdraws it: as
// either of the two.
func (s *Service) Answer(ctx context.Context, by access.Actor, id string, accept bool) (View, error) {
	return s.change(ctx, by, access.HandOver, func(tx *journal.Tx, r Roster, _ map[string]partner.Member, now time.Time) error {
		o := r.Offer
		switch {
		case o == nil || o.ID != id:
			return problem.New(problem.NotFound, "this hand-over is not offered any more", "reload the page to see who is on duty")
		case by.Member == "" || (by.Member != o.To && by.Member != o.From):
			return problem.New(problem.Denied, "this hand-over is between two others", "leave it to them")
		case accept && by.Member != o.To:
			return problem.New(problem.Denied, "you offered this hand-over; the other one accepts it", "ask them to press it too; until then you are on duty")
		case accept && !o.Until.After(now):
			return problem.New(problem.Conflict, "the shift that was offered is over", "look who is on duty now")
		}
		typ := "shift.withdrawn"
		if accept {
			typ = "shift.accepted"
		}
		return appendEntry(tx, by, by.Partner, typ, "", now, map[string]string{"id": id})
	})
}

// JobGaps is the kind of the job that warns of gaps; it runs once a day.
const JobGaps = "duty.gaps"

// WarnOfGaps appends an entry for each partner whose roster has or will have
// gaps that were not warned of yet; it names all of them. Partners that never set a roster are not warned:
// their officers are called all the same.
func (s *Service) WarnOfGaps(ctx context.Context, _ struct{}) error {
	now := s.o.Now()
	var rosters []Roster
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindRoster}, func(x Roster, _ journal.Object) error {
			rosters = append(rosters, x)
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, x := range rosters {
		err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
			roster, members, err := Load(tx, x.Partner)
			if err != nil || len(roster.Pattern.Shifts) == 0 {
				return err
			}
			var fresh []Gap
			for _, g := range PlanOf(roster, members).Gaps(now, GapDays) {
				if !roster.knows(g) {
					fresh = append(fresh, Gap{g.From.UTC(), g.Until.UTC()})
				}
			}
			if len(fresh) == 0 {
				return nil
			}
			return appendEntry(tx, access.Actor{System: true}, x.Partner, "roster.gap", "", now, gaps{fresh[0], fresh[1:]})
		})
		if err != nil {
			return fmt.Errorf("warning of gaps of %s: %w", x.Partner, err)
		}
	}
	return nil
}

func newID() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("duty: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	return hex.EncodeToString(b[:])
}
