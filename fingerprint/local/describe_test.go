package local

import (
	"math/rand/v2"
	"testing"
)

// TestSample compares what is read far from the edges with what is read where
// every box is cut at the edge first.
func TestSample(t *testing.T) {
	const side = 3 * fieldReach
	r := rand.New(rand.NewPCG(7, 1)) //nolint:gosec // data of a fixed seed
	for _, most := range []int{256, 2} {

		pix := make([]byte, side*side)
		for i := range pix {
			pix[i] = byte(r.IntN(most) * 255 / (most - 1)) //nolint:gosec // a byte
		}
		p := plane{w: side, h: side, pix: pix}
		space := new(workspace)
		ps := []plane{p}
		space.fit(ps)
		ps[0].prepare(space.hor)
		for a := range angleCount {
			for y := fieldReach; y < side-fieldReach; y += 3 {
				for x := fieldReach; x < side-fieldReach; x += 3 {
					var got [fieldCount]int32
					ps[0].sample(x, y, a, &got)
					for i := range got {
						half, o := rings[fields[i].ring].half, offsets[a][i]
						sum, n := 0, (2*half+1)*(2*half+1)
						for dy := -half; dy <= half; dy++ {
							for dx := -half; dx <= half; dx++ {
								sum += int(pix[(y+int(o[1])+dy)*side+x+int(o[0])+dx])
							}
						}
						if want := int32((sum*16 + n/2) / n); got[i] != want { //nolint:gosec // at most 4080
							t.Fatalf("field %d at (%d, %d), direction %d: got %d, want %d", i, x, y, a, got[i], want)
						}
					}
				}
			}
		}
	}
}
