package pdq

import "sync"

// rgb converts a colour as JFIF defines it, rounding and clamping each channel
// as libjpeg does. The reference hashes what libjpeg decoded, and the two steps
// change the luma: by up to half a level from rounding, by much in saturated
// colours from clamping. (color.YCbCrToRGB rounds otherwise, by up to a level.)
func rgb(y, cb, cr int32) (r, g, b int32) {
	dr, dg, db := chromaToRGB(cb, cr)
	return clamp(y + dr), clamp(y + dg), clamp(y + db)
}

// chromaToRGB returns what a pair of chroma values adds to red, green and blue:
// 1.402 cr, -0.344136 cb - 0.714136 cr and 1.772 cb, in 16-bit fixed point.
func chromaToRGB(cb, cr int32) (dr, dg, db int32) {
	cb, cr = cb-128, cr-128
	const half = 1 << 15
	return (91881*cr + half) >> 16, (-22554*cb - 46802*cr + half) >> 16, (116130*cb + half) >> 16
}

func clamp(v int32) int32 { return max(0, min(v, 255)) }

// chromaLuma says, for a pair of chroma values, how the luma of the converted
// colour follows from y: for count values of y from first on, nothing is
// clamped, and it is 1,000 y + extra in units of 1/1000 (the three
// coefficients cancel but for rounding). Packed as extra<<17 | count<<8 | first.
type chromaLuma uint32

// chromaLumas holds the entry of cb<<8 | cr: 256 KiB, of which a picture uses a
// little.
var chromaLumas = sync.OnceValue(func() *[1 << 16]chromaLuma {
	var t [1 << 16]chromaLuma
	for i := range t {
		dr, dg, db := chromaToRGB(int32(i>>8), int32(i&255))
		first := max(0, -min(dr, dg, db))
		last := min(255, 255-max(dr, dg, db))
		count := max(0, last-first+1)
		extra := red*dr + green*dg + blue*db
		t[i] = chromaLuma(extra<<17 | count<<8 | min(first, 255))
	}
	return &t
})

// luma returns what luma of brightness y would be without clamping, times
// 1,000, and whether it is that. (One function with the other case would not be
// inlined.)
func (c chromaLuma) luma(y uint8) (luma int32, ok bool) {
	return white*int32(y) + int32(c)>>17, uint32(y)-uint32(c&255) < uint32(c>>8&511)
}

// clampedLuma is luma, times 1,000, of y and a pair of chroma values cb<<8 | cr.
func clampedLuma(y uint8, i uint16) int32 {
	r, g, b := rgb(int32(y), int32(i>>8), int32(i&255))
	return red*r + green*g + blue*b
}

// chroma is the two chroma planes of a picture, possibly of fewer samples than
// the picture has pixels.
type chroma struct {
	cb, cr         []uint8
	stride, w, h   int // of the whole planes, in samples
	shiftX, shiftY int // log2 of the pixels to a sample
	x, y           int // the rectangle's first pixel, counted from the first sample's
}

// repeats reports whether each sample stands for all its pixels. libjpeg does
// that where the ratio is 4, and in a picture too narrow for its filter.
func (c *chroma) repeats() bool {
	return c.shiftX > 1 || c.shiftX == 1 && c.w <= 2 || c.shiftX+c.shiftY == 0
}

// rows returns where the row of samples that covers row y of the rectangle
// starts, and that which is next nearest to it: the same at an edge, or where
// the height is not halved.
func (c *chroma) rows(y int) (near, far int) {
	y += c.y
	k := y >> c.shiftY
	other := k
	if c.shiftY == 1 {
		other = max(0, min(k-1+y&1*2, c.h-1))
	}
	return k * c.stride, other * c.stride
}

// read returns the chroma of each pixel of row y, as cb<<8 | cr, in dst. Planes
// of half the width or height are upsampled as libjpeg does it, with a triangle
// filter (its "fancy upsampling"), so that each pixel has 3/4 of the nearer and
// 1/4 of the farther sample in each direction. Halves are rounded up and down
// in turn, hence the pairs of roundings 7 and 8, 1 and 2.
//
// Both planes are filtered at once: mixed, of at least len(dst)/2+4 elements,
// holds cb in the upper and cr in the lower 16 bits.
func (c *chroma) read(y int, dst []uint16, mixed []uint32) {
	n, f := c.rows(y)
	cb, cr := c.cb[n:][:c.w], c.cr[n:][:c.w]
	if c.shiftX+c.shiftY == 0 {
		cb, cr = cb[c.x:][:len(dst)], cr[c.x:][:len(dst)]
		for i := range dst {
			dst[i] = uint16(cb[i])<<8 | uint16(cr[i])
		}
		return
	}
	if c.repeats() {
		for i := range dst {
			k := (i + c.x) >> c.shiftX
			dst[i] = uint16(cb[k])<<8 | uint16(cr[k])
		}
		return
	}
	cb2, cr2 := c.cb[f:][:c.w], c.cr[f:][:c.w]
	if c.shiftX == 0 {
		rounding := uint32(1+(y+c.y)&1) * 0x10001
		for i := range dst {
			k := i + c.x
			dst[i] = unmix4(3*mix(cb[k], cr[k]) + mix(cb2[k], cr2[k]) + rounding)
		}
		return
	}

	// mixed[1+k-k0] is sample k; those before the first and after the last
	// sample are as the edge.
	k0, k1 := c.x>>1, (c.x+len(dst)-1)>>1
	mixed = mixed[:k1-k0+3]
	from, to := max(k0-1, 0), min(k1+1, c.w-1)
	inner := mixed[1+from-k0:][:to-from+1]
	if c.shiftY == 0 {
		a, b := cb[from:][:len(inner)], cr[from:][:len(inner)]
		for i := range inner {
			inner[i] = mix(a[i], b[i])
		}
	} else {
		a, b := cb[from:][:len(inner)], cr[from:][:len(inner)]
		a2, b2 := cb2[from:][:len(inner)], cr2[from:][:len(inner)]
		for i := range inner {
			inner[i] = 3*mix(a[i], b[i]) + mix(a2[i], b2[i])
		}
	}
	if from == k0 {
		mixed[0] = inner[0]
	}
	if to == k1 {
		mixed[len(mixed)-1] = inner[len(inner)-1]
	}

	if c.shiftY == 0 {
		filter4(dst, mixed, c.x&1)
	} else {
		filter16(dst, mixed, c.x&1)
	}
}

// filter4 filters samples along the row; the first pixel is the right half of its
// sample if odd is 1.
func filter4(dst []uint16, mixed []uint32, odd int) {
	const left, right = 0x10001, 0x20002
	before, here := mixed[0], mixed[1]
	mixed = mixed[2:]
	if odd == 1 {
		dst[0] = unmix4(3*here + mixed[0] + right)
		dst = dst[1:]
		before, here, mixed = here, mixed[0], mixed[1:]
	}
	for len(dst) >= 2 && len(mixed) > 0 {
		after := mixed[0]
		dst[0] = unmix4(3*here + before + left)
		dst[1] = unmix4(3*here + after + right)
		before, here = here, after
		dst, mixed = dst[2:], mixed[1:]
	}
	if len(dst) > 0 {
		dst[0] = unmix4(3*here + before + left)
	}
}

// filter16 is filter4 for samples that have been weighed with 3 and 1 already.
func filter16(dst []uint16, mixed []uint32, odd int) {
	const left, right = 0x80008, 0x70007
	before, here := mixed[0], mixed[1]
	mixed = mixed[2:]
	if odd == 1 {
		dst[0] = unmix16(3*here + mixed[0] + right)
		dst = dst[1:]
		before, here, mixed = here, mixed[0], mixed[1:]
	}
	for len(dst) >= 2 && len(mixed) > 0 {
		after := mixed[0]
		dst[0] = unmix16(3*here + before + left)
		dst[1] = unmix16(3*here + after + right)
		before, here = here, after
		dst, mixed = dst[2:], mixed[1:]
	}
	if len(dst) > 0 {
		dst[0] = unmix16(3*here + before + left)
	}
}

func mix(cb, cr uint8) uint32 { return uint32(cb)<<16 | uint32(cr) }

// unmix4 and unmix16 divide both halves.
func unmix4(m uint32) uint16  { return uint16(m>>10&0xff00 | m>>2&0xff) }
func unmix16(m uint32) uint16 { return uint16(m>>12&0xff00 | m>>4&0xff) }
