package partner_test

import (
	"slices"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

func roles(r ...access.Role) partner.Change { return partner.Change{Roles: r} }

func (d *desk) load(id string) partner.Member {
	d.t.Helper()
	var m partner.Member
	d.ok(d.log.View(background, func(r journal.StoreReader) (err error) {
		m, _, err = journal.Load[partner.Member](r, partner.KindMember, id)
		return err
	}))
	return m
}

// Nothing that gives the power of an administrator, or takes it, is done by one
// person: not by the role, not by an invitation, not by the way into another
// administrator's account, not by enabling one again.
func TestTwoPeopleMakeAnAdministrator(t *testing.T) {
	d := open(t)
	bima, citra := d.admin(d.nusa, "Bima"), d.admin(d.nusa, "Citra")
	eko, ekoCode := d.member(d.nusa, "Eko", access.Officer)
	d.enrol(ekoCode, password)
	gita, _, err := d.s.AddMember(background, bima, partner.NewMember{Name: "Gita", Email: "gita@nusa.example", Roles: []access.Role{access.Analyst}})
	d.ok(err) // one person invites who is no administrator
	bima, citra = d.fresh(bima), d.fresh(citra)
	newAdmin := partner.NewMember{Name: "Hana", Email: "hana@nusa.example", Roles: []access.Role{access.Administrator}}

	before := d.size()
	for _, by := range []access.Actor{bima, d.shell} {
		_, err = d.s.ChangeMember(background, by, eko.ID, roles(access.Administrator, access.Officer))
		d.want("one person gives the role", err, problem.Conflict)
		_, _, err = d.s.AddMember(background, by, newAdmin)
		d.want("one person invites an administrator", err, problem.Conflict)
	}
	_, err = d.s.ChangeMember(background, bima, citra.Member, roles(access.Officer))
	d.want("one person takes the role", err, problem.Conflict)
	_, err = d.s.ChangeMember(background, bima, bima.Member, roles(access.Officer))
	d.want("one person takes their own role", err, problem.Conflict)
	_, err = d.s.Invite(background, bima, citra.Member)
	d.want("one person makes a way into a colleague's account", err, problem.Conflict)
	_, err = d.s.AskToChange(background, bima, eko.ID, roles(access.Analyst), why)
	d.want("asked for what takes one", err, problem.Invalid)
	_, err = d.s.AskForCode(background, bima, eko.ID, why)
	d.want("asked for a code that takes one", err, problem.Invalid)
	_, err = d.s.AskForMember(background, bima, partner.NewMember{Name: "X", Email: "x@nusa.example", Roles: []access.Role{access.Officer}}, why)
	d.want("asked for a member that takes one", err, problem.Invalid)
	_, err = d.s.AskToChange(background, bima, eko.ID, roles(access.Administrator), "short")
	d.want("without a reason", err, problem.Invalid)
	machine := access.Actor{Partner: d.nusa.ID, Kind: d.nusa.Kind, Token: "t1", Roles: []access.Role{access.Administrator}, Scopes: []access.TokenScope{access.ScopeAdmin}}
	_, err = d.s.ChangeMember(background, machine, eko.ID, roles(access.Administrator))
	d.want("a machine gives the role", err, problem.Conflict)
	_, err = d.s.AskToChange(background, machine, eko.ID, roles(access.Administrator), why)
	d.want("a machine asks", err, problem.Denied)
	if d.size() != before {
		t.Error("what was refused left something in the journal")
	}

	// The role is given by two.
	q, err := d.s.AskToChange(background, bima, eko.ID, roles(access.Administrator, access.Officer), why)
	d.ok(err)
	if q.What() != partner.AsksRole || q.Name != "Eko" || slices.Contains(d.load(eko.ID).Roles, access.Administrator) {
		t.Fatalf("asked: %+v; the member has %v", q, d.load(eko.ID).Roles)
	}
	_, err = d.s.AskToChange(background, citra, eko.ID, roles(access.Administrator), why)
	d.want("asked twice", err, problem.Conflict)
	_, _, err = d.s.Confirm(background, bima, q.ID)
	d.want("confirmed by who asked", err, problem.Denied)
	if q, _, err = d.s.Confirm(background, citra, q.ID); err != nil || !slices.Contains(d.load(eko.ID).Roles, access.Administrator) {
		t.Fatalf("confirmed: %+v, %v; the member has %v", q, err, d.load(eko.ID).Roles)
	}

	// An administrator is invited by two, and the second is given the code.
	q, err = d.s.AskForMember(background, bima, newAdmin, why)
	d.ok(err)
	q, code, err := d.s.Confirm(background, citra, q.ID)
	d.ok(err)
	if q.What() != partner.AsksMember || len(code) != partner.CodeLength {
		t.Fatalf("invited: %+v with the code %q", q, code)
	}
	d.enrol(code, password)
	bima, citra = d.fresh(bima), d.fresh(citra)
	ms, err := d.s.Members(background, bima)
	d.ok(err)
	hana := ms[slices.IndexFunc(ms, func(m partner.Member) bool { return m.Email == newAdmin.Email })]

	// The way into an administrator's account, too.
	_, err = d.s.AskForCode(background, bima, hana.ID, why)
	d.ok(err)
	q, err = d.s.Request(background, bima, "r3")
	d.ok(err)
	self := d.fresh(access.Actor{Partner: d.nusa.ID, Kind: d.nusa.Kind, Member: hana.ID, Roles: []access.Role{access.Administrator}})
	_, _, err = d.s.Confirm(background, self, q.ID)
	d.want("confirmed by the one whose account it is", err, problem.Denied)
	if _, code, err = d.s.Confirm(background, citra, q.ID); err != nil || code == "" {
		t.Fatalf("a new code: %q, %v", code, err)
	}

	// Disabling takes one, enabling two.
	if _, err = d.s.ChangeMember(background, bima, hana.ID, partner.Change{Disable: true}); err != nil {
		t.Fatal(err)
	}
	_, err = d.s.ChangeMember(background, bima, hana.ID, partner.Change{Enable: true})
	d.want("one person enables an administrator", err, problem.Conflict)
	_, err = d.s.ChangeMember(background, bima, gita.ID, partner.Change{Disable: true})
	d.ok(err)
	_, err = d.s.ChangeMember(background, bima, gita.ID, partner.Change{Enable: true})
	d.ok(err)
	q, err = d.s.AskToChange(background, bima, hana.ID, partner.Change{Enable: true}, why)
	d.ok(err)
	if _, _, err = d.s.Confirm(background, citra, q.ID); err != nil || d.load(hana.ID).Disabled {
		t.Fatalf("enabled by two: %v", err)
	}

	// The role is taken by two; who loses it may be the second.
	q, err = d.s.AskToChange(background, bima, citra.Member, roles(access.Officer), why)
	d.ok(err)
	if q.What() != partner.AsksNoRole {
		t.Errorf("asked for %s", q.What())
	}
	if _, _, err = d.s.Confirm(background, citra, q.ID); err != nil || slices.Contains(d.load(citra.Member).Roles, access.Administrator) {
		t.Fatalf("taken by two: %v", err)
	}
	// What was changed meanwhile is not changed again.
	q, err = d.s.AskToChange(background, bima, eko.ID, roles(access.Officer), why)
	d.ok(err)
	_, err = d.s.ChangeMember(background, bima, eko.ID, partner.Change{Disable: true})
	d.ok(err)
	d.clock.at = d.clock.at.Add(time.Second)
	_, _, err = d.s.Confirm(background, d.fresh(self), q.ID)
	d.ok(err) // a disabled administrator's role can still be taken
	_, err = d.s.ChangeMember(background, bima, eko.ID, partner.Change{Enable: true})
	d.ok(err) // and enabling an officer takes one
}

// The operator's shell is the second person until two others could decide.
func TestShellIsTheSecondPerson(t *testing.T) {
	d := open(t)
	bima := d.admin(d.nusa, "Bima")
	_, err := d.s.AskToChange(background, bima, d.first.ID, roles(access.Officer), why)
	d.want("asked where no second administrator has signed in", err, problem.Conflict)
	eko, code := d.member(d.nusa, "Eko", access.Officer)
	d.enrol(code, password)
	_, err = d.s.ChangeMember(background, d.shell, eko.ID, roles(access.Administrator))
	d.ok(err)
	// Bima and Eko are two now. When one of them lost every key, the other
	// cannot decide alone, and the shell is the second person for that.
	_, err = d.s.AskForCode(background, bima, eko.ID, why)
	d.want("asked, where nobody but the member could confirm", err, problem.Conflict)
	if code, err := d.s.Invite(background, d.shell, eko.ID); err != nil || code == "" {
		t.Errorf("the shell's new code: %v", err)
	}
	q, err := d.s.AskForMember(background, d.fresh(bima), partner.NewMember{Name: "Citra", Email: "citra@nusa.example", Roles: []access.Role{access.Administrator}}, why)
	d.ok(err)
	_, code, err = d.s.Confirm(background, d.fresh(access.Actor{Partner: d.nusa.ID, Kind: d.nusa.Kind, Member: eko.ID, Roles: []access.Role{access.Administrator}}), q.ID)
	d.ok(err)
	d.enrol(code, password)
	_, err = d.s.Invite(background, d.shell, eko.ID)
	d.want("the shell where two others could decide", err, problem.Conflict)
}

// Who is concerned is told, in the transaction of what it is about.
func TestAdministratorsAreTold(t *testing.T) {
	d := open(t)
	var told []partner.Notice
	d.tell = func(_ *journal.Tx, n partner.Notice) error { told = append(told, n); return nil }
	bima, citra, dewi := d.admin(d.nusa, "Bima"), d.admin(d.nusa, "Citra"), d.admin(d.nusa, "Dewi")
	eko, code := d.member(d.nusa, "Eko", access.Officer)
	d.enrol(code, password)
	want := func(what string, n int, kind string, to ...string) {
		t.Helper()
		if len(told) <= n || told[n].Kind != kind || !slices.Equal(told[n].Members, to) {
			t.Errorf("%s: told %+v, want %s to %v as number %d", what, told, kind, to, n)
		}
	}
	told, bima, citra = nil, d.fresh(bima), d.fresh(citra)
	q, err := d.s.AskToChange(background, bima, eko.ID, roles(access.Administrator), why)
	d.ok(err)
	want("asked", 0, partner.NoticeRequest, citra.Member, dewi.Member)
	told = nil
	_, _, err = d.s.Confirm(background, citra, q.ID)
	d.ok(err)
	want("confirmed", 0, partner.NoticeAdmin, bima.Member, dewi.Member)
	want("confirmed", 1, partner.NoticeRoles, eko.ID)
	told = nil
	_, err = d.s.ChangeMember(background, bima, dewi.Member, partner.Change{Disable: true})
	d.ok(err)
	want("disabled", 0, partner.NoticeAdmin, citra.Member, eko.ID)
	told = nil
	gita, _ := d.member(d.nusa, "Gita", access.Analyst)
	_, err = d.s.ChangeMember(background, bima, gita.ID, roles(access.Observer))
	d.ok(err)
	if len(told) != 0 {
		t.Errorf("somebody was told of an invitation's roles: %+v", told)
	}
}
