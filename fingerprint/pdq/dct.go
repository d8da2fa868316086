package pdq

import (
	"encoding/binary"
	"math"
)

// frequencies is the number of cosine frequencies kept along each dimension:
// 1 to 16, without the constant one.
const frequencies = 16

// cosines[u][k] is the weight of pixel k, of 64, in frequency u+1. The
// reference keeps its matrix in 32 bits, and so do we; they are stored in 64 so
// that products are exact.
//
// Only the first half of an odd frequency is needed, as the second mirrors it
// with the other sign, and less of the others (see dct64to16).
var cosines = func() (c [frequencies][side / 2]float64) {
	scale := float64(float32(math.Sqrt(2.0 / side)))
	for u := range c {
		for k := range c[u] {
			angle := math.Pi / 2 / side * float64((u+1)*(2*k+1))
			c[u][k] = float64(float32(scale * math.Cos(angle)))
		}
	}
	return c
}()

// dct64to16 returns the frequencies 1 to 16 of v, and destroys v.
//
// A cosine of even frequency is symmetric about the middle and one of odd
// frequency antisymmetric, so folding v into sums and differences of mirrored
// pixels halves the work; the sums are again such a transform, of half the
// length and half the frequency. Folding takes 342 products instead of 1,024.
//
// Every product is rounded on its own (the conversions forbid fusing it with
// the sum), so that all processors return the same bits. Four frequencies are
// summed side by side, as one sum waits for its last addition.
func dct64to16(v *[side]float64, out *[frequencies]float64) {
	step := 1 // frequencies of this round are step, 3*step, 5*step …
	for n := side; step <= frequencies; n, step = n/2, step*2 {
		var diff [side / 2]float64
		for k := range n / 2 {
			a, b := v[k], v[n-1-k]
			v[k], diff[k] = a+b, a-b
		}
		d := diff[:n/2]
		u := step - 1
		for ; u+6*step < frequencies; u += 8 * step {
			c0, c1 := cosines[u][:len(d)], cosines[u+2*step][:len(d)]
			c2, c3 := cosines[u+4*step][:len(d)], cosines[u+6*step][:len(d)]
			var s0, s1, s2, s3 float64
			for k, x := range d {
				s0 += float64(c0[k] * x)
				s1 += float64(c1[k] * x)
				s2 += float64(c2[k] * x)
				s3 += float64(c3[k] * x)
			}
			out[u], out[u+2*step], out[u+4*step], out[u+6*step] = s0, s1, s2, s3
		}
		for ; u < frequencies; u += 2 * step {
			c := cosines[u][:len(d)]
			sum := 0.0
			for k, x := range d {
				sum += float64(c[k] * x)
			}
			out[u] = sum
		}
	}
}

// spectrum is the 16 by 16 lowest frequencies of a thumbnail, row by row, the
// vertical frequency choosing the row.
type spectrum [frequencies * frequencies]float64

func (s *spectrum) transform(t *thumbnail) {
	var vertical [frequencies][side]float64
	var v [side]float64
	var out [frequencies]float64
	if !dctColumns(&vertical, t) {
		for j := range side {
			for i := range side {
				v[i] = t[i][j]
			}
			dct64to16(&v, &out)
			for u := range out {
				vertical[u][j] = out[u]
			}
		}
	}
	for u := range vertical {
		dct64to16(&vertical[u], &out)
		copy(s[u*frequencies:], out[:])
	}
}

// signs says which frequencies of a spectrum change their sign, by whether
// their row and column, counted from 0, are odd.
type signs [2][2]float64

// hash sets a bit for each frequency above the median, and returns with it the
// hash of the spectrum transposed. The median of an even number of values is
// the lower of the two in the middle, as in the reference.
func (s *spectrum) hash(change signs) (h, transposed Hash) {
	var values, sorted spectrum
	for k, x := range s {
		values[k] = x * change[k/frequencies&1][k&1]
	}
	sorted = values
	median := nth(sorted[:], len(sorted)/2-1)
	var rows, columns [frequencies]uint16
	for k, x := range values {
		if x > median {
			r, c := k/frequencies, k%frequencies
			rows[r] |= 1 << c
			columns[c] |= 1 << r
		}
	}
	for r := range frequencies {
		binary.BigEndian.PutUint16(h[len(h)-2-2*r:], rows[r])
		binary.BigEndian.PutUint16(transposed[len(h)-2-2*r:], columns[r])
	}
	return h, transposed
}

// dihedral returns the hashes of the picture turned and mirrored, which are
// those of its spectrum with some signs changed, transposed or not.
func (s *spectrum) dihedral() (hashes [8]Hash) {
	hashes[original], hashes[flipPlus1] = s.hash(signs{{1, 1}, {1, 1}})
	hashes[flipY], hashes[rotate90] = s.hash(signs{{-1, 1}, {-1, 1}})
	hashes[flipX], hashes[rotate270] = s.hash(signs{{-1, -1}, {1, 1}})
	hashes[rotate180], hashes[flipMinus1] = s.hash(signs{{1, -1}, {-1, 1}})
	return hashes
}

// The order of the eight hashes.
const (
	original = iota
	rotate90
	rotate180
	rotate270
	flipX
	flipY
	flipPlus1
	flipMinus1
)

// nth returns the value that would stand at index k if v were sorted. It
// reorders v, which must hold no NaN.
func nth(v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for lo < hi {
		pivot := v[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}

// thumbnail is the blurred picture at 64 by 64 points, row by row, 0 black to
// 255 white.
type thumbnail [side][side]float64

// quality is the reference's measure of detail: the sum of the steps between
// neighbours, in whole percent of the full range each, so that noise and
// gentle slopes count for nothing.
func (t *thumbnail) quality() int {
	var rounded [side*side + 1]float32
	for i := range t {
		row := rounded[i*side:][:side]
		for j := range row {
			row[j] = float32(t[i][j])
		}
	}
	return int(min(steps(&rounded)/90, 100))
}

// stepsPortable is the sum of all steps between neighbours.
func stepsPortable(t *[side*side + 1]float32) (sum int32) {
	for i := range side {
		row := t[i*side:][:side]
		for j := range side - 1 {
			sum += step(row[j], row[j+1])
		}
		if i+1 < side {
			below := t[(i+1)*side:][:side]
			for j := range row {
				sum += step(row[j], below[j])
			}
		}
	}
	return sum
}

// step is the size of one step in whole percent, computed in 32 bits as the
// reference does.
func step(u, v float32) int32 {
	d := int32(float32(float32(u-v)*100) / 255)
	return max(d, -d)
}

// sane reports whether the thumbnail is near enough to 0 to 255 to compute
// with. Only a plane of 32-bit luma can bring in other values.
func (t *thumbnail) sane() bool {
	for i := range t {
		for _, x := range t[i] {
			if !(math.Abs(x) < 1e5) {
				return false
			}
		}
	}
	return true
}
