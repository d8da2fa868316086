package web

import (
	"net/http"
	"testing"
	"time"
)

// A page of a refusal is made once for all who would be told the same, and
// again when it is old.
func TestRefusalsAreMadeOnce(t *testing.T) {
	var p refusals
	made := 0
	at := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		key  string
		now  time.Time
		want int
	}{
		{"en", at, 1},
		{"en", at.Add(time.Second), 1},
		{"id", at.Add(time.Second), 2},
		{"en", at.Add(time.Second), 2},
		{"en", at.Add(refusalKept), 3},
		{"en", at.Add(-time.Hour), 4}, // the clock was put back
	} {
		got := p.page(c.key, c.now, func(k *kept) {
			made++
			k.WriteHeader(http.StatusTooManyRequests)
			_, _ = k.Write([]byte(c.key))
		})
		if made != c.want || got.body.String() != c.key || got.status != http.StatusTooManyRequests {
			t.Errorf("%s at %s: %d made, want %d; %d %q", c.key, c.now.Format("15:04:05"), made, c.want, got.status, got.body.String())
		}
	}
	for i := range 3 * refusalsMost {
		p.page(string(rune('a'+i)), at, func(*kept) {})
	}
	if len(p.pages) > refusalsMost {
		t.Errorf("%d pages are kept, at most %d should be", len(p.pages), refusalsMost)
	}
}
