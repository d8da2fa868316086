package media

import (
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/picture"
)

// All fingerprints of pictures take any shape that a file may have.
func TestPicturesOfAnyShape(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {4, 4}, {5, 5}, {1, 20000}, {20000, 1}, {31096, 96}, {96, 31096}, {33, 12000}, {63, 65}} {
		p := picture.Compute(drawing(shape[0], shape[1]), picture.Options{})
		if p.Width != shape[0] || p.Height != shape[1] {
			t.Errorf("%v: %d × %d", shape, p.Width, p.Height)
		}
	}
}
