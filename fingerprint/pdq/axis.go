package pdq

// side is the width and height of the thumbnail that a hash is made of.
const side = 64

// axis says how one dimension of a picture, of n pixels, becomes 64 samples.
//
// The reference blurs with a moving average of w pixels, does so a second
// time, and then keeps 64 of the n results. Two averages in a row are one
// weighted sum: the weights rise 1, 2, … w and fall again to 1, divided by
// w*w, over 2w-1 pixels. So sample j needs the pixels start[j] to
// start[j]+2w-2 and nothing else.
//
// The one exception is the last sample of an even w, where the last of its
// averages lies half outside the picture and is taken over w-1 pixels. Its sum
// is kept in two parts: part one (the averages of full width, with weights
// last and divisor w*w) and part two (the pixels of the clipped average, all
// with weight 1, with divisor w*(w-1)).
//
// For n up to 128, w is 1 and every sample is one pixel.
type axis struct {
	n, w  int
	start [side]int // first pixel of each sample
	tent  []int32   // 2w-1 weights of each sample but a clipped one, and zeros to a multiple of 8

	clipped    bool
	last       []int32 // weights of sample 63, part one, from start[63]
	clipStart  int     // first pixel of part two
	clipLength int     // pixels of part two: w-1
}

// set plans an axis of n pixels; it does nothing if a is planned for n already.
func (a *axis) set(n int) {
	if a.n == n {
		return
	}
	w := (n + 2*side - 1) / (2 * side)
	half := (w + 2) / 2 // pixels from the centre to the right end, both counted
	a.n, a.w = n, w

	a.tent = a.tent[:0]
	for k := range 2*w - 1 {
		a.tent = append(a.tent, int32(min(k+1, 2*w-1-k)))
	}
	for len(a.tent)%8 != 0 {
		a.tent = append(a.tent, 0)
	}
	for j := range side {
		centre := (2*j + 1) * n / (2 * side)
		a.start[j] = centre + 2*(half-w)
	}

	// An even w reaches one pixel further right than left, past the end.
	a.clipped = a.start[side-1]+2*w-1 > n
	a.last = a.last[:0]
	if a.clipped {
		for k := range 2*w - 2 {
			a.last = append(a.last, int32(min(k+1, w-1, 2*w-2-k)))
		}
		a.clipStart, a.clipLength = n-w+1, w-1
	}
}

// samples is the number of sums along the axis: 64, or 65 with the second part
// of a clipped last sample.
func (a *axis) samples() int {
	if a.clipped {
		return side + 1
	}
	return side
}

// weights returns the first pixel of sum j and the weights from there on. The
// weights of the second part of a clipped sample are all 1: it is at most w-1
// long, and ones must be as long as that.
func (a *axis) weights(j int, ones []int32) (start int, weights []int32) {
	switch {
	case j == side:
		return a.clipStart, ones[:a.clipLength]
	case j == side-1 && a.clipped:
		return a.start[j], a.last
	default:
		return a.start[j], a.tent[:2*a.w-1]
	}
}
