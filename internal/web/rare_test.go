package web_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/signal"
)

// view is a page as somebody opens it.
type view struct {
	name, who, path string
	base            string       // of another node
	once            bool         // like another one: looked at in one language
	then            func(b *tab) // leads on from there
}

// rare makes what few days have, and returns its pages: what two administrators
// decide, a partner that is deactivated, a use of break-glass, a first sign-in,
// and what stands behind the link of a message.
func (w *world) rare(t *testing.T) []view {
	t.Helper()
	ctx := context.Background()
	admin := []access.Role{access.Administrator, access.Officer, access.Observer}
	_, err := w.node.Partners.Add(ctx, w.shell, partner.NewPartner{Name: "Kabar", Kind: access.Platform, Country: "ID"})
	w.ok(err)
	kabar := w.enter(w.shell, "kabar", partner.NewMember{Partner: "kabar", Name: "Made", Roles: []access.Role{access.Officer, access.Analyst}})
	_, code, err := w.node.Partners.AddMember(ctx, w.shell, partner.NewMember{Partner: "secretariat", Name: "Rina", Email: "rina@example.org", Roles: []access.Role{access.Officer}})
	w.ok(err)
	enrol := func(name string) access.Actor { // only who has a key counts as a second person
		_, code, err := w.node.Partners.AddMember(ctx, w.shell, partner.NewMember{Partner: "secretariat", Name: strings.ToUpper(name[:1]) + name[1:], Email: name + "@example.org", Roles: admin})
		w.ok(err)
		en, err := w.node.Partners.Begin(ctx, code)
		w.ok(err)
		in, _, err := w.node.Partners.Enrol(ctx, code, "a short sentence is good", "a short sentence is good", onetime(t, en.Secret, 0), partner.Client{})
		w.ok(err)
		a, _, err := w.node.Partners.BySession(ctx, in.Key)
		w.ok(err)
		w.key[name], w.browser[name] = in.Key, w.client(in.Key)
		a.StepUp, a.For = time.Now(), access.AnyAction
		return a
	}
	lestari, putu := enrol("lestari"), enrol("putu")
	_, err = w.node.Signals.Propose(ctx, kabar, signal.Proposal{Kind: "sha256", Value: strings.Repeat("0f1e2d3c4b5a6978", 4), Labels: []string{"propaganda"}, Producer: "perpetrator", Action: signal.Review, TLP: "green"})
	w.ok(err)
	off, err := w.node.Partners.AskToDisable(ctx, lestari, "kabar", true, "Its keys were published, and it asks for this itself.")
	w.ok(err)
	_, _, err = w.node.Partners.Confirm(ctx, putu, off.ID)
	w.ok(err)
	open, err := w.node.Partners.AskToDisable(ctx, lestari, "warga", true, "Nobody there has answered for a year.")
	w.ok(err)
	member, err := w.node.Partners.AskForMember(ctx, lestari, partner.NewMember{Name: "Agus", Email: "agus@example.org", Roles: admin}, "He takes over from Eko in December.")
	w.ok(err)
	no := false
	red, err := w.node.Incidents.Notify(ctx, w.actor["platform"], incident.Notice{Title: "Only for us", Description: "a threat to one platform", Exercise: &no, TLP: "red", Partners: []string{"lensa"}})
	w.ok(err)
	_, err = w.node.Partners.BreakGlass(ctx, lestari, journal.Ref{Kind: "incident", ID: red.ID}, "The police ask whether it is the same man, and Lensa does not answer.")
	w.ok(err)

	// A public statement: its preview, how it waits, and one that was refused.
	say := incident.NewUpdate{Audience: "public", Texts: map[string]string{"en": "Stay away from the market", "id": "Jauhi pasar"}, Reason: "People ask where to go."}
	inc, err := w.node.Incidents.PostUpdate(ctx, w.actor["officer"], w.incident, say)
	w.ok(err)
	refused := "/incidents/" + w.incident + "/statements/" + strconv.Itoa(len(inc.Statements))
	_, err = w.node.Incidents.RefuseStatement(ctx, w.actor["officer"], w.incident, len(inc.Statements), "The police ask us to wait.")
	w.ok(err)
	inc, err = w.node.Incidents.PostUpdate(ctx, w.actor["officer"], w.incident, say)
	w.ok(err)
	waits := "/incidents/" + w.incident + "/statements/" + strconv.Itoa(len(inc.Statements))
	press := func(b *tab, sel string) {
		eval[bool](b, fmt.Sprintf(`setTimeout(() => document.querySelector(%q).click(), 0), document.documentElement.dataset.old = 1, true`, sel))
		b.until("the answer to "+sel, `document.documentElement?.dataset.old === undefined && document.readyState === "complete"`, 20*time.Second)
	}
	preview := func(b *tab) {
		eval[bool](b, `document.querySelector("input[value=public]").click(), document.querySelector("textarea[name=en]").value = "Stay away", true`)
		press(b, "button[value=preview]")
	}
	unsure := func(b *tab) { // without a reason and the digits
		preview(b)
		press(b, "button[value=send]")
	}
	reads := func(b *tab) { press(b, "button[value=show]") }

	c := newCalled(t)
	_, err = c.node.Incidents.Notify(ctx, c.nusa, incident.Notice{Title: "Attack on a market", Description: "people are hurt", Where: "Kota Seroja", Exercise: &no})
	w.ok(err)
	var link []string
	select {
	case body := <-c.texts:
		link = regexp.MustCompile(`/a/([0-9A-Z]{13})`).FindStringSubmatch(body)
	case <-time.After(20 * time.Second):
	}
	if link == nil {
		t.Fatal("no message with a link came")
	}
	server := httptest.NewServer(c.node.Handler())
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return []view{
		{name: "request-open", who: "putu", path: "/admin/requests/" + open.ID}, {name: "request-mine", who: "lestari", path: "/admin/requests/" + open.ID, once: true}, {name: "request-member", who: "putu", path: "/admin/requests/" + member.ID},
		{name: "request-confirmed", who: "lestari", path: "/admin/requests/" + off.ID, once: true}, {name: "partner-deactivated", who: "lestari", path: "/partners/kabar"}, {name: "partners-asked", who: "putu", path: "/partners", once: true},
		{name: "members-asked", who: "putu", path: "/admin/members", once: true}, {name: "asks-requests", who: "putu", path: "/asks", once: true}, {name: "glass-used", who: "lestari", path: "/admin/break-glass"}, {name: "glass-room", who: "lestari", path: "/incidents/" + red.ID, once: true},
		{name: "statement-preview", who: "officer", path: "/incidents/" + w.incident + "/updates/new", then: preview}, {name: "statement-mistakes", who: "officer", path: "/incidents/" + w.incident + "/updates/new", then: unsure},
		{name: "statement-mine", who: "officer", path: waits}, {name: "statement-second", who: "lestari", path: waits}, {name: "statement-refused", who: "officer", path: refused, once: true}, {name: "notice-readers", who: "officer", path: "/incidents/new", then: reads},
		{name: "first", who: "nobody", path: "/first/" + code}, {name: "ask", who: "nobody", path: link[0], base: strings.Replace(server.URL, "127.0.0.1", "localhost", 1)},
		{name: "denied", who: "observer", path: "/signals/new", once: true}, {name: "board-operator", who: "operator", path: "/", once: true}, {name: "health", who: "operator", path: "/admin/health", once: true},
	}
}

// unseen is every page that a browser does not show by itself, or that leads
// elsewhere at once.
var unseen = map[string]string{
	"GET /live": "a stream", "GET /incidents/{id}/matches.csv": "a file", "GET /protocols/{id}/file": "a file",
	"GET /public/feed.atom": "a file", "GET /public/status.json": "a file", "GET /public/status.dsse.json": "a file",
	"GET /oidc/start": "leads to a provider: see TestOIDC", "GET /oidc/callback": "leads on: see TestOIDC", "GET /open/{code}": "leads on", "GET /step-up": "leads back who has proved it: see TestStepUp",
}

// allVisited fails for each page of the table that is in no visited path.
func allVisited(t *testing.T, patterns []string, visited map[string]bool) {
	t.Helper()
	param := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	for _, p := range patterns {
		path, get := strings.CutPrefix(strings.TrimSuffix(p, "{$}"), "GET ")
		if !get || unseen[p] != "" {
			continue
		}
		like := regexp.MustCompile("^" + param.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		found := false
		for v := range visited {
			v, _, _ = strings.Cut(v, "?")
			found = found || like.MatchString(v)
		}
		if !found {
			t.Errorf("%s was not looked at: make it in rare, or say in unseen why a browser does not show it", p)
		}
	}
}
