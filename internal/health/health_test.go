package health_test

import (
	"testing"

	"github.com/siaga-crp/siaga/internal/health"
)

// Alerts compare levels: deploy/prometheus pages at 3 and warns at 2.
func TestLevels(t *testing.T) {
	for s, want := range map[health.State]int{health.OK: 0, health.Unknown: 1, health.Warn: 2, health.Fail: 3} {
		if got := s.Level(); got != want {
			t.Errorf("%s is %d, want %d", s, got, want)
		}
	}
}
