package pdq

import (
	"encoding/binary"
	"sync"
)

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
// as (256 + last)<<19 | (256 - first)<<10 | extra + chromaBias, so that adding
// y*withinStep turns the two upper fields into 256 + last - y and
// 256 + y - first: of nine bits each, whose highest is set where y is within.
// It has 28 bits, so that two are worked on at once in the halves of a uint64.
type chromaLuma uint32

const (
	chromaBias = 512
	withinStep = 1<<64 - 1<<19 + 1<<10
	within     = halves * (1<<27 | 1<<18)
	extras     = halves * 0x3ff
	halves     = 1<<32 + 1 // times a number: that number in both halves
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
		t[i] = chromaLuma((256+last)<<19 | (256-first)<<10 | (extra + chromaBias))
	}
	return &t
})

// pair returns the entries of two colours cb<<8 | cr, which are the lower 16
// bits of the halves of i, in the halves of one number.
func (t *lumaTable) pair(i uint64) uint64 {
	return uint64(t[uint16(i)]) | uint64(t[uint16(i>>32)])<<32
}

// clampedLuma is luma, times 1,000, of y and a colour cb<<8 | cr.
func clampedLuma(y uint8, colour uint16) uint64 {
	r, g, b := rgb(int32(y), int32(colour>>8), int32(colour&255))
	return uint64(red*r + green*g + blue*b)
}

// excessTables say what clamping changes, for colours in which it does.
type excessTables struct {
	// What is added to y for each value of cr and of cb; that for green is the
	// sum of two in 16-bit fixed point. All are at least -clampBias.
	red, blue, greenCr, greenCb [256]int32

	// What clamping adds to a channel of a value less clampBias, times the
	// channel's part of luma.
	addRed, addGreen, addBlue [1024]int32
}

// clampBias makes what is clamped, -227 to 482, positive.
const clampBias = 256

var chromaExcesses = sync.OnceValue(func() *excessTables {
	var t excessTables
	for i := range int32(256) {
		t.red[i], _, t.blue[i] = chromaToRGB(i, i)
		t.red[i] += clampBias
		t.blue[i] += clampBias
		t.greenCr[i] = -46802*(i-128) + 1<<15 + clampBias<<16
		t.greenCb[i] = -22554 * (i - 128)
	}
	for i := range t.addRed {
		v := int32(i) - clampBias
		d := clamp(v) - v
		t.addRed[i], t.addGreen[i], t.addBlue[i] = red*d, green*d, blue*d
	}
	return &t
})

// of is clampedLuma less what luma would be if nothing were clamped.
func (t *excessTables) of(y uint8, colour uint16) int64 {
	cb, cr, v := uint8(colour>>8), uint8(colour), int32(y)
	g := (t.greenCb[cb] + t.greenCr[cr]) >> 16
	return int64(t.addRed[(v+t.red[cr])&1023] + t.addGreen[(v+g)&1023] + t.addBlue[(v+t.blue[cb])&1023])
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

// filtered reports whether rows of samples are upsampled by the triangle filter
// along the row.
func (c *chroma) filtered() bool { return c.shiftX == 1 && !c.repeats() }

// shift is by how many pixels the first of a row is right of where its first
// block begins: 1 where it is the right one of a sample's two, else 0.
func (c *chroma) shift() int {
	if c.filtered() {
		return c.x & 1
	}
	return 0
}

// chromaRow is the chroma of a row of pixels in blocks of eight: pixels i and i+4
// in the halves of number i, each as cb<<8 | cr.
type chromaRow [][4]uint64

// at returns the colour of pixel i.
func (c chromaRow) at(i int) uint16 { return uint16(c[i/8][i%4] >> (i % 8 / 4 * 32)) }

// chromaBuffer is what chroma.read needs.
type chromaBuffer struct {
	colours chromaRow  // of row y
	y       int        // or -1; neighbouring windows may share a row
	planes  [2][]uint8 // cb and cr of a row, where they are not as stored

	// packed holds rows of samples as pack makes them, row k in packed[k%4]; a
	// picture's row needs two of the last three.
	packed [4][][2]uint64
	row    [4]int // which rows these are, or -1
}

// reset forgets the rows and makes room for pictures of w pixels a row.
func (b *chromaBuffer) reset(w int) {
	if len(b.planes[0]) < w {
		b.colours = make(chromaRow, w/8+2)
		b.planes = [2][]uint8{make([]uint8, w), make([]uint8, w)}
		for i := range b.packed {
			b.packed[i] = make([][2]uint64, w/8+4)
		}
	}
	b.y, b.row = -1, [4]int{-1, -1, -1, -1}
}

// read returns the chroma of each pixel of row y, from number shift on. Planes
// of half the width or height are upsampled as libjpeg does it, with a triangle
// filter (its "fancy upsampling"), so that each pixel has 3/4 of the nearer and
// 1/4 of the farther sample in each direction. Halves are rounded up and down
// in turn, hence the pairs of roundings: 7 and 8 of 16, 1 and 2 of 4.
func (c *chroma) read(y, width int, buf *chromaBuffer) (all chromaRow, shift int) {
	all, shift = buf.colours[:(c.shift()+width+7)/8], c.shift()
	switch {
	case y == buf.y:
		return all, shift
	case c.filtered():
		n, f := c.rows(y)
		left, right := c.rounding()
		filter(all, c.pack(n, width, buf), c.pack(f, width, buf), left, right)
	default:
		join(all, c.spread(c.cb, y, width, buf.planes[0]), c.spread(c.cr, y, width, buf.planes[1]))
	}
	buf.y = y
	return all, shift
}

// spread returns row y of one plane at the picture's width, for chroma that is
// not filtered along the row, either in buf or in the plane itself.
func (c *chroma) spread(plane []uint8, y, width int, buf []uint8) []uint8 {
	n, f := c.rows(y)
	near, far := plane[n:][:c.w], plane[f:][:c.w]
	if c.shiftX+c.shiftY == 0 {
		return near[c.x:][:width]
	}
	buf = buf[:width]
	if c.shiftX == 0 {
		rounding := 1 + uint(y+c.y)&1
		near, far = near[c.x:][:width], far[c.x:][:width]
		for i := range buf {
			buf[i] = uint8((3*uint(near[i]) + uint(far[i]) + rounding) >> 2)
		}
		return buf
	}
	for i := range buf {
		buf[i] = near[(i+c.x)>>c.shiftX]
	}
	return buf
}

// join makes a chromaRow of two rows of chroma.
func join(dst chromaRow, cb, cr []uint8) {
	for b := range dst {
		d := &dst[b]
		if 8*b+8 > len(cb) || 8*b+8 > len(cr) {
			*d = [4]uint64{}
			for i := 8 * b; i < len(cb); i++ {
				d[i%4] |= (uint64(cb[i])<<8 | uint64(cr[i])) << (i % 8 / 4 * 32)
			}
			return
		}
		u, v := binary.LittleEndian.Uint64(cb[8*b:]), binary.LittleEndian.Uint64(cr[8*b:])
		d[0] = u&lowBytes<<8 | v&lowBytes
		d[1] = u&(lowBytes<<8) | v>>8&lowBytes
		d[2] = u>>8&(lowBytes<<8) | v>>16&lowBytes
		d[3] = u>>16&(lowBytes<<8) | v>>24&lowBytes
	}
}

// lowBytes is the lowest byte of each half of a number.
const lowBytes = halves * 0xff

// rounding is what the filter adds to a left and to a right pixel, for each of
// two chroma values of two samples.
func (c *chroma) rounding() (left, right uint64) {
	const lanes = halves * 0x10001
	if c.shiftY == 0 {
		return 4 * lanes, 8 * lanes // a row and itself: four times 1 and 2
	}
	return 8 * lanes, 7 * lanes
}

// pack returns the row of samples that starts at offset in blocks of four, as
// many as width pixels need, with one block before, of which the last sample
// counts, and one behind, of which the first does. Beyond the edges samples are
// as on the edge.
//
// A block is two numbers: samples 0 and 2 in the halves of the first, 1 and 3
// in those of the second, each with cb in the upper and cr in the lower 16
// bits. So four values are filtered at once, and the neighbours of samples 0
// and 2 on the right are those on the left of 1 and 3 and need no shift.
func (c *chroma) pack(offset, width int, buf *chromaBuffer) [][2]uint64 {
	k0, k1 := c.x>>1, (c.x+width-1)>>1
	row := offset / c.stride
	packed := buf.packed[row&3][:(k1-k0)/4+3]
	if buf.row[row&3] == row {
		return packed
	}
	buf.row[row&3] = row
	cb, cr := c.cb[offset:][:c.w], c.cr[offset:][:c.w]
	sample := func(k int) uint64 {
		k = max(0, min(k, c.w-1))
		return uint64(cb[k])<<16 | uint64(cr[k])
	}
	packed[0][1] = sample(k0-1) << 32
	blocks, k := packed[1:], k0
	for u, v := cb[k0:], cr[k0:]; len(u) >= 4 && len(v) >= 4 && len(blocks) > 0; k += 4 {
		blocks[0] = [2]uint64{
			uint64(u[0])<<16 | uint64(v[0]) | (uint64(u[2])<<16|uint64(v[2]))<<32,
			uint64(u[1])<<16 | uint64(v[1]) | (uint64(u[3])<<16|uint64(v[3]))<<32,
		}
		u, v, blocks = u[4:], v[4:], blocks[1:]
	}
	for i := range blocks {
		blocks[i] = [2]uint64{sample(k) | sample(k+2)<<32, sample(k+1) | sample(k+3)<<32}
		k += 4
	}
	return packed
}

// filter makes eight pixels of each block of samples but the first and the
// last. A pixel has 9/16 of its sample, 3/16 of each of the two next to it,
// beside and in the far row, and 1/16 of the one across.
func filter(dst chromaRow, near, far [][2]uint64, left, right uint64) {
	before := 3*near[0][1] + far[0][1] // its upper half
	s02 := 3*near[1][0] + far[1][0]
	near, far = near[1:][:len(dst)+1], far[1:][:len(dst)+1]
	for b := range dst {
		s13 := 3*near[b][1] + far[b][1]
		after := 3*near[b+1][0] + far[b+1][0] // its lower half
		d := &dst[b]
		d[0] = average(3*s02 + (s13<<32 | before>>32) + left)
		d[1] = average(3*s02 + s13 + right)
		d[2] = average(3*s13 + s02 + left)
		d[3] = average(3*s13 + (s02>>32 | after<<32) + right)
		before, s02 = s13, after
	}
}

// average divides four sums of the filter by 16 and joins them in pairs.
func average(sums uint64) uint64 { return sums>>12&(lowBytes<<8) | sums>>4&lowBytes }
