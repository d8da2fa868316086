package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// personal is every write that a token alone cannot carry out, because a
// person with a session or a second one does it, because it is about a member's
// channels and shifts, or because it writes nothing or sends a message.
const personal = `
POST /api/v1/partners
POST /api/v1/partners/{id}/disable
POST /api/v1/partners/{id}/enable
POST /api/v1/requests
POST /api/v1/requests/{id}/confirm
POST /api/v1/requests/{id}/refuse
POST /api/v1/me/sessions/{id}/end
POST /api/v1/duty/handovers
POST /api/v1/duty/handovers/{id}
POST /api/v1/incidents/{id}/handovers/{number}/accept
POST /api/v1/incidents/{id}/statements/{number}/confirm
POST /api/v1/incidents/{id}/statements/{number}/refuse
POST /api/v1/channels
POST /api/v1/channels/{id}/test
PUT /api/v1/duty
POST /api/v1/duty/overrides
POST /api/v1/protocol-check
POST /api/v1/search
POST /api/v1/calls/answer
PUT /api/v1/me/check-word
PUT /api/v1/me/profile
`

// alike is every write that goes through the same call as one that this test
// makes, from a state that takes a long story to reach: steps of an activation
// (Incidents.Act), of an incident, of the roster and of a channel.
const alike = `
POST /api/v1/incidents/{id}/activations/{protocol}/call-partners
POST /api/v1/incidents/{id}/activations/{protocol}/conclude
POST /api/v1/incidents/{id}/activations/{protocol}/end-emergency
POST /api/v1/incidents/{id}/activations/{protocol}/file-review
POST /api/v1/incidents/{id}/activations/{protocol}/meet-clock
POST /api/v1/incidents/{id}/activations/{protocol}/propose-stand-down
POST /api/v1/incidents/{id}/activations/{protocol}/renew
POST /api/v1/incidents/{id}/activations/{protocol}/report-task
POST /api/v1/incidents/{id}/activations/{protocol}/stand-down/votes
DELETE /api/v1/channels/{id}
DELETE /api/v1/duty/overrides/{id}
`

// TestEveryWriteHappensOnce makes each write of the interface twice with one
// Idempotency-Key. The second one writes no entry, and answers as the first
// did, or is a Conflict where the answer was a secret. A route that is neither
// here nor in personal fails the test.
func TestEveryWriteHappensOnce(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	shell := partner.Shell(partner.Partner{ID: "secretariat", Kind: access.Intergovernmental})
	for _, p := range []string{"lensa", "nusa"} {
		_, text, err := n.Partners.CreateToken(ctx, shell, partner.NewToken{
			Partner: p, Roles: []access.Role{access.Administrator, access.Officer, access.Approver, access.Analyst, access.Reviewer},
		})
		if err != nil {
			t.Fatal(err)
		}
		n.tokens[p+"-admin"] = text
	}
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	n.send(t, "", http.MethodGet, "/api/v1/openapi.json", "").into(t, &doc)
	left := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			if method != "get" {
				left[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	for line := range strings.Lines(strings.TrimSpace(personal + alike)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if !left[line] {
			t.Errorf("%s is in this test and not in the interface", line)
		}
		delete(left, line)
	}
	// size is how many entries were made by tokens: messages go out meanwhile,
	// and write their own.
	size := func() (made int) {
		err := n.Log.View(ctx, func(r journal.StoreReader) error {
			all, err := n.Log.Entries(r, journal.RowQuery{Limit: 10_000})
			for _, e := range all {
				if e.Token != "" {
					made++
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	keys := 0
	var last answer
	// do makes one write twice; args fill the route's {} in their order.
	do := func(who, route, body string, secret bool, args ...string) (o object) {
		t.Helper()
		if doc.Paths[route[strings.IndexByte(route, ' ')+1:]] == nil {
			t.Errorf("%s is in this test and not in the interface", route)
		}
		delete(left, route)
		method, path, _ := strings.Cut(route, " ")
		for _, a := range args {
			i, j := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
			path = path[:i] + a + path[j+1:]
		}
		keys++
		key := fmt.Sprintf("key-%d", keys)
		before := size()
		first := n.send(t, who, method, path, body, "Idempotency-Key", key)
		if first.status >= 300 {
			t.Fatalf("%s by %s: %d\n%s", route, who, first.status, first.body)
		}
		after := size()
		last = first
		again := n.send(t, who, method, path, body, "Idempotency-Key", key)
		switch {
		case size() != after:
			t.Errorf("%s wrote %d entries, and with the same key %d more", route, after-before, size()-after)
		case secret && again.status != http.StatusConflict:
			t.Errorf("%s shows a secret; with the same key it answers %d, want 409\n%s", route, again.status, again.body)
		case !secret && (again.status != first.status || !bytes.Equal(again.body, first.body)):
			t.Errorf("%s with the same key: %d, want %d and the same body\n%s\n%s", route, again.status, first.status, first.body, again.body)
		}
		if len(first.body) > 0 {
			first.into(t, &o)
		}
		return o
	}

	m := do("nusa-admin", "POST /api/v1/members", `{"name":"Budi","email":"budi@nusa.example","roles":["officer"],"partner":""}`, true)
	do("nusa-admin", "POST /api/v1/members/{id}/invitation", "", true, m.ID)
	do("nusa-admin", "POST /api/v1/members/{id}/sessions/end", "", false, m.ID)
	do("nusa-admin", "POST /api/v1/members/{id}", `{"roles":["analyst"]}`, false, m.ID)
	tok := do("nusa-admin", "POST /api/v1/tokens", `{"roles":["observer"],"scopes":["read"]}`, true)
	do("nusa-admin", "POST /api/v1/tokens/{id}/revoke", "", false, tok.ID)

	inc := do("lensa", "POST /api/v1/incidents", notice, false).ID
	const base = "POST /api/v1/incidents/{id}"
	do("nusa", base+"/acknowledgements", "", false, inc)
	do("nusa", base+"/assessment", answers, false, inc)
	do("nusa", base+"/assets", `{"kind":"video","text":"the stream","where":"https://lensa.example/live/9"}`, false, inc)
	do("nusa", base+"/questions", `{"text":"Is it over?","to":["lensa"]}`, false, inc)
	do("lensa", base+"/questions/{number}/answers", `{"text":"Since 14:36","settles":true}`, false, inc, "1")
	do("nusa", "PUT /api/v1/incidents/{id}/draft", `{"texts":{"en":"Half"}}`, false, inc)
	do("nusa", base+"/updates", `{"texts":{"en":"First news"}}`, false, inc)
	const run = base + "/activations"
	do("nusa", run, `{"protocol":"sea-crp","level":"crisis","reason":"a rumour"}`, false, inc)
	do("nusa", run+"/{protocol}/withdraw-proposal", `{"reason":"too early"}`, false, inc, "sea-crp")
	do("nusa", run, `{"protocol":"sea-crp","level":"crisis","reason":"live"}`, false, inc)
	do("gema", run+"/{protocol}/votes", `{"vote":"yes","reason":"copies reach us"}`, false, inc, "sea-crp")
	do("nusa", run+"/{protocol}/set-level", `{"level":"content_incident","reason":"it is over"}`, false, inc, "sea-crp")
	do("nusa", base+"/handovers", `{"protocol":"sea-crp","to":"gema","note":"all is quiet"}`, false, inc)
	do("nusa", base+"/handovers/{number}/take-back", "", false, inc, "1")

	sig := do("lensa", "POST /api/v1/signals", proposal(inc, 1), false).ID
	const signals = "POST /api/v1/signals/{id}/"
	do("nusa", signals+"approve", `{"reason":"the same"}`, false, sig)
	do("nusa", signals+"suspend", `{"reason":"a doubt","reach":"everywhere"}`, false, sig)
	do("gema", signals+"resume", `{"reason":"checked"}`, false, sig)
	do("nusa", signals+"withdraw", `{"reason":"a mistake"}`, false, sig)
	sig = do("lensa", "POST /api/v1/signals", proposal(inc, 2), false).ID
	do("nusa", signals+"refuse", `{"reason":"another picture"}`, false, sig)
	n.original(t, inc, "G-1", 3)
	const groups = "POST /api/v1/groups/{id}/"
	do("gema", groups+"variants", variantOf(5), false, "G-1")
	do("nusa", groups+"suspend", `{"reason":"a doubt","reach":"everywhere"}`, false, "G-1")
	do("gema", groups+"resume", `{}`, false, "G-1")
	do("gema", groups+"variants", variantOf(6), false, "G-1")
	do("nusa", groups+"approve", `{}`, false, "G-1")
	do("nusa", groups+"withdraw", `{"reason":"satire"}`, false, "G-1")
	sig = do("lensa", "POST /api/v1/signals", proposal(inc, 8), false).ID
	do("nusa", signals+"approve", `{}`, false, sig)
	do("nusa", base+"/settlement", fmt.Sprintf(`{"signals":[{"signal":%q}],"reason":"it is over"}`, sig), false, inc)
	rumour := do("nusa", "POST /api/v1/incidents", notice, false).ID
	do("nusa", base+"/close", `{"reason":"a rumour"}`, false, rumour)
	do("nusa", base+"/reopen", `{"reason":"it is none"}`, false, rumour)

	def, err := protocol.Lookup("sea-crp")
	if err != nil {
		t.Fatal(err)
	}
	for i, due := range []string{"12m", "14m"} {
		next := strings.Replace(string(def.Source), "version: 1.0.0", fmt.Sprintf("version: 1.0.%d", i+1), 1)
		var v struct {
			Hash string `json:"hash"`
		}
		do("nusa", "POST /api/v1/protocol-versions", string(must(json.Marshal(map[string]string{"source": strings.Replace(next, "due: 10m", "due: "+due, 1), "reason": "shorter"}))), false)
		last.into(t, &v)
		if i == 0 {
			do("nusa", "POST /api/v1/protocol-versions/{id}/withdraw", `{"reason":"too short"}`, false, v.Hash)
			continue
		}
		do("gema", "POST /api/v1/protocol-versions/{id}/votes", `{"vote":"yes"}`, false, v.Hash)
	}
	for route := range left {
		t.Errorf("%s is written by no line of this test", route)
	}
	t.Logf("%d writes", keys)
}
