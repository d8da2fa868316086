package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/web"
)

// rights is every page and form and what its reader needs: a row of the table
// of rights, "session" (anyone signed in) or "open" (anyone). Where a form's
// button decides, each stands on a line of its own. A route without a line
// fails the test: who adds one says here who may use it.
const rights = `
GET  /                                              session
GET  /asks                                          session
GET  /live                                          session
GET  /a/{code}                                      open
POST /a/{code}                                      open
GET  /duty                                          duty.read
POST /duty                                          duty.manage
GET  /messages                                      message.read
POST /messages                                      channel.manage

GET  /incidents                                     incident.read
GET  /incidents/new                                 incident.notify
POST /incidents/new                                 incident.notify
GET  /incidents/{id}                                incident.read
POST /incidents/{id}/acknowledge                    incident.acknowledge
GET  /incidents/{id}/acknowledgements               incident.read
GET  /incidents/{id}/assess                         incident.read
POST /incidents/{id}/assess                         incident.assess
GET  /incidents/{id}/activate                       incident.read
POST /incidents/{id}/activate                       activation.vote
GET  /incidents/{id}/activations/{protocol}         incident.read
POST /incidents/{id}/activations/{protocol}/vote    activation.vote
GET  /incidents/{id}/updates/new                    update.post
POST /incidents/{id}/updates/new                    update.post
GET  /incidents/{id}/assets/new                     incident.read
POST /incidents/{id}/assets/new                     asset.add
GET  /incidents/{id}/assets                         incident.read
GET  /incidents/{id}/signals                        incident.read
GET  /incidents/{id}/updates                        incident.read
GET  /incidents/{id}/statements/1                   incident.read
POST /incidents/{id}/statements/1                   update.post
GET  /incidents/{id}/tasks                          incident.read
POST /incidents/{id}/tasks                          task.do
GET  /incidents/{id}/questions                      incident.read
POST /incidents/{id}/questions                      question.ask
GET  /incidents/{id}/matches                        incident.read
GET  /incidents/{id}/matches.csv                    incident.read
GET  /incidents/{id}/handover                       incident.read
POST /incidents/{id}/handover                       update.post
GET  /incidents/{id}/brief                          incident.read
GET  /incidents/{id}/stand-down                     incident.read
POST /incidents/{id}/stand-down                     signal.decide
GET  /incidents/{id}/timeline                       incident.read
GET  /incidents/{id}/close                          incident.read
POST /incidents/{id}/close                          incident.assess

GET  /signals                                       signal.read
GET  /signals/new                                   signal.propose
POST /signals/new                                   signal.propose
GET  /signals/{id}                                  signal.read
GET  /signals/{id}/approve                          signal.read
POST /signals/{id}/approve                          signal.decide
POST /signals/{id}/suspend                          signal.decide
POST /signals/{id}/withdraw                         signal.withdraw
GET  /groups/{id}                                   signal.read
POST /groups/{id}/variants                          signal.variant
GET  /groups/{id}/approve                           signal.read
POST /groups/{id}/approve                           signal.decide

GET  /edges                                         edge.read
GET  /edges/new                                     token.read
POST /edges/new                                     token.manage
GET  /partners                                      partner.read
GET  /partners/new                                  partner.add
POST /partners/new                                  partner.add
GET  /partners/{id}                                 partner.read
POST /partners/{id}                                 partner.disable
GET  /admin/members                                 member.read
POST /admin/members                                 member.manage
GET  /admin/members/{id}                            member.read
POST /admin/members/{id}                            member.manage
GET  /admin/health                                  health.read
GET  /admin/tokens                                  token.read
POST /admin/tokens                                  token.manage
GET  /admin/requests/{id}                           member.read
POST /admin/requests/{id}                           request.confirm
GET  /admin/break-glass                             partner.read
POST /admin/break-glass                             access.break

GET  /protocols                                     incident.read
GET  /protocols/new                                 activation.vote
POST /protocols/new                                 activation.vote
GET  /protocols/{id}                                incident.read
GET  /protocols/{id}/diff                           incident.read
GET  /protocols/{id}/file                           incident.read
GET  /protocols/{id}/versions/{hash}                incident.read
POST /protocols/{id}/versions/{hash}/vote           activation.vote
GET  /journal                                       journal.read
GET  /journal/verify                                open
GET  /journal/{entry}                               journal.read

GET  /more                                          session
GET  /help                                          open
GET  /help/keys                                     open
GET  /glossary                                      open
GET  /search                                        partner.read
POST /search                                        partner.read
GET  /admin/health                                  health.read
GET  /public                                        open
GET  /public/feed.atom                              open
GET  /public/status.json                            open
GET  /public/status.dsse.json                       open
GET  /public/incidents/{id}                         open
GET  /public/verify                                 open
GET  /settings                                      open
POST /settings                                      open
GET  /settings/profile                              session
POST /settings/profile                              session
GET  /settings/keys                                 session
POST /settings/keys                                 key.change
GET  /sign-in                                       open
POST /sign-in                                       open
POST /sign-out                                      open
GET  /step-up                                       session
POST /step-up                                       session
GET  /first/{code}                                  open
POST /first/{code}                                  open
GET  /oidc/start                                    open
GET  /oidc/callback                                 open
GET  /open/{code}                                   open
GET  /no-such-page                                  open
`

// forms are what makes a form say what it is for. Suspending asks for reach
// everywhere, which approvers have.
var forms = map[string]url.Values{
	"/duty":               {"do": {"set"}},
	"/admin/members/{id}": {"do": {"roles"}, "roles": {"officer"}},
	"/settings/keys":      {"do": {"recovery"}},
	"/admin/break-glass":  {"object": {"IDN-2026-9999"}, "reason": {"x"}},
	"/incidents/{id}/activations/{protocol}/vote": {"vote": {"yes"}},
	"/signals/{id}/suspend":                       {"cause": {"benign"}, "reach": {"everywhere"}},
	"/protocols/{id}/versions/{hash}/vote":        {"vote": {"yes"}},
	"/partners/new":                               {"name": {""}},
	"/partners/{id}":                              {"do": {"disable"}},
	"/admin/requests/{id}":                        {"do": {"confirm"}},
	"/incidents/{id}/assess":                      {"a.spread": {"one_service"}, "e.spread": {"seen on Lensa"}},
	"/groups/{id}/variants":                       {"values": {`{"sha256":"` + strings.Repeat("0f1e2d3c4b5a6978", 4) + `"}`}},
	"/incidents/{id}/assets/new":                  {"kind": {"video"}},
	"/incidents/{id}/questions":                   {"do": {"ask"}},
	"/incidents/{id}/handover":                    {"do": {"offer"}},
	"/incidents/{id}/statements/1":                {"do": {"confirm"}},
}

// TestRights opens every page and sends every form as every role of two kinds
// of partner, with presence proved, and compares with the table of rights.
func TestRights(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	type reader struct {
		actor access.Actor
		key   string
	}
	var readers []reader
	for _, id := range []string{"nusa", "warga"} {
		for _, role := range partner.MemberRoles() {
			if id == "warga" && role != access.Officer && role != access.Observer && os.Getenv("SIAGA_TEST_LONG") == "" {
				continue
			}
			shell := access.Actor{Partner: id, Shell: true, Roles: []access.Role{access.Administrator}}
			m, _, err := w.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: id, Name: string(role), Email: string(role) + "@" + id + ".example", Roles: []access.Role{role}})
			w.ok(err)
			code, err := w.node.Partners.IssueOpen(ctx, m.ID, time.Hour)
			w.ok(err)
			key, err := w.node.Partners.Open(ctx, code)
			w.ok(err)
			a, _, err := w.node.Partners.BySession(ctx, key)
			w.ok(err)
			readers = append(readers, reader{a, key})
		}
	}
	requests := 0
	ask := func(method, path, key string) int {
		var form url.Values
		requests++
		body := ""
		if method == http.MethodPost {
			number := map[bool]string{true: w.incident, false: w.proposed}[strings.HasPrefix(path, "/incidents/")]
			if strings.HasPrefix(path, "/groups/") {
				number = w.signal
			} else if strings.HasPrefix(path, "/protocols/") {
				number = "0000"
			}
			form = url.Values{"_key": {fmt.Sprint("key ", requests)}, "digits": {number[len(number)-4:]}, "reason": {"to try it"}}
			for k, v := range forms[path] {
				form[k] = v
			}
			if form.Has("e.spread") { // an answer that changes nothing is none
				form.Set("e.spread", fmt.Sprint("seen ", requests))
			}
			body = form.Encode()
		}
		to := strings.NewReplacer("{protocol}", "sea-crp", "/protocols/{id}", "/protocols/sea-crp", "/partners/{id}", "/partners/nusa", "/signals/{id}", "/signals/"+w.proposed, "/groups/{id}", "/groups/G-1",
			"/admin/members/{id}", "/admin/members/m99", "{id}", w.incident, "{entry}", "3", "{hash}", strings.Repeat("0", 64), "{code}", "0000000000000").Replace(path)
		r := httptest.NewRequestWithContext(ctx, method, w.url+to, strings.NewReader(body))
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", requests%250)
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if key != "" {
			r.AddCookie(&http.Cookie{Name: web.SessionCookie, Value: key})
		}
		rec := httptest.NewRecorder()
		w.node.Handler().ServeHTTP(rec, r)
		return rec.Code
	}
	left := map[string]bool{}
	for _, p := range web.Patterns() {
		left[p] = true
	}
	param := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	for line := range strings.Lines(strings.TrimSpace(rights)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		method, path, right := f[0], f[1], f[2]
		found := path == "/no-such-page"
		for p := range left {
			m, pat, ok := strings.Cut(p, " ")
			if !ok || m != method {
				continue
			}
			pat = strings.TrimSuffix(pat, "{$}")
			if regexp.MustCompile("^" + param.ReplaceAllString(regexp.QuoteMeta(pat), "[^/]+") + "$").MatchString(path) {
				found, left[p] = true, false
			}
		}
		if !found {
			t.Errorf("%s %s is in this test and no page", method, path)
		}
		if path == "/live" { // a stream: see TestStreamsEndWithTheirRights
			continue
		}
		nobody := ask(method, path, "")
		if signIn := nobody == http.StatusSeeOther || nobody == http.StatusUnauthorized; right != "open" && !signIn {
			t.Errorf("%s %s answers nobody with %d", method, path, nobody)
		}
		var wrong []string
		for _, r := range readers {
			may := right == "open" || right == "session" || access.Allow(r.actor, access.Action(right), time.Now()) == nil
			got := ask(method, path, r.key)
			// What is not seen is not there, whoever asks.
			refused := got == http.StatusForbidden || (got == http.StatusNotFound && r.actor.Partner == "warga")
			if (may && got == http.StatusForbidden) || (!may && !refused) || got >= 500 {
				wrong = append(wrong, fmt.Sprintf("%s of %s: %d", r.actor.Roles[0], r.actor.Partner, got))
			}
		}
		if len(wrong) > 0 {
			t.Errorf("%s %s (%s): %s", method, path, right, strings.Join(wrong, ", "))
		}
	}
	for p, missing := range left {
		if missing && p != "/" {
			t.Errorf("%s is new: write into rights of this test who may open it", p)
		}
	}
	if requests < 70*len(readers) || !slices.ContainsFunc(readers, func(r reader) bool { return r.actor.Has(access.Operator) }) {
		t.Fatalf("only %d requests were made", requests)
	}
	t.Logf("%d requests by %d people", requests, len(readers))
}
