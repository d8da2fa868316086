// Package edits alters pictures in the ways in which copies on the internet
// are altered: re-encoded, cropped, framed, captioned, mirrored, turned,
// darkened, filmed off a screen, and more. It serves to measure how many of
// such copies are found again.
//
// Every edit is deterministic: the same picture, other picture and seed give
// the same pixels on one machine. It changes nothing of the picture that it is
// given.
package edits

import (
	"bytes"
	"hash/fnv"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"golang.org/x/image/draw"
)

// Input is what an edit works on.
type Input struct {
	Picture *image.RGBA
	Other   *image.RGBA // an unrelated picture, for backgrounds and collages
	Rand    *rand.Rand
}

// Edit is one way of altering a picture.
type Edit struct {
	Name  string
	Apply func(Input) *image.RGBA
}

// Seed returns the source of chance for one edit of one picture.
func Seed(edit, picture string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(edit)) // never fails
	a := h.Sum64()
	_, _ = h.Write([]byte("\x00" + picture))
	return rand.New(rand.NewPCG(a, h.Sum64())) //nolint:gosec // not a secret: the same on every run
}

// Prepare converts img to the form that edits take, reduced to at most the
// given number of pixels.
func Prepare(img image.Image, maxPixels int) *image.RGBA {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if n := w * h; n > maxPixels {
		s := math.Sqrt(float64(maxPixels) / float64(n))
		w, h = max(1, int(float64(w)*s)), max(1, int(float64(h)*s))
	}
	out := canvas(w, h, color.White)
	if w == b.Dx() && h == b.Dy() {
		draw.Draw(out, out.Rect, img, b.Min, draw.Over)
	} else {
		draw.CatmullRom.Scale(out, out.Rect, img, b, draw.Over, nil)
	}
	return out
}

// All returns the built-in edits: the single ones first, then pairs.
func All() []Edit {
	one := singles()
	by := map[string]func(Input) *image.RGBA{}
	for _, e := range one {
		by[e.Name] = e.Apply
	}
	for _, p := range [][2]string{
		{"mirror", "crop10"}, {"crop20", "jpeg10"}, {"caption-bottom", "mirror"}, {"screenshot-dark", "jpeg30"},
		{"border-white", "rotate5"}, {"negative", "crop10"}, {"portrait-blur", "text"}, {"dark", "noise"},
		{"filmed", "jpeg30"}, {"stickers", "crop-left20"}, {"grey", "stretch-wide"}, {"pip", "jpeg30"}, {"blur", "resize25"},
	} {
		a, b := by[p[0]], by[p[1]]
		one = append(one, Edit{p[0] + "+" + p[1], func(in Input) *image.RGBA {
			in.Picture = a(in)
			return b(in)
		}})
	}
	return one
}

func singles() []Edit {
	plain := func(name string, f func(*image.RGBA) *image.RGBA) Edit {
		return Edit{name, func(in Input) *image.RGBA { return f(in.Picture) }}
	}
	crop := func(name string, l, t, r, b float64) Edit {
		return plain(name, func(m *image.RGBA) *image.RGBA { return cut(m, l, t, r, b) })
	}
	return []Edit{
		plain("same", func(m *image.RGBA) *image.RGBA { return m }),
		plain("jpeg30", func(m *image.RGBA) *image.RGBA { return reencode(m, 30) }),
		plain("jpeg10", func(m *image.RGBA) *image.RGBA { return reencode(m, 10) }),
		plain("resize50", func(m *image.RGBA) *image.RGBA { return scale(m, 0.5, 0.5) }),
		plain("resize25", func(m *image.RGBA) *image.RGBA { return scale(m, 0.25, 0.25) }),
		plain("resize150", func(m *image.RGBA) *image.RGBA { return scale(m, 1.5, 1.5) }),
		plain("stretch-wide", func(m *image.RGBA) *image.RGBA { return scale(m, 1.3, 1) }),
		plain("stretch-tall", func(m *image.RGBA) *image.RGBA { return scale(m, 0.8, 1.1) }),
		plain("mirror", func(m *image.RGBA) *image.RGBA {
			return remap(m, m.Rect.Dx(), m.Rect.Dy(), func(x, y int) (int, int) { return m.Rect.Dx() - 1 - x, y })
		}),
		plain("flip", func(m *image.RGBA) *image.RGBA {
			return remap(m, m.Rect.Dx(), m.Rect.Dy(), func(x, y int) (int, int) { return x, m.Rect.Dy() - 1 - y })
		}),
		plain("rotate90", func(m *image.RGBA) *image.RGBA {
			return remap(m, m.Rect.Dy(), m.Rect.Dx(), func(x, y int) (int, int) { return y, m.Rect.Dy() - 1 - x })
		}),
		plain("rotate180", func(m *image.RGBA) *image.RGBA {
			return remap(m, m.Rect.Dx(), m.Rect.Dy(), func(x, y int) (int, int) { return m.Rect.Dx() - 1 - x, m.Rect.Dy() - 1 - y })
		}),
		plain("rotate270", func(m *image.RGBA) *image.RGBA {
			return remap(m, m.Rect.Dy(), m.Rect.Dx(), func(x, y int) (int, int) { return m.Rect.Dx() - 1 - y, x })
		}),
		plain("rotate5", func(m *image.RGBA) *image.RGBA { return rotate(m, 5, true) }),
		plain("rotate-10", func(m *image.RGBA) *image.RGBA { return rotate(m, -10, true) }),
		plain("rotate20-corners", func(m *image.RGBA) *image.RGBA { return rotate(m, 20, false) }),
		crop("crop5", .05, .05, .05, .05),
		crop("crop10", .1, .1, .1, .1),
		crop("crop20", .2, .2, .2, .2),
		crop("crop-left20", .2, 0, 0, 0),
		crop("crop-right35", 0, 0, .35, 0),
		crop("crop-top25", 0, .25, 0, 0),
		crop("crop-bottom20", 0, 0, 0, .2),
		plain("square", func(m *image.RGBA) *image.RGBA {
			w, h := float64(m.Rect.Dx()), float64(m.Rect.Dy())
			if w > h {
				return cut(m, (w-h)/2/w, 0, (w-h)/2/w, 0)
			}
			return cut(m, 0, (h-w)/2/h, 0, (h-w)/2/h)
		}),
		plain("border-white", func(m *image.RGBA) *image.RGBA { return border(m, 0.08, color.White) }),
		plain("border-black", func(m *image.RGBA) *image.RGBA { return border(m, 0.05, color.Black) }),
		{"border-shaded", func(in Input) *image.RGBA { return borderShaded(in.Picture, in.Rand) }},
		plain("portrait-black", func(m *image.RGBA) *image.RGBA { return portrait(m, color.Black) }),
		plain("portrait-white", func(m *image.RGBA) *image.RGBA { return portrait(m, color.White) }),
		plain("portrait-blur", portraitBlur),
		plain("widescreen-black", widescreen),
		{"caption-top", func(in Input) *image.RGBA { return caption(in.Picture, true, color.White, in.Rand) }},
		{"caption-bottom", func(in Input) *image.RGBA { return caption(in.Picture, false, color.Black, in.Rand) }},
		{"text", func(in Input) *image.RGBA { return overlayText(in.Picture, in.Rand) }},
		{"logo", func(in Input) *image.RGBA { return logo(in.Picture) }},
		{"stickers", func(in Input) *image.RGBA { return stickers(in.Picture, in.Rand) }},
		plain("dark", func(m *image.RGBA) *image.RGBA { return tone(m, func(v float64) float64 { return v * 0.4 }) }),
		plain("bright", func(m *image.RGBA) *image.RGBA {
			return tone(m, func(v float64) float64 { return math.Pow(v, 0.55)*0.85 + 0.15 })
		}),
		plain("contrast", func(m *image.RGBA) *image.RGBA { return tone(m, func(v float64) float64 { return (v-0.5)*1.8 + 0.5 }) }),
		plain("faded", func(m *image.RGBA) *image.RGBA { return tone(m, func(v float64) float64 { return v*0.45 + 0.35 }) }),
		plain("grey", grey),
		plain("tint", tint),
		plain("negative", func(m *image.RGBA) *image.RGBA { return tone(m, func(v float64) float64 { return 1 - v }) }),
		plain("blur", func(m *image.RGBA) *image.RGBA { return blur(m, m.Rect.Dx()/320+1) }),
		plain("blur-strong", func(m *image.RGBA) *image.RGBA { return blur(m, m.Rect.Dx()/140+1) }),
		{"noise", func(in Input) *image.RGBA { return noise(in.Picture, 28, in.Rand) }},
		plain("pixelate", func(m *image.RGBA) *image.RGBA { return pixelate(m, 5) }),
		{"screenshot-light", func(in Input) *image.RGBA { return screenshot(in.Picture, false, in.Rand) }},
		{"screenshot-dark", func(in Input) *image.RGBA { return screenshot(in.Picture, true, in.Rand) }},
		{"filmed", func(in Input) *image.RGBA { return filmed(in.Picture, 0.06, in.Rand) }},
		{"filmed-tilted", func(in Input) *image.RGBA { return filmed(in.Picture, 0.13, in.Rand) }},
		{"pip", func(in Input) *image.RGBA { return pip(in.Picture, in.Other, 0.45, in.Rand) }},
		{"pip-plain", func(in Input) *image.RGBA { return pip(in.Picture, nil, 0.5, in.Rand) }},
		{"collage", func(in Input) *image.RGBA { return collage(in.Picture, in.Other) }},
	}
}

func canvas(w, h int, c color.Color) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, max(1, w), max(1, h)))
	draw.Draw(m, m.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	return m
}

func reencode(m *image.RGBA, quality int) *image.RGBA {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		panic("edits: encoding to memory: " + err.Error()) // over 65,535 pixels a side: Prepare prevents it
	}
	d, err := jpeg.Decode(&b)
	if err != nil {
		panic("edits: decoding what was encoded: " + err.Error())
	}
	out := canvas(d.Bounds().Dx(), d.Bounds().Dy(), color.Black)
	draw.Draw(out, out.Rect, d, d.Bounds().Min, draw.Src)
	return out
}

func resizeTo(m *image.RGBA, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, max(1, w), max(1, h)))
	draw.BiLinear.Scale(out, out.Rect, m, m.Rect, draw.Src, nil)
	return out
}

func scale(m *image.RGBA, sx, sy float64) *image.RGBA {
	return resizeTo(m, int(float64(m.Rect.Dx())*sx+0.5), int(float64(m.Rect.Dy())*sy+0.5))
}

func remap(m *image.RGBA, w, h int, from func(x, y int) (int, int)) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sx, sy := from(x, y)
			copy(out.Pix[out.PixOffset(x, y):][:4], m.Pix[m.PixOffset(sx, sy):][:4])
		}
	}
	return out
}

// cut takes away shares of the width or height at each side.
func cut(m *image.RGBA, l, t, r, b float64) *image.RGBA {
	w, h := float64(m.Rect.Dx()), float64(m.Rect.Dy())
	rect := image.Rect(int(w*l), int(h*t), int(w*(1-r)), int(h*(1-b)))
	out := canvas(rect.Dx(), rect.Dy(), color.Black)
	draw.Draw(out, out.Rect, m, rect.Min, draw.Src)
	return out
}

// warp draws m through the inverse map from, bilinear, background where it
// leaves m.
func warp(m *image.RGBA, out *image.RGBA, from func(x, y float64) (float64, float64)) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			sx, sy := from(float64(x)+0.5, float64(y)+0.5)
			sx, sy = sx-0.5, sy-0.5
			if !(sx >= 0 && sy >= 0 && sx < float64(w-1) && sy < float64(h-1)) {
				continue
			}
			x0, y0 := int(sx), int(sy)
			fx, fy := sx-float64(x0), sy-float64(y0)
			a := m.Pix[m.PixOffset(x0, y0):][:8]
			b := m.Pix[m.PixOffset(x0, y0+1):][:8]
			o := out.Pix[out.PixOffset(x, y):][:4]
			for c := range 3 {
				top := float64(a[c])*(1-fx) + float64(a[c+4])*fx
				bot := float64(b[c])*(1-fx) + float64(b[c+4])*fx
				o[c] = byte(top*(1-fy) + bot*fy + 0.5)
			}
			o[3] = 255
		}
	}
}

// rotate turns m clockwise; with inner set it keeps the greatest rectangle of
// m's shape without corners, else the whole with dark corners.
func rotate(m *image.RGBA, degrees float64, inner bool) *image.RGBA {
	w, h := float64(m.Rect.Dx()), float64(m.Rect.Dy())
	a := degrees * math.Pi / 180
	s, c := math.Sin(a), math.Cos(a)
	k := 1 / (math.Abs(c) + math.Abs(s)*max(w/h, h/w))
	ow, oh := w*k, h*k
	if !inner {
		ow, oh = w*math.Abs(c)+h*math.Abs(s), w*math.Abs(s)+h*math.Abs(c)
	}
	out := canvas(int(ow), int(oh), color.RGBA{20, 20, 20, 255})
	warp(m, out, func(x, y float64) (float64, float64) {
		x, y = x-ow/2, y-oh/2
		return c*x + s*y + w/2, -s*x + c*y + h/2
	})
	return out
}

func paste(dst, src *image.RGBA, x, y int) {
	draw.Draw(dst, src.Rect.Add(image.Pt(x, y)), src, image.Point{}, draw.Src)
}

func border(m *image.RGBA, share float64, c color.Color) *image.RGBA {
	b := int(share * float64(max(m.Rect.Dx(), m.Rect.Dy())))
	out := canvas(m.Rect.Dx()+2*b, m.Rect.Dy()+2*b, c)
	paste(out, m, b, b)
	return out
}

func borderShaded(m *image.RGBA, r *rand.Rand) *image.RGBA {
	b := int(0.07 * float64(max(m.Rect.Dx(), m.Rect.Dy())))
	out := canvas(m.Rect.Dx()+2*b, m.Rect.Dy()+2*b, color.Black)
	shade(out, r)
	paste(out, m, b, b)
	return out
}

// shade fills m with a gradient between two colours of chance.
func shade(m *image.RGBA, r *rand.Rand) {
	var a, b [3]float64
	for i := range a {
		a[i], b[i] = float64(r.IntN(256)), float64(r.IntN(256))
	}
	for y := range m.Rect.Dy() {
		t := float64(y) / float64(m.Rect.Dy())
		for x := range m.Rect.Dx() {
			o := m.Pix[m.PixOffset(x, y):][:4]
			for c := range 3 {
				o[c] = byte(a[c]*(1-t) + b[c]*t)
			}
			o[3] = 255
		}
	}
}

func portrait(m *image.RGBA, c color.Color) *image.RGBA {
	w := m.Rect.Dx()
	h := max(w*16/9, m.Rect.Dy()*5/4)
	out := canvas(w, h, c)
	paste(out, m, 0, (h-m.Rect.Dy())/2)
	return out
}

func portraitBlur(m *image.RGBA) *image.RGBA {
	w := m.Rect.Dx()
	h := max(w*16/9, m.Rect.Dy()*5/4)
	// The background is the picture itself, enlarged to cover and blurred.
	k := max(float64(w)/float64(m.Rect.Dx()), float64(h)/float64(m.Rect.Dy()))
	small := resizeTo(m, max(1, m.Rect.Dx()/8), max(1, m.Rect.Dy()/8))
	small = blur(small, 3)
	big := scale(small, 8*k, 8*k)
	out := canvas(w, h, color.Black)
	draw.Draw(out, out.Rect, big, image.Pt((big.Rect.Dx()-w)/2, (big.Rect.Dy()-h)/2), draw.Src)
	paste(out, m, 0, (h-m.Rect.Dy())/2)
	return out
}

func widescreen(m *image.RGBA) *image.RGBA {
	h := m.Rect.Dy()
	w := max(h*21/9, m.Rect.Dx()*5/4)
	out := canvas(w, h, color.Black)
	paste(out, m, (w-m.Rect.Dx())/2, 0)
	return out
}

func tone(m *image.RGBA, f func(float64) float64) *image.RGBA {
	var lut [256]byte
	for i := range lut {
		lut[i] = byte(255*min(1, max(0, f(float64(i)/255))) + 0.5)
	}
	out := canvas(m.Rect.Dx(), m.Rect.Dy(), color.Black)
	for i, v := range m.Pix {
		if i&3 == 3 {
			continue
		}
		out.Pix[i] = lut[v]
	}
	return out
}

func each(m *image.RGBA, f func(p []byte)) *image.RGBA {
	out := canvas(m.Rect.Dx(), m.Rect.Dy(), color.Black)
	copy(out.Pix, m.Pix)
	for i := 0; i < len(out.Pix); i += 4 {
		f(out.Pix[i : i+4])
	}
	return out
}

func clamp(v float64) byte { return byte(min(255, max(0, v+0.5))) }

func grey(m *image.RGBA) *image.RGBA {
	return each(m, func(p []byte) {
		v := clamp(0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2]))
		p[0], p[1], p[2] = v, v, v
	})
}

func tint(m *image.RGBA) *image.RGBA {
	return each(m, func(p []byte) {
		r, g, b := float64(p[0]), float64(p[1]), float64(p[2])
		p[0], p[1], p[2] = clamp(0.45*r+0.5*g+0.15*b+25), clamp(0.3*r+0.6*g+0.1*b), clamp(0.2*r+0.3*g+0.3*b)
	})
}

// blur is three box blurs of the given radius, nearly a Gaussian.
func blur(m *image.RGBA, radius int) *image.RGBA {
	out := canvas(m.Rect.Dx(), m.Rect.Dy(), color.Black)
	copy(out.Pix, m.Pix)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	line := make([]int, max(w, h))
	pass := func(at, step, n int) {
		for c := range 3 {
			for i := range n {
				line[i] = int(out.Pix[at+i*step+c])
			}
			sum := 0
			get := func(i int) int { return line[min(max(i, 0), n-1)] }
			for i := -radius; i <= radius; i++ {
				sum += get(i)
			}
			for i := range n {
				out.Pix[at+i*step+c] = byte(sum / (2*radius + 1))
				sum += get(i+radius+1) - get(i-radius)
			}
		}
	}
	for range 3 {
		for y := range h {
			pass(y*out.Stride, 4, w)
		}
		for x := range w {
			pass(4*x, out.Stride, h)
		}
	}
	return out
}

func noise(m *image.RGBA, sd float64, r *rand.Rand) *image.RGBA {
	return each(m, func(p []byte) {
		for c := range 3 {
			p[c] = clamp(float64(p[c]) + r.NormFloat64()*sd)
		}
	})
}

func pixelate(m *image.RGBA, size int) *image.RGBA {
	small := resizeTo(m, m.Rect.Dx()/size, m.Rect.Dy()/size)
	out := canvas(m.Rect.Dx(), m.Rect.Dy(), color.Black)
	draw.NearestNeighbor.Scale(out, out.Rect, small, small.Rect, draw.Src, nil)
	return out
}
