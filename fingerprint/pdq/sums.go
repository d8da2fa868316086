package pdq

// prepare makes buffers for rows of w pixels, and whole blocks of 8.
func (h *Hasher) prepare(w int) {
	h.rowRead = -1
	h.columns.open(&h.src)
	if h.src.kind == kindYCbCr || h.src.kind == kindNYCbCrA {
		h.buf.chroma.reset(w)
	}
	if len(h.row) < w+16 {
		h.row = make([]int32, w+16)
		h.buf.pairs = make([][4]uint64, w/8+2)
		h.buf.clamped = make([]uint32, w/8+2)
	}
}

// sumRows sets sums to the weighted sums, times the source's scale, of the
// pixels of sample row i, by the fastest of three ways that return the same
// numbers.
func (h *Hasher) sumRows(i int, sums *[side + 1]int64) {
	if !h.sumColumns(i, sums) && !h.sumYCbCr(i, sums) {
		h.sumPlain(i, sums)
	}
}

// sumPlain is the clear way: it reads each row's luma and weighs that.
func (h *Hasher) sumPlain(i int, sums *[side + 1]int64) {
	clear(sums[:])
	row := h.row[:h.src.w]
	y0, weights := h.ys.weights(i, h.ones)
	for k, weight := range weights {
		// Neighbouring samples may share a row.
		if y := y0 + k; h.rowRead != y {
			h.src.read(y, row, &h.buf)
			h.rowRead = y
		}
		h.weigh(0, row, int64(weight), sums)
	}
}

// weigh adds the samples of a row of luma from number first on, times factor,
// to sums.
func (h *Hasher) weigh(first int, row []int32, factor int64, sums *[side + 1]int64) {
	for j := first; j < h.xs.samples(); j++ {
		x0, weights := h.xs.weights(j, h.ones)
		pixels := row[x0:][:len(weights)]
		sum := int64(0)
		for n, w := range weights {
			sum += int64(w) * int64(pixels[n])
		}
		sums[j] += factor * sum
	}
}

// The most that sums over rows can hold, as sums of the rows' weights.
const (
	maxRowWeight = 64                       // two rows' signed 16-bit sums: 2*64*255 < 2^15
	max16        = (1<<16 - 1) / 255        // unsigned 16-bit sums of bytes
	max32        = (1<<31 - 1) / 510 / 1000 // 32-bit luma, on white twice that of white
)

// columns is the state of the fast way. As all pixels of a row have the same
// vertical weight, and luma is a weighted sum too, it adds up the bytes of a
// sample's rows first, whatever they mean: two rows at a time, in 16 bits.
// These sums move on to 32 bits before they overflow, become luma, and only
// then are weighed along the row, 64 times a picture instead of once a row.
//
// It takes layouts of bytes without transparency, and with vector code also
// YCbCr, which it converts to planes of red, green and blue first.
type columns struct {
	bytes  int      // of a row
	acc    []uint64 // 16-bit sums, four each, in the kernels' order
	sums   []uint32 // of each byte's column
	planes planes
}

// block is how many bytes the vector code takes at a time.
const block = 32

// open prepares for the picture in s.
func (c *columns) open(s *source) {
	switch s.kind {
	case kindGray:
		c.bytes = s.w
	case kindRGB:
		c.bytes = 3 * s.w
	case kindRGBA, kindNRGBA:
		c.bytes = 4 * s.w
	case kindYCbCr:
		c.bytes = c.planes.open(s)
	default:
		c.bytes = 0
	}
	// Kernels go on to the end of a block of bytes or of 8 pixels; the last
	// bytes of a row may be summed in a block of their own.
	size := c.bytes + 3*block
	if cap(c.sums) < size {
		c.acc = make([]uint64, size/4+1)
		c.sums = make([]uint32, size)
	}
	c.acc, c.sums = c.acc[:size/4+1], c.sums[:size]
	clear(c.acc)
	clear(c.sums)
}

// sumColumns is sumPlain in the fast way. It reports whether it could.
func (h *Hasher) sumColumns(i int, sums *[side + 1]int64) bool {
	c := &h.columns
	if c.bytes == 0 {
		return false
	}
	clear(sums[:])
	y0, weights := h.ys.weights(i, h.ones)
	held16, held32 := int32(0), int32(0)
	for k := 0; k < len(weights); k += 2 {
		a, weightA := c.row(&h.src, y0+k), weights[k]
		b, weightB := a, int32(0)
		if k+1 < len(weights) {
			b, weightB = c.row(&h.src, y0+k+1), weights[k+1]
		}
		for weightA+weightB > 0 {
			partA, partB := min(weightA, maxRowWeight), min(weightB, maxRowWeight)
			if held16+partA+partB > max16 {
				c.widen()
				held32, held16 = held32+held16, 0
				if held32+max16 > max32 {
					if !h.sumLuma(held32, sums) {
						return false
					}
					held32 = 0
				}
			}
			c.add(a, b, partA, partB)
			held16 += partA + partB
			weightA, weightB = weightA-partA, weightB-partB
		}
	}
	c.widen()
	return h.sumLuma(held32+held16, sums)
}

// row returns the bytes of row y.
func (c *columns) row(s *source, y int) []uint8 {
	if s.kind != kindYCbCr {
		return s.pix[y*s.stride:][:c.bytes]
	}
	return c.planes.row(s, y)
}

// sumLuma adds the samples of the luma of the columns' sums to sums, and
// clears them. It reports false if a picture whose colours are not multiplied
// by alpha has a transparent pixel here, as alpha and colour must be
// multiplied before they are summed. The rows' weights together are held.
func (h *Hasher) sumLuma(held int32, sums *[side + 1]int64) bool {
	c := &h.columns
	h.rowRead = -1 // its luma makes room for that of the sums
	transparent := c.luma(&h.src, h.row, uint32(held)*255)
	clear(c.sums[:c.bytes])
	if transparent && h.src.kind == kindNRGBA {
		return false
	}
	h.weighFast(h.row[:h.src.w], sums)
	return true
}
