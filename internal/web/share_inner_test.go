package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fifty readers of one view have it made once; what may not be shared, failed
// or belongs to a reader who went is given to nobody else.
func TestShare(t *testing.T) {
	ask := func(s *Site, ctx context.Context, v view, do func(w http.ResponseWriter) *Frame) (*httptest.ResponseRecorder, bool) {
		rec := httptest.NewRecorder()
		return rec, s.share(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), v, do)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		status int
		person bool
		shared bool
	}{
		"a page":               {t.Context(), 200, false, true},
		"a refusal":            {t.Context(), 404, false, false},
		"one person's":         {t.Context(), 200, true, false},
		"a reader who is gone": {gone, 200, false, false},
	} {
		s := &Site{}
		var made, alone, got atomic.Int64
		begin := make(chan struct{})
		do := func(w http.ResponseWriter) *Frame {
			made.Add(1)
			<-begin
			f := &Frame{person: c.person}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("key " + f.Key()))
			return f
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = ask(s, c.ctx, view{uri: "/a"}, do) })
		for made.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		for range 49 {
			all.Go(func() {
				rec, ok := ask(s, t.Context(), view{uri: "/a"}, do)
				if !ok {
					alone.Add(1)
				} else if rec.Body.Len() == 36 {
					got.Add(1)
				}
			})
		}
		time.Sleep(20 * time.Millisecond) // all wait; later ones are served from what is kept, or make their own
		close(begin)
		all.Wait()
		if c.shared && (made.Load() != 1 || got.Load() != 49) {
			t.Errorf("%s: made %d times, %d others have it, want once and 49", name, made.Load(), got.Load())
		}
		if !c.shared && alone.Load() == 0 {
			t.Errorf("%s: nobody was sent away to be served alone", name)
		}
		if !c.shared && len(s.shares.kept) != 0 && c.ctx == t.Context() && c.status != 200 {
			t.Errorf("%s is kept", name)
		}
	}

	// A page that panics leaves nobody waiting.
	s := &Site{}
	func() {
		defer func() { _ = recover() }()
		_, _ = ask(s, t.Context(), view{}, func(http.ResponseWriter) *Frame { panic("broken") })
	}()
	if _, ok := ask(s, t.Context(), view{}, func(w http.ResponseWriter) *Frame { w.WriteHeader(200); return &Frame{} }); !ok {
		t.Error("after a panic the view is not made anew")
	}

	// However many views, few are kept.
	for i := range 3 * shareMost {
		s.shares.take(view{second: int64(i)}, time.Now())
	}
	if n := len(s.shares.kept); n > shareMost {
		t.Errorf("%d views are kept, want at most %d", n, shareMost)
	}
}

// A zone is called by its letters or, where it has none, by its city.
func TestZoneName(t *testing.T) {
	at := time.Date(2026, 3, 2, 14, 33, 0, 0, time.UTC)
	for zone, want := range map[string]string{"UTC": "UTC", "Asia/Jakarta": "WIB", "Asia/Makassar": "WITA", "Asia/Jayapura": "WIT", "Asia/Singapore": "SGT", "Asia/Manila": "PHT", "Asia/Ho_Chi_Minh": "ICT", "Etc/GMT+3": "Etc/GMT+3", "America/Argentina/Buenos_Aires": "Buenos Aires"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Frame{Zone: loc}).ZoneName(at); got != want {
			t.Errorf("%s is called %q, want %q", zone, got, want)
		}
	}
}
