package partner_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// who is the actor of a session, proved for an action if one is given.
func (d *desk) who(key string, do ...access.Action) access.Actor {
	d.t.Helper()
	a, _, err := d.s.BySession(background, key)
	d.ok(err)
	if len(do) > 0 {
		a.StepUp, a.For = d.clock.now(), do[0]
	}
	return a
}

func (d *desk) types() []string {
	d.t.Helper()
	var out []string
	d.ok(d.log.View(background, func(r journal.StoreReader) error {
		es, err := d.log.Entries(r, journal.RowQuery{Limit: 1000})
		for _, e := range es {
			out = append(out, e.Type)
		}
		return err
	}))
	return out
}

func count(list []string, s string) (n int) {
	for _, v := range list {
		if v == s {
			n++
		}
	}
	return n
}

// TestRecoveryCodes: one stands for the authenticator, once, and only beside
// the password; who used one can set up a new authenticator, and is told.
func TestRecoveryCodes(t *testing.T) {
	d := open(t)
	en, err := d.s.Begin(background, d.code)
	d.ok(err)
	in, codes, err := d.s.Enrol(background, d.code, password, password, d.shows(en.Secret, d.clock.now()), partner.Client{})
	d.ok(err)
	if len(codes) != partner.RecoveryCodes || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != len(codes) {
		t.Fatalf("recovery codes: %v", codes)
	}
	with := func(pw, code string) (partner.SignedIn, error) {
		return d.s.SignIn(background, email, pw, code, partner.Client{Device: in.Device})
	}
	_, err = with("not the password", codes[0])
	d.want("a code without the password", err, problem.Invalid)
	back, err := with(password, strings.ToUpper(codes[0]))
	d.ok(err)
	_, err = with(password, codes[0])
	d.want("a code used twice", err, problem.Invalid)
	if n := count(d.types(), "member.signed_in"); n != 1 {
		t.Errorf("%d entries tell of the recovery", n)
	}
	a := d.who(back.Key)
	around, err := d.s.Around(background, a)
	d.ok(err)
	if !around.Alert {
		t.Error("the owner is not told on the page")
	}
	d.ok(d.s.Seen(background, a))
	if around, err = d.s.Around(background, a); err != nil || around.Alert {
		t.Errorf("after it was seen: %v, %v", around.Alert, err)
	}

	// The session of the recovery may change keys, and nothing else.
	d.want("managing members after a recovery", access.Allow(a, access.ManageMembers, d.clock.now()), problem.StepUp)
	fresh, err := d.s.NewRecovery(background, a)
	d.ok(err)
	_, err = with(password, codes[1])
	d.want("an old code after new ones were made", err, problem.Invalid)
	_, err = with(password, fresh[0])
	d.want("a new code", err, "")
	keys, err := d.s.Keys(background, a)
	d.ok(err)
	if keys.Recovery != partner.RecoveryCodes-1 {
		t.Errorf("%d codes are left", keys.Recovery)
	}

	// A new password and authenticator: all other sessions end.
	offer, err := d.s.OfferTOTP(background, a)
	d.ok(err)
	const better = "another sentence, longer"
	_, err = d.s.SetPassword(background, a, back.Key, better, better, "x"+offer.Token, d.shows(offer.Secret, d.clock.now()))
	d.want("a forged offer", err, problem.Invalid)
	_, err = d.s.SetPassword(background, a, back.Key, better, better, offer.Token, "000000")
	d.want("a wrong first code", err, problem.Invalid)
	if _, _, err := d.s.BySession(background, in.Key); err != nil {
		t.Fatalf("the first session ended too early: %v", err)
	}
	_, err = d.s.SetPassword(background, a, back.Key, better, better, offer.Token, d.shows(offer.Secret, d.clock.now()))
	d.ok(err)
	_, _, err = d.s.BySession(background, in.Key)
	d.want("another session after the password was set", err, problem.SignIn)
	_, _, err = d.s.BySession(background, back.Key)
	d.want("the session that set it", err, "")
	d.clock.pass(30 * time.Second)
	_, err = d.s.SignIn(background, email, better, d.shows(en.Secret, d.clock.now()), partner.Client{})
	d.want("the old authenticator", err, problem.Invalid)
	_, err = d.s.SignIn(background, email, better, d.shows(offer.Secret, d.clock.now()), partner.Client{})
	d.want("the new one", err, "")
	d.want("removing the last way in", d.s.RemovePassword(background, d.who(back.Key, access.ChangeKeys)), problem.Conflict)
}

// TestOddSignIn: a browser never seen before is told, but not the first one.
func TestOddSignIn(t *testing.T) {
	d := open(t)
	seed, _ := d.enrol(d.code, password)
	if n := count(d.types(), "member.signed_in"); n != 0 {
		t.Fatalf("the first browser is told %d times", n)
	}
	in, err := d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{Agent: "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"})
	d.ok(err)
	if n := count(d.types(), "member.signed_in"); n != 1 {
		t.Fatalf("a new browser is told %d times", n)
	}
	d.clock.pass(time.Minute)
	_, err = d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{Device: in.Device})
	d.ok(err)
	if n := count(d.types(), "member.signed_in"); n != 1 {
		t.Fatalf("a known browser is told again: %d", n)
	}
	list, err := d.s.Sessions(background, d.who(in.Key), in.Key)
	d.ok(err)
	if len(list) != 3 || list[1].Browser != "Firefox, Linux" || !list[1].Current || list[0].Current {
		t.Fatalf("sessions: %+v", list)
	}
	d.ok(d.s.EndSession(background, d.who(in.Key), list[0].ID, ""))
	d.want("ending it again", d.s.EndSession(background, d.who(in.Key), list[0].ID, ""), problem.NotFound)
	d.ok(d.s.EndSession(background, d.who(in.Key), "", in.Key))
	if list, err = d.s.Sessions(background, d.who(in.Key), in.Key); err != nil || len(list) != 1 {
		t.Fatalf("after ending all others: %+v, %v", list, err)
	}
}

// TestAliveIsNoUse: what a page does by itself does not keep a session open.
func TestAliveIsNoUse(t *testing.T) {
	d := open(t)
	_, key := d.enrol(d.code, password)
	for range 3 {
		d.clock.pass(10 * time.Minute)
		_, _, err := d.s.Alive(background, key)
		if d.clock.now(); err != nil && problem.KindOf(err) != problem.SignIn {
			t.Fatal(err)
		}
	}
	d.clock.pass(time.Minute)
	_, _, err := d.s.Alive(background, key)
	d.want("after half an hour of refreshing alone", err, problem.SignIn)
}

// TestSeveralPartners: one account, a membership at each partner, and acts for
// the one that was chosen.
func TestSeveralPartners(t *testing.T) {
	d := open(t)
	seed, key := d.enrol(d.code, password)
	lensa := d.add("Lensa", access.Platform)
	admin := d.actor(lensa, access.Administrator)
	m, code, err := d.s.AddMember(background, admin, partner.NewMember{Name: "Ayu", Email: email, Roles: []access.Role{access.Reviewer}})
	d.ok(err)
	_, _, err = d.s.AddMember(background, admin, partner.NewMember{Name: "Ayu", Email: email, Roles: []access.Role{access.Reviewer}})
	d.want("the same person twice at one partner", err, problem.Conflict)
	en, err := d.s.Begin(background, code)
	d.ok(err)
	if !en.Joins || en.Secret != "" || en.Passkey != nil {
		t.Fatalf("the invitation offers new keys for an account that is there: %+v", en)
	}
	// Who has only the link gets nowhere.
	_, _, err = d.s.Enrol(background, code, password, password, "000000", partner.Client{})
	d.want("taking the account over by the link", err, problem.Conflict)
	_, budiCode := d.member(d.nusa, "Budi", access.Officer)
	_, budi := d.enrol(budiCode, password)
	_, err = d.s.Join(background, d.who(budi), code)
	d.want("accepting by another person", err, problem.NotFound)
	_, err = d.s.Switch(background, key, m.ID)
	d.want("switching before accepting", err, problem.NotFound)

	joined, err := d.s.Join(background, d.who(key), code)
	d.ok(err)
	if joined.ID != m.ID || !joined.Enrolled || joined.Account() != d.first.ID {
		t.Fatalf("joined %+v", joined)
	}
	next, err := d.s.Switch(background, key, m.ID)
	d.ok(err)
	_, _, err = d.s.BySession(background, key)
	d.want("the key from before the switch", err, problem.SignIn)
	a := d.who(next)
	if a.Partner != "lensa" || a.Member != m.ID || !slices.Equal(a.Roles, []access.Role{access.Reviewer}) {
		t.Fatalf("acts as %+v", a)
	}
	// Lensa's administrator ends what is Lensa's, and nothing of Nusa's.
	d.clock.pass(30 * time.Second)
	atNusa, err := d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{})
	d.ok(err)
	if got := d.who(atNusa.Key).Partner; got != "nusa" {
		t.Fatalf("signed in for %s", got)
	}
	_, err = d.s.Invite(background, d.actor(lensa, access.Administrator), m.ID)
	d.want("a way back in for another partner's account", err, problem.Conflict)
	_, err = d.s.ChangeMember(background, d.actor(lensa, access.Administrator), m.ID, partner.Change{Disable: true})
	d.ok(err)
	_, _, err = d.s.BySession(background, next)
	d.want("acting for Lensa after being disabled there", err, problem.SignIn)
	_, _, err = d.s.BySession(background, atNusa.Key)
	d.want("acting for Nusa", err, "")
}

// TestInvitations: taken back, made anew, and the way back in.
func TestInvitations(t *testing.T) {
	d := open(t)
	admin := d.actor(d.nusa, access.Administrator)
	m, code := d.member(d.nusa, "Budi", access.Officer)
	state := func() string {
		t.Helper()
		list, err := d.s.Roster(background, admin)
		d.ok(err)
		i := slices.IndexFunc(list, func(i partner.MemberInfo) bool { return i.ID == m.ID })
		return list[i].State(d.clock.now())
	}
	if s := state(); s != "invited" {
		t.Errorf("a new member is %s", s)
	}
	again, err := d.s.Invite(background, admin, m.ID)
	d.ok(err)
	_, err = d.s.Begin(background, code)
	d.want("the old link", err, problem.NotFound)
	_, err = d.s.ChangeMember(background, admin, m.ID, partner.Change{Disable: true})
	d.ok(err)
	_, err = d.s.Begin(background, again)
	d.want("a link that was taken back", err, problem.NotFound)
	if s := state(); s != "withdrawn" {
		t.Errorf("after taking it back the member is %s", s)
	}
	m, code = d.member(d.nusa, "Budi", access.Officer) // the address is free again
	_, key := d.enrol(code, password)
	if s := state(); s != "active" {
		t.Errorf("after signing in the member is %s", s)
	}
	admin = d.actor(d.nusa, access.Administrator)
	back, err := d.s.Invite(background, admin, m.ID)
	d.ok(err)
	if _, _, err := d.s.BySession(background, key); err != nil {
		t.Errorf("a way back in that is not used ended a session: %v", err)
	}
	if around, err := d.s.Around(background, d.who(key)); err != nil || !around.Alert {
		t.Errorf("the member is not told of the way back in: %v", err)
	}
	_, newKey := d.enrol(back, "a new password for Budi")
	_, _, err = d.s.BySession(background, key)
	d.want("the old session after the way back in", err, problem.SignIn)
	_, _, err = d.s.BySession(background, newKey)
	d.want("the new one", err, "")
	admin = d.actor(d.nusa, access.Administrator)
	admin.Member = m.ID
	_, err = d.s.Invite(background, admin, m.ID)
	d.want("a way back in for oneself", err, problem.Conflict)
}

// TestDeactivation: what a disabled member, or one without the role, could act
// with is refused at once.
func TestDeactivation(t *testing.T) {
	d := open(t)
	_, code := d.member(d.nusa, "Budi", access.Administrator, access.Officer, access.Approver)
	_, budiKey := d.enrol(code, password)
	_, err := d.s.ChangeMember(background, d.shell, d.who(budiKey).Member, partner.Change{Disable: true})
	d.want("the only administrator who took up the invitation", err, problem.Conflict)
	d.enrol(d.code, password)
	key := budiKey
	budi := d.who(key, access.OwnTokens)
	all := []access.TokenScope{access.ScopeRead, access.ScopeDecide}
	_, own, err := d.s.CreateToken(background, budi, partner.NewToken{Own: true, Roles: []access.Role{access.Officer, access.Approver}, Scopes: all})
	d.ok(err)
	_, _, err = d.s.CreateToken(background, budi, partner.NewToken{Own: true, Roles: []access.Role{access.Observer}})
	d.want("a token of a role that one does not have", err, problem.Invalid)
	manage := d.who(key, access.ManageTokens)
	_, made, err := d.s.CreateToken(background, manage, partner.NewToken{Roles: []access.Role{access.Officer}, Scopes: all})
	d.ok(err)
	_, edge, err := d.s.CreateToken(background, manage, partner.NewToken{Roles: []access.Role{access.Edge}})
	d.ok(err)
	a, _, err := d.s.ByToken(background, own)
	d.ok(err)
	if a.Member != budi.Member || !a.Has(access.Approver) {
		t.Fatalf("a personal token acts as %+v", a)
	}
	_, err = d.s.ChangeMember(background, d.shell, budi.Member, partner.Change{Roles: []access.Role{access.Administrator, access.Officer}})
	d.ok(err)
	if a, _, err = d.s.ByToken(background, own); err != nil || a.Has(access.Approver) || !a.Has(access.Officer) {
		t.Fatalf("after the role was taken away: %+v, %v", a, err)
	}
	_, err = d.s.ChangeMember(background, d.shell, budi.Member, partner.Change{Disable: true})
	d.ok(err)
	for name, text := range map[string]string{"personal": own, "made for the partner": made} {
		_, _, err := d.s.ByToken(background, text)
		d.want("a token "+name, err, problem.SignIn)
	}
	_, _, err = d.s.ByToken(background, edge)
	d.want("an edge's token goes on", err, "")
	_, err = d.s.ChangeMember(background, d.shell, budi.Member, partner.Change{Disable: true, Edges: true})
	d.ok(err)
	_, _, err = d.s.ByToken(background, edge)
	d.want("unless it is said", err, problem.SignIn)
	_, _, err = d.s.Alive(background, key)
	d.want("the session", err, problem.SignIn)
}

// TestBreakGlass: with a reason, for an hour, journaled first, told to those
// who watch; never without, longer, by a token, or where nothing can be
// written.
func TestBreakGlass(t *testing.T) {
	d := open(t)
	var told []partner.Notice
	fail := error(nil)
	d.s = partner.New(partner.Options{Log: d.log, Now: d.clock.now, Seal: d.set, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}, Tell: func(_ *journal.Tx, n partner.Notice) error {
		told = append(told, n)
		return fail
	}})
	_, key := d.enrol(d.code, password)
	lensa := d.add("Lensa", access.Platform)
	watcher, wcode := d.member(lensa, "Citra", access.Observer)
	d.enrol(wcode, password)
	officer, ocode := d.member(lensa, "Dewi", access.Officer)
	d.enrol(ocode, password)
	told = nil
	object := journal.Ref{Kind: "incident", ID: " idn-2026-0007 "}
	const why = "Lensa's desk does not answer and a life is at stake"
	try := func(a access.Actor, why string) error {
		_, err := d.s.BreakGlass(background, a, object, why)
		return err
	}
	before := d.size()
	d.want("without a proof of presence", try(d.who(key), why), problem.StepUp)
	d.want("with a proof for something else", try(d.who(key, access.ManageMembers), why), problem.StepUp)
	d.want("without a reason", try(d.who(key, access.BreakGlass), "  because  "), problem.Invalid)
	token := d.who(key, access.BreakGlass)
	token.Token, token.Scopes = "t1", access.TokenScopes()
	d.want("by a token", try(token, why), problem.Denied)
	fail = problem.New(problem.Unavailable, "the disk is full", "free some space")
	d.want("where it cannot be told", try(d.who(key, access.BreakGlass), why), problem.Unavailable)
	if d.size() != before || len(d.who(key).Glass) != 0 {
		t.Fatalf("%d entries and %v were left of what was refused", d.size()-before, d.who(key).Glass)
	}
	fail, told = nil, nil

	g, err := d.s.BreakGlass(background, d.who(key, access.BreakGlass), object, why)
	d.ok(err)
	a := d.who(key)
	hidden := access.Audience{TLP: access.Red, Origin: "lensa"}
	if g.Object.ID != "IDN-2026-0007" || !hidden.Reads(a, "incident", "IDN-2026-0007", d.clock.now()) || hidden.Sees(a) {
		t.Fatalf("opened %+v for %+v", g, a.Glass)
	}
	if hidden.Reads(a, "incident", "IDN-2026-0008", d.clock.now()) {
		t.Error("another incident opened")
	}
	if len(told) != 1 || !slices.Equal(told[0].Members, []string{watcher.ID}) || told[0].Kind != "glass_broken" {
		t.Errorf("told %+v; %s is an officer of a partner that owns nothing here", told, officer.ID)
	}
	var e journal.Entry
	d.ok(d.log.View(background, func(r journal.StoreReader) (err error) {
		n, err := r.Size()
		if err == nil {
			e, err = d.log.Entry(r, n-1)
		}
		return err
	}))
	if e.Type != "glass.broken" || e.Why != why || e.Member != a.Member || !e.Audience.SeenBy("lensa", access.Platform) {
		t.Errorf("the journal says %+v", e)
	}
	d.clock.pass(29 * time.Minute)
	d.who(key)
	d.clock.pass(29 * time.Minute)
	if len(d.who(key).Glass) != 1 {
		t.Error("closed before its hour")
	}
	d.clock.pass(2 * time.Minute)
	if got := d.who(key).Glass; len(got) != 0 {
		t.Errorf("after an hour still open: %v", got)
	}
	report, err := d.log.Verify(background, journal.VerifyOptions{})
	if err != nil || report.Found != 0 {
		t.Errorf("verifying the journal: %+v, %v", report.Faults, err)
	}
}

// TestBreakGlassNeedsTheJournal: a store that cannot be written to opens
// nothing.
func TestBreakGlassNeedsTheJournal(t *testing.T) {
	d := open(t)
	_, key := d.enrol(d.code, password)
	a := d.who(key, access.BreakGlass)
	ro, err := sqlite.Open(background, d.dir+"/siaga.db", sqlite.Options{ReadOnly: true})
	d.ok(err)
	defer func() { d.ok(ro.Close()) }()
	log, err := journal.NewLog(journal.Options{Store: ro, Folds: partner.Folds(), Origin: d.set.Origin, Signer: d.set.Signer, VerifierKeys: []string{d.set.VKey}, Now: d.clock.now})
	d.ok(err)
	s := partner.New(partner.Options{Log: log, Now: d.clock.now, Seal: d.set})
	if _, err := s.BreakGlass(background, a, journal.Ref{Kind: "incident", ID: "IDN-2026-0007"}, "a reason that is long enough"); err == nil {
		t.Fatal("opened without the journal")
	}
	if got := d.who(key).Glass; len(got) != 0 {
		t.Errorf("something is open: %v", got)
	}
}

// TestOutside: an identity signs in whom it was linked to, or takes up an
// invitation for its verified address, and makes no account.
func TestOutside(t *testing.T) {
	d := open(t)
	_, key := d.enrol(d.code, password)
	m, _ := d.member(d.nusa, "Budi", access.Officer)
	id := func(sub, mail string, verified bool) partner.Identity {
		return partner.Identity{Issuer: "https://id.example", Subject: sub, Email: mail, Verified: verified}
	}
	in := func(i partner.Identity) (partner.SignedIn, error) {
		return d.s.SignInOIDC(background, i, partner.Client{})
	}
	words := ""
	before := d.size()
	for name, i := range map[string]partner.Identity{
		"nobody invited it":                   id("1", "zul@nusa.example", true),
		"an address that is not verified":     id("2", "budi@nusa.example", false),
		"the address of an account in use":    id("3", email, true),
		"no address":                          id("4", "", true),
		"the address of an unknown, verified": id("5", "ayu@nusa.example.evil.example", true),
	} {
		_, err := in(i)
		d.want(name, err, problem.Denied)
		if words == "" {
			words = err.Error()
		}
		if err.Error() != words {
			t.Errorf("%s: %q tells it from %q", name, err, words)
		}
	}
	if d.size() != before {
		t.Errorf("%d entries were written", d.size()-before)
	}
	got, err := in(id("budi", "Budi@NUSA.example", true))
	d.ok(err)
	a := d.who(got.Key)
	if a.Member != m.ID || !slices.Equal(a.Roles, []access.Role{access.Officer}) {
		t.Fatalf("signed in as %+v", a)
	}
	// From now on the link counts, not the address.
	again, err := in(id("budi", "", false))
	d.ok(err)
	if d.who(again.Key).Member != m.ID {
		t.Error("the link leads to someone else")
	}
	d.clock.pass(access.StepUpFresh)
	d.want("linking without a proof of presence", d.s.LinkOIDC(background, d.who(key), id("ayu", email, true)), problem.StepUp)
	d.ok(d.s.LinkOIDC(background, d.who(key, access.ChangeKeys), id("ayu", "", false)))
	d.want("an identity that is linked already", d.s.LinkOIDC(background, d.who(key, access.ChangeKeys), id("budi", "", false)), problem.Conflict)
	ayu, err := in(id("ayu", "", false))
	d.ok(err)
	if d.who(ayu.Key).Member != d.first.ID {
		t.Error("the link leads to someone else")
	}
	keys, err := d.s.Keys(background, d.who(got.Key))
	d.ok(err)
	d.want("removing the only way in", d.s.Unlink(background, d.who(got.Key, access.ChangeKeys), keys.Links[0].ID), problem.Conflict)
	_, err = d.s.ChangeMember(background, d.shell, m.ID, partner.Change{Disable: true})
	d.ok(err)
	_, err = in(id("budi", "budi@nusa.example", true))
	d.want("a member who was disabled", err, problem.Denied)

	// An invitation whose time is over is none.
	d.member(d.nusa, "Citra", access.Officer)
	d.clock.pass(73 * time.Hour)
	_, err = in(id("citra", "citra@nusa.example", true))
	d.want("an invitation that is over", err, problem.Denied)
}
