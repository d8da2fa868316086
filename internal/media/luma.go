package media

// lumaTables hold what one byte of a plane adds to red, green and blue.
type lumaTables struct {
	y      [256]float32
	rv, gv [256]float32 // of the second chroma plane, Cr
	gu, bu [256]float32 // of the first, Cb
}

// newLumaTables are for luma from 16 to 235, or from 0 to 255 (ITU-R BT.601, as
// the reference's converter is told no other).
func newLumaTables(full bool) *lumaTables {
	y0, ys, cs := float32(16), float32(255.0/219), float32(255.0/224)
	if full {
		y0, ys, cs = 0, 1, 1
	}
	t := &lumaTables{}
	for i := range 256 {
		c := (float32(i) - 128) * cs
		t.y[i] = (float32(i) - y0) * ys
		t.rv[i], t.gv[i], t.gu[i], t.bu[i] = 1.402*c, -0.714136*c, -0.344136*c, 1.772*c
	}
	return t
}

var limitedLuma, fullLuma = newLumaTables(false), newLumaTables(true)

// luma writes what the reference hashes: the luma of the frame's red, green and
// blue, each cut to 0 to 255. Where nothing is cut, chroma cancels out and luma
// is all there is to know; in dark and in saturated frames much is cut.
func (h y4m) luma(frame []byte, out []float32) {
	t := limitedLuma
	if h.full {
		t = fullLuma
	}
	n := h.width * h.height
	if h.cw == 0 {
		for i, v := range frame[:n] {
			out[i] = min(max(t.y[v], 0), 255)
		}
		return
	}
	us, vs := frame[n:n+h.cw*h.ch], frame[n+h.cw*h.ch:n+2*h.cw*h.ch]
	step, high := 1, 1
	if h.cw < h.width {
		step = 2
	}
	if h.ch < h.height {
		high = 2
	}
	for cy := range h.ch {
		u, v := us[cy*h.cw:][:h.cw], vs[cy*h.cw:][:h.cw]
		for y := cy * high; y < min((cy+1)*high, h.height); y++ {
			t.row(frame[y*h.width:][:h.width], u, v, step, out[y*h.width:][:h.width])
		}
	}
}

// row converts one row, in which each chroma sample covers step pixels.
func (t *lumaTables) row(y, u, v []byte, step int, out []float32) {
	if step == 1 {
		for x := range y {
			out[x] = t.pixel(y[x], u[x], v[x])
		}
		return
	}
	last := len(y) / 2
	v = v[:len(u)]
	for c := range last {
		r, g, b := t.rv[v[c]], t.gv[v[c]]+t.gu[u[c]], t.bu[u[c]]
		low, high := -min(r, g, b), 255-max(r, g, b)
		pair, to := y[2*c:2*c+2:2*c+2], out[2*c:2*c+2:2*c+2]
		l0, l1 := t.y[pair[0]], t.y[pair[1]]
		if l0 < low || l0 > high {
			l0 = cutLuma(l0, r, g, b)
		}
		if l1 < low || l1 > high {
			l1 = cutLuma(l1, r, g, b)
		}
		to[0], to[1] = l0, l1
	}
	if x := 2 * last; x < len(y) {
		out[x] = t.pixel(y[x], u[last], v[last])
	}
}

func (t *lumaTables) pixel(y, u, v byte) float32 {
	l, r, g, b := t.y[y], t.rv[v], t.gv[v]+t.gu[u], t.bu[u]
	if l < -min(r, g, b) || l > 255-max(r, g, b) {
		return cutLuma(l, r, g, b)
	}
	return l
}

// cutLuma is the luma of colours that are cut.
func cutLuma(l, r, g, b float32) float32 {
	return 0.299*min(max(l+r, 0), 255) + 0.587*min(max(l+g, 0), 255) + 0.114*min(max(l+b, 0), 255)
}
