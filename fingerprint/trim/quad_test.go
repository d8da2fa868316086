package trim_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/trim"
)

// drawn fills what lies within q with a shaded, blotched picture, on a dim wall.
func drawn(w, h int, q trim.Quad, r *rand.Rand) []byte {
	pix := make([]byte, w*h)
	var blobs [12][4]float64
	for i := range blobs {
		blobs[i] = [4]float64{r.Float64() * float64(w), r.Float64() * float64(h), 12 + 40*r.Float64(), 60 * r.Float64()}
	}
	for y := range h {
		for x := range w {
			v := 40 + 20*float64(x)/float64(w)
			inside := 1.0 // share of the pixel, with a soft edge as a lens makes it
			for i := range q {
				a, b := q[i], q[(i+1)%4]
				d := ((b[0]-a[0])*(float64(y)+0.5-a[1]) - (b[1]-a[1])*(float64(x)+0.5-a[0])) / math.Hypot(b[0]-a[0], b[1]-a[1])
				inside = min(inside, max(0, d/2+0.5))
			}
			screen := 130.0
			for _, b := range blobs {
				dx, dy := float64(x)-b[0], float64(y)-b[1]
				screen += b[3] * math.Exp(-(dx*dx+dy*dy)/(2*b[2]*b[2]))
			}
			v += inside * (screen - v)
			pix[y*w+x] = byte(min(255, max(0, v+3*r.NormFloat64())))
		}
	}
	return pix
}

// TestQuads finds the corners of tilted screens to within a hundredth of the
// picture, and what Rectify makes of them is what the screen shows.
func TestQuads(t *testing.T) {
	for i := range uint64(12) {
		r := rand.New(rand.NewPCG(7, i))
		w, h := 320, 240
		if i%3 == 0 {
			w, h = 200, 300
		}
		want := trim.Quad{{0.15, 0.2}, {0.85, 0.2}, {0.85, 0.8}, {0.15, 0.8}}
		for c := range want {
			want[c][0] = float64(w) * (want[c][0] + 0.2*r.Float64() - 0.1)
			want[c][1] = float64(h) * (want[c][1] + 0.16*r.Float64() - 0.08)
		}
		pix := drawn(w, h, want, r)
		best := math.Inf(1)
		var found trim.Quad
		for _, q := range trim.Quads(pix, w, h) {
			off := 0.0
			for c := range q {
				off = max(off, math.Hypot(q[c][0]-want[c][0], q[c][1]-want[c][1]))
			}
			if off < best {
				best, found = off, q
			}
		}
		if best > 0.01*float64(w+h) {
			t.Errorf("picture %d: corners %v are %.1f pixels off %v", i, found, best, want)
			continue
		}
		// Straight on, the screen fills all of it: no wall at its edges.
		const side = 64
		got := found.Rectify(pix, w, h, side)
		for name, at := range map[string]func(j int) int{
			"top": func(j int) int { return 2*side + j }, "bottom": func(j int) int { return (side-3)*side + j },
			"left": func(j int) int { return j*side + 2 }, "right": func(j int) int { return j*side + side - 3 },
		} {
			wall := 0
			for j := range side {
				if got[at(j)] < 90 {
					wall++
				}
			}
			if wall > side/10 {
				t.Errorf("picture %d: the wall is seen at the %s in %d of %d places", i, name, wall, side)
			}
		}
	}
}

// TestNoQuads: nothing is proposed where there is no screen, nor for planes that
// are too small.
func TestNoQuads(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 99))
	noise := make([]byte, 320*240)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, p := range map[string]struct {
		pix  []byte
		w, h int
	}{
		"flat": {make([]byte, 320*240), 320, 240}, "noise": {noise, 320, 240},
		"small": {noise, 63, 200}, "narrow": {noise, 320, 12}, "thin": {noise, 6400, 12},
	} {
		if qs := trim.Quads(p.pix, p.w, p.h); len(qs) != 0 {
			t.Errorf("%s: %v", name, qs)
		}
	}
}
