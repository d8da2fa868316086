package partner_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	email    = "ayu@nusa.example"
	password = "a short sentence is good"
)

// shows is what the authenticator shows at a time.
func (d *desk) shows(seed string, at time.Time) string {
	d.t.Helper()
	code, err := totp.GenerateCode(seed, at)
	d.ok(err)
	return code
}

// enrol signs in for the first time and lets half a minute pass, so that the
// next code is another.
func (d *desk) enrol(code, password string) (seed, session string) {
	d.t.Helper()
	en, err := d.s.Begin(background, code)
	d.ok(err)
	in, _, err := d.s.Enrol(background, code, password, password, d.shows(en.Secret, d.clock.now()), partner.Client{})
	d.ok(err)
	d.clock.pass(30 * time.Second)
	return en.Secret, in.Key
}

func TestFirstLink(t *testing.T) {
	d := open(t)
	en, err := d.s.Begin(background, d.code)
	d.ok(err)
	if en.Member.ID != d.first.ID || !strings.Contains(en.URL, en.Secret) {
		t.Errorf("offers %+v", en)
	}
	again, err := d.s.Begin(background, " "+strings.ToUpper(d.code[:4])+"-"+d.code[4:]+" ")
	d.ok(err)
	if again.Secret != en.Secret {
		t.Error("the same link offers another secret the second time, so a code from the first page would be wrong")
	}
	now := d.shows(en.Secret, d.clock.now())
	for _, c := range []struct{ name, code, password, again, onetime, field string }{
		{"a short password", d.code, "elevenchars", "elevenchars", now, "password"},
		{"an endless password", d.code, strings.Repeat("x", 1025), strings.Repeat("x", 1025), now, "password"},
		{"two passwords", d.code, password, password + "!", now, "again"},
		{"a wrong six-digit code", d.code, password, password, "000000", "code"},
		{"no six-digit code", d.code, password, password, "", "code"},
	} {
		_, _, err := d.s.Enrol(background, c.code, c.password, c.again, c.onetime, partner.Client{})
		d.want(c.name, err, problem.Invalid)
		if f := fieldsOf(err); len(f) != 1 || f[0] != c.field {
			t.Errorf("%s: the fields %v, want %s", c.name, f, c.field)
		}
	}
	_, _, err = d.s.Enrol(background, strings.Repeat("0", 13), password, password, now, partner.Client{})
	d.want("another link", err, problem.NotFound)
	_, err = d.s.Open(background, d.code)
	d.want("a first link as a demo's", err, problem.NotFound)

	in, codes, err := d.s.Enrol(background, d.code, password, password, now, partner.Client{})
	d.ok(err)
	if len(codes) != partner.RecoveryCodes {
		t.Errorf("%d recovery codes", len(codes))
	}
	a, m, err := d.s.BySession(background, in.Key)
	d.ok(err)
	if a.Member != d.first.ID || !m.Enrolled || a.Partner != "nusa" {
		t.Errorf("signed in as %+v, %+v", a, m)
	}
	_, err = d.s.Begin(background, d.code)
	d.want("the page, once used", err, problem.NotFound)
	_, _, err = d.s.Enrol(background, d.code, password, password, now, partner.Client{})
	d.want("the form, once used", err, problem.NotFound)

	_, late := d.member(d.nusa, "Budi", access.Officer)
	d.clock.pass(72*time.Hour - time.Millisecond)
	_, err = d.s.Begin(background, late)
	d.want("just before its end", err, "")
	d.clock.pass(time.Millisecond)
	_, err = d.s.Begin(background, late)
	d.want("at its end", err, problem.NotFound)
	_, _, err = d.s.Enrol(background, late, password, password, "123456", partner.Client{})
	d.want("the form at its end", err, problem.NotFound)
}

// TestFirstLinkOfDisabled: disabling someone ends the link, too.
func TestFirstLinkOfDisabled(t *testing.T) {
	d := open(t)
	m, code := d.member(d.nusa, "Budi", access.Officer)
	_, err := d.s.ChangeMember(background, d.shell, m.ID, partner.Change{Disable: true})
	d.ok(err)
	_, err = d.s.Begin(background, code)
	d.want("a disabled member's link", err, problem.NotFound)
}

func TestSignIn(t *testing.T) {
	d := open(t)
	seed, _ := d.enrol(d.code, password)
	m, code := d.member(d.nusa, "Budi", access.Officer)
	budi, _ := d.enrol(code, password)
	d.member(d.nusa, "Citra", access.Officer) // has never signed in
	_, err := d.s.ChangeMember(background, d.shell, m.ID, partner.Change{Disable: true})
	d.ok(err)
	var words string
	for _, c := range []struct{ name, email, password, code string }{
		{"a wrong password", email, password + "x", d.shows(seed, d.clock.now())},
		{"a wrong code", email, password, "000000"},
		{"no code", email, password, ""},
		{"an unknown address", "nobody@nusa.example", password, d.shows(seed, d.clock.now())},
		{"one who never signed in", "citra@nusa.example", "", ""},
		{"one who was disabled", "budi@nusa.example", password, d.shows(budi, d.clock.now())},
	} {
		_, err := d.s.SignIn(background, c.email, c.password, c.code, partner.Client{Addr: "192.0.2.1"})
		d.want(c.name, err, problem.Invalid)
		if words == "" {
			words = err.Error()
		}
		if err.Error() != words {
			t.Errorf("%s: %q tells it from %q", c.name, err, words)
		}
	}
	in, err := d.s.SignIn(background, "  AYU@Nusa.example ", password, d.shows(seed, d.clock.now()), partner.Client{Addr: "192.0.2.1"})
	d.ok(err)
	if _, _, err := d.s.BySession(background, in.Key); err != nil {
		t.Error(err)
	}
}

func TestOnetimeCodes(t *testing.T) {
	d := open(t)
	seed, _ := d.enrol(d.code, password)
	in := func(code string) error {
		_, err := d.s.SignIn(background, email, password, code, partner.Client{Addr: ""})
		return err
	}
	at := d.clock.now()
	code := d.shows(seed, at)
	d.want("now", in(code), "")
	d.want("the same code again", in(code), problem.Invalid)
	d.want("an older one, after a newer", in(d.shows(seed, at.Add(-30*time.Second))), problem.Invalid)
	d.want("of a clock that is half a minute ahead", in(d.shows(seed, at.Add(30*time.Second))), "")
	d.clock.pass(3 * time.Minute)
	at = d.clock.now()
	d.want("a minute ahead", in(d.shows(seed, at.Add(time.Minute))), problem.Invalid)
	d.want("a minute behind", in(d.shows(seed, at.Add(-time.Minute))), problem.Invalid)
	arabic := strings.Map(func(r rune) rune { return '٠' + r - '0' }, d.shows(seed, at))
	d.want("in Arabic digits, with a space", in(arabic[:6]+" "+arabic[6:]), "")
}

func TestWrongAttemptsAreCounted(t *testing.T) {
	d := open(t)
	seed, _ := d.enrol(d.code, password)
	_, code := d.member(d.nusa, "Budi", access.Officer)
	budi, _ := d.enrol(code, password)
	wrong := func(who, addr string) error {
		_, err := d.s.SignIn(background, who, "not it at all", "000000", partner.Client{Addr: addr})
		return err
	}
	for range 4 {
		d.want("wrong", wrong(email, "192.0.2.1"), problem.Invalid)
	}
	_, err := d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{Addr: "192.0.2.1"})
	d.want("right after four wrong ones", err, "")
	d.clock.pass(30 * time.Second)
	for range 5 {
		d.want("wrong", wrong(email, "192.0.2.1"), problem.Invalid)
	}
	_, err = d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{Addr: "192.0.2.1"})
	d.want("right after five wrong ones", err, problem.Busy)
	_, err = d.s.SignIn(background, strings.ToUpper(email), password, d.shows(seed, d.clock.now()), partner.Client{Addr: "198.51.100.7"})
	d.want("from elsewhere, in capitals", err, problem.Busy)
	_, err = d.s.SignIn(background, "budi@nusa.example", password, d.shows(budi, d.clock.now()), partner.Client{Addr: "192.0.2.1"})
	d.want("a colleague at the same address", err, "")
	d.clock.pass(5*time.Minute + time.Second)
	_, err = d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{Addr: "192.0.2.1"})
	d.want("after the wait", err, "")

	// An address that tries many accounts waits, too.
	d.clock.pass(10 * time.Minute)
	for i := range 30 {
		d.want("wrong", wrong(strings.Repeat("x", i+1)+"@nusa.example", "203.0.113.9"), problem.Invalid)
	}
	d.want("the thirty-first", wrong("other@nusa.example", "203.0.113.9"), problem.Busy)
	d.want("another address", wrong("other@nusa.example", "203.0.113.10"), problem.Invalid)
}

// TestStepUp: a proof of presence is fresh, for one session, one action and one
// request, once.
func TestStepUp(t *testing.T) {
	d := open(t)
	seed, key := d.enrol(d.code, password)
	const do = access.ManageMembers
	eko, budi := partner.RequestOf("POST", "/admin/members/m2", "do=disable"), partner.RequestOf("POST", "/admin/members/m3", "do=disable")
	may := func(key string, do access.Action, object string) error {
		t.Helper()
		a, _, err := d.s.ByRequest(background, key, func() string { return object })
		d.ok(err)
		return access.Allow(a, do, d.clock.now())
	}
	d.want("right after signing in", may(key, do, eko), problem.StepUp)
	d.want("with a wrong code", d.s.StepUpCode(background, key, do, eko, "000000"), problem.Invalid)
	code := d.shows(seed, d.clock.now())
	d.want("with a right code", d.s.StepUpCode(background, key, do, eko, code), "")
	d.want("with the same code again", d.s.StepUpCode(background, key, do, eko, code), problem.Invalid)
	d.want("for another member", may(key, do, budi), problem.StepUp)
	d.want("by what names no request", func() error { a, _, _ := d.s.BySession(background, key); return access.Allow(a, do, d.clock.now()) }(), problem.StepUp)
	d.want("for what was shown", may(key, do, eko), "")
	d.want("for what was shown, twice", may(key, do, eko), problem.StepUp)

	prove := func() {
		t.Helper()
		d.clock.pass(30 * time.Second)
		d.ok(d.s.StepUpCode(background, key, do, eko, d.shows(seed, d.clock.now())))
	}
	prove()
	d.want("for another action", may(key, access.ManageTokens, eko), problem.StepUp)
	d.want("after it was spent on another action", may(key, do, eko), problem.StepUp)
	prove()
	d.clock.pass(30 * time.Second)
	other, err := d.s.SignIn(background, email, password, d.shows(seed, d.clock.now()), partner.Client{})
	d.ok(err)
	d.want("in another session", may(other.Key, do, eko), problem.StepUp)
	d.clock.pass(30 * time.Second)
	d.want("a minute later", may(key, do, eko), problem.StepUp)
	d.want("with no session", d.s.StepUpCode(background, "", do, eko, code), problem.SignIn)
	d.want("for what needs none", d.s.StepUpCode(background, key, access.ReadIncidents, eko, code), problem.Invalid)

	// Of two requests at the same time one has the proof.
	prove()
	var wg sync.WaitGroup
	var had atomic.Int32
	for range 8 {
		wg.Go(func() {
			if a, _, err := d.s.ByRequest(background, key, func() string { return eko }); err == nil && access.Allow(a, do, d.clock.now()) == nil {
				had.Add(1)
			}
		})
	}
	wg.Wait()
	if had.Load() != 1 {
		t.Errorf("%d requests had one proof", had.Load())
	}
	for range 3 { // with the two above
		d.want("wrong again", d.s.StepUpCode(background, key, do, eko, "000000"), problem.Invalid)
	}
	d.clock.pass(30 * time.Second)
	d.want("right after five wrong ones", d.s.StepUpCode(background, key, do, eko, d.shows(seed, d.clock.now())), problem.Busy)
}

// TestFirstKeyEndsTheProof: signing in without a key of one's own lets one add
// the first, and not a second.
func TestFirstKeyEndsTheProof(t *testing.T) {
	d := open(t)
	_, key := d.enrol(d.code, password)
	may := func() error {
		a, _, err := d.s.BySession(background, key)
		d.ok(err)
		return access.Allow(a, access.ChangeKeys, d.clock.now())
	}
	d.want("with the invitation", may(), "")
	a, _, err := d.s.BySession(background, key)
	d.ok(err)
	_, err = d.s.NewRecovery(background, a)
	d.ok(err)
	d.want("after a key was changed", may(), problem.StepUp)
}

func TestSessions(t *testing.T) {
	d := open(t)
	n := 0
	begin := func() string {
		t.Helper()
		n++
		_, code := d.member(d.nusa, fmt.Sprint("U", n), access.Officer)
		_, key := d.enrol(code, password)
		return key
	}
	who := func(key string) error {
		_, _, err := d.s.BySession(background, key)
		return err
	}
	d.want("no key", who(""), problem.SignIn)
	d.want("another's", who(strings.Repeat("0", 32)), problem.SignIn)

	idle := begin()
	d.clock.pass(29 * time.Minute)
	d.want("before half an hour", who(idle), "")
	d.clock.pass(29 * time.Minute)
	d.want("used in between", who(idle), "")
	d.clock.pass(31 * time.Minute)
	d.want("left for half an hour", who(idle), problem.SignIn)

	long := begin()
	for range 11*60/20 + 2 {
		d.clock.pass(20 * time.Minute)
		d.want("in use", who(long), "")
	}
	d.clock.pass(25 * time.Minute)
	d.want("twelve hours after its beginning", who(long), problem.SignIn)

	out := begin()
	d.ok(d.s.SignOut(background, out))
	d.want("signed out", who(out), problem.SignIn)
	d.ok(d.s.SignOut(background, out))

	// What is changed of a member holds at the next request.
	m, code := d.member(d.nusa, "Citra", access.Officer, access.Approver)
	_, key := d.enrol(code, password)
	_, err := d.s.ChangeMember(background, d.shell, m.ID, partner.Change{Roles: []access.Role{access.Observer}})
	d.ok(err)
	a, _, err := d.s.BySession(background, key)
	d.ok(err)
	if a.Has(access.Approver) || !a.Has(access.Observer) {
		t.Errorf("after the change the roles are %v", a.Roles)
	}
	_, err = d.s.ChangeMember(background, d.shell, m.ID, partner.Change{Disable: true})
	d.ok(err)
	d.want("disabled", who(key), problem.SignIn)
	_, err = d.s.ChangeMember(background, d.shell, m.ID, partner.Change{Enable: true})
	d.ok(err)
	d.want("enabled again, with the old session", who(key), problem.SignIn)
}

// TestOpen: a demo's link signs in as often as it is opened, until its end.
func TestOpen(t *testing.T) {
	d := open(t)
	code, err := d.s.IssueOpen(background, d.first.ID, time.Hour)
	d.ok(err)
	one, err := d.s.Open(background, code)
	d.ok(err)
	two, err := d.s.Open(background, code)
	d.ok(err)
	if one == two {
		t.Error("two browsers share a session")
	}
	_, err = d.s.Begin(background, code)
	d.want("as a first link", err, problem.NotFound)
	d.clock.pass(time.Hour)
	_, err = d.s.Open(background, code)
	d.want("at its end", err, problem.NotFound)
}

// TestExpire removes what is over and nothing else.
func TestExpire(t *testing.T) {
	d := open(t)
	_, key := d.enrol(d.code, password)
	_, text, err := d.s.CreateToken(background, d.shell, partner.NewToken{Roles: []access.Role{access.Officer}})
	d.ok(err)
	d.ok(d.s.Expire(background))
	_, _, err = d.s.BySession(background, key)
	d.want("a session that goes on", err, "")
	d.clock.pass(13 * time.Hour)
	d.ok(d.s.Expire(background))
	_, _, err = d.s.BySession(background, key)
	d.want("a session that is over", err, problem.SignIn)
	_, _, err = d.s.ByToken(background, text)
	d.want("a token that goes on", err, "")
}
