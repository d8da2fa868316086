package web_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
	for _, path := range []string{"/", "/?wall", "/incidents/" + w.incident, "/incidents/" + w.incident + "/matches", "/incidents/" + w.incident + "/brief", "/signals", "/signals/" + w.signal} {
		resp, err := w.browser["officer"].Get(w.url + path)
		w.ok(err)
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		w.ok(err)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d", path, resp.StatusCode)
		}
		if strings.HasSuffix(path, "/matches") && !strings.Contains(string(b), "1,23") {
			t.Errorf("%s does not show the matches", path)
		}
	}
}
