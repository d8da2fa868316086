package picture_test

import (
	"image"
	_ "image/jpeg"
	"os"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/picture"
)

// TestOrientation turns a picture as each EXIF orientation asks for and
// compares its hash with Upright, which is derived without turning anything.
func TestOrientation(t *testing.T) {
	f, err := os.Open("../pdq/testdata/images/bridge-mods__aaa-orig.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	w, h := src.Bounds().Dx(), src.Bounds().Dy()
	// Where the upright picture's pixel (x, y) is stored, EXIF 2.32 section
	// 4.6.4, tag Orientation.
	stored := [9]func(x, y int) (int, int){
		2: func(x, y int) (int, int) { return w - 1 - x, y },
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		4: func(x, y int) (int, int) { return x, h - 1 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return y, h - 1 - x },
		7: func(x, y int) (int, int) { return w - 1 - y, h - 1 - x },
		8: func(x, y int) (int, int) { return w - 1 - y, x },
	}
	for o := 2; o <= 8; o++ {
		uw, uh := w, h
		if o >= 5 {
			uw, uh = h, w
		}
		up := image.NewRGBA(image.Rect(0, 0, uw, uh))
		for y := range uh {
			for x := range uw {
				up.Set(x, y, src.At(stored[o](x, y)))
			}
		}
		want := picture.Compute(up, picture.Options{NoTrims: true, NoLocal: true}).PDQ
		p := picture.Compute(src, picture.Options{NoTrims: true, NoLocal: true, Orientation: o})
		if p.Upright == nil {
			t.Fatalf("orientation %d: no upright hash", o)
		}
		if d := p.Upright.Hash.Distance(want.Hash); d > 10 {
			t.Errorf("orientation %d: distance to the turned picture's hash is %d, want at most 10", o, d)
		}
	}
}
