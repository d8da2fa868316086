package partner_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

var background = context.Background()

// clock is a test's own time.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// desk is a directory with one partner, nusa, and its first administrator, who
// has not signed in yet.
type desk struct {
	t      *testing.T
	dir    string
	clock  *clock
	log    *journal.Log
	set    *keys.Set
	s      *partner.Service
	nusa   partner.Partner
	first  partner.Member
	code   string
	shell  access.Actor
	admins map[string][]access.Actor               // made by admin
	tell   func(*journal.Tx, partner.Notice) error // nil: nobody is told
}

func open(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), clock: &clock{at: time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)}}
	db, err := sqlite.Create(background, filepath.Join(d.dir, "siaga.db"), sqlite.Options{})
	d.ok(err)
	t.Cleanup(func() { d.ok(db.Close()) })
	d.set, err = keys.Make(filepath.Join(d.dir, "keys"), "test.example/partner")
	d.ok(err)
	d.log, err = journal.NewLog(journal.Options{
		Store: db, Folds: partner.Folds(), Origin: d.set.Origin, Signer: d.set.Signer, VerifierKeys: []string{d.set.VKey}, Now: d.clock.now,
	})
	d.ok(err)
	d.s = partner.New(partner.Options{Log: d.log, Now: d.clock.now, Seal: d.set, NodeKey: strings.Repeat("ab", 32), Cost: partner.Cost{MemoryKiB: 64, Passes: 1}, Tell: func(tx *journal.Tx, n partner.Notice) error {
		if d.tell == nil {
			return nil
		}
		return d.tell(tx, n)
	}})
	d.nusa, d.first, d.code, err = d.s.First(background,
		partner.NewPartner{Name: "Nusa", Kind: access.Government, Country: "ID"},
		partner.NewMember{Name: "Ayu", Email: "Ayu@Nusa.example", Roles: []access.Role{access.Administrator, access.Officer}})
	d.ok(err)
	d.shell = partner.Shell(d.nusa)
	return d
}

func (d *desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// want checks a problem's kind; "" is none.
func (d *desk) want(what string, err error, kind problem.Kind) {
	d.t.Helper()
	if got := problem.KindOf(err); got != kind {
		d.t.Errorf("%s: %q (%v), want %q", what, got, err, kind)
	}
	if p, ok := err.(*problem.Error); ok && (p.Detail == "" || p.Fix == "") {
		d.t.Errorf("%s: %+v says not what is wrong or what to do", what, p)
	}
}

func (d *desk) size() int64 {
	d.t.Helper()
	var n int64
	d.ok(d.log.View(background, func(r journal.StoreReader) (err error) {
		n, err = r.Size()
		return err
	}))
	return n
}

func (d *desk) add(name string, kind access.PartnerKind) partner.Partner {
	d.t.Helper()
	p, err := d.s.Add(background, d.shell, partner.NewPartner{Name: name, Kind: kind, Country: "ID"})
	d.ok(err)
	return p
}

func (d *desk) member(p partner.Partner, name string, roles ...access.Role) (partner.Member, string) {
	d.t.Helper()
	m, code, err := d.s.AddMember(background, partner.Shell(p), partner.NewMember{Partner: p.ID, Name: name, Email: strings.ToLower(name) + "@" + p.ID + ".example", Roles: roles})
	d.ok(err)
	return m, code
}

// actor is a person who is signed in and has just proved their presence.
func (d *desk) actor(p partner.Partner, roles ...access.Role) access.Actor {
	return access.Actor{Partner: p.ID, Kind: p.Kind, Country: p.Country, Member: "m99", Roles: roles, StepUp: d.clock.now(), For: access.AnyAction}
}

func fieldsOf(err error) []string {
	p, _ := err.(*problem.Error)
	if p == nil {
		return nil
	}
	var names []string
	for _, f := range p.Fields {
		names = append(names, f.Name)
	}
	return names
}

func TestNewPartnerIsChecked(t *testing.T) {
	d := open(t)
	good := partner.NewPartner{Name: "Lensa", Kind: access.Platform, Country: "id", Zone: "Asia/Jakarta", Languages: []string{"id"}}
	for _, c := range []struct {
		name   string
		change func(*partner.NewPartner)
		wrong  []string
	}{
		{"no name", func(n *partner.NewPartner) { n.Name = " \u202e\n" }, []string{"name", "id"}},
		{"a name too long", func(n *partner.NewPartner) { n.Name = strings.Repeat("x", 121) }, []string{"name"}},
		{"a name without letters", func(n *partner.NewPartner) { n.Name = "???" }, []string{"id"}},
		{"an ID with a slash", func(n *partner.NewPartner) { n.ID = "a/b" }, []string{"id"}},
		{"a kind that there is not", func(n *partner.NewPartner) { n.Kind = "bank" }, []string{"kind"}},
		{"a country by its name", func(n *partner.NewPartner) { n.Country = "Indonesia" }, []string{"country"}},
		{"a country that there is not", func(n *partner.NewPartner) { n.Country = "QX" }, []string{"country"}},
		{"a zone that there is not", func(n *partner.NewPartner) { n.Zone = "Mars/Olympus" }, []string{"zone"}},
		{"a language that there is not", func(n *partner.NewPartner) { n.Languages = []string{"!"} }, []string{"languages"}},
		{"everything wrong", func(n *partner.NewPartner) { *n = partner.NewPartner{Zone: "x", Languages: []string{"!"}} }, []string{"name", "id", "kind", "country", "zone", "languages"}},
	} {
		n := good
		c.change(&n)
		before := d.size()
		_, err := d.s.Add(background, d.shell, n)
		d.want(c.name, err, problem.Invalid)
		if diff := cmp.Diff(c.wrong, fieldsOf(err)); diff != "" {
			t.Errorf("%s: fields: %s", c.name, diff)
		}
		if d.size() != before {
			t.Errorf("%s: something was written", c.name)
		}
	}
	p, err := d.s.Add(background, d.shell, good)
	d.ok(err)
	if p.ID != "lensa" || p.Country != "ID" {
		t.Errorf("made %+v", p)
	}
	_, err = d.s.Add(background, d.shell, good)
	d.want("the same again", err, problem.Conflict)
}

// TestDenied asks every method as those who may not: nobody, each role alone,
// and the right role of another partner. Nothing is written.
func TestDenied(t *testing.T) {
	d := open(t)
	lensa := d.add("Lensa", access.Platform)
	m, _ := d.member(d.nusa, "Budi", access.Officer)
	tok, _, err := d.s.CreateToken(background, d.shell, partner.NewToken{Roles: []access.Role{access.Officer}})
	d.ok(err)
	all := []struct {
		name  string
		roles []access.Role
		do    func(a access.Actor) error
	}{
		{"Add", []access.Role{access.Administrator, access.Operator}, func(a access.Actor) error {
			_, err := d.s.Add(background, a, partner.NewPartner{Name: "New", Kind: access.Research, Country: "ID"})
			return err
		}},
		{"AddMember", []access.Role{access.Administrator}, func(a access.Actor) error {
			_, _, err := d.s.AddMember(background, a, partner.NewMember{Name: "X", Email: "x@x.example", Roles: []access.Role{access.Officer}})
			return err
		}},
		{"ChangeMember", []access.Role{access.Administrator}, func(a access.Actor) error {
			_, err := d.s.ChangeMember(background, a, m.ID, partner.Change{Disable: true})
			return err
		}},
		{"CreateToken", []access.Role{access.Administrator}, func(a access.Actor) error {
			_, _, err := d.s.CreateToken(background, a, partner.NewToken{Roles: []access.Role{access.Officer}})
			return err
		}},
		{"Tokens", []access.Role{access.Administrator}, func(a access.Actor) error { _, err := d.s.Tokens(background, a); return err }},
		{"RevokeToken", []access.Role{access.Administrator}, func(a access.Actor) error {
			_, err := d.s.RevokeToken(background, a, tok.ID)
			return err
		}},
		{"List", []access.Role{access.Administrator, access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer, access.Operator}, func(a access.Actor) error {
			_, err := d.s.List(background, a)
			return err
		}},
	}
	before := d.size()
	for _, c := range all {
		d.want(c.name+" as nobody", c.do(access.Actor{}), problem.SignIn)
		for _, r := range access.Roles() {
			if !slices.Contains(c.roles, r) {
				d.want(fmt.Sprintf("%s as %s", c.name, r), c.do(d.actor(d.nusa, r)), problem.Denied)
			}
		}
		if c.name != "List" && c.name != "Tokens" {
			stale := d.actor(d.nusa, c.roles...)
			stale.StepUp = stale.StepUp.Add(-access.StepUpFresh - time.Second)
			d.want(c.name+" without proof of presence", c.do(stale), problem.StepUp)
		}
	}
	other := d.actor(lensa, access.Administrator)
	_, _, err = d.s.AddMember(background, other, partner.NewMember{Partner: "nusa", Name: "X", Email: "x@x.example", Roles: []access.Role{access.Officer}})
	d.want("AddMember to another partner", err, problem.Denied)
	_, _, err = d.s.CreateToken(background, other, partner.NewToken{Partner: "nusa", Roles: []access.Role{access.Officer}})
	d.want("CreateToken for another partner", err, problem.Denied)
	_, err = d.s.ChangeMember(background, other, m.ID, partner.Change{Disable: true})
	d.want("ChangeMember of another partner", err, problem.NotFound)
	_, err = d.s.RevokeToken(background, other, tok.ID)
	d.want("RevokeToken of another partner", err, problem.NotFound)
	if d.size() != before {
		t.Errorf("%d entries were written", d.size()-before)
	}
	ms, err := d.s.Members(background, other)
	d.ok(err)
	if len(ms) != 0 {
		t.Errorf("another partner sees members: %v", ms)
	}
}

func TestMembers(t *testing.T) {
	d := open(t)
	admin := d.actor(d.nusa, access.Administrator)
	_, _, err := d.s.AddMember(background, admin, partner.NewMember{Name: "", Email: "not an address", Roles: []access.Role{access.Edge}, Language: "!", Zone: "x"})
	d.want("all wrong", err, problem.Invalid)
	if diff := cmp.Diff([]string{"name", "email", "roles", "language", "zone"}, fieldsOf(err)); diff != "" {
		t.Error(diff)
	}
	_, _, err = d.s.AddMember(background, admin, partner.NewMember{Name: "Other", Email: "AYU@nusa.EXAMPLE", Roles: []access.Role{access.Officer}})
	d.want("an address that is taken", err, problem.Conflict)

	_, err = d.s.ChangeMember(background, admin, d.first.ID, partner.Change{Roles: []access.Role{access.Officer}})
	d.want("the last administrator's role", err, problem.Conflict)
	_, err = d.s.ChangeMember(background, admin, d.first.ID, partner.Change{Disable: true})
	d.want("disabling the last administrator", err, problem.Conflict)
	_, err = d.s.ChangeMember(background, admin, d.first.ID, partner.Change{Roles: []access.Role{"king"}})
	d.want("a role that there is not", err, problem.Invalid)
	second, _ := d.member(d.nusa, "Budi", access.Administrator)
	m, err := d.s.ChangeMember(background, admin, d.first.ID, partner.Change{Disable: true})
	d.ok(err)
	if !m.Disabled {
		t.Error("was not disabled")
	}
	_, err = d.s.ChangeMember(background, admin, second.ID, partner.Change{Disable: true})
	d.want("a disabled administrator does not count", err, problem.Conflict)
	m, err = d.s.ChangeMember(background, d.shell, d.first.ID, partner.Change{Enable: true})
	d.ok(err)
	if m.Disabled {
		t.Error("was not enabled")
	}
}

func TestTokens(t *testing.T) {
	d := open(t)
	admin := d.actor(d.nusa, access.Administrator)
	for _, c := range []struct {
		name  string
		n     partner.NewToken
		wrong []string
	}{
		{"no role", partner.NewToken{}, []string{"roles"}},
		{"a role that there is not", partner.NewToken{Roles: []access.Role{"king"}}, []string{"roles"}},
		{"an edge with more", partner.NewToken{Roles: []access.Role{access.Edge, access.Officer}}, []string{"roles"}},
		{"a scope that there is not", partner.NewToken{Roles: []access.Role{access.Officer}, Scopes: []access.TokenScope{"all"}}, []string{"scopes"}},
		{"a life too long", partner.NewToken{Roles: []access.Role{access.Officer}, Life: partner.MaxTokenLife + 1}, []string{"life"}},
		{"a life in the past", partner.NewToken{Roles: []access.Role{access.Officer}, Life: -1}, []string{"life"}},
		{"a name too long", partner.NewToken{Roles: []access.Role{access.Officer}, Name: strings.Repeat("x", 61)}, []string{"name"}},
	} {
		_, _, err := d.s.CreateToken(background, admin, c.n)
		d.want(c.name, err, problem.Invalid)
		if diff := cmp.Diff(c.wrong, fieldsOf(err)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}

	tok, text, err := d.s.CreateToken(background, admin, partner.NewToken{Roles: []access.Role{access.Officer}, Scopes: []access.TokenScope{access.ScopeRead}, Life: time.Hour})
	d.ok(err)
	a, got, err := d.s.ByToken(background, text)
	d.ok(err)
	want := access.Actor{Partner: "nusa", Kind: access.Government, Country: "ID", Name: tok.Name, Roles: tok.Roles, Scopes: tok.Scopes, Token: tok.ID}
	if diff := cmp.Diff(want, a); diff != "" || got.ID != tok.ID {
		t.Error(diff)
	}
	for name, bad := range map[string]string{
		"nothing": "", "another": "siaga_" + strings.Repeat("0", 32), "without its prefix": strings.TrimPrefix(text, "siaga_"),
		"one letter more": text + "0", "one letter less": text[:len(text)-1], "very long": "siaga_" + strings.Repeat("0", 1000),
		"upper case": strings.ToUpper(text), "its ID": "siaga_" + tok.ID,
	} {
		_, _, err := d.s.ByToken(background, bad)
		d.want(name, err, problem.SignIn)
	}
	d.clock.pass(time.Hour - time.Millisecond)
	_, _, err = d.s.ByToken(background, text)
	d.want("just before its end", err, "")
	d.clock.pass(time.Millisecond)
	_, _, err = d.s.ByToken(background, text)
	d.want("at its end", err, problem.SignIn)

	admin = d.actor(d.nusa, access.Administrator)
	tok, text, err = d.s.CreateToken(background, admin, partner.NewToken{Roles: []access.Role{access.Edge}})
	d.ok(err)
	if !strings.HasPrefix(text, "siaga_edge_") || !strings.HasSuffix(text, "_"+strings.Repeat("ab", 32)) || !cmp.Equal(tok.Scopes, []access.TokenScope{access.ScopeFeed}) {
		t.Errorf("an edge's token is %s, with %v", text, tok.Scopes)
	}
	_, _, err = d.s.ByToken(background, text)
	d.want("an edge's token", err, "")
	_, err = d.s.RevokeToken(background, admin, tok.ID)
	d.ok(err)
	_, _, err = d.s.ByToken(background, text)
	d.want("revoked", err, problem.SignIn)
	_, err = d.s.RevokeToken(background, admin, tok.ID)
	d.want("revoked twice", err, problem.Conflict)
	_, err = d.s.RevokeToken(background, admin, "t99")
	d.want("one that there is not", err, problem.NotFound)
}

// TestTokenMakesNoStrongerToken: a token that leaked must not make itself one
// that decides. Decisions ask a person's presence, also for making a token.
func TestTokenMakesNoStrongerToken(t *testing.T) {
	d := open(t)
	admin := d.actor(d.nusa, access.Administrator)
	_, text, err := d.s.CreateToken(background, admin, partner.NewToken{Roles: []access.Role{access.Administrator}, Scopes: []access.TokenScope{access.ScopeAdmin, access.ScopeRead}})
	d.ok(err)
	a, _, err := d.s.ByToken(background, text)
	d.ok(err)
	for _, c := range []struct {
		name   string
		scopes []access.TokenScope
		want   problem.Kind
	}{
		{"what it has itself", []access.TokenScope{access.ScopeRead}, ""},
		{"decide", []access.TokenScope{access.ScopeDecide}, problem.Denied},
		{"propose, which it has not", []access.TokenScope{access.ScopePropose}, problem.Denied},
		{"all, by leaving it open", nil, problem.Denied},
	} {
		_, _, err := d.s.CreateToken(background, a, partner.NewToken{Roles: []access.Role{access.Approver}, Scopes: c.scopes})
		d.want(c.name, err, c.want)
	}
	_, _, err = d.s.CreateToken(background, a, partner.NewToken{Roles: []access.Role{access.Edge}})
	d.want("an edge's", err, "")
}

// TestSecretsAreNotStored looks for every secret in all bytes of the store.
func TestSecretsAreNotStored(t *testing.T) {
	d := open(t)
	const password = "correct horse battery"
	seed, session := d.enrol(d.code, password)
	_, text, err := d.s.CreateToken(background, d.shell, partner.NewToken{Roles: []access.Role{access.Officer}})
	d.ok(err)
	budi, code := d.member(d.nusa, "Budi", access.Officer)
	// With a key, the answer of a write is kept, and a secret in it must not be.
	keyed := func(key string) context.Context { return journal.Once(background, key, "request") }
	dewi := partner.NewMember{Partner: d.nusa.ID, Name: "Dewi", Email: "dewi@nusa.example", Roles: []access.Role{access.Officer}}
	_, keyedText, err := d.s.CreateToken(keyed("k1"), d.shell, partner.NewToken{Roles: []access.Role{access.Officer}})
	d.ok(err)
	_, keyedCode, err := d.s.AddMember(keyed("k2"), d.shell, dewi)
	d.ok(err)
	keyedInvite, err := d.s.Invite(keyed("k3"), d.shell, budi.ID)
	d.ok(err)
	before := d.size()
	_, again, err := d.s.CreateToken(keyed("k1"), d.shell, partner.NewToken{Roles: []access.Role{access.Officer}})
	d.want("a token with the same key", err, problem.Conflict)
	_, againCode, err := d.s.AddMember(keyed("k2"), d.shell, dewi)
	d.want("a member with the same key", err, problem.Conflict)
	againInvite, err := d.s.Invite(keyed("k3"), d.shell, budi.ID)
	d.want("an invitation with the same key", err, problem.Conflict)
	if d.size() != before || again+againCode+againInvite != "" {
		t.Errorf("the same keys wrote %d entries and gave %q %q %q", d.size()-before, again, againCode, againInvite)
	}
	d.ok(d.log.Update(background, func(*journal.Tx) error { return nil }))
	files, err := filepath.Glob(filepath.Join(d.dir, "siaga.db*"))
	d.ok(err)
	seen := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		d.ok(err)
		seen += bytes.Count(b, []byte("ayu@nusa.example"))
		for name, secret := range map[string]string{"password": password, "TOTP seed": seed, "session": session, "token": text, "token without prefix": text[6:], "used code": d.code, "open code": code, "token of a key": keyedText, "code of a key": keyedCode, "invitation of a key": keyedInvite} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds the %s", filepath.Base(f), name)
			}
		}
	}
	if seen == 0 {
		t.Error("nothing is in the store: the test shows nothing")
	}
}
