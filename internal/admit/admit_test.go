package admit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/internal/admit"
	"github.com/siaga-crp/siaga/internal/problem"
)

func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	if problem.KindOf(err) != problem.Busy {
		panic(err)
	}
	w.WriteHeader(http.StatusTooManyRequests)
}

func TestLanes(t *testing.T) {
	for _, c := range []struct {
		method, path string
		lane         admit.Lane
		stream       bool
	}{
		{"POST", "/api/v1/incidents", admit.Emergency, false},
		{"POST", "/api/v1/incidents/i1/activations/sea-crp/votes", admit.Emergency, false},
		{"POST", "/api/v1/signals/s1/withdraw", admit.Emergency, false},
		{"POST", "/incidents/new", admit.Emergency, false},
		{"POST", "/sign-in", admit.SignIn, false},
		{"POST", "/step-up", admit.SignIn, false},
		{"POST", "/first/7KQ2M9XF4T1ZC", admit.SignIn, false},
		{"POST", "/a/7KQ2M9XF4T1ZC", admit.Emergency, false},
		{"GET", "/a/7KQ2M9XF4T1ZC", admit.Emergency, false},
		{"GET", "/readyz", admit.Probe, false},
		{"GET", "/metrics", admit.Probe, false},
		{"GET", "/api/v1/feed", admit.Feed, true},
		{"GET", "/live", admit.Feed, true},
		{"POST", "/api/v1/feed/status", admit.Feed, false},
		{"GET", "/api/v1/feed/snapshot", admit.Feed, false},
		{"GET", "/log/checkpoint", admit.Feed, false},
		{"POST", "/api/v1/feed/tallies", admit.Statistics, false},
		{"POST", "/api/v1/feed/verdicts", admit.Statistics, false},
		{"GET", "/search", admit.Statistics, false},
		{"GET", "/public", admit.Statistics, false},
		{"GET", "/incidents/i1/matches.csv", admit.Statistics, false},
		{"GET", "/incidents/i1", admit.Read, false},
		{"POST", "/partners", admit.Read, false},
		{"POST", "/signalsfoo", admit.Read, false},
	} {
		if lane, stream := admit.Of(c.method, c.path); lane != c.lane || stream != c.stream {
			t.Errorf("%s %s is in %s (stream %v), want %s (stream %v)", c.method, c.path, lane, stream, c.lane, c.stream)
		}
	}
}

// A lane that is full of statistics leaves the emergency lane as it was; its own
// requests wait, then are refused with Retry-After, and none is worked on twice.
func TestAFloodTakesNoPlaceOfAnotherLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		var worked atomic.Int64
		shed := map[string]int{}
		var mu sync.Mutex
		g := admit.New(admit.Options{
			Limits: map[admit.Lane]admit.Limits{admit.Statistics: {Places: 2, Queue: 3, Wait: time.Second}},
			Caller: admit.Budget{PerSecond: 1000, Burst: 1000}, Refuse: refuse,
			Shed: func(l admit.Lane, why string) { mu.Lock(); shed[string(l)+" "+why]++; mu.Unlock() },
		})
		h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			worked.Add(1)
			if r.URL.Path == "/api/v1/feed/tallies" {
				<-block
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		send := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", path, nil)
			r.Header.Set("Authorization", "Bearer one")
			h.ServeHTTP(w, r)
			return w
		}
		var refused atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				w := send("/api/v1/feed/tallies")
				if w.Code == http.StatusTooManyRequests {
					refused.Add(1)
					if s, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || s < 1 {
						t.Errorf("Retry-After is %q, want seconds", w.Header().Get("Retry-After"))
					}
				}
			})
		}
		synctest.Wait() // two are worked on, three wait, fifteen were refused
		if worked.Load() != 2 || refused.Load() != 15 || g.Waiting(admit.Statistics) != 3 || g.Working(admit.Statistics) != 2 {
			t.Fatalf("worked on %d, refused %d, waiting %d; want 2, 15, 3", worked.Load(), refused.Load(), g.Waiting(admit.Statistics))
		}
		if w := send("/api/v1/signals/s1/withdraw"); w.Code != http.StatusNoContent {
			t.Fatalf("a withdrawal during the flood answers %d", w.Code)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if refused.Load() != 18 {
			t.Errorf("refused %d after the wait, want 18", refused.Load())
		}
		close(block)
		wg.Wait()
		if w := send("/api/v1/feed/tallies"); w.Code != http.StatusNoContent || g.Waiting(admit.Statistics)+g.Working(admit.Statistics) != 0 {
			t.Errorf("after the flood: %d", w.Code)
		}
		if shed["statistics queue"] != 15 || shed["statistics wait"] != 3 || len(shed) != 2 {
			t.Errorf("shed: %v", shed)
		}
	})
}

// One whose client left while it waited is not worked on.
func TestWhoLeavesIsNotWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		g := admit.New(admit.Options{Limits: map[admit.Lane]admit.Limits{admit.Read: {Places: 1, Queue: 1, Wait: time.Hour}}, Refuse: refuse})
		var worked atomic.Int64
		h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { worked.Add(1); <-block }))
		go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		synctest.Wait()
		leave()
		synctest.Wait()
		close(block)
		synctest.Wait()
		if worked.Load() != 1 || g.Waiting(admit.Read) != 0 {
			t.Fatalf("worked on %d, waiting %d", worked.Load(), g.Waiting(admit.Read))
		}
	})
}

func TestBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := http.StatusOK
		g := admit.New(admit.Options{
			Caller: admit.Budget{PerSecond: 10, Burst: 20}, Anyone: admit.Budget{PerSecond: 1, Burst: 5}, Cookie: "s", Refuse: refuse,
			Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		})
		h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		taken := func(n int, path, from, forwarded, token string) (took int) {
			for range n {
				w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
				r.RemoteAddr = from
				if forwarded != "" {
					r.Header.Set("X-Forwarded-For", forwarded)
				}
				if token != "" {
					r.Header.Set("Authorization", token)
				}
				h.ServeHTTP(w, r)
				if w.Code != http.StatusTooManyRequests {
					took++
				}
			}
			return took
		}
		for _, c := range []struct {
			name                         string
			path, from, forwarded, token string
			want                         int
		}{
			{"an address", "/", "192.0.2.1:1", "", "", 5},
			{"another address", "/", "192.0.2.2:1", "", "", 5},
			{"a stranger's word on where it comes from", "/", "192.0.2.1:1", "192.0.2.9", "", 0},
			{"behind a proxy", "/", "10.0.0.1:1", "192.0.2.3", "", 5},
			{"behind two", "/", "10.0.0.1:1", "192.0.2.4, 10.0.0.2", "", 5},
			{"a forged hop before a proxy", "/", "10.0.0.1:1", "192.0.2.99, 192.0.2.3", "", 0},
			{"a token at a spent address", "/", "192.0.2.1:1", "", "Bearer a", 20},
			{"its own budget", "/", "192.0.2.8:1", "", "Bearer a", 0},
			{"the feed by address", "/api/v1/feed/keys", "192.0.2.1:1", "", "", 30},
		} {
			if got := taken(30, c.path, c.from, c.forwarded, c.token); got != c.want {
				t.Errorf("%s: %d of 30 taken on, want %d", c.name, got, c.want)
			}
		}
		if got := taken(30, "/readyz", "192.0.2.1:1", "", ""); got != 5 {
			t.Errorf("probes at a spent address: %d, want 5", got)
		}
		time.Sleep(3 * time.Second)
		if got := taken(30, "/", "192.0.2.1:1", "", ""); got != 3 {
			t.Errorf("after three seconds %d, want 3", got)
		}
		time.Sleep(time.Minute)
		status = http.StatusUnauthorized
		if got := taken(30, "/", "192.0.2.1:1", "", ""); got != 1 {
			t.Errorf("refused sign-ins: %d taken on, want 1", got)
		}
	})
}

// Made-up tokens use up their address's word: no more new ones are looked at
// from there for a while, but those that were taken before are.
func TestMadeUpTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admit.New(admit.Options{Refuse: refuse, MadeUp: admit.Budget{PerSecond: 1, Burst: 10}})
		looked := 0
		h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			looked++
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer good") && r.URL.Path != "/healthz" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		ask := func(from, token string) int {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v1/feed/snapshot", nil)
			r.RemoteAddr = from
			r.Header.Set("Authorization", "Bearer "+token)
			h.ServeHTTP(w, r)
			return w.Code
		}
		const here, there = "192.0.2.1:1", "192.0.2.2:1"
		if code := ask(here, "good 1"); code != http.StatusOK {
			t.Fatal(code)
		}
		looked = 0
		for i := range 50 {
			ask(here, "made up "+strconv.Itoa(i))
		}
		if looked != 10 {
			t.Errorf("%d of 50 made-up tokens were looked at, want 10", looked)
		}
		for _, c := range []struct {
			from, token string
			want        int
		}{
			{here, "good 1", http.StatusOK},
			{here, "good 2", http.StatusTooManyRequests},
			{there, "good 2", http.StatusOK},
			{here, "good 2", http.StatusOK},
			{here, "made up 0", http.StatusTooManyRequests},
		} {
			if code := ask(c.from, c.token); code != c.want {
				t.Errorf("%s at %s: %d, want %d", c.token, c.from, code, c.want)
			}
		}
		time.Sleep(2 * time.Second)
		if code := ask(here, "good 3"); code != http.StatusOK {
			t.Errorf("a new one after a while: %d", code)
		}
	})
}

// What is not written through the recorder still is: streams flush.
func TestStreamsFlush(t *testing.T) {
	g := admit.New(admit.Options{Refuse: refuse})
	s := httptest.NewServer(g.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	})))
	defer s.Close()
	resp, err := s.Client().Get(s.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if g.Working(admit.Feed) != 0 {
		t.Error("an open stream holds a place")
	}
}

func BenchmarkHandler(b *testing.B) {
	g := admit.New(admit.Options{Caller: admit.Budget{PerSecond: 1e9, Burst: 1e9}, Refuse: refuse})
	h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/api/v1/feed/status", nil)
	r.Header.Set("Authorization", "Bearer one")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
