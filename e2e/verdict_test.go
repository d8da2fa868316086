package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestVerdictsSurviveKills has a platform give verdicts to its edge, whose line
// to the node swallows what the node answers to a batch now and then; the edge
// is killed then, between sending and hearing, and started again. Each verdict
// counts once, and matches that were counted a second before a kill are still
// there after it.
func TestVerdictsSurviveKills(t *testing.T) {
	if testing.Short() || os.Getenv("SIAGA_TEST_LONG") == "" {
		t.Skip("starts and kills processes for some seconds: set SIAGA_TEST_LONG=1 (make test does)")
	}
	dir := t.TempDir()
	data, edgeData, tokenFile := filepath.Join(dir, "data"), filepath.Join(dir, "edge"), filepath.Join(dir, "edge.token")
	run(t, "init", "--data", data, "--partner", "Nusa", "--kind", "government")
	run(t, "partner", "add", "--data", data, "--name", "Lensa", "--kind", "platform", "--country", "ID")
	node := start(t, "address", "serve", "--data", data, "--listen", "127.0.0.1:0", "--log", "error")
	token := func(partner, roles string) string {
		return strings.TrimSpace(run(t, "token", "create", "--data", data, "--partner", partner, "--roles", roles, "--name", partner+"-1"))
	}
	nusa, lensa := token("nusa", "officer,analyst,approver,observer"), token("lensa", "officer,analyst,approver,observer")
	if err := os.WriteFile(tokenFile, []byte(token("lensa", "edge")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type object struct{ ID, State string }
	value := fmt.Sprintf("%064x", 7)
	s := must[object](t, http.MethodPost, node.url+"/api/v1/signals", lensa, map[string]any{
		"kind": "sha256", "value": value, "labels": []string{"propaganda"}, "producer": "perpetrator", "action": "block", "confidence": "high",
	})
	must[object](t, http.MethodPost, node.url+"/api/v1/signals/"+s.ID+"/approve", nusa, map[string]any{})

	// The line: what the node answers to a batch of verdicts is lost while
	// swallow is set.
	target, err := url.Parse(node.url)
	if err != nil {
		t.Fatal(err)
	}
	var swallow atomic.Bool
	lost := make(chan struct{}, 100)
	pass := httputil.NewSingleHostReverseProxy(target)
	pass.FlushInterval = -1
	pass.ErrorLog = nil
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	pass.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Path == "/api/v1/feed/verdicts" && swallow.Load() {
			lost <- struct{}{}
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	line := httptest.NewServer(pass)
	t.Cleanup(line.Close) // after the edges are gone

	follow := func() *process {
		return start(t, "edge", "edge", "--upstream", line.URL, "--token-file", tokenFile, "--data", edgeData, "--listen", "127.0.0.1:0", "--log", "error")
	}
	type status struct {
		Connected bool
		Signals   int
		Untold    struct{ Matches, Verdicts int64 }
	}
	e := follow()
	ready := func() bool {
		st := must[status](t, http.MethodGet, e.url+"/v1/status", "", nil)
		return st.Connected && st.Signals == 1
	}
	within(t, 20*time.Second, "the edge follows", ready)

	want := map[string]int64{}
	n := 0
	judge := func(verdict string, times int) {
		t.Helper()
		for range times {
			n++
			must[struct{ Counted int }](t, http.MethodPost, e.url+"/v1/verdict", "", map[string]any{"id": fmt.Sprint("case ", n), "signal": s.ID, "verdict": verdict})
			want[verdict]++
		}
	}
	matches := int64(0)
	for round := range 2 {
		judge("true_positive", 5)
		judge("false_positive", 1)
		swallow.Store(true)
		judge("disputed", 2)
		for range 4 {
			var a struct{ Answer string }
			if _, err := call(t.Context(), http.MethodPost, e.url+"/v1/match", "", "", map[string]any{"kind": "sha256", "value": value}, &a); err != nil || a.Answer != "match" {
				t.Fatalf("%+v, %v", a, err)
			}
			matches++
		}
		select {
		case <-lost: // the node has counted; the edge does not know
		case <-time.After(20 * time.Second):
			t.Fatal("no batch of verdicts was sent")
		}
		time.Sleep(1500 * time.Millisecond) // counts of matches are stored once a second
		e.kill()
		swallow.Store(false)
		for len(lost) > 0 {
			<-lost
		}
		e = follow()
		if round == 0 { // none of them was sent yet: their minute is not over, or has just been
			if st := must[status](t, http.MethodGet, e.url+"/v1/status", "", nil); st.Untold.Matches != matches && !st.Connected {
				t.Errorf("after the kill %d of %d matches are there", st.Untold.Matches, matches)
			}
		}
		within(t, 20*time.Second, "the edge follows again", ready)
		judge("true_positive", 1)
	}
	// An appeal: the platform changes its mind.
	must[struct{ Changed int }](t, http.MethodPost, e.url+"/v1/verdict", "", map[string]any{"id": "case 1", "signal": s.ID, "verdict": "false_positive"})
	want["true_positive"]--
	want["false_positive"]++
	type sum struct{ N int64 }
	type verdicts struct {
		Total struct {
			True     sum `json:"true_positive"`
			False    sum `json:"false_positive"`
			Disputed sum
		}
	}
	var got verdicts
	arrived := func() bool {
		got = must[verdicts](t, http.MethodGet, node.url+"/api/v1/signals/"+s.ID+"/verdicts", nusa, nil)
		return got.Total.True.N == want["true_positive"] && got.Total.False.N == want["false_positive"] && got.Total.Disputed.N == want["disputed"]
	}
	within(t, 20*time.Second, "all verdicts arrive", arrived)
	time.Sleep(time.Second)
	if !arrived() {
		t.Errorf("arrived %+v, given %v", got, want)
	}
	code, err := call(t.Context(), http.MethodPost, e.url+"/v1/verdict", "", "", map[string]any{"signal": s.ID, "verdict": "perhaps"}, nil)
	if code != http.StatusBadRequest || err == nil || !strings.Contains(err.Error(), "true_positive, false_positive") {
		t.Errorf("a verdict that there is not: %d %v", code, err)
	}
	if out := run(t, "log", "verify", "--data", data); !strings.Contains(out, "verified=true") {
		t.Errorf("the journal does not verify:\n%s", out)
	}
}
