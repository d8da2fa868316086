package app_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/audio"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/internal/app"
)

// TestMatcherSound: known files give their sound, and what has the same sound
// alone is for review.
func TestMatcherSound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sound := make(audio.Track, 300)
	for i := range sound {
		sound[i] = r.Uint32()
	}
	m := app.NewMatcher()
	if err := m.AddKnown("known.mp4", &fingerprint.Set{SHA256: digest.SHA256{1}, Audio: sound}); err != nil {
		t.Fatal(err)
	}
	if err := m.AddKnown("silent.mp4", &fingerprint.Set{SHA256: digest.SHA256{2}, Audio: make(audio.Track, 300)}); err != nil {
		t.Fatal(err)
	}
	if m.Len() != 3 { // two digests; silence is not worth sharing
		t.Errorf("%d fingerprints, want 3", m.Len())
	}
	got := m.Match(&fingerprint.Set{SHA256: digest.SHA256{3}, Audio: sound[100:250]})
	want := []app.Matched{{Known: "known.mp4", Kind: "audio", Pass: "audio", Action: "review", Score: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("matches (-want +got):\n%s", diff)
	}
	if got := m.Match(&fingerprint.Set{SHA256: digest.SHA256{3}, Audio: make(audio.Track, 300)}); len(got) > 0 {
		t.Errorf("silence matches %+v", got)
	}
}
