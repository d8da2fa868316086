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
// colour follows from y: for values of y from first to last, nothing is
// clamped, and it is 1,000 y + extra in units of 1/1000 (the three
// coefficients cancel but for rounding, so that extra is within ±500). Packed
// as (extra + chromaBias)<<18 | (256 + last)<<9 | (256 - first), so that adding
// y*lumaStep turns the three fields into luma + chromaBias, 256 + last - y and
// 256 + y - first: of nine bits each, whose highest is set where y is within.
type chromaLuma uint32

const (
	chromaBias = 512
	lumaStep   = white<<18 - 1<<9 + 1
	unclamped  = 1<<17 | 1<<8
)

type lumaTable [1 << 16]chromaLuma

// chromaLumas holds the entry of cb<<8 | cr: 256 KiB, of which a picture uses a
// little.
var chromaLumas = sync.OnceValue(func() *lumaTable {
	var t lumaTable
	for i := range t {
		dr, dg, db := chromaToRGB(int32(i>>8), int32(i&255))
		first := max(0, -min(dr, dg, db))
		last := min(255, 255-max(dr, dg, db))
		if first > last {
			first, last = 256, 0 // always clamped: no y is within both
		}
		extra := red*dr + green*dg + blue*db
		t[i] = chromaLuma((extra+chromaBias)<<18 | (256+last)<<9 | (256 - first))
	}
	return &t
})

// at is the three fields for y.
func (c chromaLuma) at(y uint8) uint64 { return uint64(c) + uint64(y)*lumaStep }

// clampedLuma is luma, times 1,000, of y and a pair of chroma values cb<<8 | cr.
func clampedLuma(y uint8, i uint16) uint64 {
	r, g, b := rgb(int32(y), int32(i>>8), int32(i&255))
	return uint64(red*r + green*g + blue*b)
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
	filter(dst, near, far, c.x&1, c.rounding())
}

// rounding is what filterPair adds to a left and to a right pixel.
func (c *chroma) rounding() uint64 {
	if c.shiftY == 0 {
		return 4*0x10001 | 8*0x10001<<32 // a row and itself: four times 1 and 2
	}
	return 8*0x10001 | 7*0x10001<<32
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
// far one. The first pixel is a right one if odd is 1.
func filter(dst []uint16, near, far []uint32, odd int, rounding uint64) {
	far = far[:len(near)]
	before, here := 3*near[0]+far[0], 3*near[1]+far[1]
	near, far = near[2:], far[2:]
	if odd == 1 {
		after := 3*near[0] + far[0]
		dst[0] = uint16(filterPair(before, here, after, rounding) >> 32)
		dst = dst[1:]
		before, here, near, far = here, after, near[1:], far[1:]
	}
	for len(dst) >= 8 && len(near) >= 4 && len(far) >= 4 { // four samples at a time save checks
		d, n, f := (*[8]uint16)(dst), (*[4]uint32)(near), (*[4]uint32)(far)
		dst, near, far = dst[8:], near[4:], far[4:]
		s0, s1, s2, s3 := 3*n[0]+f[0], 3*n[1]+f[1], 3*n[2]+f[2], 3*n[3]+f[3]
		p := filterPair(before, here, s0, rounding)
		d[0], d[1] = uint16(p), uint16(p>>32)
		p = filterPair(here, s0, s1, rounding)
		d[2], d[3] = uint16(p), uint16(p>>32)
		p = filterPair(s0, s1, s2, rounding)
		d[4], d[5] = uint16(p), uint16(p>>32)
		p = filterPair(s1, s2, s3, rounding)
		d[6], d[7] = uint16(p), uint16(p>>32)
		before, here = s2, s3
	}
	for i := 0; len(dst) >= 2; i++ {
		after := 3*near[i] + far[i]
		p := filterPair(before, here, after, rounding)
		dst[0], dst[1] = uint16(p), uint16(p>>32)
		dst = dst[2:]
		before, here = here, after
	}
	if len(dst) > 0 {
		dst[0] = uint16(filterPair(before, here, 0, rounding))
	}
}

// filterPair makes the two pixels of a sample, given four times it and its
// neighbours, in one 64-bit number, its left pixel in the lower half.
func filterPair(before, here, after uint32, rounding uint64) uint64 {
	m := uint64(here)*0x300000003 + (uint64(before) | uint64(after)<<32) + rounding
	return m>>12&0xff000000ff00 | m>>4&0xff000000ff
}
