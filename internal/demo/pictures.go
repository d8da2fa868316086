package demo

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"path"

	"golang.org/x/image/draw"

	_ "golang.org/x/image/webp" // --image may be one

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/problem"
)

// copyOf is a file that is sent to edges.
type copyOf struct {
	name string
	data []byte
}

// longest is the longer side of the copies that are sent, in pixels.
const longest = 960

// pictures loads the picture of the story, makes altered copies of it, and
// loads the benign ones.
func (d *demo) pictures(ctx context.Context) error {
	var err error
	if d.o.Image == "" {
		d.image, err = photos.ReadFile("photos/bridge.jpg")
	} else {
		f, oerr := media.Open(d.o.Image)
		if oerr != nil {
			return oerr
		}
		d.image, err = io.ReadAll(io.LimitReader(f, 64<<20))
		_ = f.Close() // read only
	}
	if err != nil {
		return fmt.Errorf("reading the picture: %w", err)
	}
	if d.prints, err = d.pool.Fingerprint(ctx, bytes.NewReader(d.image), media.Want{Name: d.o.Image}); err != nil {
		return err
	}
	if d.prints.Picture == nil {
		return problem.Newf(problem.Invalid, "%s is not a picture that can be fingerprinted", d.o.Image).WithFix("name a JPEG, PNG, GIF or WebP with --image")
	}
	if q := d.prints.Picture.PDQ.Quality; q < pdq.MinQuality {
		return problem.Newf(problem.Invalid, "this picture has too little detail to block safely (%d, needs %d)", q, pdq.MinQuality).WithFix("choose another with --image")
	}
	img, _, err := image.Decode(bytes.NewReader(d.image))
	if err != nil {
		return problem.Newf(problem.Invalid, "the demo cannot edit this picture: %v", err).WithFix("name a JPEG, PNG, GIF or WebP with --image")
	}
	base := resize(img, longest)
	gray := image.NewGray(base.Bounds())
	draw.Draw(gray, gray.Bounds(), base, image.Point{}, draw.Src)
	d.copies = []copyOf{
		{"re-encoded at quality 35", asJPEG(base, 35)},
		{"re-encoded as PNG, made smaller", asPNG(resize(img, 400))},
		{"made smaller, 320 pixels", asJPEG(resize(img, 320), 80)},
		{"made larger", asJPEG(resize(img, longest*5/4), 80)},
		{"brighter", asJPEG(tone(base, 1.25, 12), 80)},
		{"darker", asJPEG(tone(base, 0.7, 0), 80)},
		{"more contrast", asJPEG(tone(base, 1.3, -38), 80)},
		{"grey", asJPEG(gray, 80)},
		{"slightly blurred", asJPEG(blur(base), 80)},
		{"re-encoded twice, small", asJPEG(resize(reencode(base, 50), 480), 45)},
	}
	files, err := photos.ReadDir("photos/benign")
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := photos.ReadFile(path.Join("photos/benign", f.Name()))
		if err != nil {
			return err
		}
		d.benign = append(d.benign, copyOf{f.Name(), b})
	}
	d.logo = asPNG(logo())
	return nil
}

// resize scales a picture so that its longer side has so many pixels.
func resize(img image.Image, longer int) *image.RGBA {
	b := img.Bounds()
	w, h := longer, b.Dy()*longer/b.Dx()
	if b.Dy() > b.Dx() {
		w, h = b.Dx()*longer/b.Dy(), longer
	}
	out := image.NewRGBA(image.Rect(0, 0, max(w, 1), max(h, 1)))
	draw.CatmullRom.Scale(out, out.Bounds(), img, b, draw.Src, nil)
	return out
}

// tone multiplies and adds to every channel.
func tone(img *image.RGBA, factor float64, add float64) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	for i, v := range img.Pix {
		if i%4 == 3 {
			out.Pix[i] = v
			continue
		}
		out.Pix[i] = uint8(min(max(float64(v)*factor+add, 0), 255))
	}
	return out
}

// blur scales down and up again.
func blur(img *image.RGBA) *image.RGBA {
	b := img.Bounds()
	small := image.NewRGBA(image.Rect(0, 0, max(b.Dx()*2/5, 1), max(b.Dy()*2/5, 1)))
	draw.BiLinear.Scale(small, small.Bounds(), img, b, draw.Src, nil)
	out := image.NewRGBA(b)
	draw.BiLinear.Scale(out, b, small, small.Bounds(), draw.Src, nil)
	return out
}

func reencode(img image.Image, quality int) image.Image {
	out, err := jpeg.Decode(bytes.NewReader(asJPEG(img, quality)))
	if err != nil {
		panic("demo: reading our own JPEG: " + err.Error())
	}
	return out
}

func asJPEG(img image.Image, quality int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		panic("demo: writing a JPEG: " + err.Error())
	}
	return b.Bytes()
}

func asPNG(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic("demo: writing a PNG: " + err.Error())
	}
	return b.Bytes()
}

// logo draws the market's logo: a lotus of overlapping discs.
func logo() image.Image {
	const n = 480
	img := image.NewRGBA(image.Rect(0, 0, n, n))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.RGBA{250, 246, 236, 255}), image.Point{}, draw.Src)
	petals := []struct {
		x, y, r int
		c       color.RGBA
	}{
		{240, 150, 92, color.RGBA{196, 48, 92, 255}}, {150, 210, 84, color.RGBA{228, 110, 70, 255}}, {332, 206, 88, color.RGBA{120, 40, 120, 255}},
		{186, 318, 80, color.RGBA{40, 110, 140, 255}}, {300, 322, 76, color.RGBA{60, 140, 80, 255}}, {240, 250, 44, color.RGBA{250, 214, 80, 255}},
		{84, 92, 30, color.RGBA{20, 40, 70, 255}}, {404, 388, 36, color.RGBA{20, 40, 70, 255}}, {96, 396, 22, color.RGBA{196, 48, 92, 255}},
	}
	for _, p := range petals {
		for y := p.y - p.r; y <= p.y+p.r; y++ {
			for x := p.x - p.r; x <= p.x+p.r; x++ {
				if dx, dy := x-p.x, y-p.y; dx*dx+dy*dy <= p.r*p.r && image.Pt(x, y).In(img.Bounds()) {
					img.SetRGBA(x, y, p.c)
				}
			}
		}
	}
	for x := 60; x < 420; x += 24 { // the market's name, as bars
		draw.Draw(img, image.Rect(x, 432, x+10+x%9, 456), image.NewUniform(color.RGBA{20, 40, 70, 255}), image.Point{}, draw.Src)
	}
	return img
}

// stills are cuts out of the picture, each of which is a fingerprint of its
// own: what a perpetrator's video gives in frames.
func (d *demo) stills(ctx context.Context) ([]pdq.Result, error) {
	img, _, err := image.Decode(bytes.NewReader(d.image))
	if err != nil {
		return nil, fmt.Errorf("reading the picture: %w", err)
	}
	b := img.Bounds()
	var out []pdq.Result
	for i := range 12 {
		x, y := i%4, i/4
		w, h := b.Dx()*2/5, b.Dy()*2/5
		r := image.Rect(0, 0, w, h).Add(b.Min).Add(image.Pt((b.Dx()-w)*x/3, (b.Dy()-h)*y/2))
		cut := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(cut, cut.Bounds(), img, r.Min, draw.Src)
		set, err := d.pool.Fingerprint(ctx, bytes.NewReader(asPNG(cut)), media.Want{Name: "still"})
		if err != nil {
			return nil, err
		}
		if p := set.Picture; p != nil && p.PDQ.Quality >= pdq.MinQuality && !pdq.Degenerate(p.PDQ.Hash) {
			out = append(out, p.PDQ)
		}
	}
	return out, nil
}
