package pdq

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestReference compares the one weighted sum, in whole numbers, with the
// literal algorithm: the spectrum is that of 64-bit arithmetic to a billionth,
// and that of the reference's 32 bits to what those can hold. So the hash is
// the reference's but for bits whose frequency is that near the median.
func TestReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPixels(t, 5, 700)
		var h Hasher
		got := h.HashRGB(p.rgb, 3*p.w, p.w, p.h)

		exact := reference(luma64(p), p.h, p.w)
		compare(t, &h, got, exact, 1e-9)
		rounded := reference(luma32(p), p.h, p.w)
		compare(t, &h, got, rounded, 0.05)
	})
}

func compare[F float](t *rapid.T, h *Hasher, got Result, want referenceResult[F], tolerance float64) {
	t.Helper()
	median := float64(torben(want.spectrum))
	for k, x := range h.spectrum {
		ref := float64(want.spectrum[k/frequencies][k%frequencies])
		if math.Abs(x-ref) > tolerance {
			t.Fatalf("%T: frequency %d is %v, want %v", want.thumbnail[0][0], k, x, ref)
		}
		bit := func(h Hash) byte { return h[31-k/8] >> (k % 8) & 1 }
		if bit(got.Hash) != bit(want.hash) && math.Abs(ref-median) > 2*tolerance {
			t.Fatalf("bit %d differs, at %v from the median", k, ref-median)
		}
	}
	if d := got.Quality - want.quality; d < -1 || d > 1 {
		t.Fatalf("quality %d, want %d", got.Quality, want.quality)
	}
}

func luma64(p pixels) []float64 {
	luma := make([]float64, p.w*p.h)
	for i := range luma {
		luma[i] = 0.299*float64(p.rgb[3*i]) + 0.587*float64(p.rgb[3*i+1]) + 0.114*float64(p.rgb[3*i+2])
	}
	return luma
}

func luma32(p pixels) []float32 {
	luma := make([]float32, p.w*p.h)
	for i := range luma {
		luma[i] = float32(0.299)*float32(p.rgb[3*i]) + float32(0.587)*float32(p.rgb[3*i+1]) + float32(0.114)*float32(p.rgb[3*i+2])
	}
	return luma
}

// TestAxis compares the weights with two moving averages of the reference,
// which are the weights that an impulse has.
func TestAxis(t *testing.T) {
	check := func(n int) error {
		var a axis
		a.set(n)
		ones := make([]int32, a.w)
		for i := range ones {
			ones[i] = 1
		}
		w := (n + 127) / 128
		half := (w + 2) / 2
		window := func(k int) (from, to int) { return max(k+half-w, 0), min(k+half, n) }
		for j := range side {
			want := make(map[int]float64)
			from, to := window((2*j + 1) * n / 128)
			for k := from; k < to; k++ {
				from2, to2 := window(k)
				for x := from2; x < to2; x++ {
					want[x] += 1 / float64(to-from) / float64(to2-from2)
				}
			}
			got := make(map[int]float64)
			add := func(j int, divisor float64) {
				start, weights := a.weights(j, ones)
				for k, weight := range weights {
					got[start+k] += float64(weight) / divisor
				}
			}
			add(j, float64(w*w))
			if j == side-1 && a.clipped {
				add(side, float64(w*(w-1)))
			}
			if len(got) != len(want) {
				return fmt.Errorf("axis of %d, sample %d: %d pixels, want %d", n, j, len(got), len(want))
			}
			for x := range want {
				if math.Abs(got[x]-want[x]) > 1e-12 {
					return fmt.Errorf("axis of %d, sample %d: pixel %d weighs %v, want %v", n, j, x, got[x], want[x])
				}
			}
		}
		return nil
	}
	for n := 1; n < 600; n++ {
		if err := check(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{640, 1004, 1600, 4000, 8192, 8193, 11520, 16385} {
		if err := check(n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWaysAgree holds the fast ways of summing to the plain one: equal, not
// close. Run with the tag purego it leaves the vector code out.
func TestWaysAgree(t *testing.T) {
	var used Hasher
	rapid.Check(t, func(t *rapid.T) {
		img := drawImage(t, drawPixels(t, 5, 700))
		waysAgree(t, img)
		if got, want := used.Hash(img), Compute(img); got != want {
			t.Fatalf("%T of %v: %v by a used Hasher, %v by a fresh one", img, img.Bounds(), got, want)
		}
	})
}

// TestWaysAgreeWhenLarge does so where lanes would overflow, and where weights
// need several parts.
func TestWaysAgreeWhenLarge(t *testing.T) {
	for _, size := range []image.Point{{8192, 37}, {8193, 21}, {16500, 9}, {65535, 5}, {40, 65535}, {5, 65535}} {
		white := image.NewRGBA(image.Rectangle{Max: size})
		for i := range white.Pix {
			white.Pix[i] = 255
		}
		waysAgree(t, white)
		gray := image.NewGray(image.Rectangle{Max: size})
		for i := range gray.Pix {
			gray.Pix[i] = uint8(255 - i%7)
		}
		waysAgree(t, gray)
		ycbcr := image.NewYCbCr(image.Rectangle{Max: size}, image.YCbCrSubsampleRatio420)
		noise(rand.New(rand.NewPCG(1, 2)), ycbcr.Y, ycbcr.Cb, ycbcr.Cr)
		waysAgree(t, ycbcr)
	}
}

func waysAgree(t rapid.TB, img image.Image) {
	t.Helper()
	sums := func(sum func(h *Hasher, i int, sums *[side + 1]int64) bool) (all [side + 1]*[side + 1]int64) {
		var h Hasher
		h.src.open(img, img.Bounds())
		if !h.start(h.src.w, h.src.h) {
			t.Fatalf("too small: %v", img.Bounds())
		}
		h.prepare(h.src.w)
		for i := range h.ys.samples() {
			var s [side + 1]int64
			if sum(&h, i, &s) {
				all[i] = &s
			}
		}
		return all
	}
	plain := sums(func(h *Hasher, i int, sums *[side + 1]int64) bool { h.sumPlain(i, sums); return true })
	check := func(name string, way func(*Hasher, int, *[side + 1]int64) bool) {
		for i, s := range sums(way) {
			if s != nil && *s != *plain[i] {
				t.Fatalf("%T of %v, sample row %d: %s sums are\n%v, plain\n%v", img, img.Bounds(), i, name, *s, *plain[i])
			}
		}
	}
	var h Hasher
	want, spectrum := h.Hash(img), h.spectrum
	portable(func() {
		if got := h.Hash(img); got != want || h.spectrum != spectrum {
			t.Fatalf("%T of %v: %v in portable code, %v in vector code", img, img.Bounds(), got, want)
		}
	})
	check("vector", (*Hasher).sumColumns)
	check("YCbCr", (*Hasher).sumYCbCr)
	portable(func() { check("portable", (*Hasher).sumColumns) })
}

// TestColours compares the fast conversions with the plain one for every
// colour there is.
func TestColours(t *testing.T) {
	table, excesses := chromaLumas(), chromaExcesses()
	want := make([]int32, 256)
	got := make([]int32, 256)
	picture := image.NewYCbCr(image.Rect(0, 0, 256, 1), image.YCbCrSubsampleRatio444)
	for y := range picture.Y {
		picture.Y[y] = uint8(y)
	}
	var h Hasher
	h.src.open(picture, picture.Bounds())
	h.columns.open(&h.src)
	for c := range 1 << 16 {
		cb, cr := uint8(c>>8), uint8(c)
		for y := range want {
			r, g, b := rgb(int32(y), int32(cb), int32(cr))
			want[y] = red*r + green*g + blue*b
			v := table.pair(uint64(c) * halves)
			got[y] = int32(v&0x3ff) + white*int32(y) - chromaBias
			excess := int32(excesses.of(uint8(y), uint16(c)))
			if (v+uint64(y)*halves*withinStep)&within == within && excess != 0 {
				t.Fatalf("Y %d Cb %d Cr %d is taken for unclamped and changes by %d", y, cb, cr, excess)
			}
			got[y] += excess
			picture.Cb[y], picture.Cr[y] = cb, cr
		}
		for y := range want {
			if got[y] != want[y] {
				t.Fatalf("luma of Y %d Cb %d Cr %d is %d, want %d", y, cb, cr, got[y], want[y])
			}
		}
		r, g, b := h.convertRow(0)
		if r == nil {
			continue // no vector code on this processor
		}
		for y := range want {
			if v := red*int32(r[y]) + green*int32(g[y]) + blue*int32(b[y]); v != want[y] {
				t.Fatalf("vector luma of Y %d Cb %d Cr %d is %d, want %d", y, cb, cr, v, want[y])
			}
		}
	}
}

// TestUpsampling compares each pixel's chroma with the formula of libjpeg's
// triangle filter in the coordinates of the whole picture.
func TestUpsampling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ratio := image.YCbCrSubsampleRatio(rapid.IntRange(0, 5).Draw(t, "ratio"))
		low := image.Pt(rapid.IntRange(0, 5).Draw(t, "min x"), rapid.IntRange(0, 5).Draw(t, "min y"))
		img := image.NewYCbCr(image.Rectangle{Min: low, Max: low.Add(image.Pt(
			rapid.IntRange(6, 90).Draw(t, "width"), rapid.IntRange(6, 20).Draw(t, "height")))}, ratio)
		noise(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), img.Y, img.Cb, img.Cr)
		b := img.Rect
		r := b
		r.Min = r.Min.Add(image.Pt(rapid.IntRange(0, 1).Draw(t, "left"), rapid.IntRange(0, 1).Draw(t, "top")))
		r.Max.X -= rapid.IntRange(0, 1).Draw(t, "right")

		// at is the sample that covers a pixel, or the nearest one to it.
		at := func(p []uint8, x, y int) int {
			x, y = max(b.Min.X, min(x, b.Max.X-1)), max(b.Min.Y, min(y, b.Max.Y-1))
			return int(p[img.COffset(x, y)])
		}
		want := func(p []uint8, x, y int) int {
			dx, dy := 2*(x&1)-1, 2*(y&1)-1 // towards the next nearest sample
			near, far := 3*at(p, x, y), at(p, x+2*dx, y)
			switch ratio {
			case image.YCbCrSubsampleRatio420:
				sum := 3*(near+far) + 3*at(p, x, y+2*dy) + at(p, x+2*dx, y+2*dy)
				return (sum + 8 - x&1) >> 4
			case image.YCbCrSubsampleRatio422:
				return (near + far + 1 + x&1) >> 2
			case image.YCbCrSubsampleRatio440:
				return (near + at(p, x, y+2*dy) + 1 + y&1) >> 2
			default:
				return at(p, x, y)
			}
		}
		var h Hasher
		h.src.open(img, r)
		h.prepare(h.src.w)
		for y := range h.src.h {
			row, shift := h.src.chroma.read(y, h.src.w, &h.buf.chroma)
			for x := range h.src.w {
				got := row.at(x + shift)
				u, v := want(img.Cb, r.Min.X+x, r.Min.Y+y), want(img.Cr, r.Min.X+x, r.Min.Y+y)
				if int(got) != u<<8|v {
					t.Fatalf("pixel %d, %d of %v in %v: chroma %d, %d, want %d, %d", x, y, r, b, got>>8, got&255, u, v)
				}
			}
		}
	})
}

// TestLayoutsAgree: one opaque picture has one hash, however it is stored.
func TestLayoutsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPixels(t, 5, 200)
		var h Hasher
		want := h.HashRGB(p.rgb, 3*p.w, p.w, p.h)
		// Sums of 16 bits are 257 times as large, and may be rounded otherwise
		// where a last sample is clipped; that shows in exact ties only.
		agree := func(img image.Image) {
			if got := h.Hash(img); got != want && !nearMedian(&h.spectrum) {
				t.Fatalf("%T: %v, want %v", img, got, want)
			}
		}
		for _, layout := range []string{"nrgba", "rgba", "nrgba64", "rgba64", "colours", "colours64"} {
			agree(p.layout(layout, image.Pt(3, -2), 0))
		}

		grey := p
		grey.rgb = make([]uint8, len(p.rgb))
		plane := make([]uint8, p.w*p.h)
		plane32 := make([]float32, p.w*p.h)
		for i := range plane {
			plane[i] = p.rgb[3*i]
			plane32[i] = float32(plane[i])
			copy(grey.rgb[3*i:], []uint8{plane[i], plane[i], plane[i]})
		}
		want = h.HashRGB(grey.rgb, 3*p.w, p.w, p.h)
		wantEight := h.Dihedral()
		for _, layout := range []string{"gray", "gray16", "paletted", "ycbcr"} {
			agree(grey.layout(layout, image.Pt(2, 4), 1))
		}
		if got, eight := FromLuma8(plane, p.w, p.w, p.h); got != want || eight != wantEight {
			t.Fatalf("FromLuma8: %v, want %v", got, want)
		}
		got, eight := FromLuma32(plane32, p.w, p.w, p.h)
		if d := got.Hash.Distance(want.Hash); d > 0 && !nearMedian(&h.spectrum) || eight[0] != got.Hash {
			t.Fatalf("FromLuma32: %v, want %v", got, want)
		}
	})
}

// nearMedian reports whether some frequency other than the median is so near
// it that the rounding of 64-bit sums may decide.
func nearMedian(s *spectrum) bool {
	values := *s
	median := nth(values[:], len(values)/2-1)
	near := 0
	for _, x := range s {
		if math.Abs(x-median) < 1e-9 {
			near++
		}
	}
	return near > 1
}

// TestRectangle: a rectangle of a picture is hashed as a copy of it would be,
// and a picture with a long stride and an offset as itself.
func TestRectangle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPixels(t, 12, 200)
		img := drawImage(t, p)
		b := img.Bounds()
		r := image.Rect(
			rapid.IntRange(b.Min.X, b.Max.X).Draw(t, "x0"), rapid.IntRange(b.Min.Y, b.Max.Y).Draw(t, "y0"),
			rapid.IntRange(b.Min.X, b.Max.X).Draw(t, "x1"), rapid.IntRange(b.Min.Y, b.Max.Y).Draw(t, "y1"))
		var src source
		src.open(img, img.Bounds())
		row := make([]int32, src.w)
		var buf buffers
		buf.chroma.reset(src.w)
		copied := make([]float32, r.Dx()*r.Dy())
		for y := range r.Dy() {
			src.read(r.Min.Y-b.Min.Y+y, row, &buf)
			for x := range r.Dx() {
				copied[y*r.Dx()+x] = float32(float64(row[r.Min.X-b.Min.X+x]) / float64(src.scale))
			}
		}

		var h, c Hasher
		got := h.HashRect(img, r)
		want := c.HashLuma32(copied, r.Dx(), r.Dx(), r.Dy())
		for k := range h.spectrum {
			if math.Abs(h.spectrum[k]-c.spectrum[k]) > 1e-3 {
				t.Fatalf("%T %v of %v: frequency %d is %v, of a copy %v", img, r, b, k, h.spectrum[k], c.spectrum[k])
			}
		}
		if d := got.Quality - want.Quality; d < -1 || d > 1 {
			t.Fatalf("%T %v of %v: quality %d, of a copy %d", img, r, b, got.Quality, want.Quality)
		}
	})
}

// TestDihedral: at 64 by 64 pixels nothing is resampled, so that the eight
// hashes are exactly those of the turned and mirrored pictures.
func TestDihedral(t *testing.T) {
	const last = side - 1
	from := [8]func(x, y int) (int, int){ // where pixel x, y of the turned picture was
		func(x, y int) (int, int) { return x, y },
		func(x, y int) (int, int) { return last - y, x },        // turned left
		func(x, y int) (int, int) { return last - x, last - y }, // turned about
		func(x, y int) (int, int) { return y, last - x },        // turned right
		func(x, y int) (int, int) { return x, last - y },        // top to bottom
		func(x, y int) (int, int) { return last - x, y },        // left to right
		func(x, y int) (int, int) { return y, x },               // about the diagonal
		func(x, y int) (int, int) { return last - y, last - x }, // about the other
	}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPixels(t, side, side)
		var h Hasher
		h.HashRGB(p.rgb, 3*side, side, side)
		for i, got := range h.Dihedral() {
			turned := make([]uint8, len(p.rgb))
			for y := range side {
				for x := range side {
					x0, y0 := from[i](x, y)
					copy(turned[3*(y*side+x):][:3], p.rgb[3*(y0*side+x0):])
				}
			}
			var h2 Hasher
			want := h2.HashRGB(turned, 3*side, side, side).Hash
			if got != want && !nearMedian(&h2.spectrum) {
				t.Fatalf("hash %d is %v, of the turned picture %v", i, got, want)
			}
		}
	})
}

func TestMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-5, 5), 256, 256).Draw(t, "values")
		if rapid.Bool().Draw(t, "ties") {
			for i := range values {
				values[i] = math.Round(values[i])
			}
		}
		var m [frequencies][frequencies]float64
		for i, v := range values {
			m[i/frequencies][i%frequencies] = v
		}
		want := torben(m)
		if got := nth(values, 127); got != want {
			t.Fatalf("median %v, want %v", got, want)
		}
	})
}

// pixels is a picture of 3 bytes a pixel.
type pixels struct {
	w, h int
	rgb  []uint8
}

// drawPixels draws a picture of sides within bounds: noise, slopes, flat
// patches or stripes, in colours that include the most saturated.
func drawPixels(t *rapid.T, from, to int) pixels {
	p := pixels{w: rapid.IntRange(from, to).Draw(t, "width"), h: rapid.IntRange(from, to).Draw(t, "height")}
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	p.rgb = make([]uint8, 3*p.w*p.h)
	kind := rapid.SampledFrom([]string{"noise", "slope", "patches", "extremes"}).Draw(t, "content")
	size := 1 + rng.IntN(40)
	var slope [6]float64
	for i := range slope {
		slope[i] = rng.Float64()*4 - 2
	}
	patches := make([]uint8, 3*(p.w/size+1)*(p.h/size+1))
	noise(rng, patches)
	noise(rng, p.rgb)
	for y := range p.h {
		for x := range p.w {
			for c := range 3 {
				v := &p.rgb[3*(y*p.w+x)+c]
				switch kind {
				case "slope":
					*v = uint8(max(0, min(255, 128+slope[c]*float64(x)+slope[3+c]*float64(y)+float64(*v%4))))
				case "patches":
					*v = patches[3*(y/size*(p.w/size+1)+x/size)+c]
				case "extremes":
					*v = uint8(int8(*v) >> 7)
				}
			}
		}
	}
	return p
}

func noise(rng *rand.Rand, planes ...[]uint8) {
	for _, p := range planes {
		for i := range p {
			p[i] = uint8(rng.Uint32())
		}
	}
}

var layouts = []string{
	"gray", "gray16", "rgba", "nrgba", "transparent rgba", "transparent nrgba", "rgba64", "nrgba64", "cmyk", "paletted",
	"ycbcr", "nycbcra", "colours", "colours64",
}

// drawImage stores the picture in any layout, from any point on, as part of a
// larger picture or as it is.
func drawImage(t *rapid.T, p pixels) image.Image {
	layout := rapid.SampledFrom(layouts).Draw(t, "layout")
	min := image.Pt(rapid.IntRange(-3, 9).Draw(t, "min x"), rapid.IntRange(-3, 9).Draw(t, "min y"))
	img := p.layout(layout, min, rapid.IntRange(0, 5).Draw(t, "ratio"))
	if sub, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	}); ok && p.w > 10 && p.h > 10 && rapid.Bool().Draw(t, "part") {
		r := img.Bounds()
		r.Min = r.Min.Add(image.Pt(rapid.IntRange(0, 3).Draw(t, "left"), rapid.IntRange(0, 3).Draw(t, "top")))
		r.Max = r.Max.Sub(image.Pt(rapid.IntRange(0, 2).Draw(t, "right"), rapid.IntRange(0, 2).Draw(t, "bottom")))
		img = sub.SubImage(r)
	}
	return img
}

func (p pixels) layout(layout string, min image.Point, ratio int) image.Image {
	r := image.Rectangle{Min: min, Max: min.Add(image.Pt(p.w, p.h))}
	type drawable interface {
		image.Image
		Set(x, y int, c color.Color)
	}
	var img drawable
	rng := rand.New(rand.NewPCG(7, uint64(p.w)))
	alpha := func() uint8 { return 255 }
	switch layout {
	case "gray":
		img = image.NewGray(r)
	case "gray16":
		img = image.NewGray16(r)
	case "rgba", "colours", "colours64":
		img = image.NewRGBA(r)
	case "nrgba":
		img = image.NewNRGBA(r)
	case "transparent rgba":
		img = image.NewRGBA(r)
		alpha = func() uint8 { return uint8(rng.Uint32()) }
	case "transparent nrgba":
		img = image.NewNRGBA(r)
		// One pixel only, which must not be overlooked.
		n := rng.IntN(p.w * p.h)
		alpha = func() uint8 { n--; return uint8(255 - max(0, 1-n*n)) }
	case "rgba64":
		img = image.NewRGBA64(r)
	case "nrgba64":
		img = image.NewNRGBA64(r)
	case "cmyk":
		img = image.NewCMYK(r)
	case "paletted":
		grey := make(color.Palette, 256)
		for i := range grey {
			grey[i] = color.Gray{uint8(i)}
		}
		img = image.NewPaletted(r, grey)
	case "ycbcr", "nycbcra":
		m := image.NewNYCbCrA(r, image.YCbCrSubsampleRatio(ratio))
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				i := 3 * ((y-r.Min.Y)*p.w + x - r.Min.X)
				v, cb, cr := color.RGBToYCbCr(p.rgb[i], p.rgb[i+1], p.rgb[i+2])
				m.Y[m.YOffset(x, y)] = v
				m.Cb[m.COffset(x, y)] = cb
				m.Cr[m.COffset(x, y)] = cr
			}
		}
		for i := range m.A {
			m.A[i] = uint8(rng.Uint32())
		}
		if layout == "ycbcr" {
			return &m.YCbCr
		}
		return m
	}
	for y := range p.h {
		for x := range p.w {
			c := p.rgb[3*(y*p.w+x):]
			img.Set(min.X+x, min.Y+y, color.NRGBA{c[0], c[1], c[2], alpha()})
		}
	}
	switch layout {
	case "colours":
		return colours{img}
	case "colours64":
		return colours64{colours{img}}
	}
	return img
}

// colours is an image of no type known to us.
type colours struct{ image.Image }

// colours64 is one that gives 16-bit colours without allocating.
type colours64 struct{ colours }

func (c colours64) RGBA64At(x, y int) color.RGBA64 {
	return c.Image.(image.RGBA64Image).RGBA64At(x, y)
}
