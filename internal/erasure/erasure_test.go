package erasure_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/erasure"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

var background = context.Background()

// world is a node on which an incident was notified, handled and closed.
type world struct {
	t     *testing.T
	dir   string
	now   time.Time
	node  *app.Node
	s     *erasure.Service
	shell access.Actor
	seeds map[string]string
	types map[string]int64 // the first entry of each type
}

const secret = "Nadia Example of 7 Harbour Street"

func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "node"), now: time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC), seeds: map[string]string{}, types: map[string]int64{}}
	clock := func() time.Time { return w.now }
	made, err := app.Init(background, app.InitOptions{Data: w.dir, Origin: "test.example/erasure", Now: clock, Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}, Admin: partner.NewMember{Email: "ayu@example.org"}})
	w.ok(err)
	w.node, err = app.New(background, app.Options{Data: w.dir, Listen: "127.0.0.1:0", Now: clock, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	w.ok(err)
	t.Cleanup(func() { w.ok(w.node.Close()) })
	w.shell = partner.Shell(made.Partner)
	w.s = erasure.New(erasure.Options{Log: w.node.Log, Partners: w.node.Partners, Now: clock})
	w.enrol("ayu@example.org", made.Code)
	for _, p := range []partner.NewPartner{{Name: "Nusa", Kind: access.Government, Country: "ID"}, {Name: "Tasman", Kind: access.Government, Country: "AU"}} {
		_, err := w.node.Partners.Add(background, w.shell, p)
		w.ok(err)
	}
	roles := []access.Role{access.Administrator, access.Officer, access.Analyst, access.Approver}
	as := func(id string, kind access.PartnerKind) access.Actor {
		return access.Actor{Partner: id, Kind: kind, Country: "ID", Member: "m-" + id, Roles: roles, StepUp: w.now, For: access.AnyAction}
	}
	home, nusa := as("secretariat", access.Intergovernmental), as("nusa", access.Government)
	no := false
	inc, err := w.node.Incidents.Notify(background, home, incident.Notice{Title: "Attack on a market", Description: secret, Where: "Kota Seroja", Country: "ID", Exercise: &no})
	w.ok(err)
	_, err = w.node.Incidents.Assess(background, home, inc.ID, "", []incident.Answer{{Criterion: "real_world_attack", Answer: "yes", Evidence: secret}})
	w.ok(err)
	_, err = w.node.Incidents.PostUpdate(background, home, inc.ID, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": secret}})
	w.ok(err)
	_, err = w.node.Incidents.AddAsset(background, home, inc.ID, incident.NewAsset{Kind: "video", Producer: "perpetrator", Text: secret, Where: "https://example.org/v/1"})
	w.ok(err)
	_, err = w.node.Incidents.Act(background, home, inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "seen"})
	w.ok(err)
	quality := 90
	sig, err := w.node.Signals.Propose(background, home, signal.Proposal{Incident: inc.ID, Kind: "pdq", Value: strings.Repeat("0f1e2d3c4b5a6978", 4), Producer: "perpetrator", Note: secret, Provenance: signal.Provenance{Quality: &quality}})
	w.ok(err)
	_, err = w.node.Signals.Approve(background, nusa, sig.ID, signal.Decision{Reason: secret})
	w.ok(err)
	w.entries()
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) enrol(email, code string) {
	w.t.Helper()
	en, err := w.node.Partners.Begin(background, code)
	w.ok(err)
	w.seeds[email] = en.Secret
	_, _, err = w.node.Partners.Enrol(background, code, "a short sentence is good", "a short sentence is good", w.shows(email), partner.Client{})
	w.ok(err)
	w.now = w.now.Add(30 * time.Second)
}

func (w *world) shows(email string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(w.seeds[email], w.now)
	w.ok(err)
	return code
}

func (w *world) entries() {
	w.t.Helper()
	w.ok(w.node.Log.View(background, func(r journal.StoreReader) error {
		all, err := w.node.Log.Entries(r, journal.RowQuery{Limit: 200})
		for _, e := range all {
			if _, ok := w.types[e.Type]; !ok {
				w.types[e.Type] = e.Number
			}
		}
		return err
	}))
}

// order asks for the first entry of a type with all that is right.
func (w *world) order(typ string) erasure.Order {
	w.t.Helper()
	n, ok := w.types[typ]
	if !ok {
		w.t.Fatalf("there is no entry %s", typ)
	}
	w.now = w.now.Add(30 * time.Second)
	return erasure.Order{Entry: n, Digits: strings.Repeat("0", 4-len(itoa(n))) + itoa(n), Reason: "article 17", Proofs: []erasure.Proof{{Email: "ayu@example.org", Code: w.shows("ayu@example.org")}}}
}

func itoa(n int64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func (w *world) want(what string, err error, kind problem.Kind) {
	w.t.Helper()
	if got := problem.KindOf(err); got != kind {
		w.t.Errorf("%s: %q (%v), want %q", what, got, err, kind)
	}
}

// verified folds everything again from its entries and compares.
func (w *world) verified() {
	w.t.Helper()
	_, err := w.node.Log.Sign(background)
	w.ok(err)
	report, err := w.node.Log.Verify(background, journal.VerifyOptions{Feed: app.VerifyFeed()})
	w.ok(err)
	if report.Found > 0 {
		w.t.Fatalf("the journal does not verify: %v", report.Faults)
	}
}

func TestErase(t *testing.T) {
	w := open(t)
	_, err := w.s.Erase(background, w.shell, w.order("signal.proposed"))
	w.want("a signal that is active", err, problem.Conflict)
	_, err = w.s.Erase(background, w.shell, w.order("incident.notified"))
	w.want("the notice of an open incident", err, problem.Conflict)
	for typ := range w.types {
		if _, may := map[string]bool{"update.posted": true, "asset.added": true}[typ]; !may {
			_, err := w.s.Erase(background, w.shell, w.order(typ))
			w.want(typ, err, problem.Conflict)
		}
	}
	o := w.order("update.posted")
	for _, c := range []struct {
		name   string
		by     access.Actor
		change func(*erasure.Order)
		want   problem.Kind
	}{
		{"nobody", access.Actor{}, nil, problem.SignIn},
		{"an officer", access.Actor{Partner: "secretariat", Kind: access.Intergovernmental, Member: "m1", Roles: []access.Role{access.Officer}, StepUp: w.now, For: access.AnyAction}, nil, problem.Denied},
		{"an administrator without proof of presence", access.Actor{Partner: "secretariat", Kind: access.Intergovernmental, Member: "m1", Roles: []access.Role{access.Administrator}}, nil, problem.StepUp},
		{"the only administrator alone", access.Actor{Partner: "secretariat", Kind: access.Intergovernmental, Member: "m1", Roles: []access.Role{access.Administrator}, StepUp: w.now, For: access.AnyAction}, nil, problem.Conflict},
		{"another partner's administrator", access.Actor{Partner: "nusa", Kind: access.Government, Member: "m9", Roles: []access.Role{access.Administrator}, StepUp: w.now, For: access.AnyAction}, nil, problem.NotFound},
		{"an entry that there is not", w.shell, func(o *erasure.Order) { o.Entry = 9999 }, problem.NotFound},
		{"no reason", w.shell, func(o *erasure.Order) { o.Reason = " " }, problem.Invalid},
		{"an endless reason", w.shell, func(o *erasure.Order) { o.Reason = strings.Repeat("x", 301) }, problem.Invalid},
		{"other digits", w.shell, func(o *erasure.Order) { o.Digits = "9999" }, problem.Invalid},
		{"nobody else", w.shell, func(o *erasure.Order) { o.Proofs = nil }, problem.Invalid},
		{"a wrong code", w.shell, func(o *erasure.Order) { o.Proofs = []erasure.Proof{{"ayu@example.org", "000000"}} }, problem.Invalid},
		{"a person that there is not", w.shell, func(o *erasure.Order) { o.Proofs = []erasure.Proof{{"x@example.org", "000000"}} }, problem.Invalid},
	} {
		p := o
		if c.change != nil {
			c.change(&p)
		}
		_, err := w.s.Erase(background, c.by, p)
		w.want(c.name, err, c.want)
	}
	said, err := w.s.Erase(background, w.shell, o)
	w.ok(err)
	if said.Type != journal.TypeErased || said.Partner != "secretariat" || said.Member == "" || said.Why != "article 17 (second person: the operator's shell)" {
		t.Errorf("the journal says %+v", said)
	}
	w.verified()
	_, err = w.s.Erase(background, w.shell, w.order("update.posted"))
	w.want("the same again", err, problem.Conflict)
	_, err = w.s.Erase(background, w.shell, w.order("asset.added"))
	w.ok(err)
	w.verified()
}

// TestEndedSignal: what is erased of a signal that has ended leaves its number
// and its state, and is in no byte of the database.
func TestEndedSignal(t *testing.T) {
	w := open(t)
	_, err := w.node.Signals.Withdraw(background, access.Actor{Partner: "nusa", Kind: access.Government, Member: "m-nusa", Roles: []access.Role{access.Approver}, StepUp: w.now, For: access.AnyAction}, "S-0001", signal.Decision{Reason: "a mistake"})
	w.ok(err)
	w.entries()
	for _, typ := range []string{"signal.proposed", "signal.approved", "signal.withdrawn"} {
		_, err := w.s.Erase(background, w.shell, w.order(typ))
		w.want(typ, err, "")
		w.verified()
		sig, err := w.node.Signals.Get(background, access.Actor{Partner: "secretariat", Kind: access.Intergovernmental, Roles: []access.Role{access.Observer}}, "S-0001")
		w.ok(err)
		if sig.State != signal.Withdrawn || sig.ID != "S-0001" || sig.Number != 1 {
			t.Errorf("after %s went: %+v", typ, sig)
		}
	}
	for _, typ := range []string{"update.posted", "asset.added"} {
		_, err := w.s.Erase(background, w.shell, w.order(typ))
		w.ok(err)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "siaga.db"))
	w.ok(err)
	if n := strings.Count(string(b), secret); n == 0 {
		t.Error("the notice and the assessment, which stay, are not in the file: the test shows nothing")
	}
}

// TestMember: a disabled member's data goes, and the secrets with it; two
// administrators must agree where there are two.
func TestMember(t *testing.T) {
	w := open(t)
	m, code, err := w.node.Partners.AddMember(background, w.shell, partner.NewMember{Name: "Budi", Email: "budi@example.org", Roles: []access.Role{access.Administrator}})
	w.ok(err)
	w.enrol(m.Email, code)
	gone, code, err := w.node.Partners.AddMember(background, w.shell, partner.NewMember{Name: "Wulandari", Email: "wulandari@example.org", Roles: []access.Role{access.Officer}})
	w.ok(err)
	w.enrol(gone.Email, code)
	w.ok(w.node.Log.View(background, func(r journal.StoreReader) error {
		all, err := w.node.Log.Entries(r, journal.RowQuery{About: journal.Ref{Kind: partner.KindMember, ID: gone.ID}, Limit: 1})
		w.types["member.added"] = all[0].Number
		return err
	}))
	two := func() erasure.Order {
		o := w.order("member.added")
		o.Proofs = append(o.Proofs, erasure.Proof{Email: "budi@example.org", Code: w.shows("budi@example.org")})
		return o
	}
	_, err = w.s.Erase(background, w.shell, two())
	w.want("a member who can sign in", err, problem.Conflict)
	_, err = w.node.Partners.ChangeMember(background, w.shell, gone.ID, partner.Change{Disable: true})
	w.ok(err)
	_, err = w.s.Erase(background, w.shell, w.order("member.added"))
	w.want("one of two administrators", err, problem.Invalid)
	o := two()
	o.Proofs[1] = o.Proofs[0]
	_, err = w.s.Erase(background, w.shell, o)
	w.want("the same person twice", err, problem.Invalid)
	o = two()
	o.Proofs[1] = erasure.Proof{Email: "wulandari@example.org", Code: w.shows("wulandari@example.org")}
	_, err = w.s.Erase(background, w.shell, o)
	w.want("the one who is to go", err, problem.Invalid)
	said, err := w.s.Erase(background, w.shell, two())
	w.ok(err)
	if said.Why != "article 17 (second person: "+m.ID+")" {
		t.Errorf("the journal says %q", said.Why)
	}
	w.verified()
	ms, err := w.node.Partners.Members(background, w.shell)
	w.ok(err)
	for _, x := range ms {
		if x.ID == gone.ID && (x.Name != "" || x.Email != "" || !x.Disabled) {
			t.Errorf("what is left: %+v", x)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(w.dir, "siaga.db") + suffix)
		if err == nil && strings.Contains(strings.ToLower(string(b)), "wulandari") {
			t.Errorf("siaga.db%s still holds the name", suffix)
		}
	}
}
