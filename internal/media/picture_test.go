package media

import (
	"image"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/picture"
)

// drawing is a picture without any symmetry.
func drawing(w, h int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := (x*x*3 + y*7*(x%13) + (x/9)*(y/7)*5) % 256
			if x < w/3 && y < h/3 {
				v = 255
			}
			if x > 3*w/4 {
				v /= 3
			}
			img.Pix[y*img.Stride+x] = uint8(v)
		}
	}
	return img
}

// shown is img as EXIF orientation o shows it (Exif 2.32, table 6).
func shown(img *image.Gray, o int) *image.Gray {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if o >= 5 {
		w, h = h, w
	}
	out := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sx, sy := x, y
			switch o {
			case 2: // row 0 is the top, column 0 the right side
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5: // row 0 is the left side, column 0 the top
				sx, sy = y, x
			case 6: // row 0 is the right side
				sx, sy = y, w-1-x
			case 7:
				sx, sy = h-1-y, w-1-x
			case 8: // row 0 is the left side, column 0 the bottom
				sx, sy = h-1-y, x
			}
			out.Pix[y*out.Stride+x] = img.Pix[sy*img.Stride+sx]
		}
	}
	return out
}

func TestUpright(t *testing.T) {
	img := drawing(90, 60)
	for o := 1; o <= 8; o++ {
		want := pdq.Compute(shown(img, o))
		p := picture.Compute(img, picture.Options{NoTrims: true, NoLocal: true, Orientation: o})
		got := p.PDQ
		if p.Upright != nil {
			got = *p.Upright
		} else if o != 1 {
			t.Errorf("orientation %d: no upright form", o)
		}
		if d := got.Hash.Distance(want.Hash); d > 2 || got.Quality != want.Quality {
			t.Errorf("orientation %d: %d bits and quality %d, want %d, from the picture as it is shown", o, d, got.Quality, want.Quality)
		}
	}
}

const pictures = "testdata/pictures/"

// Every form that a viewer shows is fingerprinted as the picture that it shows,
// or said to be unknown.
func TestPictures(t *testing.T) {
	p := newPool(t, Options{})
	base, err := p.Path(t.Context(), pictures+"base.png", Want{})
	if err != nil || base.Picture == nil || base.Picture.PDQ.Quality < pdq.MinQuality {
		t.Fatalf("the base is no use: %+v, %v", base, err)
	}
	for _, c := range []struct {
		file   string
		format string
		bits   int // at most, from the base; -1 where it has to be unknown
		ffmpeg bool
		frames int
	}{
		{file: "baseline.jpg", format: "jpeg", bits: 6},
		{file: "progressive.jpg", format: "jpeg", bits: 6},
		{file: "arithmetic.jpg", format: "jpeg", bits: -1},
		{file: "restart.jpg", format: "jpeg", bits: 6},
		{file: "rgb.jpg", format: "jpeg", bits: 6},
		{file: "sample411.jpg", format: "jpeg", bits: 6},
		{file: "grey.jpg", format: "jpeg", bits: 6},
		{file: "cmyk.jpg", format: "jpeg", bits: 10},
		{file: "cmyk-progressive.jpg", format: "jpeg", bits: 10},
		{file: "exif.jpg", format: "jpeg", bits: 6},
		{file: "png-behind.jpg", format: "jpeg", bits: 6},
		{file: "sixteen.png", format: "png", bits: 2},
		{file: "palette.png", format: "png", bits: 6},
		{file: "rgba.png", format: "png", bits: 8},
		{file: "interlaced.png", format: "png", bits: 0},
		{file: "grey.png", format: "png", bits: 4},
		{file: "exif.png", format: "png", bits: 0},
		{file: "animated.png", format: "png", bits: 2, frames: 2},
		{file: "still.gif", format: "gif", bits: 8},
		{file: "interlaced.gif", format: "gif", bits: 8},
		{file: "animated.gif", format: "gif", bits: 8, frames: 3},
		{file: "lossy.webp", format: "webp", bits: 8},
		{file: "lossless.webp", format: "webp", bits: 0},
		{file: "alpha.webp", format: "webp", bits: 8},
		{file: "animated.webp", format: "webp", bits: 8, frames: 2},
		{file: "plain.bmp", format: "bmp", bits: 0},
		{file: "rle.bmp", format: "bmp", bits: 6, ffmpeg: true},
		{file: "lzw.tiff", format: "tiff", bits: 0},
		{file: "zip16.tiff", format: "tiff", bits: 2},
		{file: "jpeg.tiff", format: "tiff", bits: -1},
		{file: "plain.heic", format: "heic", bits: 12},
		{file: "plain.avif", format: "avif", bits: 8},
		{file: "ten.avif", format: "avif", bits: 8},
		{file: "animated.avif", format: "avif", bits: 8, ffmpeg: true, frames: 2},
		{file: "plain.jxl", format: "jxl", bits: 8, ffmpeg: true},
		{file: "plain.jp2", format: "jp2", bits: 8, ffmpeg: true},
		{file: "plain.ico", format: "ico", bits: 2, ffmpeg: true},
		{file: "plain.svg", format: "svg", bits: -1},
	} {
		t.Run(c.file, func(t *testing.T) {
			if c.ffmpeg {
				needFFmpeg(t)
			}
			set, err := p.Path(t.Context(), pictures+c.file, Want{})
			if err != nil {
				t.Fatal(err)
			}
			if set.Format != c.format || set.Bytes == 0 || set.Note != "" {
				t.Errorf("format %q, %d bytes, note %q, want %q and no note", set.Format, set.Bytes, set.Note, c.format)
			}
			if c.bits < 0 {
				if set.Picture != nil || set.Unknown == "" || set.Fix == "" {
					t.Errorf("want it unknown, with a fix: %+v", set)
				}
				return
			}
			if set.Picture == nil || set.Unknown != "" {
				t.Fatalf("not fingerprinted: %q, %q", set.Unknown, set.Fix)
			}
			if set.Picture.Width != 120 || set.Picture.Height != 96 {
				t.Errorf("%d × %d pixels, want 120 × 96", set.Picture.Width, set.Picture.Height)
			}
			if d := set.Picture.PDQ.Hash.Distance(base.Picture.PDQ.Hash); d > c.bits {
				t.Errorf("%d bits from the base, want at most %d", d, c.bits)
			}
			if up := set.Picture.Upright; (up != nil) != strings.HasPrefix(c.file, "exif") || up != nil && up.Hash == set.Picture.PDQ.Hash {
				t.Errorf("upright form %v", up)
			}
			if len(set.Frames) != c.frames {
				t.Errorf("%d frames, want %d", len(set.Frames), c.frames)
			}
		})
	}
}

// Real photographs are larger than what shows the forms above.
func TestLargeHEICAndAVIF(t *testing.T) {
	p := newPool(t, Options{})
	whole, err := p.Path(t.Context(), "../../fingerprint/pdq/testdata/images/bridge-mods__aaa-orig.jpg", Want{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"large.heic", "large.avif"} {
		set, err := p.Path(t.Context(), pictures+name, Want{})
		if err != nil || set.Picture == nil || set.Unknown != "" {
			t.Errorf("%s: %v, %s", name, err, set.Unknown)
			continue
		}
		if set.Bytes <= 32768 {
			t.Errorf("%s has %d bytes, too few to prove anything", name, set.Bytes)
		}
		if d := set.Picture.PDQ.Hash.Distance(whole.Picture.PDQ.Hash); d > 31 || set.Picture.Width != 640 || set.Picture.Height != 480 {
			t.Errorf("%s: %d bits from the original, %d × %d pixels", name, d, set.Picture.Width, set.Picture.Height)
		}
	}
}
