package app_test

import (
	"image"
	_ "image/jpeg" // photographs
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/audio"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
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

// TestKnownOfLittleDetail: a known picture blocks by its keypoints only if it
// has enough detail, as by its hash, and a proposal says how much it has.
func TestKnownOfLittleDetail(t *testing.T) {
	file, err := os.Open("../../fingerprint/pdq/testdata/images/bridge-mods__square-256x256.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	img, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	points := local.Compute(img, local.Options{}).Append(nil)
	hash := pdq.Compute(img).Hash
	for quality, want := range map[int]string{49: "review", 50: "block"} {
		known := fingerprint.Set{SHA256: digest.SHA256{1}, Picture: &fingerprint.Picture{PDQ: pdq.Result{Hash: hash, Quality: quality}, Local: points}}
		for _, p := range app.ProposalsOf(&known) {
			if p.Value.Kind != fingerprint.SHA256 && (p.Quality == nil || *p.Quality != quality) {
				t.Errorf("%s is proposed with quality %v, want %d", p.Value.Kind, p.Quality, quality)
			}
		}
		m := app.NewMatcher()
		if err := m.AddKnown("known", &known); err != nil {
			t.Fatal(err)
		}
		upload := fingerprint.Set{SHA256: digest.SHA256{2}, Picture: &fingerprint.Picture{PDQ: pdq.Result{Quality: 90}, Local: points}}
		if got := m.Match(&upload); len(got) != 1 || got[0].Kind != "local" || got[0].Action != want {
			t.Errorf("quality %d: found %+v, want local for %s", quality, got, want)
		}
	}
	// The key frames of a video say theirs.
	known := fingerprint.Set{SHA256: digest.SHA256{1}, Frames: []fingerprint.Frame{{PDQ: pdq.Result{Hash: hash, Quality: 77}, Local: points}}}
	ps := app.ProposalsOf(&known)
	if p := ps[len(ps)-1]; p.Value.Kind != fingerprint.Local || p.Quality == nil || *p.Quality != 77 {
		t.Errorf("a key frame is proposed as %s with quality %v, want local with 77", p.Value.Kind, p.Quality)
	}
}
