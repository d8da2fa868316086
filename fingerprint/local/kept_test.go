package local_test

import (
	"image"
	_ "image/jpeg"
	"os"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/local"
)

// What is kept of an upload finds the picture that it was cut from.
func TestKept(t *testing.T) {
	f, err := os.Open("../pdq/testdata/images/bridge-mods__aaa-orig.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	sub, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if !ok {
		t.Fatal("the picture has no parts")
	}
	cut := sub.SubImage(image.Rect(b.Min.X+b.Dx()/6, b.Min.Y+b.Dy()/5, b.Max.X-b.Dx()/4, b.Max.Y-b.Dy()/5))
	var x local.Index
	x.Add(1, local.ComputeLuma(local.FromImage(img), local.Options{}))
	whole := local.ComputeLuma(local.FromImage(cut), local.Options{})
	bytes := whole.Kept().Append(nil)
	kept, err := local.Decode(bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes) > 32<<10 || len(bytes) >= len(whole.Append(nil)) {
		t.Errorf("%d bytes are kept", len(bytes))
	}
	if m := x.Search(kept); len(m) != 1 || m[0].Weak {
		t.Errorf("found %+v", m)
	}
	if a := whole.Asset().Kept(); len(a.Append(nil)) != len(whole.Asset().Append(nil)) {
		t.Error("a shared form is kept as something else")
	}
}
