package edits

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

var (
	regular = mustFont(goregular.TTF)
	bold    = mustFont(gobold.TTF)
)

func mustFont(ttf []byte) *opentype.Font {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic("edits: built-in font: " + err.Error())
	}
	return f
}

// write draws text with its baseline at (x, y) and returns where it ends.
func write(m *image.RGBA, f *opentype.Font, size float64, c color.Color, x, y int, text string) int {
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: max(4, size), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic("edits: built-in font: " + err.Error())
	}
	d := font.Drawer{Dst: m, Src: image.NewUniform(c), Face: face, Dot: fixed.P(x, y)}
	d.DrawString(text)
	return d.Dot.X.Ceil()
}

var words = []string{
	"they", "do", "not", "want", "you", "to", "see", "this", "share", "before", "it", "is", "gone", "what",
	"really", "happened", "watch", "until", "the", "end", "breaking", "news", "look", "at", "who", "was", "there",
	"jangan", "diam", "sebarkan", "sekarang", "lihat", "sendiri", "viral", "hari", "ini",
}

func phrase(r *rand.Rand, n int) string {
	s := ""
	for i := range n {
		if i > 0 {
			s += " "
		}
		s += words[r.IntN(len(words))]
	}
	return s
}

// fill draws a filled rectangle.
func fill(m *image.RGBA, r image.Rectangle, c color.Color) {
	draw.Draw(m, r, image.NewUniform(c), image.Point{}, draw.Over)
}

func disc(m *image.RGBA, cx, cy, radius int, c color.RGBA) {
	for y := -radius; y <= radius; y++ {
		for x := -radius; x <= radius; x++ {
			if x*x+y*y <= radius*radius && image.Pt(cx+x, cy+y).In(m.Rect) {
				m.SetRGBA(cx+x, cy+y, c)
			}
		}
	}
}

func contrastTo(c color.Color) color.Color {
	if g := color.GrayModel.Convert(c).(color.Gray); g.Y > 127 {
		return color.Black
	}
	return color.White
}

func caption(m *image.RGBA, top bool, c color.Color, r *rand.Rand) *image.RGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	strip := h/7 + 20
	out := canvas(w, h+strip, c)
	at := 0
	if top {
		at = strip
	}
	paste(out, m, 0, at)
	base := h
	if top {
		base = 0
	}
	size := float64(strip) * 0.32
	write(out, bold, size, contrastTo(c), w/30, base+strip*42/100, phrase(r, 6))
	write(out, bold, size, contrastTo(c), w/30, base+strip*82/100, phrase(r, 5))
	return out
}

// outlined writes white text with a black outline.
func outlined(m *image.RGBA, size float64, x, y int, text string) {
	d := max(1, int(size/18))
	for _, o := range [8][2]int{{-d, 0}, {d, 0}, {0, -d}, {0, d}, {-d, -d}, {d, d}, {-d, d}, {d, -d}} {
		write(m, bold, size, color.Black, x+o[0], y+o[1], text)
	}
	write(m, bold, size, color.White, x, y, text)
}

func clone(m *image.RGBA) *image.RGBA {
	out := canvas(m.Rect.Dx(), m.Rect.Dy(), color.Black)
	copy(out.Pix, m.Pix)
	return out
}

func overlayText(m *image.RGBA, r *rand.Rand) *image.RGBA {
	out := clone(m)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	size := float64(w) / 14
	outlined(out, size, w/20, h/8, phrase(r, 4))
	outlined(out, size, w/20, h*93/100, phrase(r, 4))
	return out
}

func logo(m *image.RGBA) *image.RGBA {
	out := clone(m)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	s := min(w, h) / 6
	x, y := w-s-w/30, h/30
	fill(out, image.Rect(x, y, x+s, y+s), color.RGBA{200, 20, 30, 255})
	disc(out, x+s/2, y+s*2/5, s/4, color.RGBA{255, 255, 255, 255})
	write(out, bold, float64(s)/4, color.White, x+s/10, y+s*9/10, "NEWS24")
	return out
}

func stickers(m *image.RGBA, r *rand.Rand) *image.RGBA {
	out := clone(m)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	for range 4 {
		s := min(w, h) / (9 + r.IntN(4))
		x, y := s+r.IntN(max(1, w-2*s)), s+r.IntN(max(1, h-2*s))
		disc(out, x, y, s, color.RGBA{255, 210, 40, 255})
		disc(out, x-s/3, y-s/4, s/7, color.RGBA{40, 30, 10, 255})
		disc(out, x+s/3, y-s/4, s/7, color.RGBA{40, 30, 10, 255})
		for i := -10; i <= 10; i++ {
			t := float64(i) / 10
			disc(out, x+int(t*float64(s)/2), y+s/2-int(t*t*float64(s)/5), s/14, color.RGBA{40, 30, 10, 255})
		}
	}
	return out
}

// screenshot shows the picture in a post of a made-up app on a phone.
func screenshot(m *image.RGBA, dark bool, r *rand.Rand) *image.RGBA {
	const w, h = 720, 1560
	bg, fg, soft := color.RGBA{255, 255, 255, 255}, color.RGBA{15, 20, 25, 255}, color.RGBA{110, 118, 125, 255}
	if dark {
		bg, fg = color.RGBA{18, 18, 20, 255}, color.RGBA{235, 235, 240, 255}
	}
	out := canvas(w, h, bg)
	write(out, regular, 26, fg, 40, 44, "03:17")
	for i := range 4 {
		fill(out, image.Rect(560+i*14, 44-6*i, 570+i*14, 46), fg)
	}
	fill(out, image.Rect(640, 24, 690, 46), fg)
	write(out, bold, 34, fg, 40, 120, "Beranda")
	fill(out, image.Rect(0, 150, w, 152), soft)
	y := 180
	disc(out, 70, y+40, 36, color.RGBA{uint8(60 + r.IntN(150)), uint8(60 + r.IntN(150)), uint8(60 + r.IntN(150)), 255}) //nolint:gosec // under 256
	write(out, bold, 28, fg, 125, y+34, phrase(r, 2))
	write(out, regular, 24, soft, 125, y+68, "@akun_"+words[r.IntN(len(words))]+" · 2 j")
	y += 120
	for range 2 + r.IntN(2) {
		write(out, regular, 28, fg, 40, y, phrase(r, 7))
		y += 40
	}
	// The picture fills the width, cut to at most 4:5.
	pw := w - 80
	ph := m.Rect.Dy() * pw / m.Rect.Dx()
	p := m
	if ph > pw*5/4 {
		ph = pw * 5 / 4
		keep := float64(m.Rect.Dx()) * 5 / 4 / float64(m.Rect.Dy())
		p = cut(m, 0, (1-keep)/2, 0, (1-keep)/2)
	}
	p = resizeTo(p, pw, ph)
	paste(out, p, 40, y)
	y += ph + 30
	for i := range 4 {
		disc(out, 70+i*180, y+24, 18, soft)
		write(out, regular, 24, soft, 100+i*180, y+32, []string{"41", "128", "2,3 rb", "9 rb"}[i])
	}
	y += 80
	fill(out, image.Rect(0, y, w, y+2), soft)
	for y += 30; y < h-240; y += 150 {
		disc(out, 70, y+40, 36, color.RGBA{uint8(r.IntN(200)), uint8(r.IntN(200)), uint8(r.IntN(200)), 255}) //nolint:gosec // under 256
		write(out, bold, 28, fg, 125, y+34, phrase(r, 2))
		write(out, regular, 28, fg, 125, y+76, phrase(r, 6))
	}
	fill(out, image.Rect(0, h-110, w, h), bg)
	fill(out, image.Rect(0, h-110, w, h-108), soft)
	for i := range 5 {
		fill(out, image.Rect(50+i*140, h-85, 90+i*140, h-45), fg)
		fill(out, image.Rect(58+i*140, h-77, 82+i*140, h-53), bg)
	}
	return reencode(out, 80)
}

// homography returns the projective map that takes the corners of the unit
// square (0,0) (1,0) (1,1) (0,1) to p.
func homography(p [4][2]float64) [9]float64 {
	dx1, dx2, dx3 := p[1][0]-p[2][0], p[3][0]-p[2][0], p[0][0]-p[1][0]+p[2][0]-p[3][0]
	dy1, dy2, dy3 := p[1][1]-p[2][1], p[3][1]-p[2][1], p[0][1]-p[1][1]+p[2][1]-p[3][1]
	d := dx1*dy2 - dx2*dy1
	g, h := (dx3*dy2-dx2*dy3)/d, (dx1*dy3-dx3*dy1)/d
	return [9]float64{
		p[1][0] - p[0][0] + g*p[1][0], p[3][0] - p[0][0] + h*p[3][0], p[0][0],
		p[1][1] - p[0][1] + g*p[1][1], p[3][1] - p[0][1] + h*p[3][1], p[0][1],
		g, h, 1,
	}
}

func invert(m [9]float64) [9]float64 {
	return [9]float64{
		m[4]*m[8] - m[5]*m[7], m[2]*m[7] - m[1]*m[8], m[1]*m[5] - m[2]*m[4],
		m[5]*m[6] - m[3]*m[8], m[0]*m[8] - m[2]*m[6], m[2]*m[3] - m[0]*m[5],
		m[3]*m[7] - m[4]*m[6], m[1]*m[6] - m[0]*m[7], m[0]*m[4] - m[1]*m[3],
	}
}

// filmed shows the picture on a monitor in a dim room, seen by a hand-held
// camera: perspective, glare, moiré, vignette, blur and noise.
func filmed(m *image.RGBA, tilt float64, r *rand.Rand) *image.RGBA {
	const w, h = 1000, 750
	out := canvas(w, h, color.Black)
	shade(out, r)
	out = tone(out, func(v float64) float64 { return 0.08 + 0.3*v })
	aspect := float64(m.Rect.Dx()) / float64(m.Rect.Dy())
	pw, ph := 0.8*w, 0.8*w/aspect
	if ph > 0.82*h {
		pw, ph = 0.82*h*aspect, 0.82*h
	}
	var q [4][2]float64
	for i, c := range [4][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}} {
		q[i] = [2]float64{
			(w-pw)/2 + c[0]*pw + (r.Float64()*2-1)*tilt*pw,
			(h-ph)/2 + c[1]*ph + (r.Float64()*2-1)*tilt*ph,
		}
	}
	// The monitor's frame.
	frame := q
	for i := range frame {
		for c := range 2 {
			centre := [2]float64{w / 2, h / 2}[c]
			frame[i][c] = centre + (q[i][c]-centre)*1.06
		}
	}
	project := func(src *image.RGBA, q [4][2]float64) {
		inv := invert(homography(q))
		sw, sh := float64(src.Rect.Dx()), float64(src.Rect.Dy())
		warp(src, out, func(x, y float64) (float64, float64) {
			d := inv[6]*x + inv[7]*y + inv[8]
			return sw * (inv[0]*x + inv[1]*y + inv[2]) / d, sh * (inv[3]*x + inv[4]*y + inv[5]) / d
		})
	}
	project(canvas(64, 64, color.RGBA{25, 25, 28, 255}), frame)
	// Reduce first, or the projection aliases.
	src := m
	if k := 1.2 * pw / float64(m.Rect.Dx()); k < 1 {
		src = scale(m, k, k)
	}
	project(src, q)
	gx, gy, gr := w*(0.2+0.6*r.Float64()), h*(0.2+0.6*r.Float64()), 90+120*r.Float64()
	phase := r.Float64() * 6
	for y := range h {
		for x := range w {
			p := out.Pix[out.PixOffset(x, y):][:4]
			dx, dy := float64(x)-gx, float64(y)-gy
			glare := 110 * math.Exp(-(dx*dx+dy*dy)/(2*gr*gr))
			vx, vy := float64(x)/w-0.5, float64(y)/h-0.5
			gain := (1 - 0.6*(vx*vx+vy*vy)) * (1 + 0.05*math.Sin(float64(x)*0.9+float64(y)*0.13+phase))
			for c := range 3 {
				p[c] = clamp(float64(p[c])*0.85*gain + glare)
			}
		}
	}
	return reencode(noise(blur(out, 1), 7, r), 70)
}

// pip shows the picture in a corner over another one, or over a plain page.
func pip(m, other *image.RGBA, share float64, r *rand.Rand) *image.RGBA {
	const w, h = 1152, 864
	var out *image.RGBA
	if other != nil {
		out = resizeTo(other, w, h)
	} else {
		out = canvas(w, h, color.RGBA{30, 60, 110, 255})
		shade(out, r)
		write(out, bold, 60, color.White, 60, 110, phrase(r, 3))
	}
	pw := int(share * w)
	ph := m.Rect.Dy() * pw / m.Rect.Dx()
	if ph > h*8/10 {
		ph = h * 8 / 10
		pw = m.Rect.Dx() * ph / m.Rect.Dy()
	}
	x, y := w/20, h/10
	if r.IntN(2) == 0 {
		x = w - pw - w/20
	}
	if r.IntN(2) == 0 {
		y = h - ph - h/10
	}
	small := m
	for small.Rect.Dx() > 2*pw {
		small = scale(small, 0.5, 0.5)
	}
	paste(out, resizeTo(small, pw, ph), x, y)
	return out
}

// collage shows the picture beside another one.
func collage(m, other *image.RGBA) *image.RGBA {
	h := 640
	a := resizeTo(m, max(1, m.Rect.Dx()*h/m.Rect.Dy()), h)
	b := resizeTo(other, max(1, other.Rect.Dx()*h/other.Rect.Dy()), h)
	out := canvas(a.Rect.Dx()+b.Rect.Dx()+12, h, color.White)
	paste(out, b, 0, 0)
	paste(out, a, b.Rect.Dx()+12, 0)
	return out
}
