package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// rights is every route of the interface and the row of the table of rights
// that stands before it, written a second time by hand. A route without a line
// here fails the test: who adds one says here who may use it. "a+b" needs both,
// asked in this order; after "|" stands what an edge needs instead.
const rights = `
GET  /api/v1/asks                                                        incident.read
GET  /api/v1/break-glass                                                 partner.read
GET  /api/v1/calls                                                       message.read
POST /api/v1/calls/answer                                                incident.acknowledge
GET  /api/v1/channels                                                    message.read
POST /api/v1/channels                                                    channel.manage
DELETE /api/v1/channels/{id}                                             channel.manage
POST /api/v1/channels/{id}/test                                          channel.manage
GET  /api/v1/duty                                                        duty.read
PUT  /api/v1/duty                                                        duty.manage
POST /api/v1/duty/handovers                                              duty.handover
POST /api/v1/duty/handovers/{id}                                         duty.handover
POST /api/v1/duty/overrides                                              duty.manage
DELETE /api/v1/duty/overrides/{id}                                       duty.manage
GET  /api/v1/edges                                                       edge.read
GET  /api/v1/health                                                      health.read
GET  /api/v1/groups/{id}                                                 signal.read
POST /api/v1/groups/{id}/approve                                         signal.decide
POST /api/v1/groups/{id}/resume                                          signal.decide
POST /api/v1/groups/{id}/suspend                                         signal.suspend
POST /api/v1/groups/{id}/variants                                        signal.variant|feed.variant
POST /api/v1/groups/{id}/withdraw                                        signal.withdraw
GET  /api/v1/health                                                      health.read
GET  /api/v1/incidents                                                   incident.read
POST /api/v1/incidents                                                   incident.notify
GET  /api/v1/incidents/{id}                                              incident.read
GET  /api/v1/incidents/{id}/acknowledgements                             incident.read
POST /api/v1/incidents/{id}/acknowledgements                             incident.acknowledge
POST /api/v1/incidents/{id}/activations                                  activation.vote
POST /api/v1/incidents/{id}/activations/{protocol}/call-partners         activation.propose
POST /api/v1/incidents/{id}/activations/{protocol}/conclude              activation.vote
POST /api/v1/incidents/{id}/activations/{protocol}/end-emergency         activation.propose
POST /api/v1/incidents/{id}/activations/{protocol}/file-review           activation.propose
POST /api/v1/incidents/{id}/activations/{protocol}/meet-clock            task.do
POST /api/v1/incidents/{id}/activations/{protocol}/propose-stand-down    activation.vote
POST /api/v1/incidents/{id}/activations/{protocol}/renew                 activation.vote
POST /api/v1/incidents/{id}/activations/{protocol}/report-task           task.do
POST /api/v1/incidents/{id}/activations/{protocol}/set-level             activation.propose
POST /api/v1/incidents/{id}/activations/{protocol}/stand-down/votes      activation.vote
POST /api/v1/incidents/{id}/activations/{protocol}/votes                 activation.vote
POST /api/v1/incidents/{id}/activations/{protocol}/withdraw-proposal     activation.propose
POST /api/v1/incidents/{id}/assessment                                   incident.assess
POST /api/v1/incidents/{id}/assets                                       asset.add
POST /api/v1/incidents/{id}/close                                        incident.assess
GET  /api/v1/incidents/{id}/draft                                        update.post
PUT  /api/v1/incidents/{id}/draft                                        update.post
POST /api/v1/incidents/{id}/handovers                                    update.post
POST /api/v1/incidents/{id}/handovers/{number}/accept                    update.post
POST /api/v1/incidents/{id}/handovers/{number}/take-back                 update.post
POST /api/v1/incidents/{id}/statements/{number}/confirm                  update.post
POST /api/v1/incidents/{id}/statements/{number}/refuse                   update.post
GET  /api/v1/incidents/{id}/matches                                      incident.read+signal.read
POST /api/v1/incidents/{id}/questions                                    question.ask
POST /api/v1/incidents/{id}/questions/{number}/answers                   question.ask
POST /api/v1/incidents/{id}/reopen                                       incident.assess
POST /api/v1/incidents/{id}/settlement                                   signal.decide
GET  /api/v1/incidents/{id}/timeline                                     incident.read
POST /api/v1/incidents/{id}/updates                                      update.post
GET  /api/v1/journal                                                     journal.read
GET  /api/v1/journal/{number}                                            journal.read
GET  /api/v1/me                                                          partner.read
PUT  /api/v1/me/check-word                                               channel.manage
GET  /api/v1/me/keys                                                     partner.read
PUT  /api/v1/me/profile                                                  profile.own
GET  /api/v1/me/sessions                                                 partner.read
POST /api/v1/me/sessions/{id}/end                                        profile.own
GET  /api/v1/me/tokens                                                   partner.read
GET  /api/v1/members                                                     partner.read
POST /api/v1/members                                                     member.manage
POST /api/v1/members/{id}                                                member.manage
POST /api/v1/members/{id}/invitation                                     member.manage
POST /api/v1/members/{id}/sessions/end                                   member.manage
GET  /api/v1/partners                                                    partner.read
POST /api/v1/partners                                                    partner.add
GET  /api/v1/requests                                                    member.read
POST /api/v1/partners/{id}/disable                                       partner.disable
POST /api/v1/partners/{id}/enable                                        partner.disable
POST /api/v1/requests                                                    member.manage
GET  /api/v1/requests/{id}                                               member.read
POST /api/v1/requests/{id}/confirm                                       request.confirm
POST /api/v1/requests/{id}/refuse                                        request.confirm
GET  /api/v1/partners/{id}                                               partner.read
POST /api/v1/protocol-check                                              incident.read
POST /api/v1/protocol-versions                                           activation.vote
POST /api/v1/protocol-versions/{id}/votes                                activation.vote
POST /api/v1/protocol-versions/{id}/withdraw                             activation.vote
GET  /api/v1/protocols                                                   incident.read
GET  /api/v1/protocols/{protocol}                                        incident.read
GET  /api/v1/protocols/{protocol}/diff                                   incident.read
GET  /api/v1/protocols/{protocol}/file                                   incident.read
GET  /api/v1/push-key                                                    message.read
GET  /api/v1/search                                                      partner.read
POST /api/v1/search                                                      partner.read
GET  /api/v1/sign-ins                                                    member.read
GET  /api/v1/signals                                                     signal.read
POST /api/v1/signals                                                     signal.propose
GET  /api/v1/signals/{id}                                                signal.read
POST /api/v1/signals/{id}/approve                                        signal.decide
POST /api/v1/signals/{id}/refuse                                         signal.decide
POST /api/v1/signals/{id}/resume                                         signal.decide
POST /api/v1/signals/{id}/suspend                                        signal.suspend
GET  /api/v1/signals/{id}/verdicts                                       signal.read
POST /api/v1/signals/{id}/withdraw                                       signal.withdraw
GET  /api/v1/tokens                                                      token.read
POST /api/v1/tokens                                                      token.manage
POST /api/v1/tokens/{id}/revoke                                          token.manage
`

// TestRights sends every request as every role of every kind of partner with
// every scope, and compares with the table of rights: who may not is told the
// right of the line and nothing else; who may never is.
func TestRights(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	shell := access.Actor{Partner: "secretariat", Kind: access.Intergovernmental, Shell: true, Roles: []access.Role{access.Administrator, access.Operator}}
	kinds := map[access.PartnerKind]string{access.Government: "nusa", access.CivilSociety: "warga"}
	if os.Getenv("SIAGA_TEST_LONG") != "" {
		p, err := n.Partners.Add(ctx, shell, partner.NewPartner{Name: "Kaji", Kind: access.Research, Country: "ID"})
		if err != nil {
			t.Fatal(err)
		}
		kinds[access.Platform], kinds[access.Research], kinds[access.Intergovernmental] = "lensa", p.ID, "secretariat"
	}
	type caller struct {
		actor access.Actor
		text  string
	}
	var callers []caller
	for kind, id := range kinds {
		for _, role := range access.Roles() {
			for _, scope := range access.TokenScopes() {
				tok, text, err := n.Partners.CreateToken(ctx, shell, partner.NewToken{Partner: id, Roles: []access.Role{role}, Scopes: []access.TokenScope{scope}})
				if err != nil {
					t.Fatal(err)
				}
				callers = append(callers, caller{access.Actor{Partner: id, Kind: kind, Roles: tok.Roles, Scopes: tok.Scopes, Token: tok.ID}, text})
			}
		}
	}

	var doc struct {
		Paths map[string]map[string]struct {
			Right string `json:"x-siaga-right"`
			Body  struct {
				Content map[string]struct {
					Schema schema `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	n.send(t, "", http.MethodGet, "/api/v1/openapi.json", "").into(t, &doc)
	want := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(rights)) {
		f := strings.Fields(line)
		want[f[0]+" "+f[1]] = f[2]
	}
	requests := 0
	ask := func(route, body, text string) (int, string) {
		requests++
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{id}", "none", "{protocol}", "sea-crp", "{number}", "1").Replace(path)
		if strings.HasSuffix(path, "/search") {
			path += "?q=x"
		}
		r := httptest.NewRequestWithContext(ctx, method, "http://localhost"+path, strings.NewReader(body))
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", requests%250) // nobody has a budget by address
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if text != "" {
			r.Header.Set("Authorization", "Bearer "+text)
		}
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, r)
		var p problemJSON
		_ = json.Unmarshal(w.Body.Bytes(), &p) // a list has no detail
		return w.Code, p.Detail
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			route := strings.ToUpper(method) + " " + path
			right, ok := want[route]
			if !ok {
				t.Errorf("%s is new: write into rights of this test who may use it (it says %s)", route, op.Right)
				continue
			}
			delete(want, route)
			rule, forEdges, _ := strings.Cut(right, "|")
			if all := strings.Split(rule, "+"); op.Right != all[len(all)-1] {
				t.Errorf("%s says that its right is %s, and this test %s", route, op.Right, right)
			}
			body := ""
			if c, ok := op.Body.Content["application/json"]; ok {
				b, err := json.Marshal(c.Schema.example(doc.Components.Schemas))
				if err != nil {
					t.Fatal(err)
				}
				body = string(b)
			}
			if status, _ := ask(route, body, ""); status != http.StatusUnauthorized {
				t.Errorf("%s answers nobody with %d", route, status)
			}
			for _, c := range callers {
				var err error
				needs := rule
				if forEdges != "" && c.actor.Has(access.Edge) {
					needs = forEdges
				}
				for _, do := range strings.Split(needs, "+") {
					if err == nil {
						err = access.Allow(c.actor, access.Action(do), time.Now())
					}
				}
				status, detail := ask(route, body, c.text)
				who := fmt.Sprintf("%s: %s of a %s partner with the scope %s", route, c.actor.Roles[0], c.actor.Kind, c.actor.Scopes[0])
				p, refused := errors.AsType[*problem.Error](err)
				switch {
				case refused && (status != http.StatusForbidden || detail != p.Detail):
					t.Errorf("%s: %d %q, want to be refused: %s", who, status, detail, p.Detail)
				case !refused && (status == http.StatusUnauthorized || status >= 500 || strings.Contains(detail, " is needed")):
					t.Errorf("%s: %d %q, want it to be let through", who, status, detail)
				}
			}
		}
	}
	for route := range want {
		t.Errorf("%s is in this test and not in the interface", route)
	}
	if requests < 60*len(callers) || !slices.ContainsFunc(callers, func(c caller) bool { return c.actor.Roles[0] == access.Edge }) {
		t.Fatalf("only %d requests were made", requests)
	}
	t.Logf("%d requests by %d tokens", requests, len(callers))
}

// schema is the part of a JSON Schema that the smallest right body needs.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       any               `json:"type"`
	Required   []string          `json:"required"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	MinItems   int               `json:"minItems"`
	MinLength  int               `json:"minLength"`
	Enum       []any             `json:"enum"`
	Format     string            `json:"format"`
}

// example is the smallest value that the schema admits.
func (s schema) example(all map[string]schema) any {
	if s.Ref != "" {
		return all[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]].example(all)
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	typ, _ := s.Type.(string)
	if list, ok := s.Type.([]any); ok && len(list) > 0 {
		typ, _ = list[0].(string)
	}
	switch typ {
	case "object":
		out := map[string]any{}
		for _, name := range s.Required {
			out[name] = s.Properties[name].example(all)
		}
		return out
	case "array":
		out := []any{}
		for range max(s.MinItems, 0) {
			out = append(out, s.Items.example(all))
		}
		return out
	case "boolean":
		return true
	case "integer", "number":
		return 1
	}
	if s.Format == "date-time" {
		return "2026-03-02T14:41:00Z"
	}
	return strings.Repeat("x", max(s.MinLength, 1))
}
