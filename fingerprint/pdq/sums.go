package pdq

import "encoding/binary"

// grow makes buffers for rows of w pixels.
func (h *Hasher) grow(w int) {
	if len(h.row) < w {
		h.row = make([]int32, w)
		h.buf.chroma = make([]uint16, w)
		h.buf.mixed = make([]uint32, w/2+4)
	}
}

// sumRows sets sums to the weighted sums, times the source's scale, of the
// pixels of sample row i, by the fastest way that this processor and this
// picture allow. All ways return the same numbers.
func (h *Hasher) sumRows(i int, sums *[side + 1]int64) {
	clear(sums[:])
	if h.sumLanes(i, sums) || h.sumPacked(i, sums) {
		return
	}
	h.sumPlain(i, sums)
}

// sumPlain is the clear way: it reads each row's luma and weighs that.
func (h *Hasher) sumPlain(i int, sums *[side + 1]int64) {
	row := h.row[:h.src.w]
	columns := h.xs.samples()
	y0, weights := h.ys.weights(i, h.ones)
	for k, weight := range weights {
		// Neighbouring samples may share a row.
		if y := y0 + k; h.rowRead != y {
			h.src.read(y, row, &h.buf)
			h.rowRead = y
		}
		for j := range columns {
			x0, weights := h.xs.weights(j, h.ones)
			pixels := row[x0:][:len(weights)]
			sum := int64(0)
			for n, w := range weights {
				sum += int64(w) * int64(pixels[n])
			}
			sums[j] += int64(weight) * sum
		}
	}
}

// maxPacked is the widest average of which three channels' sums fit 21 bits
// each: 255*w*w < 2^21.
const maxPacked = 90

// sumPacked is sumPlain for layouts of 8 bits a channel without transparency,
// of which it weighs the three channels of a pixel in one multiplication. It
// reports whether it could.
func (h *Hasher) sumPacked(i int, sums *[side + 1]int64) bool {
	var sum func([]uint8, []int32) (int64, bool)
	bytes := 4
	switch h.src.kind {
	case kindGray:
		sum, bytes = sumGray, 1
	case kindRGB:
		sum, bytes = sumRGB, 3
	case kindRGBA, kindNRGBA:
		sum = sumOpaque
	default:
		return false
	}
	if h.xs.w > maxPacked {
		return false
	}
	columns := h.xs.samples()
	y0, weights := h.ys.weights(i, h.ones)
	for k, weight := range weights {
		row := h.src.pix[(y0+k)*h.src.stride:][:bytes*h.src.w]
		for j := range columns {
			x0, weights := h.xs.weights(j, h.ones)
			s, ok := sum(row[bytes*x0:][:bytes*len(weights)], weights)
			if !ok {
				clear(sums[:])
				return false
			}
			sums[j] += int64(weight) * s
		}
	}
	return true
}

func sumGray(p []uint8, weights []int32) (int64, bool) {
	p = p[:len(weights)]
	sum := int32(0)
	for k, w := range weights {
		sum += w * int32(p[k])
	}
	return white * int64(sum), true
}

func sumRGB(p []uint8, weights []int32) (int64, bool) {
	sum := uint64(0)
	for _, w := range weights {
		sum += uint64(w) * (uint64(p[0]) | uint64(p[1])<<21 | uint64(p[2])<<42)
		p = p[3:]
	}
	return unpack(sum), true
}

// sumOpaque reports false if it meets a pixel that is not opaque.
func sumOpaque(p []uint8, weights []int32) (int64, bool) {
	sum, all := uint64(0), uint32(255<<24)
	for _, w := range weights {
		v := binary.LittleEndian.Uint32(p)
		all &= v
		sum += uint64(w) * (uint64(v&0xff) | uint64(v&0xff00)<<13 | uint64(v&0xff0000)<<26)
		p = p[4:]
	}
	return unpack(sum), all == 255<<24
}

func unpack(sum uint64) int64 {
	const mask = 1<<21 - 1
	return red*int64(sum&mask) + green*int64(sum>>21&mask) + blue*int64(sum>>42)
}
