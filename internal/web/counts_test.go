package web_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Pages that draw counts of matches are whole once there are some.
func TestPagesWithCounts(t *testing.T) {
	w := newWorld(t)
	minute := time.Now().Unix()/60 - 1
	err := w.node.Signals.AddCounts(t.Context(), "lensa", "lensa-1", "b1", []signal.MatchCount{
		{Signal: w.signal, Minute: minute, Action: signal.Block, Pass: "pdq", Matches: 1234},
		{Signal: w.signal, Minute: minute, Action: signal.Review, Pass: "local", Few: true},
	})
	w.ok(err)
	_, err = w.node.Signals.AddVerdicts(t.Context(), access.Actor{Partner: "lensa", Kind: access.Platform, Name: "lensa-1", Roles: []access.Role{access.Edge}, Scopes: []access.TokenScope{access.ScopeFeed}}, "lensa-1", "x.v.1",
		[]signal.VerdictCount{{Signal: w.signal, Verdict: signal.TruePositive, Count: 1231}, {Signal: w.signal, Verdict: signal.FalsePositive, Few: true}, {Signal: w.signal, Verdict: signal.Disputed, Count: 2}})
	w.ok(err)
	for _, path := range []string{"/", "/?wall", "/incidents/" + w.incident, "/incidents/" + w.incident + "/matches", "/incidents/" + w.incident + "/brief", "/signals", "/signals/" + w.signal} {
		resp, err := w.browser["officer"].Get(w.url + path)
		w.ok(err)
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		w.ok(err)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d", path, resp.StatusCode)
		}
		if strings.HasSuffix(path, "/matches") || path == "/signals/"+w.signal {
			for _, want := range []string{"1,231", "fewer than 5", "0.1 %"} {
				if !strings.Contains(string(b), want) {
					t.Errorf("%s does not show the verdicts: %q is missing", path, want)
				}
			}
		}
		if strings.HasSuffix(path, "/matches") && !strings.Contains(string(b), "1,23") {
			t.Errorf("%s does not show the matches", path)
		}
	}
}
