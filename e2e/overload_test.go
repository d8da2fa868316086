package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/signal"
)

// flood is one kind of load, and what became of it.
type flood struct {
	served, shed atomic.Int64
	mu           sync.Mutex
	took         []time.Duration // of those that were served
}

// TestOverload sends a node several times what it can serve of counts of
// matches, searches, public pages and wrong sign-ins, from many addresses,
// while people declare, vote, approve and withdraw. None of theirs is refused
// or lost, what is shed says when to come back, and a batch of counts is
// counted if, and only if, it was acknowledged. The bound on time is a
// proportion, as other work may keep this machine busy; the figures are shown.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("floods a node for some seconds")
	}
	lasts := 1500 * time.Millisecond
	if os.Getenv("SIAGA_TEST_LONG") != "" {
		lasts = 4 * time.Second
	}
	if n, err := strconv.Atoi(os.Getenv("SIAGA_OVERLOAD")); err == nil {
		lasts = time.Duration(n) * time.Second
	}
	data := filepath.Join(t.TempDir(), "data")
	run(t, "init", "--data", data, "--partner", "Nusa", "--kind", "government")
	n := start(t, "address", "serve", "--data", data, "--listen", "127.0.0.1:0", "--log", "error")
	token := func(partner, roles, name string) string {
		t.Helper()
		return strings.TrimSpace(run(t, "token", "create", "--data", data, "--partner", partner, "--roles", roles, "--name", name))
	}
	for _, name := range []string{"Lensa", "Gema"} {
		run(t, "partner", "add", "--data", data, "--name", name, "--kind", "platform", "--country", "ID")
	}
	const all = "officer,analyst,approver,observer"
	nusa, lensa, gema := token("nusa", all, "n"), token("lensa", all, "l"), token("gema", all, "g")
	var edges []string
	for i := range 4 {
		edges = append(edges, token("lensa", "edge", fmt.Sprint("lensa-", i)))
	}

	type object struct{ ID, State string }
	var number atomic.Int64
	// What the node acknowledged to people.
	var mu sync.Mutex
	var incidents []string
	signals := map[string]string{} // state by ID
	// round is one incident from its notice to the withdrawal of its signal.
	round := func(took *[]time.Duration) bool {
		ok := true
		ask := func(path, token string, in, out any) bool {
			begin := time.Now()
			if _, err := call(t.Context(), http.MethodPost, n.url+"/api/v1"+path, token, fmt.Sprint("k", number.Add(1)), in, out); err != nil {
				t.Errorf("an emergency request was not served: %s: %v", path, err)
				ok = false
			}
			mu.Lock()
			*took = append(*took, time.Since(begin))
			mu.Unlock()
			return ok
		}
		var inc, sig object
		if !ask("/incidents", lensa, map[string]any{"description": "A man streams an attack on a market.", "where": "Kota Seroja", "live": "yes", "exercise": false}, &inc) ||
			!ask("/incidents/"+inc.ID+"/activations", nusa, map[string]any{"protocol": "sea-crp", "level": "crisis", "reason": "live"}, &object{}) ||
			!ask("/incidents/"+inc.ID+"/activations/sea-crp/votes", gema, map[string]any{"vote": "yes"}, &object{}) {
			return false
		}
		mu.Lock()
		incidents = append(incidents, inc.ID)
		mu.Unlock()
		if !ask("/signals", lensa, map[string]any{
			"incident": inc.ID, "kind": "sha256", "value": fmt.Sprintf("%064x", number.Add(1)), "labels": []string{"propaganda"}, "producer": "perpetrator", "action": "block", "confidence": "high",
		}, &sig) || !ask("/signals/"+sig.ID+"/approve", nusa, map[string]any{}, &sig) || !ask("/signals/"+sig.ID+"/withdraw", nusa, map[string]any{"reason": "a mistake"}, &sig) {
			return false
		}
		mu.Lock()
		signals[sig.ID] = sig.State
		mu.Unlock()
		return true
	}
	// people work until the time is over, a pair of them.
	people := func(until time.Time) []time.Duration {
		var took []time.Duration
		var g sync.WaitGroup
		for range 2 {
			g.Go(func() {
				for time.Now().Before(until) && round(&took) {
					time.Sleep(20 * time.Millisecond) // a node takes only so much from one caller
				}
			})
		}
		g.Wait()
		return took
	}
	people(time.Now().Add(lasts / 4)) // warms up
	calm := people(time.Now().Add(lasts / 2))
	if t.Failed() {
		t.Fatalf("the node said:\n%s", n.stderr.String())
	}

	// The flood. Each client goes on at once when it was shed, as bad ones do.
	target := slices.Sorted(maps.Keys(signals))[0]
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var counts, pages, guesses flood
	var counted atomic.Int64
	flooding := func(f *flood, many int, request func(i int) *http.Request, done func(i int)) {
		for c := range many {
			clients.Go(func() {
				client := &http.Client{
					Timeout:       30 * time.Second,
					CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
					Transport:     &http.Transport{DialContext: fromAnywhere(), MaxConnsPerHost: 1},
				}
				for i := c; ; i += many {
					select {
					case <-stop:
						client.CloseIdleConnections()
						return
					default:
					}
					if i%16 == 0 {
						client.CloseIdleConnections() // and on from another address
					}
					begin := time.Now()
					resp, err := client.Do(request(i))
					if err != nil {
						t.Errorf("a request of the flood had no answer: %v", err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					switch resp.StatusCode {
					case http.StatusTooManyRequests, http.StatusServiceUnavailable:
						f.shed.Add(1)
						if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || s < 1 {
							t.Errorf("%s was shed with Retry-After %q", resp.Request.URL.Path, resp.Header.Get("Retry-After"))
							return
						}
						time.Sleep(5 * time.Millisecond)
					default:
						if resp.StatusCode >= 500 || resp.StatusCode == http.StatusUnauthorized {
							t.Errorf("%s answers %s", resp.Request.URL.Path, resp.Status)
							return
						}
						f.served.Add(1)
						f.mu.Lock()
						f.took = append(f.took, time.Since(begin))
						f.mu.Unlock()
						done(i)
					}
				}
			})
		}
	}
	none := func(int) {}
	get := func(i int) *http.Request {
		path := []string{"/public", "/search?q=market", "/public", "/public.atom"}[i%4]
		return request(http.MethodGet, n.url+path, "", "")
	}
	minute := time.Now().Unix() / 60
	batch := func(i int, name string) *http.Request {
		type count struct {
			Signal string `json:"signal"`
			Minute int64  `json:"minute"`
			Action string `json:"action"`
			Pass   string `json:"pass"`
			Count  int64  `json:"count"`
		}
		cs := make([]count, 200)
		for k := range cs {
			cs[k] = count{target, minute - int64(k%20), "block", fmt.Sprint("exact:", k/20), 1}
		}
		b, _ := json.Marshal(map[string]any{"batch": name, "counts": cs})
		return request(http.MethodPost, n.url+"/api/v1/feed/tallies", edges[i%len(edges)], string(b))
	}
	guess := func(i int) *http.Request {
		form := url.Values{"email": {fmt.Sprintf("someone%d@nusa.example", i)}, "password": {"correct horse battery"}, "code": {"123456"}, "_key": {fmt.Sprint("s", i)}}
		r := request(http.MethodPost, n.url+"/sign-in", "", form.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	flooding(&counts, 96, func(i int) *http.Request { return batch(i, fmt.Sprint("b", i)) }, func(int) { counted.Add(200) })
	flooding(&pages, 96, get, none)
	flooding(&guesses, 160, guess, none)
	time.Sleep(300 * time.Millisecond) // until all of them are under way
	hard := people(time.Now().Add(lasts))
	close(stop)
	ended := time.Now()

	// Then it is as before, at once: each kind is served at its first try.
	served := func(r *http.Request) bool {
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode < 400 || resp.StatusCode == http.StatusUnprocessableEntity
	}
	after := 0
	within(t, 5*time.Second, "normal service after the flood", func() bool {
		time.Sleep(50 * time.Millisecond)
		after++
		ok := served(batch(0, fmt.Sprint("after", after)))
		if ok {
			counted.Add(200)
		}
		return ok && served(get(0)) && served(guess(1_000_000+after))
	})
	resumed := time.Since(ended)
	clients.Wait()
	n.kill() // as a power cut: what was acknowledged is on the disk

	p99 := func(ds []time.Duration) time.Duration {
		if len(ds) == 0 {
			return 0
		}
		ds = slices.Sorted(slices.Values(ds))
		return ds[(len(ds)*99-1)/100].Round(time.Millisecond / 10)
	}
	for name, f := range map[string]*flood{"counts": &counts, "pages": &pages, "sign-ins": &guesses} {
		t.Logf("%s: served %d, shed %d, p99 of the served %s", name, f.served.Load(), f.shed.Load(), p99(f.took))
		if f.shed.Load() == 0 || f.served.Load() == 0 {
			t.Errorf("%s: %d shed and %d served: the flood was none, or nothing came through", name, f.shed.Load(), f.served.Load())
		}
	}
	without, with, floods := p99(calm), p99(hard), min(p99(counts.took), p99(guesses.took))
	offered := counts.served.Load() + counts.shed.Load() + pages.served.Load() + pages.shed.Load() + guesses.served.Load() + guesses.shed.Load()
	taken := counts.served.Load() + pages.served.Load() + guesses.served.Load()
	t.Logf("fault=overload emergency=%d refused=0 p99_calm=%s p99_flood=%s flood_p99=%s offered/served=%.1f counted=%d resumed_s=%.1f lost=0",
		len(hard), without, with, floods, float64(offered)/float64(max(taken, 1)), counted.Load(), resumed.Seconds())
	// Clients and node share two processors, which the flood fills: in calm each
	// request has one for itself.
	if limit := 12*without + 250*time.Millisecond; with > limit {
		t.Errorf("the flood lengthens emergency requests from %s to %s, more than %s", without, with, limit)
	}
	if with > floods*2/3 {
		t.Errorf("emergency requests take %s and the flood's %s: it is not worked on behind them", with, floods)
	}

	log, _, store, err := app.OpenLog(t.Context(), data, "", true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	err = log.View(t.Context(), func(r journal.StoreReader) error {
		for _, id := range incidents {
			inc, _, err := journal.Load[incident.Incident](r, incident.KindIncident, id)
			if err != nil {
				return fmt.Errorf("acknowledged incident %s: %w", id, err)
			}
			if len(inc.Activations) != 1 {
				t.Errorf("incident %s has %d activations, one was acknowledged", id, len(inc.Activations))
			}
		}
		for id, state := range signals {
			s, _, err := journal.Load[signal.Signal](r, signal.KindSignal, id)
			if err != nil {
				return fmt.Errorf("acknowledged signal %s: %w", id, err)
			}
			if string(s.State) != state || state != "withdrawn" {
				t.Errorf("signal %s is %s, acknowledged was %s", id, s.State, state)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	by := access.Actor{Partner: "nusa", Kind: access.Government, Roles: []access.Role{access.Observer}}
	cs, err := signal.New(signal.Options{Log: log, Now: time.Now}).Counts(t.Context(), by, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, c := range cs {
		sum += c.Matches
	}
	if sum != counted.Load() {
		t.Errorf("%d matches are counted, %d were acknowledged", sum, counted.Load())
	}
	if out := run(t, "log", "verify", "--data", data); !strings.Contains(out, "verified=true") {
		t.Errorf("the journal does not verify:\n%s", out)
	}
}

// fromAnywhere dials from another address of this machine each time, as a flood
// comes from many.
func fromAnywhere() func(ctx context.Context, network, to string) (net.Conn, error) {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(250)), byte(2+rand.IntN(250)))}} //nolint:gosec // addresses of a test
		_, port, err := net.SplitHostPort(to)
		if err != nil {
			return nil, err
		}
		return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
}

// request makes one without an answer yet.
func request(method, url, token, body string) *http.Request {
	r, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		panic(err) // a mistake of the test
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}
