package partner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

const why = "Lensa joins after the agreement of 1 March"

func newLensa() partner.NewPartner {
	return partner.NewPartner{Name: "Lensa", Kind: access.Platform, Country: "ID"}
}

// admin makes an enrolled administrator, signed in and with presence proved for
// all.
func (d *desk) admin(p partner.Partner, name string) access.Actor {
	d.t.Helper()
	n := partner.NewMember{Partner: p.ID, Name: name, Email: strings.ToLower(name) + "@" + p.ID + ".example", Roles: []access.Role{access.Administrator}}
	var code string
	if two := d.admins[p.ID]; len(two) < 2 {
		var err error
		_, code, err = d.s.AddMember(background, partner.Shell(p), n)
		d.ok(err)
	} else {
		q, err := d.s.AskForMember(background, d.fresh(two[0]), n, why)
		d.ok(err)
		_, code, err = d.s.Confirm(background, d.fresh(two[1]), q.ID)
		d.ok(err)
	}
	_, key := d.enrol(code, "a short sentence is good")
	a, _, err := d.s.BySession(background, key)
	d.ok(err)
	if d.admins == nil {
		d.admins = map[string][]access.Actor{}
	}
	d.admins[p.ID] = append(d.admins[p.ID], a)
	return d.fresh(a)
}

func (d *desk) fresh(a access.Actor) access.Actor {
	a.StepUp, a.For = d.clock.now(), access.AnyAction
	return a
}

func TestTwoPeopleAddAPartner(t *testing.T) {
	d := open(t)
	// Until there are two administrators, the operator's shell is the second person.
	warga, err := d.s.Add(background, d.shell, partner.NewPartner{Name: "Warga", Kind: access.CivilSociety, Country: "ID"})
	d.ok(err)
	bima := d.admin(d.nusa, "Bima")
	_, err = d.s.AskToAdd(background, bima, newLensa(), why)
	d.want("asked where there is no second administrator", err, problem.Conflict)
	citra := d.admin(d.nusa, "Citra")
	_, err = d.s.Add(background, d.shell, newLensa())
	d.want("the shell where two administrators are", err, problem.Conflict)
	_, err = d.s.Add(background, bima, newLensa())
	d.want("one person alone", err, problem.Denied)

	before := d.size()
	_, err = d.s.AskToAdd(background, bima, newLensa(), "short")
	d.want("without a reason", err, problem.Invalid)
	machine := access.Actor{Partner: d.nusa.ID, Kind: d.nusa.Kind, Token: "t1", Roles: []access.Role{access.Administrator}, Scopes: []access.TokenScope{access.ScopeAdmin}}
	_, err = d.s.AskToAdd(background, machine, newLensa(), why)
	d.want("a machine", err, problem.Denied)
	stale := bima
	stale.StepUp = time.Time{}
	_, err = d.s.AskToAdd(background, stale, newLensa(), why)
	d.want("without presence", err, problem.StepUp)
	if d.size() != before {
		t.Error("what was refused left something in the journal")
	}

	q, err := d.s.AskToAdd(background, bima, newLensa(), why)
	d.ok(err)
	if q.State(d.clock.now()) != partner.RequestOpen || q.Add.ID != "lensa" || q.Why != why || q.Member != bima.Member {
		t.Errorf("request %+v", q)
	}
	if _, err := d.s.Get(background, bima, "lensa"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("one person's request added the partner: %v", err)
	}
	_, err = d.s.AskToAdd(background, citra, newLensa(), why)
	d.want("asked twice", err, problem.Conflict)
	_, _, err = d.s.Confirm(background, bima, q.ID)
	d.want("confirmed by who asked", err, problem.Denied)
	_, _, err = d.s.Confirm(background, machine, q.ID)
	d.want("confirmed by a machine", err, problem.Denied)
	stranger := d.admin(warga, "Dewi")
	_, _, err = d.s.Confirm(background, stranger, q.ID)
	d.want("confirmed at another partner", err, problem.NotFound)
	_, err = d.s.Request(background, stranger, q.ID)
	d.want("read at another partner", err, problem.NotFound)
	other := citra
	other.For = access.AddPartner
	_, _, err = d.s.Confirm(background, other, q.ID)
	d.want("presence for another action", err, problem.StepUp)

	seen, err := d.s.Request(background, citra, q.ID)
	d.ok(err)
	if seen.Why != why || seen.Add.Name != "Lensa" || !seen.Until.Equal(q.At.Add(30*time.Minute)) {
		t.Errorf("the second person sees %+v", seen)
	}
	q, _, err = d.s.Confirm(background, citra, q.ID)
	d.ok(err)
	if q.State(d.clock.now()) != partner.RequestConfirmed || q.By != citra.Member {
		t.Errorf("confirmed: %+v", q)
	}
	if p, err := d.s.Get(background, bima, "lensa"); err != nil || p.AddedBy != d.nusa.ID {
		t.Errorf("partner %+v, %v", p, err)
	}
	_, _, err = d.s.Confirm(background, citra, q.ID)
	d.want("confirmed twice", err, problem.Conflict)
	_, err = d.s.Refuse(background, bima, q.ID)
	d.want("refused when done", err, problem.Conflict)

	// The journal says who the two were, and when it was the shell.
	var said []string
	d.ok(d.log.View(background, func(r journal.StoreReader) error {
		entries, err := d.log.Entries(r, journal.RowQuery{Limit: 1000})
		for _, e := range entries {
			if e.Type == "partner.added" {
				var b struct {
					First, Request string
					Shell          bool
				}
				if err := e.Decode(&b); err != nil {
					return err
				}
				switch {
				case b.Shell:
					said = append(said, "shell")
				default:
					said = append(said, b.First+" "+b.Request+" "+e.Member+" "+e.Why)
				}
			}
		}
		return err
	}))
	if want := "shell, shell, " + bima.Member + " " + q.ID + " " + citra.Member + " " + why; strings.Join(said, ", ") != want {
		t.Errorf("journal says %q, want %q", said, want)
	}
}

func TestRequestsEnd(t *testing.T) {
	d := open(t)
	bima, citra, dewi := d.admin(d.nusa, "Bima"), d.admin(d.nusa, "Citra"), d.admin(d.nusa, "Dewi")
	ask := func(n partner.NewPartner) partner.Request {
		t.Helper()
		q, err := d.s.AskToAdd(background, d.fresh(bima), n, why)
		d.ok(err)
		return q
	}
	// Twelve requests: the list is by time, not by the text of their numbers.
	for range 12 {
		q := ask(newLensa())
		d.clock.at = d.clock.at.Add(time.Second)
		_, err := d.s.Refuse(background, d.fresh(bima), q.ID) // taken back by who asked
		d.ok(err)
		_, _, err = d.s.Confirm(background, d.fresh(citra), q.ID)
		d.want("confirmed after it was refused", err, problem.Conflict)
	}
	late := ask(newLensa())
	list, err := d.s.Requests(background, citra)
	d.ok(err)
	if len(list) != 14 || list[0].ID != late.ID || list[13].ID != "r1" {
		t.Errorf("%d requests, first %+v", len(list), list[0])
	}
	d.clock.at = late.Until.Add(-time.Millisecond)
	if late.State(d.clock.now()) != partner.RequestOpen {
		t.Error("lapsed too early")
	}
	d.clock.at = late.Until
	_, _, err = d.s.Confirm(background, d.fresh(citra), late.ID)
	d.want("late", err, problem.Conflict)
	_, err = d.s.Refuse(background, d.fresh(citra), late.ID)
	d.want("refused late", err, problem.Conflict)

	// Something changed meanwhile.
	two := ask(newLensa())
	role := func(r access.Role) {
		t.Helper()
		q, err := d.s.AskToChange(background, d.fresh(dewi), bima.Member, partner.Change{Roles: []access.Role{r}}, why)
		d.ok(err)
		_, _, err = d.s.Confirm(background, d.fresh(citra), q.ID)
		d.ok(err)
	}
	role(access.Officer)
	_, _, err = d.s.Confirm(background, d.fresh(citra), two.ID)
	d.want("confirmed when who asked is no administrator any more", err, problem.Conflict)
	role(access.Administrator)
	lensa, err := d.s.Add(background, access.Actor{Partner: "lonely", Kind: access.Research, Shell: true, Roles: []access.Role{access.Administrator}}, newLensa())
	d.ok(err)
	_, _, err = d.s.Confirm(background, d.fresh(citra), two.ID)
	d.want("confirmed when "+lensa.ID+" was added meanwhile", err, problem.Conflict)
}
