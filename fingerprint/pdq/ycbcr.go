package pdq

import "encoding/binary"

// The way of YCbCr pictures in portable Go. Luma of the converted colours is
// 1,000 y and a little that depends on the chroma alone, as long as nothing is
// clamped. So a block of eight pixels is looked up in chromaLumas and added up,
// two pixels in the halves of one number: i and i+4 of the block, as eight
// bytes of y give such pairs with a shift and a mask. Blocks in which a colour
// is clamped are few: they are noted, and mended after the row.

// sumYCbCr is sumPlain for YCbCr pictures without vector code: it adds up the
// rows' luma as it converts it, and weighs that along the row once. It reports
// whether it could.
func (h *Hasher) sumYCbCr(i int, sums *[side + 1]int64) bool {
	s := &h.src
	if s.kind != kindYCbCr || h.ys.w > max32 {
		return false
	}
	clear(sums[:])
	h.rowRead = -1
	acc := h.buf.pairs[:(s.w+s.chroma.shift()+7)/8]
	clear(acc)
	y0, weights := h.ys.weights(i, h.ones)
	held := int32(0)
	for k, weight := range weights {
		if held += weight; held > max32 {
			h.weighPairs(acc, held-weight, sums)
			held = weight
		}
		all, shift := s.chroma.read(y0+k, s.w, &h.buf.chroma)
		addRow(acc, s.pix[(y0+k)*s.stride:][:s.w], all, shift, uint64(weight), h.buf.clamped)
	}
	h.weighPairs(acc, held, sums)
	return true
}

// weighPairs adds the samples of the luma in acc, of rows whose weights
// together are held, to sums, and clears acc.
func (h *Hasher) weighPairs(acc [][4]uint64, held int32, sums *[side + 1]int64) {
	bias := held * chromaBias
	all := h.row[:8*len(acc)]
	for b := range acc {
		a, row := &acc[b], (*[8]int32)(all[8*b:])
		for i := range a {
			row[i], row[i+4] = int32(a[i])-bias, int32(a[i]>>32)-bias
		}
	}
	clear(acc)
	h.weighFast(h.row[h.src.chroma.shift():][:h.src.w], sums)
}

// addRow adds the luma and chromaBias of a row of pixels, times weight, to acc,
// which holds two 32-bit sums in each number, in the order of chromaRow. The
// first pixel is at number shift, 0 or 1. Room for the numbers of its blocks is
// in clamped.
func addRow(acc [][4]uint64, light []uint8, all chromaRow, shift int, weight uint64, clamped []uint32) {
	for at := shift; at%8 != 0 && len(light) > 0; at++ {
		addPixel(acc, at, light[0], all.at(at), weight)
		light = light[1:]
	}
	acc, all = acc[shift:], all[shift:]
	whole := len(light) / 8
	excesses := chromaExcesses()
	for _, b := range clamped[:addBlocks(acc[:whole], light, all, chromaLumas(), weight, withinStep, clamped)] {
		mend(&acc[b], (*[8]uint8)(light[8*b:]), &all[b], excesses, weight)
	}
	for i := 8 * whole; i < len(light); i++ {
		addPixel(acc, i, light[i], all.at(i), weight)
	}
}

// addPixel adds the luma and chromaBias of pixel i, times weight, to acc.
func addPixel(acc [][4]uint64, i int, y uint8, colour uint16, weight uint64) {
	acc[i/8][i%4] += weight * (clampedLuma(y, colour) + chromaBias) << (i % 8 / 4 * 32)
}

// addBlocks is addRow for whole blocks, as if nothing were clamped; it notes
// the blocks in which something is and returns their number.
func addBlocks(acc [][4]uint64, light []uint8, all chromaRow, table *lumaTable, weight, step uint64, clamped []uint32) (n int) {
	all = all[:len(acc)]
	clamped = clamped[:len(acc)]
	for b := range acc {
		a, c := &acc[b], &all[b]
		y := binary.LittleEndian.Uint64(light[8*b:])
		u, v := table.pair(c[0]), y&lowBytes
		a[0] += weight * (u&extras + white*v)
		fields := u + v*step
		u, v = table.pair(c[1]), y>>8&lowBytes
		a[1] += weight * (u&extras + white*v)
		fields &= u + v*step
		u, v = table.pair(c[2]), y>>16&lowBytes
		a[2] += weight * (u&extras + white*v)
		fields &= u + v*step
		u, v = table.pair(c[3]), y>>24&lowBytes
		a[3] += weight * (u&extras + white*v)
		fields &= u + v*step
		if fields&within != within {
			clamped[n] = uint32(b)
			n++
		}
	}
	return n
}

// mend adds to a block what clamping changes in its colours.
func mend(acc *[4]uint64, light *[8]uint8, c *[4]uint64, table *excessTables, weight uint64) {
	for i := range acc { // without branches, which nobody could foresee
		d := table.of(light[i], uint16(c[i])) + table.of(light[i+4], uint16(c[i]>>32))<<32
		acc[i] += weight * uint64(d)
	}
}
