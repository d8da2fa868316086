package trim_test

import (
	"math/rand/v2"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/trim"
)

// A picture of any shape is looked at without a panic: the first two are shrunk
// to a line of no height and of one pixel.
func TestFindTakesAnyShape(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 6))
	for _, shape := range [][2]int{{31096, 96}, {96, 31096}, {65535, 32}, {32, 65535}, {32, 32}, {20000, 64}, {64, 2561}, {31, 5000}, {1, 1}} {
		pix := make([]byte, shape[0]*shape[1])
		for i := range pix {
			pix[i] = byte(r.Uint32())
		}
		for _, c := range trim.Find(pix, shape[0], shape[1]) {
			if c.Rect.Min.X < 0 || c.Rect.Min.Y < 0 || c.Rect.Max.X > shape[0] || c.Rect.Max.Y > shape[1] || c.Rect.Empty() {
				t.Errorf("%d × %d: candidate %v", shape[0], shape[1], c)
			}
		}
	}
}
