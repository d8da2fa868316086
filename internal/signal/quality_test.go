package signal_test

import (
	"testing"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/signal"
)

// A picture with too little detail is for review by each kind that matches what
// looks alike; a digest says all that it needs to.
func TestLittleDetailIsForReview(t *testing.T) {
	quality := 30
	for kind, weak := range map[fingerprint.Kind]bool{fingerprint.PDQ: true, fingerprint.VPDQ: true, fingerprint.Local: true, fingerprint.SHA256: false, fingerprint.TLSH: false} {
		s := signal.Signal{Fingerprint: fingerprint.Value{Kind: kind}, Provenance: signal.Provenance{Quality: &quality}}
		if got := s.Weak() != ""; got != weak {
			t.Errorf("%s of quality 30: weak is %t, want %t", kind, got, weak)
		}
	}
}
