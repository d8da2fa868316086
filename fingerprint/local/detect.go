package local

import "slices"

// plane is one level of the pyramid with what detection and description read.
type plane struct {
	w, h   int
	scale  int      // base pixels per level pixel, 16.16 fixed point
	pix    []byte   // w*h
	smooth []int16  // w*h, brightness times 16 after a 5-tap binomial
	resp   []int32  // w*h, determinant of the Hessian where positive, else 0
	sum    []uint32 // (w+1)*(h+1) integral image
}

// candidate is a local maximum of the response.
type candidate struct {
	x, y  int16
	level int8
	dark  bool
	resp  int32
}

// pyramid returns the levels of l, each 2^(-1/3) of the one before. Whole
// octaves are halved exactly.
func pyramid(l Luma) []plane {
	var ps []plane
	var chain [levelCount]Luma
	for i := range levelCount {
		var m Luma
		var scale int
		switch {
		case i == 0:
			m, scale = l, 1<<16
		case i < 3:
			// 2^(-1/3) and 2^(-2/3) in 16.16.
			f := [3]int{1 << 16, 52016, 41285}[i]
			m = l.Resize(max(1, (l.W*f+1<<15)>>16), max(1, (l.H*f+1<<15)>>16))
			scale = (l.W << 16) / m.W
		default:
			m = chain[i-3].half()
			scale = 2 * ps[i-3].scale
		}
		if min(m.W, m.H) < minLevelSide {
			break
		}
		chain[i] = m
		ps = append(ps, plane{w: m.W, h: m.H, scale: scale, pix: m.Pix})
	}
	return ps
}

// prepare computes the smoothed plane, the response and the integral image.
func (p *plane) prepare() {
	w, h := p.w, p.h
	p.smooth = make([]int16, w*h)
	p.resp = make([]int32, w*h)
	p.sum = make([]uint32, (w+1)*(h+1))
	for y := range h {
		row := p.pix[y*w:][:w]
		above := p.sum[y*(w+1):][:w+1]
		here := p.sum[(y+1)*(w+1):][:w+1]
		var run uint32
		for x, v := range row {
			run += uint32(v)
			here[x+1] = above[x+1] + run
		}
	}
	// Binomial 1 4 6 4 1 both ways, rows first, edges repeated.
	hor := make([]int16, w*h)
	for y := range h {
		row, out := p.pix[y*w:][:w], hor[y*w:][:w]
		at := func(x int) int16 { return int16(row[min(max(x, 0), w-1)]) }
		for _, x := range [4]int{0, 1, w - 2, w - 1} {
			out[x] = at(x-2) + at(x+2) + 4*(at(x-1)+at(x+1)) + 6*at(x)
		}
		for x := 2; x < w-2; x++ {
			r := row[x-2 : x+3 : x+3]
			out[x] = int16(r[0]) + int16(r[4]) + 4*(int16(r[1])+int16(r[3])) + 6*int16(r[2])
		}
	}
	for y := range h {
		at := func(dy int) []int16 { return hor[min(max(y+dy, 0), h-1)*w:][:w] }
		a, b, c, d, e := at(-2), at(-1), at(0), at(1), at(2)
		out := p.smooth[y*w:][:w]
		for x := range out {
			out[x] = int16((int32(a[x]) + int32(e[x]) + 4*(int32(b[x])+int32(d[x])) + 6*int32(c[x]) + 8) >> 4)
		}
	}
	for y := 2; y < h-2; y++ {
		a, c, e := p.smooth[(y-2)*w:][:w], p.smooth[y*w:][:w], p.smooth[(y+2)*w:][:w]
		out := p.resp[y*w:][:w]
		for x := 2; x < w-2; x++ {
			m := 2 * int32(c[x])
			xx := int32(c[x-2]) + int32(c[x+2]) - m
			yy := int32(a[x]) + int32(e[x]) - m
			if xx^yy < 0 { // a saddle
				continue
			}
			xy := (int32(a[x-2]) + int32(e[x+2]) - int32(a[x+2]) - int32(e[x-2])) >> 2
			det := xx*yy - xy*xy
			if tr := (xx + yy) >> 1; det > minResponse && tr*tr/maxEdge < det {
				out[x] = det
			}
		}
	}
}

// maxima appends the local maxima of p's response.
func (p *plane) maxima(level int, dst []candidate) []candidate {
	w, h := p.w, p.h
	const m = keypointMargin
	for y := m; y < h-m; y++ {
		up, row, down := p.resp[(y-1)*w:][:w], p.resp[y*w:][:w], p.resp[(y+1)*w:][:w]
		for x := m; x < w-m; x++ {
			v := row[x]
			if v == 0 || v <= row[x-1] || v < row[x+1] ||
				v <= up[x-1] || v <= up[x] || v <= up[x+1] ||
				v < down[x-1] || v < down[x] || v < down[x+1] {
				continue
			}
			c := p.smooth[y*w+x]
			dark := int32(p.smooth[y*w+x-2])+int32(p.smooth[y*w+x+2]) > 2*int32(c)
			dst = append(dst, candidate{x: int16(x), y: int16(y), level: int8(level), dark: dark, resp: v})
		}
	}
	return dst
}

// spread orders the candidates of one level so that every prefix is both
// strong and spread over the picture: the strongest of every cell of a grid
// first, then the second of every cell, and so on, at most n in all.
func spread(cs []candidate, w, h, n int) []candidate {
	if len(cs) == 0 || n == 0 {
		return nil
	}
	// About n/3 cells, as square as the picture allows.
	cell := 1
	for (w/cell+1)*(h/cell+1) > max(1, n/3) {
		cell++
	}
	nx := w/cell + 1
	key := func(c candidate) int { return int(c.y)/cell*nx + int(c.x)/cell }
	strongest := func(a, b candidate) int {
		if a.resp != b.resp {
			return int(b.resp) - int(a.resp)
		}
		if a.y != b.y {
			return int(a.y) - int(b.y)
		}
		return int(a.x) - int(b.x)
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		if ka, kb := key(a), key(b); ka != kb {
			return ka - kb
		}
		return strongest(a, b)
	})
	type ranked struct {
		round int
		candidate
	}
	rs := make([]ranked, len(cs))
	round := 0
	for i, c := range cs {
		if i > 0 && key(cs[i-1]) == key(c) {
			round++
		} else {
			round = 0
		}
		rs[i] = ranked{round, c}
	}
	slices.SortFunc(rs, func(a, b ranked) int {
		if a.round != b.round {
			return a.round - b.round
		}
		return strongest(a.candidate, b.candidate)
	})
	out := make([]candidate, 0, min(n, len(rs)))
	for _, r := range rs[:min(n, len(rs))] {
		out = append(out, r.candidate)
	}
	return out
}
