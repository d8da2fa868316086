package feed_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
)

// verdictStore knows the signals S-1 and S-2.
type verdictStore struct {
	mu   sync.Mutex
	seen map[string]bool
	n    map[string]int64
}

func (s *verdictStore) AddVerdicts(_ context.Context, by feed.Subscriber, batch string, counts []edge.VerdictCount) (unknown []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := by.Edge + "/" + batch; !s.seen[id] {
		s.seen[id] = true
		for _, c := range counts {
			if c.Signal != "S-1" && c.Signal != "S-2" {
				unknown = append(unknown, c.Signal)
				continue
			}
			s.n[c.Signal+" "+string(c.Verdict)] += c.Count
		}
	}
	return unknown, nil
}

func newVerdictStore() *verdictStore {
	return &verdictStore{seen: map[string]bool{}, n: map[string]int64{}}
}

// An edge whose node does not take verdicts, as one of an earlier release, keeps
// them, also through its own end, and tells one that does.
func TestVerdictsWaitForANodeThatTakesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newVerdictStore()
		b := newBubble(t, func(o *feed.Options) { o.Verdicts = s })
		dir := memoryDir(t)
		b.add(1)
		take := b.hub.Handler()
		earlier := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/verdicts") {
				http.NotFound(w, r)
				return
			}
			take.ServeHTTP(w, r)
		})
		b.way.set(earlier)
		e := b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		for _, j := range []edge.Judgement{{ID: "a", Signal: "S-1", Verdict: edge.TruePositive}, {ID: "b", Signal: "S-1", Verdict: edge.FalsePositive}, {ID: "a", Signal: "S-1", Verdict: edge.TruePositive}} {
			if _, err := e.Judge([]edge.Judgement{j}); err != nil {
				t.Fatal(err)
			}
		}
		settle(20 * time.Second)
		e.stop()
		e = b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		b.way.set(take)
		settle(15 * time.Minute) // it asks again in time
		if s.n["S-1 true_positive"] != 1 || s.n["S-1 false_positive"] != 1 || len(s.n) != 2 {
			t.Errorf("%v", s.n)
		}
		if len(e.Alarms()) != 0 {
			t.Errorf("%+v", e.Alarms())
		}
		if _, err := e.Judge([]edge.Judgement{{Signal: "S-9", Verdict: edge.Disputed}}); err != nil {
			t.Fatal(err)
		}
		settle(20 * time.Second)
		if !slices.ContainsFunc(e.Alarms(), func(a edge.Alarm) bool { return a.Kind == edge.AlarmVerdict && strings.Contains(a.Text, "S-9") }) {
			t.Errorf("a signal that there is not: %+v", e.Alarms())
		}
		for _, bad := range [][]edge.Judgement{nil, {{Signal: "", Verdict: edge.Disputed}}, {{Signal: "S-1", Verdict: "maybe"}}, {{Signal: "S-1", Verdict: edge.Disputed, ID: strings.Repeat("x", 201)}}} {
			if _, err := e.Judge(bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
		e.stop()
		b.down()
	})
}

// What is not a batch of verdicts is refused.
func TestVerdictsBadInput(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.Verdicts = newVerdictStore() })
	for body, want := range map[string]int{
		`{"batch":"a.v.1","verdicts":[{"signal":"S-1","verdict":"disputed","count":2}]}`: 200, `{"batch":""}`: 400, `{"batch":"` + strings.Repeat("x", 101) + `"}`: 400, `[`: 400,
		`{"batch":"b","verdicts":[` + strings.TrimSuffix(strings.Repeat(`{},`, 1001), ",") + `]}`: 400,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.srv.URL+"/api/v1/feed/verdicts", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+n.token("nusa-1"))
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%.60s answers %d, want %d", body, resp.StatusCode, want)
		}
	}
}
