package trim

import (
	"cmp"
	"math"
	"slices"
)

// Quad is a four-sided figure: its corners, from the top left one clockwise, in
// pixels of the picture given.
type Quad [4][2]float64

// MaxQuads is the most that Quads returns.
const MaxQuads = 4

// Bounds of the search for quads.
const (
	quadStep    = 10   // levels between two pixels that make an edge
	quadSlope   = 0.4  // of a side against the picture's, at most
	quadSlopes  = 65   // slopes told apart
	quadRough   = 10   // of these, by which an edge's own slope may be off
	quadLines   = 7    // lines of either direction that are tried
	quadPoints  = 40   // places of a side that are looked at
	quadLeast   = 0.42 // share of them that lie on an edge, for the worst side …
	quadMean    = 0.62 // … and for all
	quadArea    = 0.1  // share of the picture, at least
	quadFrame   = 0.07 // of the figure's width or height: how wide a screen's frame may be
	quadSpacing = 3    // pixels, as shrunk, between lines told apart
)

// Quads returns at most MaxQuads four-sided figures with straight edges all
// around in the w by h brightness plane pix, likeliest first: the screen in a
// picture that was filmed off a screen. It looks for long lines (Hough) that are
// near to level or upright, and tries those that enclose something. It returns
// none for a picture under 64 pixels wide or high, or without four such lines.
func Quads(pix []byte, w, h int) []Quad {
	if w < 64 || h < 64 {
		return nil
	}
	f := finder{full: pix, fw: w, fh: h}
	f.shrink()
	if f.w < 48 || f.h < 48 {
		return nil
	}
	upright := f.edgeMap(true)
	level := f.edgeMap(false)
	xs := houghLines(upright, f.w, f.h)
	ys := houghLines(level, f.h, f.w)
	type scored struct {
		sides [4]hLine // left, right, top, bottom
		q     Quad
		score float64
	}
	var out []scored
	enclose := func(s [4]hLine) (q Quad, least, mean float64) {
		q = Quad{cross(s[0], s[2]), cross(s[1], s[2]), cross(s[1], s[3]), cross(s[0], s[3])}
		if !q.within(float64(f.w), float64(f.h)) {
			return q, 0, 0
		}
		least = 1
		for i, e := range [4]*edges{level, upright, level, upright} {
			n := e.support(q[i], q[(i+1)%4])
			least, mean = min(least, n), mean+n/4
		}
		return q, least, mean
	}
	for i, l := range xs {
		for j, r := range xs {
			if i == j || l.at(0) > r.at(0) || l.at(f.h/2)+float64(f.w)/4 > r.at(f.h/2) || l.at(f.h) > r.at(f.h) {
				continue
			}
			for k, t := range ys {
				for m, b := range ys {
					if k == m || t.at(f.w/2)+float64(f.h)/4 > b.at(f.w/2) || t.at(0) > b.at(0) || t.at(f.w) > b.at(f.w) {
						continue
					}
					sides := [4]hLine{l, r, t, b}
					if q, least, mean := enclose(sides); least >= quadLeast && mean >= quadMean {
						out = append(out, scored{sides, q, mean + least})
					}
				}
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortStableFunc(out, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	// A screen has a frame: two lines a side, and what is wanted has the inner
	// one on all sides, or where the frame cannot be seen the outer one.
	best := out[0]
	var inner, outer [4]hLine
	for i, s := range best.sides {
		lines, at, sign := xs, f.h/2, 1.0
		width := best.sides[1].at(f.h/2) - best.sides[0].at(f.h/2)
		if i > 1 {
			lines, at = ys, f.w/2
			width = best.sides[3].at(f.w/2) - best.sides[2].at(f.w/2)
		}
		if i%2 == 1 {
			sign = -1
		}
		inner[i], outer[i] = s, s
		for _, l := range lines {
			try := best.sides
			try[i] = l
			if d := l.at(at) - s.at(at); math.Abs(d) > quadFrame*width || math.Abs(l.slope-s.slope) > 0.08 {
				continue
			}
			if _, least, _ := enclose(try); least < quadLeast {
				continue
			}
			if sign*l.at(at) > sign*inner[i].at(at) {
				inner[i] = l
			}
			if sign*l.at(at) < sign*outer[i].at(at) {
				outer[i] = l
			}
		}
	}
	first := []scored{}
	for _, s := range [2][4]hLine{inner, outer} {
		if q, least, _ := enclose(s); least > 0 {
			first = append(first, scored{s, q, 0})
		}
	}
	out = append(first, out...)
	var qs []Quad
	refined := map[[2]float64]hLine{} // by mid and offset: sides are shared
	sx, sy := float64(w)/float64(f.w), float64(h)/float64(f.h)
	for _, o := range out {
		if len(qs) == MaxQuads {
			break
		}
		for i, e := range [4]*edges{upright, upright, level, level} {
			key := [2]float64{float64(i/2)*1e6 + o.sides[i].offset, o.sides[i].slope}
			l, ok := refined[key]
			if !ok {
				from, to := o.q[i%2], o.q[(3-i%2)] // of the left and the right side
				if i > 1 {
					from, to = o.q[3*(i%2)], o.q[1+i%2]
				}
				l = e.refine(o.sides[i], from[(i/2+1)%2], to[(i/2+1)%2])
				refined[key] = l
			}
			o.sides[i] = l
		}
		s := &o.sides
		o.q = Quad{cross(s[0], s[2]), cross(s[1], s[2]), cross(s[1], s[3]), cross(s[0], s[3])}
		for c := range o.q {
			// Pixel centres, and edges lie between two pixels.
			o.q[c] = [2]float64{(o.q[c][0] + 0.5) * sx, (o.q[c][1] + 0.5) * sy}
		}
		if len(qs) < MaxQuads && !slices.ContainsFunc(qs, func(q Quad) bool { return q.like(o.q, 0.012*float64(max(w, h))) }) {
			qs = append(qs, o.q)
		}
	}
	return qs
}

// edges marks the pixels at which brightness changes in one direction: 1, or 2
// where it falls.
type edges struct {
	w, h  int
	on    []byte
	slope []float32 // of the edge against the direction
	tall  bool      // upright edges
}

// edgeMap finds upright edges, or level ones. For level ones the map is
// transposed.
func (f *finder) edgeMap(tall bool) *edges {
	e := &edges{w: f.w, h: f.h, tall: tall}
	dx, dy := 1, f.w
	if !tall {
		e.w, e.h, dx, dy = f.h, f.w, f.w, 1
	}
	e.on, e.slope = make([]byte, e.w*e.h), make([]float32, e.w*e.h)
	for y := 1; y < e.h-1; y++ {
		for x := 1; x < e.w-1; x++ {
			p := y*dy + x*dx
			at := func(d int) int { return int(f.pix[p+d]) }
			across := at(dx-dy) + 2*at(dx) + at(dx+dy) - at(-dx-dy) - 2*at(-dx) - at(-dx+dy)
			along := at(dy-dx) + 2*at(dy) + at(dy+dx) - at(-dy-dx) - 2*at(-dy) - at(-dy+dx)
			size := max(across, -across)
			if size < 4*quadStep || 2*max(along, -along) > size {
				continue
			}
			on := byte(1)
			if across < 0 {
				on = 2
			}
			// Brightness is even along x = slope·y when across·slope + along = 0.
			e.on[y*e.w+x], e.slope[y*e.w+x] = on, -float32(along)/float32(across)
		}
	}
	return e
}

// hLine is the line x = offset + slope·(y − h/2) of an edge map.
type hLine struct {
	offset, slope float64
	mid           float64
}

func (l hLine) at(y int) float64 { return l.offset + l.slope*(float64(y)-l.mid) }

// houghLines returns the lines with the most edges on them, of one sign each.
func houghLines(e *edges, w, h int) []hLine {
	const pad = 8
	wide := w + 2*pad
	votes := make([]uint16, 2*quadSlopes*wide)
	mid := float32(h) / 2
	step := float32(2*quadSlope) / (quadSlopes - 1)
	// vote adds what the edge at (x, y) says of slopes and offsets, or takes it
	// back. The edge's own slope is rough: those near to it get a vote.
	vote := func(x, y int, by uint16) {
		on := e.on[y*e.w+x]
		c := int(math.Round(float64((e.slope[y*e.w+x] + quadSlope) / step)))
		for s := max(0, c-quadRough); s <= min(quadSlopes-1, c+quadRough); s++ {
			o := int(float32(x)-(float32(s)*step-quadSlope)*(float32(y)-mid)+0.5) + pad
			if o >= 0 && o < wide {
				votes[(int(on-1)*quadSlopes+s)*wide+o] += by
			}
		}
	}
	for y := range e.h {
		for x := range e.w {
			if e.on[y*e.w+x] != 0 {
				vote(x, y, 1)
			}
		}
	}
	spent := make([]bool, e.w*e.h)
	var out []hLine
	for len(out) < quadLines {
		best, at := uint16(0), -1
		for i, v := range votes {
			if v > best {
				best, at = v, i
			}
		}
		if int(best)*5 < h {
			break
		}
		o, s := at%wide, at/wide
		sign := s / quadSlopes
		s %= quadSlopes
		l := hLine{offset: float64(o - pad), slope: float64(float32(s)*step - quadSlope), mid: float64(mid)}
		out = append(out, l)
		// What lies on it votes for nothing else.
		for y := range e.h {
			c := int(l.at(y) + 0.5)
			for x := max(0, c-quadSpacing); x <= min(e.w-1, c+quadSpacing); x++ {
				if p := y*e.w + x; int(e.on[p]) == sign+1 && !spent[p] {
					spent[p] = true
					vote(x, y, ^uint16(0))
				}
			}
		}
	}
	return out
}

// refine fits a line to the edges near to it between two places along it.
func (e *edges) refine(l hLine, from, to float64) hLine {
	for _, reach := range [2]float64{2.5, 1.6} {
		var n, sy, sx, syy, sxy float64
		for y := max(0, int(from)); y <= min(e.h-1, int(to)); y++ {
			c := l.at(y)
			for x := max(0, int(math.Ceil(c-reach))); x <= min(e.w-1, int(c+reach)); x++ {
				if e.on[y*e.w+x] != 0 {
					fx, fy := float64(x), float64(y)-l.mid
					n, sy, sx, syy, sxy = n+1, sy+fy, sx+fx, syy+fy*fy, sxy+fx*fy
				}
			}
		}
		d := n*syy - sy*sy
		if n < 8 || d < 1 {
			return l
		}
		slope := (n*sxy - sx*sy) / d
		if math.Abs(slope-l.slope) > 0.05 {
			return l
		}
		l.slope, l.offset = slope, (sx-slope*sy)/n
	}
	return l
}

// cross is where an upright line meets a level one, whose map is transposed.
func cross(u, l hLine) [2]float64 {
	// x = uo + us (y − um), y = lo + ls (x − lm)
	x := (u.offset + u.slope*(l.offset-l.slope*l.mid-u.mid)) / (1 - u.slope*l.slope)
	return [2]float64{x, l.offset + l.slope*(x-l.mid)}
}

// within reports whether the figure is of fair size and lies in the picture, and
// is not all of it.
func (q *Quad) within(w, h float64) bool {
	area, out := 0.0, 0.0
	for i, c := range q {
		d := q[(i+1)%4]
		area += (c[0]*d[1] - d[0]*c[1]) / 2
		if c[0] < -0.03*w || c[0] > 1.03*w || c[1] < -0.03*h || c[1] > 1.03*h {
			return false
		}
		out = max(out, c[0]/w, c[1]/h, 1-c[0]/w, 1-c[1]/h)
	}
	return area > quadArea*w*h && area < 0.97*w*h && out > 0
}

// like reports whether two figures have all corners within so many pixels.
func (q Quad) like(o Quad, within float64) bool {
	for i := range q {
		if math.Abs(q[i][0]-o[i][0]) > within || math.Abs(q[i][1]-o[i][1]) > within {
			return false
		}
	}
	return true
}

// support is the share of places between two corners at which there is an edge,
// a pixel off at most.
func (e *edges) support(a, b [2]float64) float64 {
	n := 0
	for i := range quadPoints {
		t := (float64(i) + 0.5) / quadPoints
		x, y := int(a[0]+(b[0]-a[0])*t+0.5), int(a[1]+(b[1]-a[1])*t+0.5)
		if !e.tall {
			x, y = y, x
		}
		if y < 0 || y >= e.h {
			continue
		}
		for d := max(0, x-1); d <= min(e.w-1, x+1); d++ {
			if e.on[y*e.w+d] != 0 {
				n++
				break
			}
		}
	}
	return float64(n) / quadPoints
}

// Rectify returns what q shows as if seen straight on, as a square of the given
// side, from the w by h plane pix.
func (q Quad) Rectify(pix []byte, w, h, side int) []byte {
	// Hartley and Zisserman: the map from the unit square to four points.
	dx1, dx2, dx3 := q[1][0]-q[2][0], q[3][0]-q[2][0], q[0][0]-q[1][0]+q[2][0]-q[3][0]
	dy1, dy2, dy3 := q[1][1]-q[2][1], q[3][1]-q[2][1], q[0][1]-q[1][1]+q[2][1]-q[3][1]
	d := dx1*dy2 - dx2*dy1
	out := make([]byte, side*side)
	if math.Abs(d) < 1e-9 {
		return out
	}
	g, k := (dx3*dy2-dx2*dy3)/d, (dx1*dy3-dx3*dy1)/d
	ax, bx := q[1][0]-q[0][0]+g*q[1][0], q[3][0]-q[0][0]+k*q[3][0]
	ay, by := q[1][1]-q[0][1]+g*q[1][1], q[3][1]-q[0][1]+k*q[3][1]
	for y := range side {
		v := (float64(y) + 0.5) / float64(side)
		for x := range side {
			u := (float64(x) + 0.5) / float64(side)
			z := g*u + k*v + 1
			px, py := (ax*u+bx*v+q[0][0])/z-0.5, (ay*u+by*v+q[0][1])/z-0.5
			px, py = min(max(px, 0), float64(w-1)), min(max(py, 0), float64(h-1))
			x0, y0 := int(px), int(py)
			x1, y1 := min(x0+1, w-1), min(y0+1, h-1)
			fx, fy := px-float64(x0), py-float64(y0)
			top := float64(pix[y0*w+x0])*(1-fx) + float64(pix[y0*w+x1])*fx
			bottom := float64(pix[y1*w+x0])*(1-fx) + float64(pix[y1*w+x1])*fx
			out[y*side+x] = byte(top*(1-fy) + bottom*fy + 0.5)
		}
	}
	return out
}
