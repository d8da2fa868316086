package local_test

import (
	"image"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/local"
)

// TestSieve keeps copies of pictures; when one of the pictures becomes known,
// its copies are named first. What was removed is not named.
func TestSieve(t *testing.T) {
	const n = 12
	var s local.Sieve
	var known []*local.Fingerprint
	if got := s.Find(local.ComputeLuma(scene(1, 300, 200), local.Options{})); got != nil {
		t.Errorf("an empty sieve found %v", got)
	}
	for i := range uint64(n) {
		l := scene(100+i, 420, 320)
		known = append(known, local.ComputeLuma(l, local.Options{}).Asset())
		cut := l.Sub(image.Rect(60, 40, 390, 310)).Resize(280, 230)
		for y := range cut.H { // mirrored
			row := cut.Pix[y*cut.W:][:cut.W]
			for a, b := 0, cut.W-1; a < b; a, b = a+1, b-1 {
				row[a], row[b] = row[b], row[a]
			}
		}
		s.Add(i, local.ComputeLuma(cut, local.Options{}).Kept())
		s.Add(i, local.ComputeLuma(scene(200+i, 300, 200), local.Options{}).Kept()) // another frame of a video
	}
	for i, f := range known {
		if got := s.Find(f); len(got) == 0 || got[0] != uint64(i) { //nolint:gosec // a count
			t.Errorf("picture %d: found %v", i, got)
		}
	}
	// Many come and go; the entries of those that went are swept away.
	for id := uint64(1000); id < 3000; id++ {
		s.Add(id, known[id%3])
		s.Remove(id)
	}
	s.Remove(4)
	s.Remove(4)
	for i, f := range known {
		got := s.Find(f)
		if first := len(got) > 0 && got[0] == uint64(i); first == (i == 4) { //nolint:gosec // a count
			t.Errorf("picture %d after removals: found %v", i, got)
		}
		for _, id := range got {
			if id == 4 || id >= 1000 {
				t.Errorf("picture %d: %d was removed and is found", i, id)
			}
		}
	}
}
