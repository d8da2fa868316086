package vpdq_test

import (
	"image"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// TestTurn compares with the hashes that the pixels' own spectrum gives.
func TestTurn(t *testing.T) {
	files, _ := filepath.Glob("../pdq/testdata/images/*")
	checked, most, sum := 0, 0, 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := image.Decode(f)
		_ = f.Close()
		if err != nil {
			continue
		}
		r, want := pdq.ComputeDihedral(img)
		if r.Quality < pdq.MinQuality || pdq.Degenerate(r.Hash) {
			continue
		}
		checked++
		for form := range vpdq.Forms {
			d := vpdq.Turn(r.Hash, form).Distance(want[form])
			most, sum = max(most, d), sum+d
			if form == 0 && d != 0 || d > pdq.MatchDistance {
				t.Errorf("%s, form %d: %d bits from the true hash", filepath.Base(name), form, d)
			}
		}
	}
	if checked < 8 {
		t.Errorf("%d pictures were compared", checked)
	}
	if mean := float64(sum) / float64(checked*vpdq.Forms); mean > 10 {
		t.Errorf("%.1f bits on average, want at most 10", mean)
	}
	t.Logf("%d pictures, %.1f bits on average, at most %d", checked, float64(sum)/float64(checked*vpdq.Forms), most)
}

func TestSpread(t *testing.T) {
	v := film(4, 60, 10)
	thin := v.Thin(50, 20)
	spread := thin.Spread()
	if len(spread) <= len(thin) || len(spread) > len(thin)+60 {
		t.Errorf("%d frames of %d", len(spread), len(thin))
	}
	for i := 1; i < len(spread); i++ {
		if spread[i].Seconds < spread[i-1].Seconds || spread[i].Seconds-spread[i-1].Seconds > 2 {
			t.Errorf("frame %d at %v comes after %v", i, spread[i].Seconds, spread[i-1].Seconds)
		}
	}
	// A long gap and a long video stay bounded.
	far := vpdq.Video{v[0], v[1]}
	far[1].Seconds = 1e6
	if n := len(far.Spread()); n != 62 {
		t.Errorf("a gap of days became %d frames", n)
	}
	var many vpdq.Video
	for i := range 4000 {
		f := v[0]
		f.Seconds = float64(100 * i)
		many = append(many, f)
	}
	if n := len(many.Spread()); n != 4096 {
		t.Errorf("%d frames", n)
	}
	if n := len(vpdq.Video(nil).Spread()); n != 0 {
		t.Errorf("nothing became %d frames", n)
	}
	// A still scene in the middle of a compilation keeps step.
	still := vpdq.Video{}
	for i := range 200 { // twenty seconds: three scenes of several seconds each
		f := v[i/70]
		f.PDQ.Hash = film(uint64(10+i/70), 1, 1)[0].PDQ.Hash
		f.Seconds = float64(i) / 10
		still = append(still, f)
	}
	other := film(5, 120, 10)
	var inside vpdq.Video
	inside = append(inside, part(other, 0, 60, 1, 0, 0, 1)...)
	inside = append(inside, part(still, 0, 20, 1, 60, 5, 2)...)
	inside = append(inside, part(other, 60, 120, 1, 80, 0, 3)...)
	long := append(append(vpdq.Video{}, still...), part(film(6, 600, 2), 0, 600, 1, 21, 0, 4)...)
	if m := vpdq.Compare(inside, long.Thin(50, 10)); m.Seconds >= 6 {
		t.Errorf("kept step without it: %+v", m)
	}
	if m := vpdq.Compare(inside, long.Thin(50, 10).Spread()); !m.Found() || m.Weak() {
		t.Errorf("still scenes within a compilation: %+v", m)
	}
}
