package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
)

var update = flag.Bool("update", false, "write testdata/openapi.json anew")

// node is a real node over SQLite with partners of several kinds, reached over
// a socket as a partner's program reaches it.
type node struct {
	*app.Node
	tokens map[string]string // by the short name of the partner, and "lensa-observer"
}

var cheap = partner.Cost{MemoryKiB: 64, Passes: 1}

func newNode(t *testing.T) *node {
	t.Helper()
	data := filepath.Join(t.TempDir(), "d")
	made, err := app.Init(t.Context(), app.InitOptions{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n, err := app.New(ctx, app.Options{Data: data, Listen: "127.0.0.1:0", Cost: cheap})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	shell := partner.Shell(made.Partner)
	for _, p := range []partner.NewPartner{
		{Name: "Nusa", Kind: access.Government, Country: "ID"},
		{Name: "Lensa", Kind: access.Platform, Country: "ID"},
		{Name: "Gema", Kind: access.Platform, Country: "SG"},
		{Name: "Warga", Kind: access.CivilSociety, Country: "ID"},
	} {
		if _, err := n.Partners.Add(ctx, shell, p); err != nil {
			t.Fatal(err)
		}
	}
	all := []access.Role{access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}
	w := &node{Node: n, tokens: map[string]string{}}
	for _, k := range []struct {
		name, partner string
		roles         []access.Role
	}{
		{"nusa", "nusa", all},
		{"lensa", "lensa", all},
		{"gema", "gema", all},
		{"warga", "warga", all},
		{"lensa-observer", "lensa", []access.Role{access.Observer}},
		{"lensa-analyst", "lensa", []access.Role{access.Analyst}},
	} {
		_, text, err := n.Partners.CreateToken(ctx, shell, partner.NewToken{Partner: k.partner, Name: k.name, Roles: k.roles})
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[k.name] = text
	}
	return w
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("the answer is not JSON: %v\n%s", err, a.body)
	}
}

// send makes one request. who is a name of node.tokens, "" for nobody, or a
// whole Authorization header.
func (n *node) send(t *testing.T, who, method, path, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if text, ok := n.tokens[who]; ok {
		req.Header.Set("Authorization", "Bearer "+text)
	} else if who != "" {
		req.Header.Set("Authorization", who)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

type object struct {
	ID          string   `json:"id"`
	State       string   `json:"state"`
	Action      string   `json:"action"`
	ApprovedBy  []string `json:"approved_by"`
	Activations []struct {
		Protocol string `json:"protocol"`
		State    string `json:"state"`
	} `json:"activations"`
	Advice struct {
		Level string `json:"level"`
	} `json:"advice"`
	Updates []json.RawMessage `json:"updates"`
}

// must makes a request that has to succeed with the status.
func (n *node) must(t *testing.T, who, path, body string, status int) object {
	t.Helper()
	a := n.send(t, who, http.MethodPost, "/api/v1"+path, body)
	if a.status != status {
		t.Fatalf("POST %s as %s: %d, want %d\n%s", path, who, a.status, status, a.body)
	}
	var o object
	a.into(t, &o)
	return o
}

const notice = `{"title":"An attack on a market","description":"A man streams an attack on a market.","where":"Kota Seroja","country":"ID","live":"yes","more_expected":true,"exercise":false}`

const answers = `{"answers":[
	{"criterion":"real_world_attack","answer":"yes","evidence":"confirmed by the police"},
	{"criterion":"perpetrator_content","answer":"yes","evidence":"filmed from his helmet"},
	{"criterion":"spread","answer":"one_service","evidence":"seen on Lensa"},
	{"criterion":"threat_to_life","answer":"high_specific","evidence":"names a second place"}]}`

// proposal is a signal's proposal whose fingerprint ends in the digit.
func proposal(incident string, digit int) string {
	in := ""
	if incident != "" {
		in = `"incident":"` + incident + `",`
	}
	return fmt.Sprintf(`{%s"kind":"sha256","value":"%064x","labels":["propaganda"],"producer":"perpetrator","action":"block","confidence":"high","tlp":"amber"}`, in, digit+1)
}

func TestOpenAPI(t *testing.T) {
	n := newNode(t)
	a := n.send(t, "", http.MethodGet, "/api/v1/openapi.json", "")
	if a.status != http.StatusOK {
		t.Fatalf("GET openapi.json: %d\n%s", a.status, a.body)
	}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Info    struct {
			Version string `json:"version"`
		} `json:"info"`
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string `json:"summary"`
			Right       string `json:"x-siaga-right"`
		} `json:"paths"`
	}
	a.into(t, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi is %q, want 3.1", doc.OpenAPI)
	}
	if doc.Info.Version != api.Version {
		t.Errorf("info.version is %q, want %q", doc.Info.Version, api.Version)
	}
	rights := map[string]bool{}
	for _, r := range access.Rules() {
		rights[string(r.Action)] = true
	}
	ids := map[string]string{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			where := strings.ToUpper(method) + " " + path
			if !rights[op.Right] {
				t.Errorf("%s: x-siaga-right is %q, which is not in the table of rights", where, op.Right)
			}
			if op.Summary == "" {
				t.Errorf("%s has no summary", where)
			}
			if was, ok := ids[op.OperationID]; ok || op.OperationID == "" {
				t.Errorf("%s: its operationId %q is empty or also that of %s", where, op.OperationID, was)
			}
			ids[op.OperationID] = where
			// What the file names is there: never huma's or the mux's own 404 or 405.
			r := n.send(t, "", strings.ToUpper(method), strings.NewReplacer("{id}", "x", "{protocol}", "sea-crp").Replace(path), "{}")
			if r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed || r.status >= 500 {
				t.Errorf("%s is in the file and answers %d to nobody: %s", where, r.status, r.body)
			}
		}
	}
	for _, promised := range []string{
		"POST /api/v1/incidents", "GET /api/v1/incidents/{id}", "GET /api/v1/incidents/{id}/timeline",
		"POST /api/v1/incidents/{id}/assessment", "POST /api/v1/incidents/{id}/activations",
		"POST /api/v1/incidents/{id}/activations/{protocol}/votes", "POST /api/v1/incidents/{id}/updates",
		"POST /api/v1/signals", "GET /api/v1/signals/{id}", "POST /api/v1/signals/{id}/approve",
		"POST /api/v1/signals/{id}/refuse", "POST /api/v1/signals/{id}/suspend", "POST /api/v1/signals/{id}/resume",
		"POST /api/v1/signals/{id}/withdraw", "GET /api/v1/edges",
	} {
		method, path, _ := strings.Cut(promised, " ")
		if _, ok := doc.Paths[path][strings.ToLower(method)]; !ok {
			t.Errorf("%s is not in the file", promised)
		}
	}

	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(a.body), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(pretty.String(), "\n")); diff != "" {
		t.Errorf("the interface is not the one of testdata/openapi.json any more.\n"+
			"A change that an older client could notice needs a new api.Version (now %s); then run\n"+
			"  go test ./internal/api -run TestOpenAPI -update\n(-file +interface):\n%s", api.Version, diff)
	}
}

type problemJSON struct {
	Type    string   `json:"type"`
	Title   string   `json:"title"`
	Status  int      `json:"status"`
	Detail  string   `json:"detail"`
	Fix     string   `json:"fix"`
	Allowed []string `json:"allowed"`
}

func TestProblems(t *testing.T) {
	n := newNode(t)
	inc := n.must(t, "lensa", "/incidents", notice, http.StatusCreated)
	base := "/api/v1/incidents/" + inc.ID
	n.must(t, "nusa", "/incidents/"+inc.ID+"/assessment", answers, http.StatusOK)
	n.must(t, "nusa", "/incidents/"+inc.ID+"/activations", `{"protocol":"sea-crp","level":"crisis","reason":"live"}`, http.StatusCreated)
	sig := n.must(t, "lensa", "/signals", proposal("", 900), http.StatusCreated)
	votes := base + "/activations/sea-crp/votes"
	const get, post = http.MethodGet, http.MethodPost

	for _, c := range []struct {
		name, who, method, path, body string
		status                        int
		typ                           string
		says                          string // in the detail
		allowed                       []string
	}{
		{"no token", "", get, "/api/v1/incidents", "", 401, "sign_in", "signed in", nil},
		{"no token to write", "", post, "/api/v1/incidents", notice, 401, "sign_in", "signed in", nil},
		{"unknown token", "Bearer siaga_00000000000000000000000000000000", get, "/api/v1/incidents", "", 401, "sign_in", "token", nil},
		{"not a token", "Bearer x", get, "/api/v1/incidents", "", 401, "sign_in", "token", nil},
		{"another scheme", "Basic dXNlcjpwYXNz", get, "/api/v1/incidents", "", 401, "sign_in", "token", nil},
		{"unknown incident", "nusa", get, "/api/v1/incidents/IDN-2026-9999", "", 404, "not_found", "IDN-2026-9999", nil},
		{"unknown signal", "nusa", get, "/api/v1/signals/S-9999", "", 404, "not_found", "S-9999", nil},
		{"unknown partner", "nusa", get, "/api/v1/partners/nobody", "", 404, "not_found", "nobody", nil},
		{"unknown protocol", "nusa", post, base + "/activations", `{"protocol":"nothing","reason":"x"}`, 404, "not_found", "nothing", nil},
		{"malformed", "nusa", post, "/api/v1/incidents", `{"title":`, 400, "invalid", "", nil},
		{"wrong type", "nusa", post, "/api/v1/incidents", `{"title":7,"exercise":false}`, 422, "invalid", "title", nil},
		{"unknown field", "nusa", post, "/api/v1/incidents", `{"titel":"x","description":"An attack.","exercise":false}`, 422, "invalid", "titel", nil},
		{"exercise not chosen", "nusa", post, "/api/v1/incidents", `{"description":"An attack."}`, 422, "invalid", "exercise", nil},
		{"NUL byte", "nusa", post, "/api/v1/incidents", "{\"title\":\"a\x00b\"}", 422, "invalid", "NUL", nil},
		{"too large", "nusa", post, "/api/v1/incidents", `{"title":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "too_large", "1 MiB", nil},
		{"a cursor of nobody", "nusa", get, "/api/v1/signals?cursor=AAAA", "", 422, "invalid", "cursor", nil},
		{"bytes that are not UTF-8", "nusa", post, "/api/v1/incidents/" + inc.ID + "/updates", "{\"texts\":{\"en\":\"a\xff\"}}", 422, "invalid", "UTF-8", nil},
		{"a language that there is not", "nusa", post, "/api/v1/incidents/" + inc.ID + "/updates", `{"texts":{"en":"a","` + strings.Repeat("x", 100_000) + `":"b"}}`, 422, "invalid", "20 languages", nil},
		{"a draft in such a one", "nusa", http.MethodPut, "/api/v1/incidents/" + inc.ID + "/draft", `{"texts":{"not a language":"b"}}`, 422, "invalid", "20 languages", nil},
		{"seen in the year 1", "nusa", post, "/api/v1/incidents", strings.Replace(notice, "{", `{"seen_at":"0001-01-01T00:00:00Z",`, 1), 422, "invalid", "2000", nil},
		{"limit out of range", "nusa", get, "/api/v1/signals?limit=100000", "", 422, "invalid", "limit", nil},
		{"foreign cursor", "nusa", get, "/api/v1/incidents?cursor=%25%25", "", 422, "invalid", "cursor", nil},
		{"voting twice", "nusa", post, votes, `{"vote":"yes"}`, 409, "conflict", "", nil},
		{"voting without the role", "lensa-observer", post, votes, `{"vote":"yes"}`, 403, "denied", "officer", nil},
		{"voting as civil society", "warga", post, votes, `{"vote":"yes"}`, 403, "denied", "government", nil},
		{"deciding on one's own proposal", "lensa", post, "/api/v1/signals/" + sig.ID + "/approve", `{}`, 403, "denied", "another partner", nil},
		{"resuming what never ran", "nusa", post, "/api/v1/signals/" + sig.ID + "/resume", `{}`, 409, "conflict", "proposed", []string{"approve", "refuse", "withdraw"}},
		{"the same fingerprint again", "gema", post, "/api/v1/signals", proposal("", 900), 409, "conflict", sig.ID, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := n.send(t, c.who, c.method, c.path, c.body)
			if got := a.header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			var p problemJSON
			a.into(t, &p)
			if a.status != c.status || p.Status != c.status || p.Type != c.typ {
				t.Errorf("status %d (%d in the body), type %q; want %d, %q\n%s", a.status, p.Status, p.Type, c.status, c.typ, a.body)
			}
			if p.Detail == "" || p.Fix == "" || p.Title == "" || !strings.Contains(p.Detail, c.says) {
				t.Errorf("detail %q (must say %q), fix %q, title %q", p.Detail, c.says, p.Fix, p.Title)
			}
			if got := a.header.Get("WWW-Authenticate"); (got != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q with %d", got, c.status)
			}
			if c.allowed != nil {
				if diff := cmp.Diff(c.allowed, p.Allowed); diff != "" {
					t.Errorf("allowed (-want +got):\n%s", diff)
				}
			}
		})
	}
	// A step of an activation that its state does not know lists what it does.
	a := n.send(t, "nusa", post, base+"/activations/sea-crp/conclude", `{"reason":"over"}`)
	var p problemJSON
	a.into(t, &p)
	if a.status != http.StatusConflict || len(p.Allowed) == 0 || slices.Contains(p.Allowed, "conclude") {
		t.Errorf("concluding a proposed activation: %d\n%s", a.status, a.body)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	// A partner without members, signals, edges or anything else.
	_, text, err := n.Partners.CreateToken(ctx, partner.Shell(partner.Partner{ID: "nusa", Kind: access.Government, Country: "ID"}), partner.NewToken{
		Partner: "nusa", Roles: slices.DeleteFunc(access.Roles(), access.Role.Machine),
	})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	n.send(t, "", http.MethodGet, "/api/v1/openapi.json", "").into(t, &doc)
	lists := 0
	walk := func(id string) {
		for path, methods := range doc.Paths {
			if methods["get"] == nil {
				continue
			}
			path = strings.NewReplacer("{id}", id, "{protocol}", "sea-crp").Replace(path)
			a := n.send(t, "Bearer "+text, http.MethodGet, path+"?q=nothing-has-this-name", "")
			var got map[string]json.RawMessage
			if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got["items"] == nil && got["next"] == nil {
				continue
			}
			lists++
			if string(got["items"]) == "null" || got["items"] == nil {
				t.Errorf("GET %s: items is %s", path, got["items"])
			}
		}
	}
	walk("none")
	if lists < 12 {
		t.Errorf("only %d lists were read", lists)
	}
	for _, path := range []string{"incidents", "signals", "edges", "members", "break-glass"} {
		a := n.send(t, "nusa", http.MethodGet, "/api/v1/"+path, "")
		var got map[string]json.RawMessage
		a.into(t, &got)
		want := map[string]json.RawMessage{"items": json.RawMessage("[]"), "next": json.RawMessage(`""`)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s without any (-want +got):\n%s", path, diff)
		}
	}
	walk(n.must(t, "lensa", "/incidents", notice, http.StatusCreated).ID)
	for i := range 5 {
		n.must(t, "lensa", "/signals", proposal("", i), http.StatusCreated)
	}
	var ids []string
	path := "/api/v1/signals?limit=2"
	for next := ""; ; {
		var page struct {
			Items []object `json:"items"`
			Next  string   `json:"next"`
		}
		n.send(t, "nusa", http.MethodGet, path+next, "").into(t, &page)
		for _, o := range page.Items {
			ids = append(ids, o.ID)
		}
		if page.Next == "" {
			break
		}
		if len(ids) > 5 {
			t.Fatalf("the pages do not end: %v", ids)
		}
		next = "&cursor=" + page.Next
	}
	if diff := cmp.Diff([]string{"S-0005", "S-0004", "S-0003", "S-0002", "S-0001"}, ids); diff != "" {
		t.Errorf("signals over all pages (-want +got):\n%s", diff)
	}
}

func TestIdempotencyKey(t *testing.T) {
	n := newNode(t)
	const path = "/api/v1/incidents"
	first := n.send(t, "lensa", http.MethodPost, path, notice, "Idempotency-Key", "k1")
	if first.status != http.StatusCreated {
		t.Fatalf("%d\n%s", first.status, first.body)
	}
	again := n.send(t, "lensa", http.MethodPost, path, notice, "Idempotency-Key", "k1")
	if again.status != first.status || !bytes.Equal(again.body, first.body) {
		t.Errorf("the same key: %d, want %d and the same body\n%s\n%s", again.status, first.status, first.body, again.body)
	}
	other := n.send(t, "lensa", http.MethodPost, path, strings.Replace(notice, "market", "station", 1), "Idempotency-Key", "k1")
	var p problemJSON
	other.into(t, &p)
	if other.status != http.StatusConflict || p.Fix == "" {
		t.Errorf("the same key with another body: %d\n%s", other.status, other.body)
	}
	// It is of this request alone: elsewhere it is refused, and nothing is done.
	var made object
	first.into(t, &made)
	for _, x := range []struct{ method, path, body string }{
		{http.MethodPost, path + "/" + made.ID + "/acknowledgements", "{}"},
		{http.MethodPost, path + "?again=1", notice},
	} {
		if o := n.send(t, "lensa", x.method, x.path, x.body, "Idempotency-Key", "k1"); o.status != http.StatusConflict || !strings.Contains(string(o.body), "used for another request") {
			t.Errorf("the same key for %s: %d\n%s", x.path, o.status, o.body)
		}
	}
	// A key is the caller's own: another partner's request is another one.
	nusa := n.send(t, "nusa", http.MethodPost, path, notice, "Idempotency-Key", "k1")
	var a, b object
	first.into(t, &a)
	nusa.into(t, &b)
	if nusa.status != http.StatusCreated || a.ID == b.ID {
		t.Errorf("another partner's same key: %d, %s", nusa.status, b.ID)
	}
	var page struct {
		Items []object `json:"items"`
	}
	n.send(t, "nusa", http.MethodGet, path, "").into(t, &page)
	if len(page.Items) != 2 {
		t.Errorf("%d incidents, want 2", len(page.Items))
	}
	long := n.send(t, "lensa", http.MethodPost, path, notice, "Idempotency-Key", strings.Repeat("k", 201))
	if long.status != http.StatusUnprocessableEntity {
		t.Errorf("a key of 201 characters: %d", long.status)
	}
}

// TestFromNoticeToWithdrawal plays the main job through the interface alone.
func TestFromNoticeToWithdrawal(t *testing.T) {
	n := newNode(t)
	inc := n.must(t, "lensa", "/incidents", notice, http.StatusCreated)
	if inc.State != "notified" {
		t.Fatalf("a new incident is %s", inc.State)
	}
	base := "/incidents/" + inc.ID
	activation := func(o object) string {
		if len(o.Activations) != 1 || o.Activations[0].Protocol != "sea-crp" {
			t.Fatalf("activations: %+v", o.Activations)
		}
		return o.Activations[0].State
	}
	if o := n.must(t, "nusa", base+"/assessment", answers, http.StatusOK); o.State != "assessing" || o.Advice.Level != "content_incident" {
		t.Errorf("after the assessment: %s, advice %q", o.State, o.Advice.Level)
	}
	o := n.must(t, "nusa", base+"/activations", `{"protocol":"sea-crp","level":"crisis","reason":"live, a second place is named"}`, http.StatusCreated)
	if got := activation(o); got != "voting" {
		t.Errorf("after one yes the activation is %s", got)
	}
	o = n.must(t, "gema", base+"/activations/sea-crp/votes", `{"vote":"yes","reason":"copies reach us"}`, http.StatusOK)
	if got := activation(o); got != "active" || o.State != "open" {
		t.Errorf("after the second yes the activation is %s, the incident %s", got, o.State)
	}
	o = n.must(t, "nusa", base+"/updates", `{"audience":"partners","texts":{"en":"sea-crp is active.","id":"sea-crp aktif."}}`, http.StatusCreated)
	if len(o.Updates) != 1 {
		t.Errorf("%d updates", len(o.Updates))
	}
	sig := n.must(t, "lensa", "/signals", proposal(inc.ID, 7), http.StatusCreated)
	if sig.State != "proposed" {
		t.Errorf("a new signal is %s", sig.State)
	}
	at := "/signals/" + sig.ID
	for _, step := range []struct {
		who, verb, body, state, action string
	}{
		{"nusa", "approve", `{"reason":"the same picture"}`, "active", "block"},
		{"nusa", "suspend", `{"reason":"a doubt","reach":"everywhere"}`, "suspended", "block"},
		{"gema", "resume", `{"reason":"checked"}`, "active", "block"},
		{"nusa", "withdraw", `{"reason":"a mistake"}`, "withdrawn", "block"},
	} {
		o := n.must(t, step.who, at+"/"+step.verb, step.body, http.StatusOK)
		if o.State != step.state || o.Action != step.action {
			t.Errorf("after %s: %s, %s; want %s, %s", step.verb, o.State, o.Action, step.state, step.action)
		}
	}
	var got object
	n.send(t, "gema", http.MethodGet, "/api/v1"+at, "").into(t, &got)
	if got.State != "withdrawn" {
		t.Errorf("read again, the signal is %s", got.State)
	}
	if a := n.send(t, "warga", http.MethodGet, "/api/v1"+at, ""); a.status != http.StatusNotFound {
		t.Errorf("civil society reads an amber signal: %d", a.status)
	}
	a := n.send(t, "nusa", http.MethodPost, "/api/v1"+at+"/resume", `{}`)
	if a.status != http.StatusConflict {
		t.Errorf("resuming a withdrawn signal: %d", a.status)
	}
	var line struct {
		Items []struct {
			Number int64  `json:"number"`
			Type   string `json:"type"`
		} `json:"items"`
	}
	n.send(t, "nusa", http.MethodGet, "/api/v1"+base+"/timeline", "").into(t, &line)
	types, last := map[string]int{}, int64(1<<62)
	for _, e := range line.Items {
		types[e.Type]++
		if e.Number >= last {
			t.Errorf("entry %d follows %d: not newest first", e.Number, last)
		}
		last = e.Number
	}
	for _, typ := range []string{"activation.activated", "signal.proposed", "signal.approved", "signal.suspended", "signal.resumed", "signal.withdrawn"} {
		if types[typ] != 1 {
			t.Errorf("the timeline has %d of %s; all: %v", types[typ], typ, slices.Sorted(maps.Keys(types)))
		}
	}
	report, err := n.Log.Verify(t.Context(), journal.VerifyOptions{Feed: app.VerifyFeed()})
	if err != nil || report.Found != 0 {
		t.Errorf("verifying the journal: %v, %v", report.Faults, err)
	}
}
