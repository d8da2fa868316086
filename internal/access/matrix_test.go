package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// matrix is the table of rights written a second time, by hand: action, roles,
// token scope ("none": no token may), partner kinds, and "fresh" where a person's presence must be.
// Roles: a administrator, o officer, n analyst, p approver, r reviewer,
// b observer, t operator, e edge. Kinds: G government, I intergovernmental,
// P platform, C civil society, R research. Whoever changes a right changes it
// here too, and says why.
const matrix = `
incident.read         aonprb   read     GIPCR  -
incident.notify       onr      propose  GIPCR  -
incident.assess       o        propose  GIPCR  -
activation.propose    o        decide   GIP    -
activation.vote       o        decide   GIP    fresh
update.post           o        propose  GIPCR  -
incident.acknowledge  aonprb   propose  GIPCR  -
task.do               onr      propose  GIPCR  -
question.ask          onprb    propose  GIPCR  -
signal.read           aonprb   read     GIPCR  -
asset.add             on       propose  GIPCR  -
signal.propose        on       propose  GIPCR  -
signal.variant        onr      propose  GIPCR  -
signal.decide         p        decide   GIPCR  fresh
signal.suspend        pr       decide   GIPCR  -
signal.withdraw       p        decide   GIPCR  fresh
partner.read          aonprbt  read     GIPCR  -
partner.add           a        admin    GIPCR  fresh
partner.disable       a        admin    GIPCR  fresh
request.confirm       a        admin    GIPCR  fresh
member.manage         a        admin    GIPCR  fresh
member.read           a        admin    GIPCR  -
token.manage          a        admin    GIPCR  fresh
token.read            a        admin    GIPCR  -
token.own             aonprbt  none     GIPCR  fresh
key.change            aonprbt  none     GIPCR  fresh
profile.own           aonprbt  propose  GIPCR  -
access.break          aob      none     GIPCR  fresh
edge.read             aonprbt  read     GIPCR  -
feed.follow           ey       feed     GIPCR  -
feed.relay            y        feed     GIPCR  -
feed.tally            e        feed     GIPCR  -
feed.variant          e        feed     GIPCR  -
journal.read          aonprb   read     GIPCR  -
journal.erase         a        admin    GIPCR  fresh
health.read           at       read     GIPCR  -
duty.read             aonprb   read     GIPCR  -
duty.manage           a        admin    GIPCR  -
duty.handover         aonpr    propose  GIPCR  -
message.read          aonprbt  read     GIPCR  -
channel.manage        aonprbt  admin    GIPCR  -
`

var letterOfRole = map[access.Role]string{
	access.Administrator: "a", access.Officer: "o", access.Analyst: "n", access.Approver: "p",
	access.Reviewer: "r", access.Observer: "b", access.Operator: "t", access.Edge: "e", access.Relay: "y",
}

var letterOfKind = map[access.PartnerKind]string{
	access.Government: "G", access.Intergovernmental: "I", access.Platform: "P", access.CivilSociety: "C", access.Research: "R",
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestMatrix walks every action, role, kind, scope and way of being signed in.
func TestMatrix(t *testing.T) {
	if len(letterOfRole) != len(access.Roles()) || len(letterOfKind) != len(access.PartnerKinds()) {
		t.Fatal("a role or a kind of partner is new: write it into the matrix")
	}
	var want, got []string
	checks := 0
	for line := range strings.Lines(strings.TrimSpace(matrix)) {
		f := strings.Fields(line)
		do, roles, scope, kinds, fresh := access.Action(f[0]), f[1], access.TokenScope(f[2]), f[3], f[4] == "fresh"
		if scope == "none" {
			scope = ""
		}
		want = append(want, f[0])
		if access.NeedsStepUp(do) != fresh {
			t.Errorf("NeedsStepUp(%s) = %t", do, !fresh)
		}
		for _, role := range access.Roles() {
			for _, kind := range access.PartnerKinds() {
				may := strings.Contains(roles, letterOfRole[role]) && strings.Contains(kinds, letterOfKind[kind])
				check := func(how string, a access.Actor, want problem.Kind) {
					t.Helper()
					checks++
					a.Partner, a.Kind, a.Roles = "p", kind, []access.Role{role}
					if !may {
						want = problem.Denied
					}
					err := access.Allow(a, do, now)
					if got := problem.KindOf(err); got != want {
						t.Errorf("%s, %s of a %s partner, %s: %q (%v), want %q", do, role, kind, how, got, err, want)
					}
				}
				stale := problem.Kind("")
				if fresh {
					stale = problem.StepUp
				}
				check("signed in", access.Actor{Member: "m"}, stale)
				check("presence just proved", access.Actor{Member: "m", For: do, StepUp: now.Add(-access.StepUpFresh)}, "")
				check("presence proved too long ago", access.Actor{Member: "m", For: do, StepUp: now.Add(-access.StepUpFresh - 1)}, stale)
				check("presence proved for another action", access.Actor{Member: "m", For: "other", StepUp: now}, stale)
				check("presence proved for no action", access.Actor{Member: "m", StepUp: now}, stale)
				check("presence proved in a demo", access.Actor{Member: "m", For: access.AnyAction, StepUp: now}, "")
				check("shell", access.Actor{Shell: true}, "")
				check("token without scopes", access.Actor{Token: "t1"}, problem.Denied)
				for _, s := range access.TokenScopes() {
					w := problem.Denied
					if s == scope {
						w = ""
					}
					check(fmt.Sprintf("token with the scope %s", s), access.Actor{Token: "t1", Scopes: []access.TokenScope{s}}, w)
				}
			}
		}
	}
	for _, r := range access.Rules() {
		got = append(got, string(r.Action))
		if r.What == "" {
			t.Errorf("%s has no words", r.Action)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-matrix +table):\n%s", diff)
	}
	if want := len(access.Rules()) * len(letterOfRole) * len(letterOfKind) * 13; checks != want {
		t.Errorf("%d checks were made, want %d", checks, want)
	}
}

func TestNobodyMayDoNothing(t *testing.T) {
	for _, r := range access.Rules() {
		if got := problem.KindOf(access.Allow(access.Actor{}, r.Action, now)); got != problem.SignIn {
			t.Errorf("nobody, %s: %q", r.Action, got)
		}
		// Roles without a partner are nobody's.
		if got := problem.KindOf(access.Allow(access.Actor{Roles: access.Roles(), Shell: true}, r.Action, now)); got != problem.SignIn {
			t.Errorf("roles without a partner, %s: %q", r.Action, got)
		}
		if err := access.Allow(access.Actor{System: true}, r.Action, now); err != nil {
			t.Errorf("the node itself, %s: %v", r.Action, err)
		}
	}
	all := access.Actor{Partner: "p", Kind: access.Government, Roles: access.Roles(), Shell: true}
	for _, do := range []access.Action{"", "incident.delete"} {
		if got := problem.KindOf(access.Allow(all, do, now)); got != problem.Denied {
			t.Errorf("an action without a row, %q: %q", do, got)
		}
	}
}

// TestAudience compares with a table written by hand: for each label, who of
// the origin, a partner that is named, and a stranger of each kind may read.
func TestAudience(t *testing.T) {
	for label, strangers := range map[access.TLP]string{
		access.Clear: "GIPCR0", access.Green: "GIPCR", access.Amber: "GIP", access.AmberStrict: "", access.Red: "", "": "", "purple": "",
	} {
		u := access.Audience{TLP: label, Origin: "origin", Partners: []string{"named"}}
		for kind, letter := range letterOfKind {
			for partner, want := range map[string]bool{"origin": true, "named": true, "stranger": strings.Contains(strangers, letter)} {
				// No role widens an audience.
				a := access.Actor{Partner: partner, Kind: kind, Roles: access.Roles(), Shell: true}
				if got := u.Sees(a); got != want {
					t.Errorf("%q: %s, %s: %t, want %t", label, partner, kind, got, want)
				}
				if got := u.SeenBy(partner, kind); got != want {
					t.Errorf("%q: SeenBy(%s, %s) = %t, want %t", label, partner, kind, got, want)
				}
			}
		}
		if got, want := u.Sees(access.Actor{}), strings.Contains(strangers, "0"); got != want {
			t.Errorf("%q: nobody: %t, want %t", label, got, want)
		}
		if !u.Sees(access.Actor{System: true}) {
			t.Errorf("%q: the node itself does not see it", label)
		}
	}
	// Nobody is not the origin of what has none.
	if (access.Audience{TLP: access.Red}).Sees(access.Actor{}) {
		t.Error("nobody sees what has no origin")
	}
}

func TestParseTLP(t *testing.T) {
	for in, want := range map[string]access.TLP{
		"clear": access.Clear, "TLP:GREEN": access.Green, " tlp:Amber ": access.Amber, "AMBER+STRICT": access.AmberStrict, "Red": access.Red,
	} {
		if got, err := access.ParseTLP(in); got != want || err != nil {
			t.Errorf("ParseTLP(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "white", "tlp:", "amber strict", "red\x00"} {
		got, err := access.ParseTLP(in)
		if p := problem.KindOf(err); got != "" || p != problem.Invalid {
			t.Errorf("ParseTLP(%q) = %q, %v", in, got, err)
		}
	}
	for i, a := range access.TLPs() {
		for j, b := range access.TLPs() {
			if a.Wider(b) != (i < j) {
				t.Errorf("%s.Wider(%s) = %t", a, b, a.Wider(b))
			}
		}
	}
}

// A broken glass opens one object, for reading, for its time, to a person.
func TestGlass(t *testing.T) {
	hidden := access.Audience{TLP: access.Red, Origin: "origin"}
	broke := access.Actor{Partner: "p", Member: "m", Roles: access.Roles(), Glass: []access.Glass{{Kind: "incident", ID: "I-1", Until: now.Add(time.Hour)}}}
	for _, c := range []struct {
		name     string
		a        access.Actor
		kind, id string
		at       time.Time
		want     bool
	}{
		{"the object", broke, "incident", "I-1", now, true},
		{"its last moment", broke, "incident", "I-1", now.Add(time.Hour - 1), true},
		{"after its time", broke, "incident", "I-1", now.Add(time.Hour), false},
		{"another object", broke, "incident", "I-2", now, false},
		{"another kind", broke, "signal", "I-1", now, false},
		{"nobody", access.Actor{}, "incident", "I-1", now, false},
		{"another person", access.Actor{Partner: "p", Member: "n", Roles: access.Roles()}, "incident", "I-1", now, false},
		{"a token of the person", access.Actor{Partner: "p", Member: "m", Token: "t", Glass: broke.Glass}, "incident", "I-1", now, false},
	} {
		if got := hidden.Reads(c.a, c.kind, c.id, c.at); got != c.want {
			t.Errorf("%s: reads %t, want %t", c.name, got, c.want)
		}
		// What acts on an object asks Sees, which knows nothing of glass.
		if hidden.Sees(c.a) {
			t.Errorf("%s: a broken glass widened the audience", c.name)
		}
	}
}
