package feed_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/problem"
)

// verdictStore knows the signals S-1 and S-2.
type verdictStore struct {
	mu   sync.Mutex
	seen map[string]bool
	n    map[string]int64
	busy time.Duration // refuse, for so long
}

func (s *verdictStore) AddVerdicts(_ context.Context, by feed.Subscriber, batch string, counts []edge.VerdictCount) (unknown []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy > 0 {
		return nil, problem.New(problem.Busy, "too many", "later").WithWait(s.busy)
	}
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

// An edge that sends more verdicts than are taken waits as long as the node
// says, keeps them, and tells its people; the node tells its own.
func TestTooManyVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newVerdictStore(), &lines{}
		s.busy = 40 * time.Minute
		asked := 0
		b := newBubble(t, func(o *feed.Options) {
			o.Verdicts, o.Log = s, slog.New(slog.NewTextHandler(log, nil))
			o.Error = func(w http.ResponseWriter, r *http.Request, err error) {
				asked++
				api.WriteProblem(o.Log)(w, r, err)
			}
		})
		b.add(1)
		e := b.follow(edge.FollowerOptions{Dir: memoryDir(t)})
		settle(time.Second)
		if _, err := e.Judge([]edge.Judgement{{Signal: "S-1", Verdict: edge.Disputed}}); err != nil {
			t.Fatal(err)
		}
		settle(30 * time.Minute)
		says := func(list []edge.Alarm, text string) bool {
			return slices.ContainsFunc(list, func(a edge.Alarm) bool { return a.Kind == edge.AlarmVerdict && strings.Contains(a.Text, text) })
		}
		if asked != 1 || !says(e.Alarms(), "no more verdicts from this edge for 40m0s") {
			t.Errorf("it asked %d times and says %+v", asked, e.Alarms())
		}
		states, err := b.hub.Edges(t.Context())
		if err != nil || len(states) != 1 || !says(states[0].Report.Alarms, "no more are taken until") {
			t.Errorf("the node shows %+v, %v", states, err)
		}
		if n := strings.Count(log.text(), "sends more verdicts than are taken"); n != 1 {
			t.Errorf("the node's log says so %d times: %s", n, log.text())
		}
		s.mu.Lock()
		s.busy = 0
		s.mu.Unlock()
		settle(20 * time.Minute)
		if s.n["S-1 disputed"] != 1 {
			t.Errorf("%v", s.n)
		}
		if states, err = b.hub.Edges(t.Context()); err != nil || says(states[0].Report.Alarms, "no more are taken until") {
			t.Errorf("later the node shows %+v, %v", states[0].Report.Alarms, err)
		}
		e.stop()
		b.down()
	})
}
