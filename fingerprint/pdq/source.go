package pdq

import (
	"image"
	"image/color"
)

// Luma is 0.299 red + 0.587 green + 0.114 blue. Kept times 1,000 it is a whole
// number, so that all sums over pixels are exact and do not depend on order.
const (
	red   = 299
	green = 587
	blue  = 114
	white = red + green + blue

	scale8  = white       // of luma from 8-bit values
	scale16 = white * 257 // of luma from 16-bit values, 257 times as large
)

// source reads the luma of a rectangle of a picture, row by row.
type source struct {
	w, h  int
	scale int64 // luma 255 is read as 255*scale

	kind   kind
	pix    []uint8 // from the rectangle's first pixel
	stride int

	chroma     chroma
	alpha      []uint8
	astride    int
	lut        [256]int32
	img        image.Image
	img64      image.RGBA64Image
	minX, minY int
}

type kind uint8

const (
	kindGray kind = iota
	kindGray16
	kindRGB
	kindRGBA
	kindNRGBA
	kindRGBA64
	kindNRGBA64
	kindCMYK
	kindPaletted
	kindYCbCr
	kindNYCbCrA
	kindRGBA64Image
	kindImage
)

// open prepares to read the part of img within r.
func (s *source) open(img image.Image, r image.Rectangle) {
	r = r.Intersect(img.Bounds())
	lut := s.lut
	*s = source{w: r.Dx(), h: r.Dy(), scale: scale8, lut: lut}
	if r.Empty() {
		return
	}
	x, y := r.Min.X, r.Min.Y
	switch p := img.(type) {
	case *image.Gray:
		s.kind, s.pix, s.stride = kindGray, p.Pix[p.PixOffset(x, y):], p.Stride
	case *image.Gray16:
		s.kind, s.pix, s.stride, s.scale = kindGray16, p.Pix[p.PixOffset(x, y):], p.Stride, scale16
	case *image.RGBA:
		s.kind, s.pix, s.stride = kindRGBA, p.Pix[p.PixOffset(x, y):], p.Stride
	case *image.NRGBA:
		s.kind, s.pix, s.stride = kindNRGBA, p.Pix[p.PixOffset(x, y):], p.Stride
	case *image.RGBA64:
		s.kind, s.pix, s.stride, s.scale = kindRGBA64, p.Pix[p.PixOffset(x, y):], p.Stride, scale16
	case *image.NRGBA64:
		s.kind, s.pix, s.stride, s.scale = kindNRGBA64, p.Pix[p.PixOffset(x, y):], p.Stride, scale16
	case *image.CMYK:
		s.kind, s.pix, s.stride = kindCMYK, p.Pix[p.PixOffset(x, y):], p.Stride
	case *image.Paletted:
		s.kind, s.pix, s.stride, s.scale = kindPaletted, p.Pix[p.PixOffset(x, y):], p.Stride, scale16
		s.lut = [256]int32{}
		for i, c := range p.Palette[:min(len(p.Palette), len(s.lut))] {
			s.lut[i] = overWhite16(c.RGBA())
		}
	case *image.YCbCr:
		s.openYCbCr(p, x, y)
	case *image.NYCbCrA:
		s.openYCbCr(&p.YCbCr, x, y)
		s.alpha, s.astride = p.A[p.AOffset(x, y):], p.AStride
		if s.kind == kindYCbCr {
			s.kind = kindNYCbCrA
		}
	case image.RGBA64Image:
		s.kind, s.img64, s.scale = kindRGBA64Image, p, scale16
	default:
		s.kind, s.img, s.scale = kindImage, img, scale16
	}
	s.minX, s.minY = x, y
}

func (s *source) openYCbCr(p *image.YCbCr, x, y int) {
	if p.Rect.Min.X < 0 || p.Rect.Min.Y < 0 {
		// Package image divides coordinates towards zero, so that chroma
		// samples around it are of another size. No decoder makes such planes.
		s.kind, s.img64, s.scale = kindRGBA64Image, p, scale16
		return
	}
	s.kind, s.pix, s.stride = kindYCbCr, p.Y[p.YOffset(x, y):], p.YStride
	c := &s.chroma
	c.cb, c.cr, c.stride = p.Cb, p.Cr, p.CStride
	switch p.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		c.shiftX = 1
	case image.YCbCrSubsampleRatio420:
		c.shiftX, c.shiftY = 1, 1
	case image.YCbCrSubsampleRatio440:
		c.shiftY = 1
	case image.YCbCrSubsampleRatio411:
		c.shiftX = 2
	case image.YCbCrSubsampleRatio410:
		c.shiftX, c.shiftY = 2, 1
	}
	b := p.Rect
	c.w = (b.Max.X-1)>>c.shiftX - b.Min.X>>c.shiftX + 1
	c.h = (b.Max.Y-1)>>c.shiftY - b.Min.Y>>c.shiftY + 1
	c.x = x - b.Min.X>>c.shiftX<<c.shiftX
	c.y = y - b.Min.Y>>c.shiftY<<c.shiftY
}

// buffers are what source.read needs, at least as long as the rectangle is wide.
type buffers struct {
	chroma  chromaBuffer
	pairs   [][4]uint64 // what sumYCbCr adds up in
	clamped []uint32    // and which of a row's blocks need another look
}

// read reads the luma of row y, times s.scale, into dst of s.w values.
func (s *source) read(y int, dst []int32, buf *buffers) {
	switch s.kind {
	case kindGray:
		for x, v := range s.pix[y*s.stride:][:s.w] {
			dst[x] = white * int32(v)
		}
	case kindGray16:
		p := s.pix[y*s.stride:][:2*s.w]
		for x := range dst {
			dst[x] = white * be16(p[2*x], p[2*x+1])
		}
	case kindRGB:
		p := s.pix[y*s.stride:][:3*s.w]
		for x := range dst {
			q := p[3*x:][:3:3]
			dst[x] = red*int32(q[0]) + green*int32(q[1]) + blue*int32(q[2])
		}
	case kindRGBA:
		p := s.pix[y*s.stride:][:4*s.w]
		for x := range dst {
			q := p[4*x:][:4:4]
			dst[x] = red*int32(q[0]) + green*int32(q[1]) + blue*int32(q[2]) + white*(255-int32(q[3]))
		}
	case kindNRGBA:
		p := s.pix[y*s.stride:][:4*s.w]
		for x := range dst {
			q := p[4*x:][:4:4]
			dst[x] = overWhite8(int32(q[0]), int32(q[1]), int32(q[2]), int32(q[3]))
		}
	case kindRGBA64:
		p := s.pix[y*s.stride:][:8*s.w]
		for x := range dst {
			q := p[8*x:][:8:8]
			dst[x] = red*be16(q[0], q[1]) + green*be16(q[2], q[3]) + blue*be16(q[4], q[5]) +
				white*(65535-be16(q[6], q[7]))
		}
	case kindNRGBA64:
		p := s.pix[y*s.stride:][:8*s.w]
		for x := range dst {
			q := p[8*x:][:8:8]
			dst[x] = overWhite16(color.NRGBA64{
				R: uint16(be16(q[0], q[1])), G: uint16(be16(q[2], q[3])),
				B: uint16(be16(q[4], q[5])), A: uint16(be16(q[6], q[7])),
			}.RGBA())
		}
	case kindCMYK:
		p := s.pix[y*s.stride:][:4*s.w]
		for x := range dst {
			q := p[4*x:][:4:4]
			r, g, b := color.CMYKToRGB(q[0], q[1], q[2], q[3])
			dst[x] = red*int32(r) + green*int32(g) + blue*int32(b)
		}
	case kindPaletted:
		for x, v := range s.pix[y*s.stride:][:s.w] {
			dst[x] = s.lut[v]
		}
	case kindYCbCr:
		c, shift := s.chroma.read(y, s.w, &buf.chroma)
		for x, v := range s.pix[y*s.stride:][:s.w] {
			dst[x] = int32(clampedLuma(v, c.at(x+shift)))
		}
	case kindNYCbCrA:
		c, shift := s.chroma.read(y, s.w, &buf.chroma)
		a := s.alpha[y*s.astride:][:s.w]
		for x, v := range s.pix[y*s.stride:][:s.w] {
			colour := int32(c.at(x + shift))
			r, g, b := rgb(int32(v), colour>>8, colour&255)
			dst[x] = overWhite8(r, g, b, int32(a[x]))
		}
	case kindRGBA64Image:
		for x := range dst {
			c := s.img64.RGBA64At(s.minX+x, s.minY+y)
			dst[x] = overWhite16(uint32(c.R), uint32(c.G), uint32(c.B), uint32(c.A))
		}
	case kindImage:
		for x := range dst {
			dst[x] = overWhite16(s.img.At(s.minX+x, s.minY+y).RGBA())
		}
	}
}

func be16(hi, lo uint8) int32 { return int32(hi)<<8 | int32(lo) }

// overWhite8 is the luma of a colour of alpha a out of 255, times scale8, on a
// white ground; each channel is rounded to a whole level, as by programs that
// flatten a picture.
func overWhite8(r, g, b, a int32) int32 {
	if a == 255 {
		return red*r + green*g + blue*b
	}
	ground := 255*(255-a) + 127
	return red*((r*a+ground)/255) + green*((g*a+ground)/255) + blue*((b*a+ground)/255)
}

// overWhite16 is the luma of an alpha-premultiplied colour of 16 bits a
// channel, times scale16, on a white ground.
func overWhite16(r, g, b, a uint32) int32 {
	return red*int32(r) + green*int32(g) + blue*int32(b) + white*(65535-int32(a))
}
