package edge

import (
	"testing"
	"time"
)

// TestPerMinute feeds a counter that rises by one a second at uneven
// intervals, short ones among them: the number is steady.
func TestPerMinute(t *testing.T) {
	var p perMinute
	now := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	begin := now
	for i := range 3000 {
		now = now.Add([]time.Duration{time.Millisecond, 40 * time.Millisecond, 5 * time.Second, 200 * time.Millisecond}[i%4])
		got := p.of(now, int64(now.Sub(begin).Seconds()))
		past := now.Sub(begin).Seconds()
		if want := min(past, 60); got < want-6 || got > want+6 {
			t.Fatalf("after %.1f s: %.1f a minute, want about %.1f", past, got, want)
		}
	}
	if len(p.at) > 62 {
		t.Errorf("%d moments are kept", len(p.at))
	}
	if got := p.of(now.Add(10*time.Minute), int64(now.Sub(begin).Seconds())); got > 6 {
		t.Errorf("%.1f a minute after ten quiet ones", got)
	}
}
