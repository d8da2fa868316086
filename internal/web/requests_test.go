package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Two administrators add a partner by the pages, each with a proof of presence
// of their own, and both read the same.
func TestTwoPeopleAddAPartner(t *testing.T) {
	var off atomic.Int64 // the node's clock is ahead of the machine's
	w := newWorldWith(t, func(o *app.Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) } })
	ctx := t.Context()
	secret := map[string]string{}
	for _, name := range []string{"hana", "indra"} {
		shell := access.Actor{Partner: "warga", Shell: true, Roles: []access.Role{access.Administrator}}
		_, code, err := w.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: "warga", Name: strings.ToUpper(name[:1]) + name[1:], Email: name + "@warga.example", Roles: []access.Role{access.Administrator}})
		w.ok(err)
		en, err := w.node.Partners.Begin(ctx, code)
		w.ok(err)
		in, _, err := w.node.Partners.Enrol(ctx, code, "a short sentence is good", "a short sentence is good", onetime(t, en.Secret, -30*time.Second), partner.Client{})
		w.ok(err)
		w.browser[name], secret[name] = w.client(in.Key), en.Secret
	}
	// prove sends a form, and sends it on after the proof that it asks for.
	prove := func(who, path, action string, form url.Values, off time.Duration) page {
		t.Helper()
		p := w.post(who, path, form)
		if p.status != http.StatusForbidden {
			t.Fatalf("%s: %s without a proof: %d", who, path, p.status)
		}
		on := url.Values{}
		for _, n := range p.all("input", "name") {
			if attr(n, "type") == "hidden" {
				on.Add(attr(n, "name"), attr(n, "value"))
			}
		}
		if on.Get("_for") != action {
			t.Fatalf("%s: the proof is for %q", path, on.Get("_for"))
		}
		on.Set("_code", onetime(t, secret[who], off))
		return w.post(who, "/step-up", on)
	}
	const why = "Kabar joins after the agreement of 1 March"
	form := url.Values{"_key": {"k1"}, "name": {"Kabar " + hostile}, "kind": {"platform"}, "country": {"ID"}, "reason": {why}}
	p := prove("hana", "/partners/new", "partner.add", form, 0)
	checkPage(t, "asked", p)
	if p.status != http.StatusOK || !strings.HasPrefix(p.path, "/admin/requests/r1") || !strings.Contains(p.body, why) || strings.Contains(p.body, `value="confirm"`) {
		t.Fatalf("asked: %d at %s", p.status, p.path)
	}
	if q := w.get("indra", "/asks"); !strings.Contains(q.body, `href="/admin/requests/r1"`) {
		t.Error("the second administrator is not asked")
	}
	if q := w.get("hana", "/asks"); strings.Contains(q.body, `href="/admin/requests/r1"`) {
		t.Error("who asked is asked to confirm")
	}
	if q := w.get("officer", "/admin/requests/r1"); q.status != http.StatusNotFound {
		t.Errorf("another partner's administrator reads it: %d", q.status)
	}
	mine, theirs := w.get("hana", "/admin/requests/r1"), w.get("indra", "/admin/requests/r1")
	checkPage(t, "second", theirs)
	facts := func(p page) string {
		_, rest, _ := strings.Cut(p.body, `data-region="request"`)
		rest, _, ok := strings.Cut(rest, `Waits for a second administrator`)
		if !ok || !strings.Contains(rest, "Kabar") || !strings.Contains(rest, why) || !strings.Contains(rest, "Hana") {
			t.Fatalf("the page does not say all: %s", rest)
		}
		return rest
	}
	if facts(mine) != facts(theirs) {
		t.Error("the two read different things")
	}
	if p = prove("indra", "/admin/requests/r1", "request.confirm", url.Values{"_key": {"k2"}, "do": {"confirm"}}, 0); p.status != http.StatusOK || !strings.Contains(p.body, "Confirmed and done") {
		t.Fatalf("confirmed: %d at %s", p.status, p.path)
	}
	checkPage(t, "confirmed", p)
	if q := w.get("officer", "/partners"); !strings.Contains(q.body, "Kabar") {
		t.Error("the partner is not there")
	}
	if p = w.post("indra", "/admin/requests/r1", url.Values{"_key": {"k3"}, "do": {"confirm"}}); p.status != http.StatusForbidden {
		t.Errorf("confirmed twice with one proof: %d", p.status)
	}
	checkPage(t, "list", w.get("hana", "/partners"))

	// And two make an administrator, of one who is there and of one who is new.
	m, _, err := w.node.Partners.AddMember(ctx, access.Actor{Partner: "warga", Shell: true, Roles: []access.Role{access.Administrator}}, partner.NewMember{Partner: "warga", Name: "Joko", Email: "joko@warga.example", Roles: []access.Role{access.Analyst}})
	w.ok(err)
	// later lets the authenticators' codes pass, each of which serves once.
	later := func() { off.Add(int64(30 * time.Second)) }
	later()
	p = prove("hana", "/admin/members/"+m.ID, "member.manage", url.Values{"_key": {"k4"}, "do": {"roles"}, "roles": {"administrator", "analyst"}}, time.Duration(off.Load()))
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "the second administrator reads it") {
		t.Fatalf("without a reason: %d at %s", p.status, p.path)
	}
	checkPage(t, "reason", p)
	later()
	p = prove("hana", "/admin/members/"+m.ID, "member.manage", url.Values{"_key": {"k5"}, "do": {"roles"}, "roles": {"administrator", "analyst"}, "reason": {why}}, time.Duration(off.Load()))
	if p.status != http.StatusOK || p.path != "/admin/requests/r2?sent=request" || !strings.Contains(p.body, "Make") || !strings.Contains(p.body, "Joko") {
		t.Fatalf("asked for the role: %d at %s: %v", p.status, p.path, p.body)
	}
	checkPage(t, "role", p)
	p = prove("indra", "/admin/requests/r2", "request.confirm", url.Values{"_key": {"k6"}, "do": {"confirm"}}, time.Duration(off.Load()))
	if q := w.get("indra", "/admin/members/"+m.ID); p.status != http.StatusOK || !strings.Contains(q.body, `value="administrator" checked`) {
		t.Fatalf("the role was not given: %d at %s", p.status, p.path)
	}
	later()
	p = prove("hana", "/admin/members", "member.manage", url.Values{"_key": {"k7"}, "name": {"Kiki"}, "email": {"kiki@warga.example"}, "roles": {"administrator"}, "reason": {why}}, time.Duration(off.Load()))
	if p.status != http.StatusOK || p.path != "/admin/requests/r3?sent=request" || strings.Contains(p.body, "/first/") {
		t.Fatalf("asked for an administrator: %d at %s", p.status, p.path)
	}
	p = prove("indra", "/admin/requests/r3", "request.confirm", url.Values{"_key": {"k8"}, "do": {"confirm"}}, time.Duration(off.Load()))
	if p.status != http.StatusOK || !strings.Contains(p.body, "/first/") {
		t.Fatalf("the second person is not given the link: %d at %s", p.status, p.path)
	}
	checkPage(t, "invited", p)
	checkPage(t, "members", w.get("hana", "/admin/members"))
}
