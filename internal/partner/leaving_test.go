package partner_test

import (
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

const taken = "Its accounts were taken over on 3 March"

// Two people deactivate a partner: whatever let anybody act for it ends, what
// lets the same people act elsewhere goes on, and two people bring it back.
func TestPartnerIsDeactivated(t *testing.T) {
	d := open(t)
	lensa, err := d.s.Add(background, d.shell, newLensa())
	d.ok(err)
	gema, err := d.s.Add(background, d.shell, partner.NewPartner{Name: "Gema", Kind: access.Platform, Country: "ID"})
	d.ok(err)
	bima, citra := d.admin(d.nusa, "Bima"), d.admin(d.nusa, "Citra")

	_, code := d.member(lensa, "Eka", access.Officer)
	_, key := d.enrol(code, "a short sentence is good")
	eka, _, err := d.s.BySession(background, key)
	d.ok(err)
	elsewhere, join, err := d.s.AddMember(background, partner.Shell(gema), partner.NewMember{Partner: gema.ID, Name: "Eka", Email: "eka@lensa.example", Roles: []access.Role{access.Officer}})
	d.ok(err)
	_, err = d.s.Join(background, eka, join)
	d.ok(err)
	_, invited := d.member(lensa, "Fajar", access.Analyst)
	_, edge, err := d.s.CreateToken(background, partner.Shell(lensa), partner.NewToken{Partner: lensa.ID, Name: "lensa-1", Roles: []access.Role{access.Edge}})
	d.ok(err)
	_, other, err := d.s.CreateToken(background, partner.Shell(gema), partner.NewToken{Partner: gema.ID, Name: "gema-1", Roles: []access.Role{access.Edge}})
	d.ok(err)

	before := d.size()
	_, err = d.s.AskToDisable(background, d.fresh(bima), lensa.ID, true, "short")
	d.want("without a reason", err, problem.Invalid)
	_, err = d.s.AskToDisable(background, d.fresh(bima), d.nusa.ID, true, taken)
	d.want("one's own partner", err, problem.Conflict)
	_, err = d.s.AskToDisable(background, d.fresh(bima), "nobody", true, taken)
	d.want("a partner that is not there", err, problem.NotFound)
	_, err = d.s.AskToDisable(background, d.fresh(bima), lensa.ID, false, taken)
	d.want("activated while it is active", err, problem.Conflict)
	stale := bima
	stale.StepUp = time.Time{}
	_, err = d.s.AskToDisable(background, stale, lensa.ID, true, taken)
	d.want("without presence", err, problem.StepUp)
	_, err = d.s.AskToDisable(background, d.actor(gema, access.Administrator), lensa.ID, true, taken)
	d.want("by a partner that did not add it", err, problem.Denied)
	_, err = d.s.AskToDisable(background, d.actor(gema, access.Administrator), d.nusa.ID, true, taken)
	d.want("the node's first partner", err, problem.Conflict)
	_, err = d.s.AskToDisable(background, d.actor(d.nusa, access.Officer), lensa.ID, true, taken)
	d.want("by an officer", err, problem.Denied)
	_, err = d.s.Disable(background, d.shell, lensa.ID, true, taken)
	d.want("the shell where two administrators are", err, problem.Conflict)
	_, err = d.s.Disable(background, d.fresh(bima), lensa.ID, true, taken)
	d.want("one person alone", err, problem.Denied)
	if d.size() != before {
		t.Error("what was refused left something in the journal")
	}

	q, err := d.s.AskToDisable(background, d.fresh(bima), lensa.ID, true, taken)
	d.ok(err)
	if q.What() != partner.AsksLeave || q.Of != lensa.ID || q.Why != taken {
		t.Errorf("request %+v", q)
	}
	_, _, err = d.s.Confirm(background, d.fresh(bima), q.ID)
	d.want("confirmed by who asked", err, problem.Denied)
	if _, _, err := d.s.BySession(background, key); err != nil {
		t.Errorf("one person's request ended a session: %v", err)
	}
	_, _, err = d.s.Confirm(background, d.fresh(citra), q.ID)
	d.ok(err)

	p, err := d.s.Get(background, bima, lensa.ID)
	d.ok(err)
	if !p.Disabled || !p.LeftAt.Equal(d.clock.now()) {
		t.Errorf("partner %+v", p)
	}
	_, _, err = d.s.BySession(background, key)
	d.want("its session", err, problem.SignIn)
	_, _, err = d.s.ByToken(background, edge)
	d.want("its edge's token", err, problem.SignIn)
	_, err = d.s.Begin(background, invited)
	if err == nil {
		t.Error("an invitation of it is still taken")
	}
	if _, _, err = d.s.ByToken(background, other); err != nil {
		t.Errorf("another partner's token ended: %v", err)
	}
	ms, err := d.s.Memberships(background, eka.Member)
	d.ok(err)
	if len(ms) != 1 || ms[0].ID != elsewhere.ID {
		t.Errorf("who works elsewhere may act as %+v", ms)
	}
	// Even a new token or invitation, made at the shell, lets nobody act.
	_, again, err := d.s.CreateToken(background, partner.Shell(lensa), partner.NewToken{Partner: lensa.ID, Name: "lensa-2", Roles: []access.Role{access.Edge}})
	d.ok(err)
	_, _, err = d.s.ByToken(background, again)
	d.want("a token made meanwhile", err, problem.SignIn)
	_, code = d.member(lensa, "Gita", access.Officer)
	if _, err = d.s.Begin(background, code); err == nil {
		t.Error("an invitation made meanwhile is taken")
	}
	_, err = d.s.AskToDisable(background, d.fresh(citra), lensa.ID, true, taken)
	d.want("deactivated twice", err, problem.Conflict)

	q, err = d.s.AskToDisable(background, d.fresh(citra), lensa.ID, false, "The accounts were cleaned and checked")
	d.ok(err)
	_, _, err = d.s.Confirm(background, d.fresh(bima), q.ID)
	d.ok(err)
	if p, err = d.s.Get(background, bima, lensa.ID); err != nil || p.Disabled || !p.LeftAt.IsZero() {
		t.Errorf("activated again: %+v, %v", p, err)
	}
	if _, err = d.s.Begin(background, code); err != nil {
		t.Errorf("an invitation after it came back: %v", err)
	}
	_, _, err = d.s.ByToken(background, edge)
	d.want("the old token when it is back", err, problem.SignIn)
	_, _, err = d.s.BySession(background, key)
	d.want("the old session when it is back", err, problem.SignIn)
}
