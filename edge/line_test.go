package edge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
)

// trip plays the way to a node.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func refusal() (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized", Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(`{"detail":"the token was revoked","fix":"use another"}`)),
	}, nil
}

// TestAnAbsentNodeIsToldOnceAMinute wants one line when the node goes away, one
// a minute while it is, and one when it is back.
func TestAnAbsentNodeIsToldOnceAMinute(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func() (*http.Response, error)
		level string
	}{
		"away":    {func() (*http.Response, error) { return nil, errors.New("connection refused") }, "level=WARN"},
		"revoked": {refusal, "level=ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newSmallNode(t)
				n.put(edge.Add, signal(1, hash(newRand(1))))
				var away bool
				var cut []func() // streams that are open
				tries := 0
				var log bytes.Buffer
				o := n.options("")
				o.Log = slog.New(slog.NewTextHandler(&log, nil))
				o.Retry = 0
				o.HTTP = &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
					if away {
						tries++
						return c.fail()
					}
					ctx, end := context.WithCancel(r.Context())
					cut = append(cut, end)
					return n.RoundTrip(r.WithContext(ctx))
				})}
				f, err := edge.NewFollower(edge.NewMatcher(edge.MatcherOptions{}), o)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- f.Run(ctx) }()
				settle(2 * time.Second)
				if f.Connected() == "" || log.Len() > 0 {
					t.Fatalf("at first: connected to %q, log %s", f.Connected(), log.String())
				}
				away = true
				for _, end := range cut {
					end()
				}
				settle(10*time.Minute + 5*time.Second)
				lines := strings.Split(strings.TrimSpace(log.String()), "\n")
				if len(lines) < 10 || len(lines) > 12 {
					t.Errorf("%d lines in ten minutes of %d attempts:\n%s", len(lines), tries, log.String())
				}
				for _, l := range lines {
					if strings.Contains(l, "cursor") || strings.Contains(l, "/api/") {
						t.Errorf("the whole address is told: %s", l)
					}
					if !strings.Contains(l, c.level) || name == "revoked" && !strings.Contains(l, "siaga token create --roles edge") {
						t.Errorf("line %s", l)
					}
				}
				// Away: twice a second, so that it is found within one when it is back.
				if most := map[bool]int{true: 600, false: 1300}[name == "revoked"]; tries > most {
					t.Errorf("%d attempts in ten minutes", tries)
				}
				log.Reset()
				away = false
				settle(10 * time.Second)
				if got := log.String(); f.Connected() == "" || strings.Count(got, "\n") != 1 || !strings.Contains(got, "reached again") || !strings.Contains(got, "after=10m") {
					t.Errorf("back: connected to %q, log %s", f.Connected(), got)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				settle(6 * time.Second)
			})
		})
	}
}

// TestARefusedTokenEndsAnEdgeWithoutState wants an edge that never knew
// anything to end when no node takes its token.
func TestARefusedTokenEndsAnEdgeWithoutState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSmallNode(t)
		o := n.options("")
		o.Upstream = []string{"https://a.example", "https://b.example"}
		asked := map[string]int{}
		o.HTTP = &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			asked[r.Host]++
			return refusal()
		})}
		f, err := edge.NewFollower(edge.NewMatcher(edge.MatcherOptions{}), o)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Run(t.Context())
		if !errors.Is(err, edge.ErrToken) || !strings.Contains(err.Error(), "the token was revoked") || asked["a.example"] != 1 || asked["b.example"] != 1 {
			t.Errorf("%v, asked %v", err, asked)
		}
	})
}

// TestARelayMayNotKnowATokenYet wants an edge without state to ask a relay
// again that refuses its token for now.
func TestARelayMayNotKnowATokenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSmallNode(t)
		o := n.options("")
		asked := 0
		o.HTTP = &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
			asked++
			resp, err := refusal()
			resp.Header = http.Header{"Retry-After": {"1"}}
			return resp, err
		})}
		f, err := edge.NewFollower(edge.NewMatcher(edge.MatcherOptions{}), o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := f.Run(ctx); err != nil || asked < 10 {
			t.Errorf("%v, asked %d times in 20 s", err, asked)
		}
	})
}
