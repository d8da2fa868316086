package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Two administrators add a partner by the pages, each with a proof of presence
// of their own, and both read the same.
func TestTwoPeopleAddAPartner(t *testing.T) {
	w := newWorld(t)
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
	if p = prove("indra", "/admin/requests/r1", "request.confirm", url.Values{"_key": {"k2"}, "do": {"confirm"}}, 0); p.status != http.StatusOK || !strings.Contains(p.body, "The partner was added") {
		t.Fatalf("confirmed: %d at %s", p.status, p.path)
	}
	checkPage(t, "confirmed", p)
	if q := w.get("officer", "/partners"); !strings.Contains(q.body, "Kabar") {
		t.Error("the partner is not there")
	}
	if p = w.post("indra", "/admin/requests/r1", url.Values{"_key": {"k3"}, "do": {"confirm"}}); p.status != http.StatusConflict {
		t.Errorf("confirmed twice: %d", p.status)
	}
	checkPage(t, "list", w.get("hana", "/partners"))
}
