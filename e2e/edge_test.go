package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEdge follows one edge through its life: a signal becomes active, the node
// goes away, the edge starts again without it, a signal is withdrawn while the
// edge is away, and the edge's token is revoked.
func TestEdge(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for some seconds")
	}
	dir := t.TempDir()
	data, edgeData, tokenFile := filepath.Join(dir, "data"), filepath.Join(dir, "edge"), filepath.Join(dir, "edge.token")
	listen := freePort(t)
	run(t, "init", "--data", data, "--partner", "Nusa", "--kind", "government")
	serve := func() *process {
		return start(t, "address", "serve", "--data", data, "--listen", listen, "--log", "error")
	}
	node := serve()
	token := func(partner, roles string) string {
		return strings.TrimSpace(run(t, "token", "create", "--data", data, "--partner", partner, "--roles", roles, "--name", partner+"-1"))
	}
	api := node.url + "/api/v1"
	for _, name := range []string{"Lensa", "Gema"} {
		run(t, "partner", "add", "--data", data, "--name", name, "--kind", "platform", "--country", "ID")
	}
	const all = "officer,analyst,approver,observer"
	nusa, lensa, gema := token("nusa", all), token("lensa", all), token("gema", all)
	if err := os.WriteFile(tokenFile, []byte(token("lensa", "edge")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	type object struct {
		ID, State, Action string
	}
	inc := must[object](t, http.MethodPost, api+"/incidents", lensa, map[string]any{
		"description": "A man streams an attack on a market.", "where": "Kota Seroja", "live": "yes", "exercise": false,
	})
	must[object](t, http.MethodPost, api+"/incidents/"+inc.ID+"/activations", nusa, map[string]any{"protocol": "sea-crp", "level": "crisis", "reason": "live"})
	must[object](t, http.MethodPost, api+"/incidents/"+inc.ID+"/activations/sea-crp/votes", gema, map[string]any{"vote": "yes"})
	value := func(n int) string { return fmt.Sprintf("%064x", n) }
	var signals [3]string
	for i := range signals {
		s := must[object](t, http.MethodPost, api+"/signals", lensa, map[string]any{
			"incident": inc.ID, "kind": "sha256", "value": value(i + 1), "labels": []string{"propaganda"},
			"producer": "perpetrator", "action": "block", "confidence": "high",
		})
		if s = must[object](t, http.MethodPost, api+"/signals/"+s.ID+"/approve", nusa, map[string]any{}); s.State != "active" || s.Action != "block" {
			t.Fatalf("after its approval the signal is %s, %s", s.State, s.Action)
		}
		signals[i] = s.ID
	}

	type answer struct {
		Answer  string
		Results []struct {
			Matches []struct{ Signal, Action string }
		}
		Feed struct {
			AgeMS int64 `json:"age_ms"`
			Stale bool
		}
	}
	follow := func() *process {
		return start(t, "edge", "edge", "--upstream", "http://"+listen, "--token-file", tokenFile, "--data", edgeData, "--listen", "127.0.0.1:0", "--log", "error")
	}
	ask := func(e *process, n int) answer {
		t.Helper()
		var a answer
		code, err := call(t.Context(), http.MethodPost, e.url+"/v1/match", "", "", map[string]any{"kind": "sha256", "value": value(n)}, &a)
		if err != nil && code != http.StatusServiceUnavailable { // 503 until it has signals
			t.Fatal(err)
		}
		return a
	}
	blocks := func(e *process, n int, signal string) bool {
		t.Helper()
		a := ask(e, n)
		return a.Answer == "match" && len(a.Results) == 1 && len(a.Results[0].Matches) == 1 &&
			a.Results[0].Matches[0].Signal == signal && a.Results[0].Matches[0].Action == "block"
	}
	type status struct {
		Signals   int
		Connected bool
		Durable   bool
		Alarms    []struct{ Kind, Detail string }
		Feed      struct {
			AgeMS int64 `json:"age_ms"`
		}
	}
	ofEdge := func(e *process) status {
		t.Helper()
		return must[status](t, http.MethodGet, e.url+"/v1/status", "", nil)
	}
	all3 := func(e *process) func() bool {
		return func() bool {
			return blocks(e, 1, signals[0]) && blocks(e, 2, signals[1]) && blocks(e, 3, signals[2])
		}
	}

	// 1. It follows, and blocks what was approved.
	e := follow()
	within(t, 10*time.Second, "the edge blocks all approved signals", all3(e))
	if a := ask(e, 99); a.Answer != "no_match" {
		t.Errorf("another value: %+v", a)
	}
	within(t, 10*time.Second, "what the edge knows is on its disk", func() bool { return ofEdge(e).Durable })

	// 2. Node and edge die; the edge starts alone, answers from its own snapshot
	// at once, and says how old that is.
	node.kill()
	died := time.Now()
	e.kill()
	e = follow()
	if !all3(e)() {
		t.Fatalf("without its node the edge answers %+v, %+v", ask(e, 1), ofEdge(e))
	}
	if st := ofEdge(e); st.Connected || st.Signals != 3 {
		t.Errorf("without its node: %+v", st)
	}
	before := ask(e, 1).Feed.AgeMS
	if least := time.Since(died).Milliseconds() - 50; before < least {
		t.Errorf("the feed's age is said to be %d ms, the node died %d ms ago", before, least)
	}
	within(t, 5*time.Second, "the age grows", func() bool { return ask(e, 1).Feed.AgeMS >= before+20 })

	// 3. A signal is withdrawn while the edge is away; once it is back, it
	// stops matching within a second.
	e.kill()
	node = serve()
	if s := must[object](t, http.MethodPost, api+"/signals/"+signals[0]+"/withdraw", nusa, map[string]any{"reason": "a mistake"}); s.State != "withdrawn" {
		t.Fatalf("the signal is %s", s.State)
	}
	e = follow()
	took := within(t, time.Second, "a signal withdrawn meanwhile no longer matches", func() bool { return ask(e, 1).Answer == "no_match" })
	if !blocks(e, 2, signals[1]) || !blocks(e, 3, signals[2]) {
		t.Error("the other signals are gone as well")
	}

	// 4. The node dies under a running edge, comes back, and the edge follows
	// again by itself.
	node.kill()
	within(t, 20*time.Second, "the edge notices that its node is gone", func() bool { return !ofEdge(e).Connected })
	if !blocks(e, 2, signals[1]) {
		t.Error("the edge forgot its signals with its node")
	}
	serve()
	must[object](t, http.MethodPost, api+"/signals/"+signals[1]+"/suspend", nusa, map[string]any{"reach": "everywhere", "reason": "a doubt"})
	within(t, 20*time.Second, "the edge follows the node that is back", func() bool { return ask(e, 2).Answer == "no_match" && ofEdge(e).Connected })

	// 5. Its token is revoked: the stream ends, the edge is told, and keeps
	// what it has.
	list := run(t, "token", "list", "--data", data, "--partner", "lensa")
	lines := strings.Split(strings.TrimSpace(list), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "\tedge\t") })
	if i < 0 {
		t.Fatalf("no edge's token in\n%s", list)
	}
	id, _, _ := strings.Cut(lines[i], "\t")
	run(t, "token", "revoke", "--data", data, "--partner", "lensa", id)
	within(t, 15*time.Second, "the edge is told that its token was revoked", func() bool {
		st := ofEdge(e)
		return !st.Connected && slices.ContainsFunc(st.Alarms, func(a struct{ Kind, Detail string }) bool { return a.Kind == "token" })
	})
	if !blocks(e, 3, signals[2]) {
		t.Error("the edge forgot its signals with its token")
	}
	t.Logf("withdrawal after the return: %s", took.Round(time.Millisecond))
}
