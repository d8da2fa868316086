package local

// sketch reduces a thumbnail to 32 by 32 signed contrasts: how much brighter
// a cell is than the 7 by 7 cells around it, in units of their spread. It
// checks, after keypoints have proposed where a picture lies, that what is in
// between agrees too.
func sketch(thumb Luma) [sketchSide * sketchSide]int8 {
	if thumb.W == 0 || thumb.H == 0 {
		return [sketchSide * sketchSide]int8{}
	}
	l := thumb.Resize(sketchSide, sketchSide)
	var v [sketchSide * sketchSide]int32
	for i, p := range l.Pix {
		v[i] = int32(p) * 16
	}
	return contrast(&v)
}

const hole = int32(-1) // a cell of no value

// contrast normalises v by neighbourhood. Cells that are holes stay 0 and do
// not count in their neighbours' means.
func contrast(v *[sketchSide * sketchSide]int32) (out [sketchSide * sketchSide]int8) {
	const reach = 3
	// Column sums of value, square and count over a vertical window, then a
	// horizontal one: integral images.
	var s, q, n [(sketchSide + 1) * (sketchSide + 1)]int64
	const w1 = sketchSide + 1
	for y := range sketchSide {
		var rs, rq, rn int64
		for x := range sketchSide {
			if c := int64(v[y*sketchSide+x]); c >= 0 {
				rs, rq, rn = rs+c, rq+c*c, rn+1
			}
			at := (y+1)*w1 + x + 1
			s[at], q[at], n[at] = s[at-w1]+rs, q[at-w1]+rq, n[at-w1]+rn
		}
	}
	for y := range sketchSide {
		y0, y1 := max(0, y-reach)*w1, min(sketchSide, y+reach+1)*w1
		for x := range sketchSide {
			c := int64(v[y*sketchSide+x])
			if c < 0 {
				continue
			}
			x0, x1 := max(0, x-reach), min(sketchSide, x+reach+1)
			box := func(t *[w1 * w1]int64) int64 { return t[y1+x1] - t[y1+x0] - t[y0+x1] + t[y0+x0] }
			cnt := box(&n)
			sum := box(&s)
			variance := (box(&q)*cnt - sum*sum) / (cnt * cnt)
			sd := isqrt(variance) + 24 // 1.5 levels: flat stays flat
			z := 4 * (c*cnt - sum) / (cnt * sd)
			out[y*sketchSide+x] = int8(max(-7, min(7, z)))
		}
	}
	return out
}

func isqrt(v int64) int64 {
	if v <= 0 {
		return 0
	}
	r := int64(1)
	for r*r < v {
		r <<= 1
	}
	for {
		n := (r + v/r) / 2
		if n >= r {
			return r
		}
		r = n
	}
}
