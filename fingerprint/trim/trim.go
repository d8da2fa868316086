// Package trim finds the picture within a picture: what is left when a border,
// the bars of a letterbox, a caption strip or the frame of an app is taken
// away. It proposes a few rectangles, cheaply, for a perceptual hash to try; a
// wrong proposal costs one look-up and finds nothing, so it errs on the side
// of proposing.
package trim

import (
	"image"
)

// Names of what was taken away.
const (
	Border    = "border"    // a frame, solid or shaded, on all sides
	Letterbox = "letterbox" // bars at two opposite sides, solid or blurred
	Caption   = "caption"   // a strip with writing at the top or bottom
	Screen    = "screen"    // the controls of an app or player
	Filmed    = "filmed"    // all but a screen that was filmed at an angle, see Quads
)

// Candidate is one inner rectangle, in pixels of the picture given.
type Candidate struct {
	Name string
	Rect image.Rectangle
}

// Max is the most candidates that Find returns.
const Max = 6

const (
	side = 320 // longer side at which edges are looked for

	minStrip = 4 // shorter side, as shrunk, of a picture in which anything is looked for

	flat     = 6  // levels by which neighbours on a solid strip differ
	minShare = 20 // percent of a side that must remain
)

// Find returns at most Max inner rectangles of the w by h brightness plane pix
// (rows from the top, no padding), most likely first. It returns none for a
// picture without anything to take away, under 32 pixels wide or high, or of
// which the longer side is some eighty times the shorter.
func Find(pix []byte, w, h int) []Candidate {
	if w < 32 || h < 32 {
		return nil
	}
	f := finder{full: pix, fw: w, fh: h}
	f.shrink()
	if f.w < minStrip || f.h < minStrip {
		return nil
	}
	f.peelFlat()
	f.strips()
	f.lines()
	return f.out
}

type finder struct {
	full   []byte
	fw, fh int
	pix    []byte
	w, h   int
	out    []Candidate
}

// shrink samples the picture to at most side pixels, by means of areas.
func (f *finder) shrink() {
	k := (max(f.fw, f.fh) + side - 1) / side
	f.w, f.h = f.fw/k, f.fh/k
	if k == 1 {
		f.pix = f.full
		return
	}
	f.pix = make([]byte, f.w*f.h)
	for y := range f.h {
		for x := range f.w {
			s := 0
			for yy := y * k; yy < y*k+k; yy++ {
				row := f.full[yy*f.fw+x*k:][:k]
				for _, v := range row {
					s += int(v)
				}
			}
			f.pix[y*f.w+x] = byte(s / (k * k))
		}
	}
}

// add proposes a rectangle in small pixels, made exact at full size.
func (f *finder) add(name string, r image.Rectangle) {
	if r.Dx()*100 < f.w*minShare || r.Dy()*100 < f.h*minShare || r == image.Rect(0, 0, f.w, f.h) {
		return
	}
	full := image.Rect(r.Min.X*f.fw/f.w, r.Min.Y*f.fh/f.h, (r.Max.X*f.fw+f.w-1)/f.w, (r.Max.Y*f.fh+f.h-1)/f.h)
	full = full.Intersect(image.Rect(0, 0, f.fw, f.fh))
	if full.Dx() < 16 || full.Dy() < 16 {
		return
	}
	for _, c := range f.out {
		if near(c.Rect.Min.X, full.Min.X, f.fw) && near(c.Rect.Max.X, full.Max.X, f.fw) &&
			near(c.Rect.Min.Y, full.Min.Y, f.fh) && near(c.Rect.Max.Y, full.Max.Y, f.fh) {
			return
		}
	}
	if len(f.out) < Max {
		f.out = append(f.out, Candidate{name, full})
	}
}

func near(a, b, of int) bool { return max(a-b, b-a)*200 <= of }

// line returns the i-th pixel of row or column n.
func (f *finder) at(x, y int) int { return int(f.pix[y*f.w+x]) }

// uniform reports whether row (or column) n of r is solid or a smooth shade.
func (f *finder) uniform(r image.Rectangle, n int, row bool) bool {
	lo, hi := r.Min.X, r.Max.X
	if !row {
		lo, hi = r.Min.Y, r.Max.Y
	}
	bad := 0
	prev := -1
	for i := lo; i < hi; i++ {
		v := 0
		if row {
			v = f.at(i, n)
		} else {
			v = f.at(n, i)
		}
		if prev >= 0 && max(v-prev, prev-v) > flat {
			bad++
		}
		prev = v
	}
	return bad*50 <= hi-lo
}

// peelFlat takes solid and shaded strips away from all four sides.
func (f *finder) peelFlat() {
	r := image.Rect(0, 0, f.w, f.h)
	for range 3 {
		before := r
		for r.Dy() > f.h/5 && f.uniform(r, r.Min.Y, true) {
			r.Min.Y++
		}
		for r.Dy() > f.h/5 && f.uniform(r, r.Max.Y-1, true) {
			r.Max.Y--
		}
		for r.Dx() > f.w/5 && f.uniform(r, r.Min.X, false) {
			r.Min.X++
		}
		for r.Dx() > f.w/5 && f.uniform(r, r.Max.X-1, false) {
			r.Max.X--
		}
		if r == before {
			break
		}
	}
	name := Border
	if r.Dx() == f.w || r.Dy() == f.h {
		name = Letterbox
	}
	f.add(name, r)
}

// strips takes away rows at the top and bottom, then columns, in which one
// brightness fills the most of a line: captions and app frames.
func (f *finder) strips() {
	for _, share := range [2]int{40, 25} {
		r := image.Rect(0, 0, f.w, f.h)
		// The longest run of rows that is not mostly background.
		bg := f.background()
		y0, y1 := f.run(f.h, func(y int) bool {
			n := 0
			for x := range f.w {
				if v := f.at(x, y); bg[v] {
					n++
				}
			}
			return n*100 < share*f.w
		})
		r.Min.Y, r.Max.Y = y0, y1
		f.add(Caption, r)
		x0, x1 := f.run(f.w, func(x int) bool {
			n := 0
			for y := y0; y < y1; y++ {
				if v := f.at(x, y); bg[v] {
					n++
				}
			}
			return n*100 < share*(y1-y0)
		})
		r.Min.X, r.Max.X = x0, x1
		f.add(Screen, r)
	}
}

// background marks the brightness that the outermost rows are mostly made of.
func (f *finder) background() (bg [256]bool) {
	var hist [256]int
	for x := range f.w {
		hist[f.at(x, 0)]++
		hist[f.at(x, f.h-1)]++
	}
	best := 0
	for v := range hist {
		if hist[v] > hist[best] {
			best = v
		}
	}
	for v := max(0, best-flat); v <= min(255, best+flat); v++ {
		bg[v] = true
	}
	return bg
}

// run returns the longest run of lines that hold picture, gaps of up to one
// percent bridged.
func (f *finder) run(n int, picture func(int) bool) (lo, hi int) {
	start, gap := -1, 0
	for i := 0; i <= n; i++ {
		if i < n && picture(i) {
			if start < 0 {
				start = i
			}
			gap = 0
			continue
		}
		gap++
		if start >= 0 && (gap > n/100+1 || i == n) {
			if end := i - gap + 1; end-start > hi-lo {
				lo, hi = start, end
			}
			start = -1
		}
	}
	if hi == 0 {
		return 0, n
	}
	return lo, hi
}

// lines looks for long straight edges between a smooth part and a detailed
// one: blurred bars.
func (f *finder) lines() {
	y0, y1 := f.edges(true)
	f.add(Letterbox, image.Rect(0, y0, f.w, y1))
	x0, x1 := f.edges(false)
	f.add(Letterbox, image.Rect(x0, 0, x1, f.h))
}

// edges returns the strongest full-length edge in the first and in the last
// half of the lines, or the ends where there is none.
func (f *finder) edges(rows bool) (lo, hi int) {
	n, m := f.h, f.w
	at := func(line, i int) int { return f.at(i, line) }
	if !rows {
		n, m = f.w, f.h
		at = f.at
	}
	step := make([]int, n)
	for l := 1; l < n; l++ {
		c := 0
		for i := range m {
			if d := at(l, i) - at(l-1, i); d > 12 || d < -12 {
				c++
			}
		}
		step[l] = c
	}
	lo, hi = 0, n
	best := 0
	for l := 2; l < n/2; l++ {
		if s := step[l]; s > best && s*100 > 45*m && s > 2*step[l-1] {
			best, lo = s, l
		}
	}
	best = 0
	for l := n / 2; l < n-2; l++ {
		if s := step[l]; s > best && s*100 > 45*m && s > 2*step[l+1] {
			best, hi = s, l
		}
	}
	return lo, hi
}
