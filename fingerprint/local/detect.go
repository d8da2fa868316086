package local

import (
	"slices"
	"sync"
)

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

// workspace is the memory that fingerprints of one picture after another are
// computed in.
type workspace struct {
	hor, smooth []int16
	resp        []int32
	sum         []uint32
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// fit makes room for all levels.
func (s *workspace) fit(ps []plane) {
	n, sums := 0, 0
	for i := range ps {
		n, sums = n+ps[i].w*ps[i].h, sums+(ps[i].w+1)*(ps[i].h+1)
	}
	if len(s.smooth) < n || len(s.sum) < sums {
		s.hor, s.smooth, s.resp, s.sum = make([]int16, n), make([]int16, n), make([]int32, n), make([]uint32, sums)
	}
	n, sums = 0, 0
	for i := range ps {
		p := &ps[i]
		p.smooth, p.resp = s.smooth[n:][:p.w*p.h], s.resp[n:][:p.w*p.h]
		p.sum = s.sum[sums:][:(p.w+1)*(p.h+1)]
		n, sums = n+p.w*p.h, sums+(p.w+1)*(p.h+1)
	}
}

// prepare computes the smoothed plane, the response and the integral image.
// hor is room for w*h values.
func (p *plane) prepare(hor []int16) {
	w, h := p.w, p.h
	clear(p.sum[:w+1])
	for y := range h {
		row := p.pix[y*w:][:w]
		above := p.sum[y*(w+1):][:w+1]
		here := p.sum[(y+1)*(w+1):][:w+1]
		here[0] = 0
		up, out := above[1:][:w], here[1:][:w]
		var run uint32
		for x, v := range row {
			run += uint32(v)
			out[x] = up[x] + run
		}
	}
	// Binomial 1 4 6 4 1 both ways, rows first, edges repeated.
	for y := range h {
		row, out := p.pix[y*w:][:w], hor[y*w:][:w]
		at := func(x int) int16 { return int16(row[min(max(x, 0), w-1)]) }
		for _, x := range [4]int{0, 1, w - 2, w - 1} {
			out[x] = at(x-2) + at(x+2) + 4*(at(x-1)+at(x+1)) + 6*at(x)
		}
		smoothLevel(out, row)
	}
	for y := range h {
		at := func(dy int) []int16 { return hor[min(max(y+dy, 0), h-1)*w:][:w] }
		smoothUpright(p.smooth[y*w:][:w], at(-2), at(-1), at(0), at(1), at(2))
	}
	for y := 2; y < h-2; y++ {
		hessian(p.resp[y*w:][:w], p.smooth[(y-2)*w:][:w], p.smooth[y*w:][:w], p.smooth[(y+2)*w:][:w])
	}
}

// smoothLevelGo weighs each pixel of a row with its neighbours, but the two at
// either end.
func smoothLevelGo(out []int16, row []byte) {
	w := len(out)
	for x := 2; x < w-2; x++ {
		r := row[x-2 : x+3 : x+3]
		out[x] = int16(r[0]) + int16(r[4]) + 4*(int16(r[1])+int16(r[3])) + 6*int16(r[2])
	}
}

// smoothUprightGo weighs row c with its neighbours, all as long as out.
func smoothUprightGo(out, a, b, c, d, e []int16) {
	for x := range out {
		out[x] = int16((int32(a[x]) + int32(e[x]) + 4*(int32(b[x])+int32(d[x])) + 6*int32(c[x]) + 8) >> 4)
	}
}

// hessianGo computes the response of a row but for two places at either end, of
// it and the rows two above and two below.
func hessianGo(out []int32, a, c, e []int16) {
	w := len(out)
	for x := 2; x < w-2; x++ {
		m := 2 * int32(c[x])
		xx := int32(c[x-2]) + int32(c[x+2]) - m
		yy := int32(a[x]) + int32(e[x]) - m
		out[x] = 0
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
	// Each as one number, to be sorted fast: its cell or its rank there, then
	// the strongest first (a response has at most 27 bits), then by place.
	const rest = 27 + 10 + 10 + 1
	ks := make([]uint64, len(cs))
	for i, c := range cs {
		k := uint64(int(c.y)/cell*nx+int(c.x)/cell)<<rest | uint64(1<<27-1-c.resp)<<21 | uint64(c.y)<<11 | uint64(c.x)<<1 //nolint:gosec // none is negative
		if c.dark {
			k |= 1
		}
		ks[i] = k
	}
	slices.Sort(ks)
	last, rank := uint64(1<<64-1), uint64(0)
	for i, k := range ks {
		if k>>rest != last {
			last, rank = k>>rest, 0
		}
		ks[i] = rank<<rest | k&(1<<rest-1)
		rank++
	}
	slices.Sort(ks)
	out := make([]candidate, min(n, len(ks)))
	for i := range out {
		k := ks[i]
		out[i] = candidate{x: int16(k >> 1 & 1023), y: int16(k >> 11 & 1023), level: cs[0].level, dark: k&1 == 1, resp: int32(1<<27 - 1 - k>>21&(1<<27-1))} //nolint:gosec // of these bits
	}
	return out
}
