package incident_test

import (
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// member is a real member, as an actor who has proved that they are it.
func (w *together) member(t *testing.T, by access.Actor, name string) (access.Actor, partner.Member) {
	t.Helper()
	shell := partner.Shell(partner.Partner{ID: by.Partner, Kind: by.Kind, Country: "ID"})
	m, _, err := w.Partners.AddMember(t.Context(), shell, partner.NewMember{Partner: by.Partner, Name: name, Email: name + "@" + by.Partner + ".example", Roles: []access.Role{access.Officer}})
	ok(t, err)
	by.Member, by.Name = m.ID, name
	return by, m
}

// public is what everyone may read of the incident.
func (w *together) public(t *testing.T) []incident.Update {
	t.Helper()
	inc, err := w.Incidents.Get(t.Context(), w.nusa, w.id)
	ok(t, err)
	return inc.VisibleUpdates(access.Actor{})
}

func statement(reason string) incident.NewUpdate {
	return incident.NewUpdate{Audience: "public", Texts: map[string]string{"en": "Do not share it."}, Reason: reason}
}

// Nothing becomes public by one person, however it is addressed; a colleague or
// another partner's officer confirms it, and it speaks in the first one's name.
func TestPublicTakesTwo(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	ctx := t.Context()
	ayu, _ := w.member(t, w.nusa, "ayu")
	budi, _ := w.member(t, w.nusa, "budi")
	sari, _ := w.member(t, w.lensa, "sari")

	_, err := w.Incidents.PostUpdate(ctx, ayu, w.id, statement(" "))
	want(t, err, problem.Invalid)
	machine := ayu
	machine.Member = ""
	_, err = w.Incidents.PostUpdate(ctx, machine, w.id, statement("People ask"))
	want(t, err, problem.Denied)
	inc, err := w.Incidents.PostUpdate(ctx, ayu, w.id, statement("People ask"))
	ok(t, err)
	if len(inc.Updates) != 0 || len(w.public(t)) != 0 || inc.Statements[0].State(w.now) != partner.RequestOpen || inc.Statements[0].Why != "People ask" {
		t.Fatalf("one person published: %+v %+v", inc.Updates, inc.Statements)
	}
	_, err = w.Incidents.PostUpdate(ctx, budi, w.id, statement("another one"))
	want(t, err, problem.Conflict)
	for who, by := range map[string]access.Actor{"its writer": ayu, "a machine": machine} {
		if _, err := w.Incidents.ConfirmStatement(ctx, by, w.id, 1); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s confirmed it: %v", who, err)
		}
	}
	w.now = w.now.Add(5 * time.Minute)
	_, err = w.Incidents.ConfirmStatement(ctx, w.warga, w.id, 1) // does not see the incident
	want(t, err, problem.NotFound)
	_, err = w.Incidents.RefuseStatement(ctx, sari, w.id, 1, "") // it is not said in its name
	want(t, err, problem.Denied)
	inc, err = w.Incidents.ConfirmStatement(ctx, sari, w.id, 1)
	ok(t, err)
	got := w.public(t)
	if len(got) != 1 || got[0].By.Partner != "nusa" || got[0].By.Member != ayu.Member || got[0].Second.Member != sari.Member || got[0].Texts["en"] != "Do not share it." {
		t.Fatalf("public: %+v", got)
	}
	if inc.Statements[0].State(w.now) != partner.RequestConfirmed || inc.Statements[0].Update != 1 {
		t.Fatalf("statement %+v", inc.Statements[0])
	}
	if a := inc.Activations["sea-crp"]; !a.LastUpdate.Equal(w.now) {
		t.Errorf("the lead's promise of an update is still open: the last one is of %s", a.LastUpdate)
	}
	_, err = w.Incidents.ConfirmStatement(ctx, budi, w.id, 1)
	want(t, err, problem.Conflict)

	// A correction is public as well; and a label that everyone reads is public
	// whatever the audience is called.
	fix := statement("the text was wrong")
	fix.Audience, fix.TLP, fix.Corrects = "observers", "clear", 1
	_, err = w.Incidents.PostUpdate(ctx, ayu, w.id, fix)
	ok(t, err)
	if n := len(w.public(t)); n != 1 {
		t.Fatalf("a correction by one person is public: %d", n)
	}
	inc, err = w.Incidents.ConfirmStatement(ctx, budi, w.id, 2)
	ok(t, err)
	if inc.Corrected()[1] != 2 {
		t.Fatalf("corrected: %v", inc.Corrected())
	}
}

// Silence is refusal: after half an hour the journal says that nobody confirmed
// it, even if nobody looks. A colleague refuses it, its writer takes it back,
// and who is no officer any more has asked for nothing.
func TestPublicWithoutASecond(t *testing.T) {
	w := newTogether(t)
	ctx := t.Context()
	ayu, m := w.member(t, w.nusa, "ayu")
	budi, _ := w.member(t, w.nusa, "budi")
	state := func(n int) string {
		inc, err := w.Incidents.Get(ctx, w.nusa, w.id)
		ok(t, err)
		return inc.Statements[n-1].State(w.now)
	}
	_, err := w.Incidents.PostUpdate(ctx, ayu, w.id, statement("first"))
	ok(t, err)
	w.now = w.now.Add(partner.RequestLife - time.Second)
	ok(t, w.Incidents.Clock(ctx, incident.ClockArgs{Incident: w.id}))
	if s := state(1); s != partner.RequestOpen {
		t.Fatalf("a second before the end it is %s", s)
	}
	w.now = w.now.Add(time.Second)
	_, err = w.Incidents.ConfirmStatement(ctx, budi, w.id, 1)
	want(t, err, problem.Conflict)
	for range 2 { // once, however often the clock is looked at
		ok(t, w.Incidents.Tick(ctx))
	}
	entries, err := w.Incidents.Timeline(ctx, w.nusa, w.id, 0, 50)
	ok(t, err)
	lapsed := 0
	for _, e := range entries {
		if e.Type == "statement.lapsed" {
			lapsed++
		}
	}
	if lapsed != 1 || state(1) != partner.RequestLapsed {
		t.Fatalf("%d entries say that it lapsed, state %s", lapsed, state(1))
	}

	_, err = w.Incidents.PostUpdate(ctx, ayu, w.id, statement("second"))
	ok(t, err)
	_, err = w.Incidents.RefuseStatement(ctx, budi, w.id, 2, "not yet")
	ok(t, err)
	if s := state(2); s != partner.RequestRefused {
		t.Fatalf("refused: %s", s)
	}
	_, err = w.Incidents.PostUpdate(ctx, ayu, w.id, statement("third"))
	ok(t, err)
	_, err = w.Partners.ChangeMember(ctx, partner.Shell(partner.Partner{ID: "nusa", Kind: access.Government, Country: "ID"}), m.ID, partner.Change{Roles: []access.Role{access.Observer}})
	ok(t, err)
	_, err = w.Incidents.ConfirmStatement(ctx, budi, w.id, 3)
	want(t, err, problem.Conflict)
	_, err = w.Incidents.RefuseStatement(ctx, ayu, w.id, 3, strings.Repeat("x", 5000))
	want(t, err, problem.Invalid)
	if n := len(w.public(t)); n != 0 {
		t.Fatalf("%d updates are public", n)
	}
}

// What everyone could read is said and confirmed by those who decide under the
// protocol, by whatever name it is addressed; others who see the incident speak
// to partners. Who notified an incident with named readers reads the others.
func TestPublicByThoseWhoDecide(t *testing.T) {
	w := newTogether(t)
	ctx := t.Context()
	no := false
	inc, err := w.Incidents.Notify(ctx, w.lensa, incident.Notice{Description: "Named readers", Country: "ID", Exercise: &no, TLP: "red", Partners: []string{"nusa", "warga"}})
	ok(t, err)
	w.id = inc.ID
	ayu, _ := w.member(t, w.nusa, "ayu")
	dewi, _ := w.member(t, w.warga, "dewi")
	clear := statement("People ask")
	clear.Audience, clear.TLP = "observers", "clear"
	for _, n := range []incident.NewUpdate{statement("People ask"), clear} {
		_, err = w.Incidents.PostUpdate(ctx, dewi, w.id, n)
		want(t, err, problem.Invalid)
	}
	_, err = w.Incidents.PostUpdate(ctx, dewi, w.id, incident.NewUpdate{Texts: map[string]string{"en": "We saw it"}})
	ok(t, err)
	inc, err = w.Incidents.PostUpdate(ctx, ayu, w.id, statement("People ask"))
	ok(t, err)
	if st := inc.Statements[0]; st.MayConfirm(dewi) || !st.MayConfirm(w.lensa) {
		t.Errorf("it may be confirmed by %v", st.Kinds)
	}
	_, err = w.Incidents.ConfirmStatement(ctx, dewi, w.id, 1)
	want(t, err, problem.Denied)
	if n := len(w.public(t)); n != 0 {
		t.Fatalf("%d updates are public", n)
	}
	inc, err = w.Incidents.Get(ctx, w.lensa, w.id)
	ok(t, err)
	if len(inc.Updates) != 1 || inc.Updates[0].By.Partner != "warga" {
		t.Errorf("who notified reads %+v", inc.Updates)
	}
}
