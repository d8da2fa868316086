package local

import (
	"image"
	"image/color"
)

// Luma is an 8-bit brightness plane, rows from the top, W*H bytes with no
// padding.
type Luma struct {
	W, H int
	Pix  []byte
}

// FromImage returns the brightness of img as ITU-R BT.601 defines it
// (0.299 R + 0.587 G + 0.114 B, rounded), computed in integers so that every
// machine gets the same bytes. Transparent pixels are laid on white.
func FromImage(img image.Image) Luma {
	b := img.Bounds()
	l := Luma{W: b.Dx(), H: b.Dy(), Pix: make([]byte, b.Dx()*b.Dy())}
	switch m := img.(type) {
	case *image.Gray:
		for y := range l.H {
			copy(l.Pix[y*l.W:(y+1)*l.W], m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):])
		}
	case *image.YCbCr:
		for y := range l.H {
			copy(l.Pix[y*l.W:(y+1)*l.W], m.Y[m.YOffset(b.Min.X, b.Min.Y+y):])
		}
	case *image.RGBA:
		for y := range l.H {
			row := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):][:4*l.W]
			out := l.Pix[y*l.W:][:l.W]
			for x := range out {
				p := row[4*x : 4*x+4 : 4*x+4]
				// Premultiplied: what is missing to full opacity is white.
				v := (299*uint32(p[0]) + 587*uint32(p[1]) + 114*uint32(p[2]) + 500) / 1000
				out[x] = byte(min(255, v+255-uint32(p[3])))
			}
		}
	case *image.NRGBA:
		for y := range l.H {
			row := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):][:4*l.W]
			out := l.Pix[y*l.W:][:l.W]
			for x := range out {
				p := row[4*x : 4*x+4 : 4*x+4]
				v := (299*uint32(p[0]) + 587*uint32(p[1]) + 114*uint32(p[2]) + 500) / 1000
				if a := uint32(p[3]); a != 255 {
					v = (v*a + 255*(255-a) + 127) / 255
				}
				out[x] = byte(v)
			}
		}
	case *image.Paletted:
		var luma [256]byte
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			luma[i] = lumaOf(c)
		}
		for y := range l.H {
			for x, i := range m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):][:l.W] {
				l.Pix[y*l.W+x] = luma[i]
			}
		}
	case image.RGBA64Image: // all others that decoders make, without an allocation a pixel
		for y := range l.H {
			for x := range l.W {
				c := m.RGBA64At(b.Min.X+x, b.Min.Y+y)
				v := (299*uint32(c.R) + 587*uint32(c.G) + 114*uint32(c.B) + 500) / 1000
				l.Pix[y*l.W+x] = byte(min(0xffff, v+0xffff-uint32(c.A)) >> 8)
			}
		}
	default:
		for y := range l.H {
			for x := range l.W {
				l.Pix[y*l.W+x] = lumaOf(img.At(b.Min.X+x, b.Min.Y+y))
			}
		}
	}
	return l
}

// lumaOf is the luma of one colour over white.
func lumaOf(colour color.Color) byte {
	c := color.NRGBAModel.Convert(colour).(color.NRGBA)
	v := (299*uint32(c.R) + 587*uint32(c.G) + 114*uint32(c.B) + 500) / 1000
	a := uint32(c.A)
	return byte((v*a + 255*(255-a) + 127) / 255)
}

// Sub returns a copy of the rectangle r of l, clipped to l.
func (l Luma) Sub(r image.Rectangle) Luma {
	r = r.Intersect(image.Rect(0, 0, l.W, l.H))
	s := Luma{W: r.Dx(), H: r.Dy(), Pix: make([]byte, r.Dx()*r.Dy())}
	for y := range s.H {
		copy(s.Pix[y*s.W:(y+1)*s.W], l.Pix[(r.Min.Y+y)*l.W+r.Min.X:])
	}
	return s
}

// Resize returns l at w by h pixels (each at least 1), every output pixel the
// mean of the input area under it. It enlarges by repeating pixels; callers
// that enlarge should smooth afterwards.
func (l Luma) Resize(w, h int) Luma {
	if w == l.W && h == l.H {
		return Luma{W: w, H: h, Pix: append([]byte(nil), l.Pix...)}
	}
	if 2*w == l.W && 2*h == l.H {
		return l.half()
	}
	out := Luma{W: w, H: h, Pix: make([]byte, w*h)}
	xs, ys := spans(l.W, w), spans(l.H, h)
	few := taps(xs, l.W)
	rows := make([]uint32, w) // the current output row, weights summing to 1<<24
	for oy := range h {
		clear(rows)
		s := ys[oy]
		for iy := s.lo; iy <= s.hi; iy++ {
			wy := uint32(s.full)
			if iy == s.lo {
				wy = uint32(s.first)
			} else if iy == s.hi {
				wy = uint32(s.last)
			}
			if wy == 0 {
				continue
			}
			in := l.Pix[iy*l.W:][:l.W]
			if few != nil {
				addTaps(rows, in, few, wy)
				continue
			}
			for ox := range rows {
				t := &xs[ox]
				var acc uint32
				if t.hi > t.lo {
					acc = uint32(in[t.lo])*uint32(t.first) + uint32(in[t.hi])*uint32(t.last)
					var mid uint32
					for _, v := range in[t.lo+1 : t.hi] {
						mid += uint32(v)
					}
					acc += mid * uint32(t.full)
				} else {
					acc = uint32(in[t.lo]) * uint32(t.first)
				}
				rows[ox] += ((acc + 8) >> 4) * wy
			}
		}
		o := out.Pix[oy*w:][:w]
		for ox := range o {
			o[ox] = byte(min(255, (rows[ox]+(1<<19))>>20))
		}
	}
	return out
}

// tap is a span of at most three input pixels: the first and their weights, 0
// for those that are not of it.
type tap struct {
	at int32
	w  [3]uint16
}

// taps returns the spans of in pixels as taps, or nil where one is too long.
func taps(ss []span, in int) []tap {
	if in < 3 {
		return nil
	}
	ts := make([]tap, len(ss))
	for o, s := range ss {
		if s.hi-s.lo > 2 {
			return nil
		}
		at := min(s.lo, in-3)
		t := tap{at: int32(at)} //nolint:gosec // a side
		for i := s.lo; i <= s.hi; i++ {
			v := s.full
			if i == s.lo {
				v = s.first
			} else if i == s.hi {
				v = s.last
			}
			t.w[i-at] = uint16(v) //nolint:gosec // at most 4096
		}
		ts[o] = t
	}
	return ts
}

// addTaps adds an input row to the output row.
func addTaps(rows []uint32, in []byte, ts []tap, wy uint32) {
	ts = ts[:len(rows)]
	for ox := range rows {
		t := &ts[ox]
		p := in[t.at : t.at+3 : t.at+3]
		acc := uint32(p[0])*uint32(t.w[0]) + uint32(p[1])*uint32(t.w[1]) + uint32(p[2])*uint32(t.w[2])
		rows[ox] += ((acc + 8) >> 4) * wy
	}
}

// span is the input under one output pixel: its first and last input pixel
// with their weights, and the weight of those between. Weights sum to 4096.
type span struct {
	lo, hi            int
	first, full, last int
}

func spans(in, out int) []span {
	ss := make([]span, out)
	for o := range ss {
		// The output pixel covers [o*in, (o+1)*in) in units of 1/out pixel.
		a, b := o*in, (o+1)*in
		lo, hi := a/out, (b-1)/out
		s := span{lo: lo, hi: hi}
		if lo == hi {
			s.first = 4096
		} else {
			s.first = ((lo+1)*out - a) * 4096 / in
			s.full = out * 4096 / in
			s.last = 4096 - s.first - s.full*(hi-lo-1)
		}
		ss[o] = s
	}
	return ss
}

func (l Luma) half() Luma {
	w, h := l.W/2, l.H/2
	out := Luma{W: w, H: h, Pix: make([]byte, w*h)}
	for y := range h {
		a := l.Pix[2*y*l.W:][:2*w]
		b := l.Pix[(2*y+1)*l.W:][:2*w]
		o := out.Pix[y*w:][:w]
		for x := range o {
			o[x] = byte((uint(a[2*x]) + uint(a[2*x+1]) + uint(b[2*x]) + uint(b[2*x+1]) + 2) >> 2)
		}
	}
	return out
}
