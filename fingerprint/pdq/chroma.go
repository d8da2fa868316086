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

// chromaBuffer is what chroma.read needs for planes that it filters.
type chromaBuffer struct {
	// packed holds rows of samples, row k in packed[k%4]; a picture's row needs
	// two of the last three. A sample has cb in the upper and cr in the lower 16
	// bits, so that both are filtered at once.
	packed [4][]uint32
	row    [4]int // which rows these are, or -1
}

// reset forgets the rows and makes room for pictures of w pixels a row.
func (b *chromaBuffer) reset(w int) {
	for i := range b.packed {
		if len(b.packed[i]) < w/2+4 {
			b.packed[i] = make([]uint32, w/2+4)
		}
		b.row[i] = -1
	}
}

// read returns the chroma of each pixel of row y, as cb<<8 | cr, in dst. Planes
// of half the width or height are upsampled as libjpeg does it, with a triangle
// filter (its "fancy upsampling"), so that each pixel has 3/4 of the nearer and
// 1/4 of the farther sample in each direction. Halves are rounded up and down
// in turn, hence the pairs of roundings: 7 and 8 of 16, 1 and 2 of 4.
func (c *chroma) read(y int, dst []uint16, buf *chromaBuffer) {
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
	if c.shiftX == 0 {
		cb2, cr2 := c.cb[f:][:c.w], c.cr[f:][:c.w]
		rounding := 1 + int32(y+c.y)&1
		for i := range dst {
			k := i + c.x
			u := (3*int32(cb[k]) + int32(cb2[k]) + rounding) >> 2
			v := (3*int32(cr[k]) + int32(cr2[k]) + rounding) >> 2
			dst[i] = uint16(u<<8 | v)
		}
		return
	}
	near, far := c.pack(n, len(dst), buf), c.pack(f, len(dst), buf)
	if c.shiftY == 0 {
		filter(dst, near, far, c.x&1, 4, 8) // a row and itself: four times 1 and 2
	} else {
		filter(dst, near, far, c.x&1, 8, 7)
	}
}

// pack returns the samples from one before the first of width pixels to one
// after the last, in the row that starts at offset. Beyond the edges samples
// are as on the edge.
func (c *chroma) pack(offset, width int, buf *chromaBuffer) []uint32 {
	k0, k1 := c.x>>1, (c.x+width-1)>>1
	row := offset / c.stride
	packed := buf.packed[row&3][:k1-k0+3]
	if buf.row[row&3] == row {
		return packed
	}
	buf.row[row&3] = row
	from, to := max(k0-1, 0), min(k1+1, c.w-1)
	inner := packed[1+from-k0:][:to-from+1]
	cb, cr := c.cb[offset+from:][:len(inner)], c.cr[offset+from:][:len(inner)]
	for i := range inner {
		inner[i] = uint32(cb[i])<<16 | uint32(cr[i])
	}
	if from == k0 {
		packed[0] = inner[0]
	}
	if to == k1 {
		packed[len(packed)-1] = inner[len(inner)-1]
	}
	return packed
}

// filter makes two pixels of each sample, 3/4 of the near row and 1/4 of the
// far one; left and right are their roundings of 16. The first pixel is a right
// one if odd is 1. A pair is filtered in one 64-bit number, its left pixel in
// the lower half.
func filter(dst []uint16, near, far []uint32, odd int, left, right uint64) {
	far = far[:len(near)]
	rounding := left*0x10001 | right*0x10001<<32
	pair := func(before, here, after uint32) uint64 {
		m := uint64(here)*0x300000003 + (uint64(before) | uint64(after)<<32) + rounding
		return m>>12&0xff000000ff00 | m>>4&0xff000000ff
	}
	before, here := 3*near[0]+far[0], 3*near[1]+far[1]
	near, far = near[2:], far[2:]
	if odd == 1 {
		after := 3*near[0] + far[0]
		dst[0] = uint16(pair(before, here, after) >> 32)
		dst = dst[1:]
		before, here, near, far = here, after, near[1:], far[1:]
	}
	far = far[:len(near)]
	for i := 0; i < len(near) && len(dst) >= 2; i++ {
		after := 3*near[i] + far[i]
		p := pair(before, here, after)
		dst[0], dst[1] = uint16(p), uint16(p>>32)
		dst = dst[2:]
		before, here = here, after
	}
	if len(dst) > 0 {
		dst[0] = uint16(pair(before, here, 0))
	}
}
