package bench

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
)

// TestGather takes each picture once, whatever its size, form and number, and
// refuses to mix two sets.
func TestGather(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	for _, c := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, c), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	copyTo := func(from, to string) {
		b, err := os.ReadFile(filepath.Join(testPhotos, from)) //nolint:gosec // test data
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyTo("chelsea.jpg", "one/cat.jpg")
	copyTo("chelsea.jpg", "two/animal.jpg") // the same in another collection
	copyTo("coffee.jpg", "one/scene1.jpg")
	copyTo("rocket.jpg", "one/scene2.jpg") // taken for one series
	copyTo("astronaut.jpg", "two/person.jpg")
	img, err := readPhoto(filepath.Join(testPhotos, "astronaut.jpg"), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	write := func(img image.Image, to string) {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Two crops of one picture, and the same with another photo in its middle.
	r := img.Rect
	write(img.SubImage(image.Rect(0, 0, r.Dx()*3/4, r.Dy())), "one/crop.jpg")
	framed := image.NewRGBA(r)
	draw.Draw(framed, r, img, r.Min, draw.Src)
	other, err := readPhoto(filepath.Join(testPhotos, "rocket.jpg"), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	draw.Draw(framed, r.Inset(r.Dx()/5), other, other.Rect.Min, draw.Src)
	write(framed, "one/frame.jpg")
	for i := range img.Pix[:len(img.Pix)/4] { // the same, somewhat worn
		img.Pix[4*i] = min(255, img.Pix[4*i]+9)
	}
	write(img, "two/again.jpg")
	var w bytes.Buffer
	if err := Gather(t.Context(), &w, dir, out, 120_000, 2); err != nil {
		t.Fatal(err)
	}
	got, err := filepath.Glob(filepath.Join(out, "*", "*.jpg"))
	if err != nil || len(got) != 4 {
		t.Errorf("gathered %q, %v; want a cat, one scene, one person and one with another's middle", got, err)
	}
	for _, f := range got {
		if img, err := readPhoto(f, 1_000_000); err != nil || img.Rect.Dx()*img.Rect.Dy() > 120_000 {
			t.Errorf("%s: %v, %v", f, img.Rect, err)
		}
	}
	if err := Gather(t.Context(), &w, dir, out, 120_000, 2); err == nil {
		t.Error("two sets were mixed")
	}
}
