package feed_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Trips that the node does not hear keep nothing of the edge's report back and
// are told to people, once; those that are too many are heard when they may be.
func TestTripsThatAreNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		var asked []uint64
		busy := false
		b := newBubble(t, func(o *feed.Options) {
			o.Log = slog.New(slog.NewTextHandler(&said, nil))
			o.Tripped = func(_ context.Context, _ feed.Subscriber, x edge.Trip) error {
				asked = append(asked, x.Number)
				switch {
				case x.Matches == 0:
					return problem.New(problem.Invalid, "no breaker", "look")
				case busy:
					return problem.New(problem.Busy, "too many", "look").WithWait(10 * time.Minute)
				}
				return nil
			}
		})
		defer b.down()
		trips := func(matches int, numbers ...uint64) (out []edge.Trip) {
			for _, n := range numbers {
				out = append(out, edge.Trip{Number: n, Entry: 1, Matches: matches})
			}
			return out
		}
		report := func(ts []edge.Trip, want ...uint64) {
			t.Helper()
			asked = nil
			body, err := json.Marshal(edge.Report{Trips: ts})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/api/v1/feed/status", strings.NewReader(string(body)))
			r.Header.Set("Authorization", "Bearer "+b.token)
			w := httptest.NewRecorder()
			b.hub.Handler().ServeHTTP(w, r)
			if w.Code != http.StatusNoContent || !slices.Equal(asked, want) {
				t.Errorf("answered %d, asked about %v, want %v: %s", w.Code, asked, want, w.Body)
			}
		}
		alarms := func() (n int) {
			t.Helper()
			states, err := b.hub.Edges(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range states {
				for _, a := range s.Report.Alarms {
					if a.Kind == edge.AlarmBreaker {
						n++
					}
				}
			}
			return n
		}
		report(trips(50, 1, 2), 1, 2)
		report(trips(50, 1, 2, 3), 3) // each once
		if alarms() != 0 {
			t.Error("an alarm for nothing")
		}
		report(trips(0, 4), 4)
		report(trips(0, 4))
		report(trips(0, 5, 6), 5, 6)
		if n := strings.Count(said.String(), "are not taken"); n != 1 || alarms() != 1 {
			t.Errorf("said %d times, %d alarms, want 1 and 1:\n%s", n, alarms(), said.String())
		}
		busy = true
		report(trips(50, 7, 8), 7)
		report(trips(50, 7, 8)) // not before it may
		time.Sleep(11 * time.Minute)
		busy = false
		report(trips(50, 7, 8), 7, 8)
		var many []uint64
		for n := range uint64(45) {
			many = append(many, 100+n)
		}
		report(trips(50, many...), many[:20]...)
		report(trips(50, many...), many[20:40]...)
		report(trips(50, many...), many[40:]...)
		time.Sleep(time.Hour)
		if alarms() != 0 {
			t.Error("the alarm stays")
		}
	})
}

// An edge that reports and does not acknowledge is behind since its oldest
// operation came, not since its last word.
func TestBehindSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		defer b.down()
		b.add(1)
		e := b.follow(edge.FollowerOptions{})
		settle(time.Second)
		state := func() feed.EdgeState {
			t.Helper()
			states, err := b.hub.Edges(t.Context())
			if err != nil || len(states) != 1 {
				t.Fatal(states, err)
			}
			return states[0]
		}
		if s := state(); s.Behind != 0 || !s.Since.IsZero() {
			t.Errorf("an edge that has all: behind %d since %s", s.Behind, s.Since)
		}
		e.stop()
		settle(time.Second)
		from := time.Now()
		b.add(2)
		settle(40 * time.Second)
		b.add(3)
		settle(time.Second)
		if s := state(); s.Behind != 2 || s.Since.Before(from) || s.Since.Sub(from) > time.Second {
			t.Errorf("behind %d since %s, want 2 since %s", s.Behind, s.Since, from)
		}
	})
}
