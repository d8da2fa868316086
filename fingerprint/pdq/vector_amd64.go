//go:build amd64 && !purego

package pdq

import "golang.org/x/sys/cpu"

// useAVX2 is set at start and changed by tests only.
var useAVX2 = cpu.X86.HasAVX2

// vector reports whether the rows are long enough for the vector code.
func (c *columns) vector() bool { return useAVX2 && c.bytes >= block }

func (c *columns) add(a, b []uint8, weightA, weightB int32) {
	if !c.vector() {
		c.addPortable(a, b, weightA, weightB)
		return
	}
	weights := uint32(weightA | weightB<<8)
	a, b = a[:c.bytes], b[:c.bytes]
	blocks, last := c.bytes/block, c.bytes-block
	addRowsAVX2(&c.acc[0], &a[0], &b[0], blocks, weights)
	if c.bytes%block != 0 {
		addRowsAVX2(&c.acc[blocks*block/4], &a[last], &b[last], 1, weights)
	}
}

func (c *columns) widen() {
	if !c.vector() {
		c.widenPortable()
		return
	}
	widenAVX2(&c.sums[0], &c.acc[0], (c.bytes+block-1)/block)
}

func (c *columns) luma(s *source, dst []int32, opaque uint32) (transparent bool) {
	if !c.vector() {
		return c.lumaPortable(s, dst, opaque)
	}
	if rest := c.bytes % block; rest != 0 {
		// The last block is of the last 32 bytes, some of them in the block
		// before too.
		whole := c.bytes - rest
		copy(c.sums[whole:][:rest], c.sums[whole+block-rest:])
	}
	blocks := (s.w + 7) / 8
	dst = dst[:8*blocks]
	switch s.kind {
	case kindGray:
		lumaGrayAVX2(&dst[0], &c.sums[0], blocks)
	case kindRGB:
		lumaRGBAVX2(&dst[0], &c.sums[0], blocks)
	case kindYCbCr:
		n := c.planes.length
		lumaPlanesAVX2(&dst[0], &c.sums[0], &c.sums[n], &c.sums[2*n], blocks)
	default:
		// What the last block of 8 pixels has beyond the row must look opaque.
		for x := s.w; x < 8*blocks; x++ {
			c.sums[4*x+3] = opaque
		}
		transparent = lumaRGBAAVX2(&dst[0], &c.sums[0], blocks, opaque) != 0
	}
	clear(c.sums[c.bytes:])
	return transparent
}

// planes converts rows of a YCbCr picture to planes of red, green and blue.
type planes struct {
	rows   [2][]uint8 // three planes, one after another: of an even row, of an odd row
	y      [2]int     // which rows these are
	length int        // of a plane, a multiple of block
	chroma [2][]uint8
}

// open prepares for the picture in s and returns the length of a row of three
// planes, or 0 if there is no vector code for it.
func (p *planes) open(s *source) int {
	if !useAVX2 || s.w < block {
		return 0
	}
	p.length = (s.w + block - 1) &^ (block - 1)
	p.y = [2]int{-1, -1}
	if len(p.rows[0]) < 3*p.length {
		for i := range p.rows {
			p.rows[i] = make([]uint8, 3*p.length)
			p.chroma[i] = make([]uint8, p.length+3)
		}
	}
	return 3 * p.length
}

// row returns the planes of row y.
func (p *planes) row(s *source, y int) []uint8 {
	row := p.rows[y&1][:3*p.length]
	if p.y[y&1] == y {
		return row
	}
	p.y[y&1] = y
	light := s.pix[y*s.stride:][:s.w]
	cb := s.chroma.upsample(s.chroma.cb, y, s.w, p.chroma[0])
	cr := s.chroma.upsample(s.chroma.cr, y, s.w, p.chroma[1])
	r, g, b := row[:p.length], row[p.length:2*p.length], row[2*p.length:]
	n := s.w &^ (block - 1)
	ycbcrToPlanes(&r[0], &g[0], &b[0], &light[0], &cb[0], &cr[0], n)
	if n < s.w {
		x := s.w - block
		ycbcrToPlanes(&r[x], &g[x], &b[x], &light[x], &cb[x], &cr[x], block)
	}
	return row
}

// upsample returns row y of one plane at the picture's width, as chroma.read
// does, either in buf or in the plane itself.
func (c *chroma) upsample(plane []uint8, y, width int, buf []uint8) []uint8 {
	if !c.filtered() {
		return c.spread(plane, y, width, buf)
	}
	n, f := c.rows(y)
	near, far := plane[n:][:c.w], plane[f:][:c.w]

	// Samples k0 to k1 become the pixels from 2*k0 on; the kernel does those
	// that have a neighbour on both sides.
	left, right := uint32(8), uint32(7)
	if c.shiftY == 0 {
		left, right = 4, 8
	}
	k0, k1 := c.x>>1, (c.x+width-1)>>1
	from, to := max(k0, 1), min(k1, c.w-2)+1
	if to-from < block {
		from, to = k1+1, k1+1
	} else {
		upsampleAVX2(&buf[2*(from-k0)], &near[from], &far[from], (to-from)/block, left, right)
		last := to - block
		upsampleAVX2(&buf[2*(last-k0)], &near[last], &far[last], 1, left, right)
	}
	for k := k0; k <= k1; k++ {
		if k == from {
			k = to
			if k > k1 {
				break
			}
		}
		before, after := max(k-1, 0), min(k+1, c.w-1)
		here := 3 * (3*uint32(near[k]) + uint32(far[k]))
		buf[2*(k-k0)] = uint8((here + 3*uint32(near[before]) + uint32(far[before]) + left) >> 4)
		buf[2*(k-k0)+1] = uint8((here + 3*uint32(near[after]) + uint32(far[after]) + right) >> 4)
	}
	return buf[c.x&1:][:width]
}

// weighFast adds the samples of a row of luma to sums. The row has at least 7
// values more, which do not count.
func (h *Hasher) weighFast(row []int32, sums *[side + 1]int64) {
	a := &h.xs
	if !useAVX2 {
		h.weigh(0, row, 1, sums)
		return
	}
	n := side
	if a.clipped {
		n--
	}
	last := a.start[n-1] + len(a.tent)
	weighAVX2(&sums[0], &row[:last][0], &a.start[0], n, &a.tent[0], len(a.tent)/8)
	if a.clipped {
		h.weigh(n, row, 1, sums)
	}
}

func dctColumns(vertical *[frequencies][side]float64, t *thumbnail) bool {
	if !useAVX2 {
		return false
	}
	var scratch [4 * side]float64
	dctColumnsAVX2(&vertical[0][0], &t[0][0], &cosines[0][0], &scratch[0])
	return true
}

func steps(t *[side*side + 1]float32) int32 {
	if !useAVX2 {
		return stepsPortable(t)
	}
	return stepsAVX2(&t[0])
}
