package local

// Fields are the receptive fields of a descriptor: means of square boxes on
// rings around the keypoint, as in FREAK and BRISK. The arrangement is its own
// mirror image, so the descriptor of a mirrored picture is a rearrangement of
// bits (see Descriptor.Mirror).
const (
	fieldCount = 1 + 8 + 12 + 12 + 12
	angleCount = 64 // orientations that are told apart
)

type field struct{ ring, step int } // step in 1/24 turn

var (
	rings = [5]struct {
		radius int // in 1/16 level pixel
		half   int // box is 2*half+1 pixels wide
		n      int
		shift  int // of the first field, in 1/24 turn
	}{
		{0, 1, 1, 0},
		{4 * 16, 1, 8, 0},
		{7*16 + 8, 1, 12, 1},
		{11 * 16, 2, 12, 0},
		{15*16 + 8, 3, 12, 1},
	}
	fields  [fieldCount]field
	offsets [angleCount][fieldCount][2]int8
	towards [8 + 12][2]int32  // direction of the fields of the two inner rings, for the orientation
	cosines [angleCount]int32 // times 1<<14
)

func init() {
	// A quarter wave of cos(2*pi*k/64)*2^14 written out, so that no machine's
	// floating point has a say.
	quarter := [17]int32{16384, 16305, 16069, 15679, 15137, 14449, 13623, 12665, 11585, 10394, 9102, 7723, 6270, 4756, 3196, 1606, 0}
	for k := range cosines {
		switch q := k % 16; k / 16 {
		case 0:
			cosines[k] = quarter[q]
		case 1:
			cosines[k] = -quarter[16-q]
		case 2:
			cosines[k] = -quarter[q]
		case 3:
			cosines[k] = quarter[16-q]
		}
	}
	// The same for 24 steps a turn.
	turn := [7]int32{16384, 15826, 14189, 11585, 8192, 4240, 0}
	cos24 := func(k int) int32 {
		k = ((k % 24) + 24) % 24
		switch {
		case k <= 6:
			return turn[k]
		case k <= 12:
			return -turn[12-k]
		case k <= 18:
			return -turn[k-12]
		default:
			return turn[24-k]
		}
	}
	i := 0
	for r, ring := range rings {
		for k := range ring.n {
			fields[i] = field{r, (ring.shift + k*24/ring.n) % 24}
			i++
		}
	}
	for i, f := range fields {
		px := int64(rings[f.ring].radius) * int64(cos24(f.step))
		py := int64(rings[f.ring].radius) * int64(cos24(f.step-6))
		for a := range angleCount {
			c, s := int64(cosines[a]), int64(cosines[(a+48)%64])
			offsets[a][i] = [2]int8{roundOff(px*c - py*s), roundOff(px*s + py*c)}
		}
	}
	for i := range towards {
		f := fields[i+1]
		w := int32(3 - f.ring) // the innermost counts twice
		towards[i] = [2]int32{w * cos24(f.step) / 16, w * cos24(f.step-6) / 16}
	}
}

// roundOff rounds v/2^32 (1/16 pixel times two cosines) to whole pixels,
// halves away from zero.
func roundOff(v int64) int8 {
	const one = int64(16) << 28
	if v < 0 {
		return -int8((-v + one/2) / one)
	}
	return int8((v + one/2) / one)
}

// fieldReach is how far the outermost fields reach, in pixels.
const fieldReach = 20

// sample reads the fields around (x, y) at orientation a: means times 16.
func (p *plane) sample(x, y, a int, out *[fieldCount]int32) {
	w1 := p.w + 1
	i := 0
	if x >= fieldReach && y >= fieldReach && x < p.w-fieldReach && y < p.h-fieldReach {
		for r := range rings {
			half := rings[r].half
			at, side := (y-half)*w1+x-half, 2*half+1
			down, n := side*w1, uint32(side*side) //nolint:gosec // at most 49
			inverse := (1<<24 + n - 1) / n
			for range rings[r].n {
				o := offsets[a][i]
				b := p.sum[at+int(o[1])*w1+int(o[0]):]
				s := b[down+side] - b[down] - b[side] + b[0]
				// Exact: the quotient is under 2^12 and inverse off by less than n.
				out[i] = int32(uint64(s*16+n/2) * uint64(inverse) >> 24) //nolint:gosec // at most 4080
				i++
			}
		}
		return
	}
	for r := range rings {
		half := rings[r].half
		for range rings[r].n {
			o := offsets[a][i]
			cx, cy := x+int(o[0]), y+int(o[1])
			x0, x1 := max(cx-half, 0), min(cx+half+1, p.w)
			y0, y1 := max(cy-half, 0), min(cy+half+1, p.h)
			if x1 <= x0 { // wholly outside: the nearest column
				x0 = min(max(x0, 0), p.w-1)
				x1 = x0 + 1
			}
			if y1 <= y0 {
				y0 = min(max(y0, 0), p.h-1)
				y1 = y0 + 1
			}
			s := p.sum[y1*w1+x1] - p.sum[y1*w1+x0] - p.sum[y0*w1+x1] + p.sum[y0*w1+x0]
			n := uint32((x1 - x0) * (y1 - y0))
			out[i] = int32((s*16 + n/2) / n)
			i++
		}
	}
}

// angle returns the direction of (x, y) in 64ths of a turn.
func angle(x, y int64) int {
	best, bestDot := 0, int64(-1<<62)
	for a := range cosines {
		if d := x*int64(cosines[a]) + y*int64(cosines[(a+48)%64]); d > bestDot {
			best, bestDot = a, d
		}
	}
	return best
}

// margins say by how much each of the first 128 tests was decided, in four
// classes: class c has bit 0 of c in lo and bit 1 in hi.
type margins struct{ lo, hi [2]uint64 }

// class returns the class of test i: 0 almost equal, 3 clear.
func (m *margins) class(i int) int {
	return int(m.lo[i>>6]>>(i&63)&1 | m.hi[i>>6]>>(i&63)&1<<1)
}

func (m *margins) mirror() margins {
	return margins{
		lo: [2]uint64{swapPairs(m.lo[0]), swapPairs(m.lo[1])},
		hi: [2]uint64{swapPairs(m.hi[0]), swapPairs(m.hi[1])},
	}
}

// describe computes the orientation and descriptor of a candidate.
func (p *plane) describe(c candidate) (a int, d Descriptor, m margins) {
	var v [fieldCount]int32
	x, y := int(c.x), int(c.y)
	p.sample(x, y, 0, &v)
	var mx, my int64
	for i, f := range v[1 : 1+8+12] {
		mx += int64(f) * int64(towards[i][0])
		my += int64(f) * int64(towards[i][1])
	}
	if c.dark {
		mx, my = -mx, -my
	}
	a = angle(mx, my)
	p.sample(x, y, a, &v)
	if c.dark {
		for i := range v {
			v[i] = 4080 - v[i]
		}
	}
	d, m = bitsOf(&v)
	return a, d, m
}

// bitsOf makes the tests on the fields. A test compares two fields with two
// others, against a threshold in units of the fields' spread. There is no
// branch in it, as none of these bits can be guessed.
func bitsOf(v *[fieldCount]int32) (d Descriptor, m margins) {
	s := spreadOf(v)
	var f [64]int32 // as long as an index can be
	copy(f[:], v[:])
	for w := range d {
		ts := tests[64*w:][:64]
		var word, lo, hi uint64
		for i := range ts {
			t := &ts[i]
			diff := f[t.f[0]&63] + f[t.f[1]&63] - f[t.f[2]&63] - f[t.f[3]&63] - int32(t.t)*s>>5
			word |= uint64(uint32(-diff)>>31) << (i & 63) //nolint:gosec // its sign: 1 where diff > 0
			if w >= len(m.lo) {
				continue
			}
			// Classes end at 1/8, 1/4 and 1/2 of the spread.
			sign := diff >> 31
			size := (diff ^ sign) - sign
			class := uint64(3 + (size-s>>1)>>31 + (size-s>>2)>>31 + (size-s>>3)>>31) //nolint:gosec // 0 to 3
			lo |= class & 1 << (i & 63)
			hi |= class >> 1 << (i & 63)
		}
		d[w] = word
		if w < len(m.lo) {
			m.lo[w], m.hi[w] = lo, hi
		}
	}
	return d, m
}

// spreadOf is the mean absolute deviation of the fields from their mean.
func spreadOf(v *[fieldCount]int32) int32 {
	var sum int32
	for _, f := range v {
		sum += f
	}
	mean := sum / fieldCount
	var s int32
	for _, f := range v {
		s += max(f-mean, mean-f)
	}
	return s/fieldCount + 1
}
