package pdq_test

import (
	"fmt"
	"image"
	"image/color"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// BenchmarkHash hashes a photograph at the sizes and in the layouts that
// decoders return.
func BenchmarkHash(b *testing.B) {
	photo := open(b, "testdata/images/bridge-mods__aaa-orig.jpg").(*image.YCbCr)
	for _, size := range []image.Point{{640, 427}, {1600, 1004}, {2048, 1024}, {4000, 3000}} {
		if testing.Short() && size.X > 1600 {
			continue
		}
		rect := image.Rectangle{Max: size}
		ycbcr := image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
		ycbcr422 := image.NewYCbCr(rect, image.YCbCrSubsampleRatio422)
		ycbcr444 := image.NewYCbCr(rect, image.YCbCrSubsampleRatio444)
		nrgba := image.NewNRGBA(rect)
		gray := image.NewGray(rect)
		rgb := make([]uint8, 3*size.X*size.Y)
		for y := range size.Y {
			for x := range size.X {
				c := photo.YCbCrAt(x*photo.Rect.Max.X/size.X, y*photo.Rect.Max.Y/size.Y)
				i, j := ycbcr.YOffset(x, y), ycbcr.COffset(x, y)
				ycbcr.Y[i], ycbcr422.Y[i], ycbcr444.Y[i], gray.Pix[i] = c.Y, c.Y, c.Y, c.Y
				k := ycbcr422.COffset(x, y)
				ycbcr.Cb[j], ycbcr422.Cb[k], ycbcr444.Cb[i] = c.Cb, c.Cb, c.Cb
				ycbcr.Cr[j], ycbcr422.Cr[k], ycbcr444.Cr[i] = c.Cr, c.Cr, c.Cr
				r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
				copy(rgb[3*i:], []uint8{r, g, b})
				copy(nrgba.Pix[4*i:], []uint8{r, g, b, 255})
			}
		}

		var h pdq.Hasher
		run := func(layout string, hash func()) {
			b.Run(fmt.Sprintf("size=%dx%d/layout=%s", size.X, size.Y, layout), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					hash()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size.X*size.Y), "ns/pixel")
			})
		}
		run("rgb", func() { h.HashRGB(rgb, 3*size.X, size.X, size.Y) })
		run("ycbcr420", func() { h.Hash(ycbcr) })
		run("ycbcr422", func() { h.Hash(ycbcr422) })
		run("ycbcr444", func() { h.Hash(ycbcr444) })
		run("nrgba", func() { h.Hash(nrgba) })
		run("gray", func() { h.Hash(gray) })
	}
}

// BenchmarkDihedral is what the seven other hashes cost beyond the first.
func BenchmarkDihedral(b *testing.B) {
	var h pdq.Hasher
	h.Hash(open(b, "testdata/images/bridge-mods__shrink-a-lot.jpg"))
	b.ReportAllocs()
	for b.Loop() {
		h.Dihedral()
	}
}
