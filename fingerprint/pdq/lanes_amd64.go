//go:build amd64 && !purego

package pdq

import (
	"math"

	"golang.org/x/sys/cpu"
)

// useAVX2 is set at start and changed by tests only.
var useAVX2 = cpu.X86.HasAVX2

// laneCount is the number of 32-bit sums in a vector register.
const laneCount = 8

// maxByteWeight is the largest weight in a vector: the sum of two products
// with neighbouring weights, which are at most as large, fits 16 bits.
const maxByteWeight = 64

// lanes plans and holds the vector code's sums. Every sum of an axis (see axis)
// is a window of the row, read in steps of 32 pixels (one byte each) or 8
// (three or four bytes each); its 8 lanes are added up when a sample row is
// done. Weights over 64 are spread over several parts, each a pass over the
// row's windows.
//
// All sums are of whole numbers and exact: lanes move into 64 bits before they
// can overflow.
type lanes struct {
	usable   bool
	kind     kind // the source's
	n        int  // the axis this is planned for
	steps    int
	parts    int
	windows  [][2]uint32 // offset into the row and into weights, both in bytes
	weights  []int8
	maxLane  int32 // the largest sum of weights in one lane
	sums     []int32
	channels [4][side + 1]int64

	planes  [3][]uint8 // red, green and blue of row planesY of a YCbCr picture
	planesY int
	chroma  [2][]uint8
}

// openLanes plans for the picture in h.src.
func (h *Hasher) openLanes() {
	l := &h.lanes
	l.planesY = -1
	bytes := 1
	switch h.src.kind {
	case kindGray, kindYCbCr:
	case kindRGB:
		bytes = 3
	case kindRGBA, kindNRGBA:
		bytes = 4
	default:
		l.usable = false
		return
	}
	if !useAVX2 {
		l.usable = false
		return
	}
	if h.src.kind == kindYCbCr && len(l.planes[0]) < h.src.w {
		for i := range l.planes {
			l.planes[i] = make([]uint8, h.src.w)
		}
		for i := range l.chroma {
			l.chroma[i] = make([]uint8, h.src.w+3)
		}
	}
	if l.n != h.src.w || l.kind != h.src.kind {
		l.n, l.kind = h.src.w, h.src.kind
		l.usable = l.plan(&h.xs, h.ones, bytes)
	}
}

// plan reports whether the axis is long enough for whole steps.
func (l *lanes) plan(a *axis, ones []int32, bytes int) bool {
	stepPixels := 8
	if bytes == 1 {
		stepPixels = 32
	}
	l.steps = (2*a.w - 1 + stepPixels - 1) / stepPixels
	span := l.steps * stepPixels
	if span > a.n {
		return false
	}
	l.parts = (a.w + maxByteWeight - 1) / maxByteWeight
	l.windows, l.weights = l.windows[:0], l.weights[:0]
	l.maxLane = 0
	for part := range l.parts {
		shared := -1 // where most windows' weights are
		for j := range a.samples() {
			start, weights := a.weights(j, ones)
			at := min(start, a.n-span)
			usual := at == start && j < side-1
			offset := shared
			if !usual || shared < 0 {
				offset = len(l.weights)
				l.appendWeights(weights, start-at, part*maxByteWeight, stepPixels)
			}
			if usual {
				shared = offset
			}
			l.windows = append(l.windows, [2]uint32{uint32(at * bytes), uint32(offset)})
		}
	}
	size := len(l.windows) * laneCount
	if l.kind == kindYCbCr {
		size *= 3
	}
	if cap(l.sums) < size {
		l.sums = make([]int32, size)
	}
	l.sums = l.sums[:size]
	return true
}

// appendWeights appends the vectors of one window: zeros for skip pixels, then
// that part of each weight which lies above base, then zeros.
func (l *lanes) appendWeights(weights []int32, skip, base, stepPixels int) {
	var lane [laneCount]int32
	for step := range l.steps {
		for b := range 32 {
			pixel := b
			if stepPixels == 8 {
				// Four pixels' red, their green, blue and alpha; four more.
				pixel = b/16*4 + b%4
			}
			w := int32(0)
			if k := step*stepPixels + pixel - skip; k >= 0 && k < len(weights) {
				w = max(0, min(weights[k]-int32(base), maxByteWeight))
			}
			l.weights = append(l.weights, int8(w))
			lane[b/4] += w
		}
	}
	for _, w := range lane {
		l.maxLane = max(l.maxLane, w)
	}
}

// sumLanes is sumPlain in vector code. It reports whether it could.
func (h *Hasher) sumLanes(i int, sums *[side + 1]int64) bool {
	l := &h.lanes
	if !l.usable {
		return false
	}
	clear(l.sums)
	clear(l.channels[:])
	limit := int32(math.MaxInt32 / 255 / int64(max(l.maxLane, 1)))
	held := int32(0) // sum of the row weights within l.sums
	y0, weights := h.ys.weights(i, h.ones)
	for k, weight := range weights {
		if held > limit-weight {
			l.collect(h.xs.samples())
			held = 0
		}
		l.add(&h.src, y0+k, weight)
		held += weight
	}
	l.collect(h.xs.samples())
	return l.luma(h, i, sums)
}

// add adds row y, times weight, to the lanes.
func (l *lanes) add(s *source, y int, weight int32) {
	n := len(l.windows)
	switch l.kind {
	case kindGray:
		row := s.pix[y*s.stride:][:s.w]
		dotGray(&l.sums[0], &row[0], &l.windows[0], n, &l.weights[0], l.steps, weight)
	case kindRGB:
		row := s.pix[y*s.stride:][:3*s.w]
		dotRGB(&l.sums[0], &row[0], &l.windows[0], n, &l.weights[0], l.steps, weight)
	case kindRGBA, kindNRGBA:
		row := s.pix[y*s.stride:][:4*s.w]
		dotRGBA(&l.sums[0], &row[0], &l.windows[0], n, &l.weights[0], l.steps, weight)
	case kindYCbCr:
		if l.planesY != y {
			l.convert(s, y)
			l.planesY = y
		}
		for c, plane := range l.planes {
			dotGray(&l.sums[c*n*laneCount], &plane[0], &l.windows[0], n, &l.weights[0], l.steps, weight)
		}
	}
}

// convert fills l.planes from row y, of at least 32 pixels.
func (l *lanes) convert(s *source, y int) {
	row := s.pix[y*s.stride:][:s.w]
	cb := s.chroma.upsample(s.chroma.cb, y, s.w, l.chroma[0])
	cr := s.chroma.upsample(s.chroma.cr, y, s.w, l.chroma[1])
	p := &l.planes
	n := s.w &^ 31
	ycbcrToPlanes(&p[0][0], &p[1][0], &p[2][0], &row[0], &cb[0], &cr[0], n)
	if n < s.w {
		x := s.w - 32
		ycbcrToPlanes(&p[0][x], &p[1][x], &p[2][x], &row[x], &cb[x], &cr[x], 32)
	}
}

// upsample returns row y of one plane at the picture's width, as chroma.read
// does, either in buf or in the plane itself.
func (c *chroma) upsample(plane []uint8, y, width int, buf []uint8) []uint8 {
	n, f := c.rows(y)
	near, far := plane[n:][:c.w], plane[f:][:c.w]
	switch {
	case c.shiftX+c.shiftY == 0:
		return near[c.x:][:width]
	case c.repeats():
		buf = buf[:width]
		for i := range buf {
			buf[i] = near[(i+c.x)>>c.shiftX]
		}
		return buf
	case c.shiftX == 0:
		rounding := 1 + uint(y+c.y)&1
		buf = buf[:width]
		near, far = near[c.x:][:width], far[c.x:][:width]
		for i := range buf {
			buf[i] = uint8((3*uint(near[i]) + uint(far[i]) + rounding) >> 2)
		}
		return buf
	}

	// Samples k0 to k1 become the pixels from 2*k0 on; the kernels do those
	// that have a neighbour on both sides.
	k0, k1 := c.x>>1, (c.x+width-1)>>1
	one := func(k int) {
		left, right := max(k-1, 0), min(k+1, c.w-1)
		if c.shiftY == 0 {
			v := 3 * uint(near[k])
			buf[2*(k-k0)] = uint8((v + uint(near[left]) + 1) >> 2)
			buf[2*(k-k0)+1] = uint8((v + uint(near[right]) + 2) >> 2)
			return
		}
		at := func(k int) uint { return 3*uint(near[k]) + uint(far[k]) }
		v := 3 * at(k)
		buf[2*(k-k0)] = uint8((v + at(left) + 8) >> 4)
		buf[2*(k-k0)+1] = uint8((v + at(right) + 7) >> 4)
	}
	from, to := max(k0, 1), min(k1, c.w-2)+1
	if to-from < 16 {
		for k := k0; k <= k1; k++ {
			one(k)
		}
		return buf[c.x&1:][:width]
	}
	if k0 < from {
		one(k0)
	}
	if k1 >= to {
		one(k1)
	}
	some := func(k, n int) {
		if c.shiftY == 0 {
			upsample2x1(&buf[2*(k-k0)], &near[k], n)
		} else {
			upsample2x2(&buf[2*(k-k0)], &near[k], &far[k], n)
		}
	}
	some(from, (to-from)&^15)
	some(to-16, 16)
	return buf[c.x&1:][:width]
}

// collect moves the lanes' sums into l.channels, which are red, green, blue
// and alpha, or gray alone.
func (l *lanes) collect(columns int) {
	for n := 0; n < len(l.sums); n += laneCount {
		v := l.sums[n:][:laneCount:laneCount]
		window := n / laneCount
		switch l.kind {
		case kindGray, kindYCbCr:
			// Parts follow one another within a plane, planes after that.
			c := window / len(l.windows)
			l.channels[c][window%columns] += int64(v[0]) + int64(v[1]) + int64(v[2]) + int64(v[3]) +
				int64(v[4]) + int64(v[5]) + int64(v[6]) + int64(v[7])
		default:
			j := window % columns
			l.channels[0][j] += int64(v[0]) + int64(v[4])
			l.channels[1][j] += int64(v[1]) + int64(v[5])
			l.channels[2][j] += int64(v[2]) + int64(v[6])
			l.channels[3][j] += int64(v[3]) + int64(v[7])
		}
	}
	clear(l.sums)
}

// luma sets sums from the channels of sample row i. It reports false if a
// picture whose colours are not multiplied by alpha has a transparent pixel
// here, as alpha and colour must be multiplied before they are summed.
func (l *lanes) luma(h *Hasher, i int, sums *[side + 1]int64) bool {
	columns := h.xs.samples()
	if l.kind == kindGray {
		for j := range columns {
			sums[j] = white * l.channels[0][j]
		}
		return true
	}
	for j := range columns {
		sums[j] = red*l.channels[0][j] + green*l.channels[1][j] + blue*l.channels[2][j]
	}
	if l.kind == kindRGB || l.kind == kindYCbCr {
		return true
	}
	_, rows := h.ys.weights(i, h.ones)
	for j := range columns {
		_, weights := h.xs.weights(j, h.ones)
		missing := 255*total(rows)*total(weights) - l.channels[3][j]
		if missing != 0 && l.kind == kindNRGBA {
			clear(sums[:])
			return false
		}
		sums[j] += white * missing
	}
	return true
}

func total(weights []int32) (sum int64) {
	for _, w := range weights {
		sum += int64(w)
	}
	return sum
}
