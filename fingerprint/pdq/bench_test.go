package pdq_test

import (
	"fmt"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// BenchmarkHash hashes decoded pictures, made from a fixed seed, of the sizes
// and in the layouts that decoders return.
func BenchmarkHash(b *testing.B) {
	for _, size := range []image.Point{{640, 427}, {1600, 1004}, {2048, 1024}, {4000, 3000}} {
		rect := image.Rectangle{Max: size}
		rng := rand.New(rand.NewPCG(1, 2))
		noise := func(p []uint8) []uint8 {
			for i := range p {
				p[i] = uint8(rng.Uint32())
			}
			return p
		}
		ycbcr := image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
		noise(ycbcr.Y)
		noise(ycbcr.Cb)
		noise(ycbcr.Cr)
		ycbcr444 := image.NewYCbCr(rect, image.YCbCrSubsampleRatio444)
		noise(ycbcr444.Y)
		noise(ycbcr444.Cb)
		noise(ycbcr444.Cr)
		nrgba := image.NewNRGBA(rect)
		noise(nrgba.Pix)
		for i := 3; i < len(nrgba.Pix); i += 4 {
			nrgba.Pix[i] = 255
		}
		gray := image.NewGray(rect)
		noise(gray.Pix)
		rgb := noise(make([]uint8, 3*size.X*size.Y))

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
