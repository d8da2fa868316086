package pdq_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// TestSizes: whatever the size, there is an answer, and an all-zero one where
// the reference gives that.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		width, height int
		hashed        bool
	}{
		{0, 0, false},
		{0, 7, false},
		{1, 1, false},
		{1, 1000, false},
		{1000, 1, false},
		{4, 4, false},
		{4, 5, false},
		{5, 4, false},
		{5, 5, true},
		{5, 65535, true},
		{65535, 1, false},
		{65535, 5, true},
		{63, 65, true},
		{64, 64, true},
		{127, 129, true},
	} {
		t.Run(fmt.Sprintf("%dx%d", c.width, c.height), func(t *testing.T) {
			img := image.NewGray(image.Rect(-2, 3, c.width-2, c.height+3))
			for i := range img.Pix {
				img.Pix[i] = uint8(i * i / 7)
			}
			got, eight := pdq.ComputeDihedral(img)
			zero := got == pdq.Result{} && eight == [8]pdq.Hash{}
			if zero == c.hashed {
				t.Errorf("%v %v, want a hash: %v", got, eight, c.hashed)
			}
			if fromLuma, _ := pdq.FromLuma8(img.Pix, img.Stride, c.width, c.height); fromLuma != got {
				t.Errorf("FromLuma8: %v, want %v", fromLuma, got)
			}
		})
	}
}

// TestFlat: a picture of one colour has exactly no detail, so that its hash is
// all zero instead of noise.
func TestFlat(t *testing.T) {
	for _, size := range []image.Point{{64, 64}, {640, 427}, {1000, 130}, {33, 2049}} {
		for _, c := range []color.Color{color.White, color.Black, color.RGBA{17, 130, 201, 255}, color.NRGBA{1, 2, 3, 4}} {
			img := image.NewNRGBA(image.Rectangle{Max: size})
			for y := range size.Y {
				for x := range size.X {
					img.Set(x, y, c)
				}
			}
			got := pdq.Compute(img)
			if got != (pdq.Result{}) || !pdq.Degenerate(got.Hash) {
				t.Errorf("%v of %v: %v, want an all-zero hash of quality 0", size, c, got)
			}
		}
	}
}

// TestTransparent: what is transparent is white, whatever colour it hides.
func TestTransparent(t *testing.T) {
	shown := open(t, "testdata/images/misc-images__c.png").(*image.NRGBA)
	hidden := image.NewNRGBA(shown.Rect)
	copy(hidden.Pix, shown.Pix)
	for y := 100; y < 300; y++ {
		for x := 200; x < 700; x++ {
			shown.Set(x, y, color.White)
			hidden.Set(x, y, color.NRGBA{uint8(x), uint8(y), uint8(x * y), 0})
		}
	}
	if got, want := pdq.Compute(hidden), pdq.Compute(shown); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		plane := make([]float32, 64*64)
		for i := range plane {
			plane[i] = float32(i % 251)
		}
		plane[77] = bad
		if got, eight := pdq.FromLuma32(plane, 64, 64, 64); got != (pdq.Result{}) || eight != ([8]pdq.Hash{}) {
			t.Errorf("with %v: %v, want an all-zero hash of quality 0", bad, got)
		}
	}
}

// TestSameEverywhere: hashes, qualities and turned hashes of pictures made from
// a fixed seed have this digest on every processor, with vector code or
// without. It changes only if the hash itself does.
func TestSameEverywhere(t *testing.T) {
	const want = "0dd8371ef5fd80d79805b753859a9e4e6cf1595f66a7a5fd6b0daf9b21cd2e3d"
	rng := rand.New(rand.NewPCG(20, 26))
	digest := sha256.New()
	var h pdq.Hasher
	add := func(r pdq.Result) { fmt.Fprintln(digest, r, h.Dihedral()) }
	for range 60 {
		r := image.Rect(0, 0, 5+rng.IntN(500), 5+rng.IntN(500))
		step := 1 + rng.IntN(30)
		smooth := func(x, y int) uint8 { return uint8(x*step/7 ^ y*step/5) }
		ycbcr := image.NewYCbCr(r, image.YCbCrSubsampleRatio(rng.IntN(6)))
		nrgba := image.NewNRGBA(r)
		for y := range r.Max.Y {
			for x := range r.Max.X {
				ycbcr.Y[ycbcr.YOffset(x, y)] = smooth(x, y)
				ycbcr.Cb[ycbcr.COffset(x, y)] = smooth(y, x)
				ycbcr.Cr[ycbcr.COffset(x, y)] = uint8(rng.Uint32())
				nrgba.SetNRGBA(x, y, color.NRGBA{smooth(x, y), uint8(rng.Uint32()), smooth(y, x), 255})
			}
		}
		add(h.Hash(ycbcr))
		add(h.Hash(nrgba))
		nrgba.SetNRGBA(r.Max.X/2, r.Max.Y/2, color.NRGBA{1, 2, 3, 4})
		add(h.Hash(nrgba))
		add(h.HashLuma8(ycbcr.Y, ycbcr.YStride, r.Dx(), r.Dy()))
		add(h.HashRGB(nrgba.Pix, nrgba.Stride, r.Dx(), r.Dy()))
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// TestAfterPanic: a picture that is not what it says does not spoil the next.
func TestAfterPanic(t *testing.T) {
	good := open(t, "testdata/images/bridge-mods__square-256x256.jpg").(*image.YCbCr)
	short := *good
	short.Y = good.Y[:len(good.Y)-300]
	// Its last sample has rows before the missing one.
	gray := &image.Gray{Pix: make([]uint8, 64*639), Stride: 64, Rect: image.Rect(0, 0, 64, 640)}
	for i := range gray.Pix {
		gray.Pix[i] = 99
	}
	want := pdq.Compute(good)
	var h pdq.Hasher
	for _, img := range []image.Image{&short, gray} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T: a short buffer did not panic", img)
				}
			}()
			h.Hash(img)
		}()
		if got := h.Hash(good); got != want {
			t.Errorf("%v after a panic, want %v", got, want)
		}
	}
}

// TestShortBuffer: a buffer that cannot hold the picture is the caller's
// mistake and is named.
func TestShortBuffer(t *testing.T) {
	for _, c := range []struct {
		name                          string
		length, stride, width, height int
	}{
		{"short", 64*64 - 1, 64, 64, 64},
		{"last row may lack padding", 63*70 + 64, 70, 64, 64}, // enough
		{"stride under width", 64 * 64, 63, 64, 64},
		{"stride zero", 64 * 64, 0, 64, 64},
		{"stride negative", 64 * 64, -64, 64, 64},
		{"height overflows", 64 * 64, 64, 64, math.MaxInt},
		{"empty", 0, 64, 64, 64},
	} {
		for layout, hash := range map[string]func(){
			"luma8":  func() { pdq.FromLuma8(make([]uint8, c.length), c.stride, c.width, c.height) },
			"luma32": func() { pdq.FromLuma32(make([]float32, c.length), c.stride, c.width, c.height) },
			"rgb": func() {
				new(pdq.Hasher).HashRGB(make([]uint8, 3*c.length), 3*c.stride, c.width, c.height)
			},
		} {
			t.Run(c.name+"/"+layout, func(t *testing.T) {
				defer func() {
					message, _ := recover().(string)
					if enough := strings.HasPrefix(c.name, "last row"); enough != (message == "") {
						t.Errorf("panic %q", message)
					}
					if message != "" && !strings.HasPrefix(message, "pdq: ") {
						t.Errorf("panic %q does not say whose it is", message)
					}
				}()
				hash()
			})
		}
	}
}

// TestAllocations: a Hasher that has seen a size hashes it without allocating,
// whatever the layout.
func TestAllocations(t *testing.T) {
	r := image.Rect(0, 0, 333, 222)
	grey := make(color.Palette, 256)
	for i := range grey {
		grey[i] = color.Gray{uint8(i)}
	}
	transparent := image.NewNRGBA(r)
	for _, img := range []image.Image{
		image.NewGray(r), image.NewGray16(r), image.NewRGBA(r), transparent, image.NewRGBA64(r), image.NewNRGBA64(r),
		image.NewCMYK(r), image.NewPaletted(r, grey), image.NewAlpha(r),
		image.NewYCbCr(r, image.YCbCrSubsampleRatio444), image.NewYCbCr(r, image.YCbCrSubsampleRatio420),
		image.NewYCbCr(r, image.YCbCrSubsampleRatio422), image.NewYCbCr(r, image.YCbCrSubsampleRatio440),
		image.NewNYCbCrA(r, image.YCbCrSubsampleRatio420),
	} {
		var h pdq.Hasher
		crop := image.Rect(11, 12, 213, 214)
		if n := testing.AllocsPerRun(3, func() {
			h.Hash(img)
			h.Dihedral()
			h.HashRect(img, crop)
		}); n != 0 {
			t.Errorf("%T: %v allocations, want none", img, n)
		}
	}
	var h pdq.Hasher
	plane, plane32 := make([]uint8, 300*100), make([]float32, 100*100)
	if n := testing.AllocsPerRun(3, func() {
		h.HashRGB(plane, 300, 100, 100)
		h.HashLuma8(plane, 300, 100, 100)
		h.HashLuma32(plane32, 100, 100, 100)
	}); n != 0 {
		t.Errorf("raw planes: %v allocations, want none", n)
	}
}

// FuzzHash hashes pictures of any size, layout and content, whole and in part.
// One Hasher for many pictures must answer as a fresh one.
func FuzzHash(f *testing.F) {
	f.Add(uint16(64), uint16(64), uint8(0), uint8(0), []byte{1, 2, 3})
	f.Add(uint16(1), uint16(999), uint8(1), uint8(7), []byte{255})
	f.Add(uint16(333), uint16(5), uint8(2), uint8(19), []byte{0, 255, 9})
	f.Add(uint16(129), uint16(257), uint8(3), uint8(1), []byte("noise"))
	var reused pdq.Hasher
	f.Fuzz(func(t *testing.T, width, height uint16, layout, offset uint8, content []byte) {
		w, h := int(width%600), int(height%600)
		x, y := int(offset&15), int(offset>>4)
		r := image.Rect(x-3, y, x-3+w, y+h)
		fill := func(planes ...[]uint8) {
			for _, p := range planes {
				for i := 0; i < len(p) && len(content) > 0; i += len(content) {
					copy(p[i:], content)
				}
			}
		}
		var img image.Image
		switch layout % 8 {
		case 0:
			m := image.NewGray(r)
			fill(m.Pix)
			img = m
		case 1:
			m := image.NewNRGBA(r)
			fill(m.Pix)
			img = m
		case 2:
			m := image.NewRGBA64(r)
			fill(m.Pix)
			img = m
		case 3:
			m := image.NewPaletted(r, color.Palette{color.Black, color.White, color.NRGBA{1, 2, 3, 4}})
			fill(m.Pix)
			for i := range m.Pix {
				m.Pix[i] %= 3
			}
			img = m
		case 4:
			m := image.NewCMYK(r)
			fill(m.Pix)
			img = m
		default:
			if r.Min.X < 0 {
				r = r.Add(image.Pt(3, 0))
			}
			m := image.NewYCbCr(r, image.YCbCrSubsampleRatio(layout/8%6))
			fill(m.Y, m.Cb, m.Cr)
			img = m
		}
		got, eight := pdq.ComputeDihedral(img)
		if got.Quality < 0 || got.Quality > 100 || eight[0] != got.Hash {
			t.Fatalf("%v, first of eight %v", got, eight[0])
		}
		if w < 5 || h < 5 {
			if got != (pdq.Result{}) {
				t.Fatalf("%d by %d: %v, want an all-zero hash of quality 0", w, h, got)
			}
			return
		}
		if again := reused.Hash(img); again != got {
			t.Fatalf("a used Hasher says %v, a fresh one %v", again, got)
		}
		reused.HashRect(img, image.Rect(-9, 2, w-5, h+77))
	})
}
