package local

import "math"

// view is one form of a queried fingerprint, straight or mirrored, laid out
// for the geometric check.
type view struct {
	w, h     int
	mirrored bool
	points   []point
	descs    []Descriptor
	margins  []margins
	fp       *Fingerprint
	// cells hold the keypoints by place: those of cell c are
	// order[start[c]:start[c+1]].
	nx, ny int
	start  []int32
	order  []int32
}

const cellPx = 24

func (v *view) set(f *Fingerprint, mirrored bool) {
	v.w, v.h, v.fp, v.mirrored = f.w, f.h, f, mirrored
	v.points = append(v.points[:0], f.points...)
	v.descs = append(v.descs[:0], f.descs...)
	if f.margin != nil {
		v.margins = append(v.margins[:0], f.margin...)
	} else {
		v.margins = append(v.margins[:0], make([]margins, len(f.points))...)
	}
	if mirrored {
		for i := range v.points {
			p := &v.points[i]
			p.x = uint16(2*f.w-1) - p.x
			p.angle = (32 - p.angle) & 63
			v.descs[i] = v.descs[i].Mirror()
			v.margins[i] = v.margins[i].mirror()
		}
	}
	v.nx, v.ny = f.w/cellPx+1, f.h/cellPx+1
	v.start = append(v.start[:0], make([]int32, v.nx*v.ny+1)...)
	cell := func(p *point) int { return int(p.y)/2/cellPx*v.nx + int(p.x)/2/cellPx }
	for i := range v.points {
		v.start[cell(&v.points[i])+1]++
	}
	for c := range v.nx * v.ny {
		v.start[c+1] += v.start[c]
	}
	v.order = append(v.order[:0], make([]int32, len(v.points))...)
	fill := append([]int32(nil), v.start...)
	for i := range v.points {
		c := cell(&v.points[i])
		v.order[fill[c]] = int32(i)
		fill[c]++
	}
}

type pair struct {
	k, q int
	dist int
}

var levelScale = [levelCount]float64{1, 1.2599210498948732, 1.5874010519681994, 2, 2.5198420997897464, 3.1748021039363987, 4, 5.039684199579493}

func (p point) xy() (float64, float64) { return float64(float64(p.x) / 2), float64(float64(p.y) / 2) }

type transform [9]float64

// mul is a product that no compiler fuses with the sum it goes into: an explicit
// conversion rounds (the Go specification, Floating-point operators). Some
// architectures would fuse, and a score could pass its limit there alone.
func mul(a, b float64) float64 { return float64(a * b) }

// hypot is the square root of the sum of squares, made of operations that IEEE
// 754 rounds the same everywhere; math.Hypot has a form of its own on amd64.
func hypot(x, y float64) float64 { return math.Sqrt(mul(x, x) + mul(y, y)) }

func (t *transform) apply(x, y float64) (float64, float64) {
	d := mul(t[6], x) + mul(t[7], y) + t[8]
	if d < 1e-9 && d > -1e-9 {
		return math.Inf(1), math.Inf(1)
	}
	return (mul(t[0], x) + mul(t[1], y) + t[2]) / d, (mul(t[3], x) + mul(t[4], y) + t[5]) / d
}

// local scale and rotation of t at (x, y), the rotation in 64ths of a turn.
func (t *transform) at(x, y float64) (scale, turn float64) {
	x0, y0 := t.apply(x, y)
	x1, y1 := t.apply(x+1, y)
	x2, y2 := t.apply(x, y+1)
	det := mul(x1-x0, y2-y0) - mul(x2-x0, y1-y0)
	if det <= 0 {
		return 0, 0
	}
	// The rotation nearest to the Jacobian.
	return math.Sqrt(det), math.Atan2((y1-y0)-(x2-x0), (x1-x0)+(y2-y0)) * 64 / (2 * math.Pi)
}

func similarity(k, q point) transform {
	kx, ky := k.xy()
	qx, qy := q.xy()
	s := levelScale[q.level] / levelScale[k.level]
	a := float64(int(q.angle)-int(k.angle)) * 2 * math.Pi / 64
	c, n := s*math.Cos(a), s*math.Sin(a)
	return transform{c, -n, qx - mul(c, kx) + mul(n, ky), n, c, qy - mul(n, kx) - mul(c, ky), 0, 0, 1}
}

// verify looks for the transform under which most keypoints of k agree with
// those of q, starting from hits.
func verify(as *asset, q *view, hits []hit, negative bool) (Match, bool) {
	k := as.fp
	diag := hypot(float64(k.w), float64(k.h))
	// Rank hypotheses, one a hit, by how many other hits they explain.
	type scored struct {
		t transform
		n int
	}
	var top [3]scored
	every := len(hits)/40 + 1
	for i := 0; i < len(hits); i += every {
		h := hits[i]
		t := similarity(k.points[h.ki], q.points[h.qi])
		s := levelScale[q.points[h.qi].level] / levelScale[k.points[h.ki].level]
		tol := 0.08 * diag * s
		n, last := 0, -1
		for _, g := range hits[:min(len(hits), 300)] {
			if da := int8((g.dAngle-h.dAngle)<<2) >> 2; da > 6 || da < -6 {
				continue
			}
			if dl := g.dLevel - h.dLevel; dl > 2 || dl < -2 || int(g.qi) == last {
				continue
			}
			kx, ky := k.points[g.ki].xy()
			qx, qy := q.points[g.qi].xy()
			if math.Abs(mul(t[0], kx)+mul(t[1], ky)+t[2]-qx) <= tol && math.Abs(mul(t[3], kx)+mul(t[4], ky)+t[5]-qy) <= tol {
				n++
				last = int(g.qi)
			}
		}
		for j := range top {
			if n > top[j].n {
				copy(top[j+1:], top[j:])
				top[j] = scored{t, n}
				break
			}
		}
	}
	var best Match
	found := false
	var ps []pair
	for _, c := range top {
		if c.n < minVotes-1 {
			break
		}
		t := c.t
		ps = guided(k, q, &t, 0.06*diag, 58, negative, ps[:0])
		ok := len(ps) >= 4
		for _, step := range []struct {
			tol  float64
			max  int
			proj bool
		}{{0.04, 62, false}, {0.02, 64, true}, {0.01, 64, true}, {0.004, 66, true}} {
			if !ok {
				break
			}
			if step.proj && len(ps) >= 14 {
				ok = fitProjective(k, q, ps, &t)
			} else {
				ok = fitAffine(k, q, ps, &t)
			}
			if !ok || !sane(k, q, &t) {
				ok = false
				break
			}
			ps = guided(k, q, &t, step.tol*diag, step.max, negative, ps[:0])
			ok = len(ps) >= 4
		}
		if !ok {
			continue
		}
		m := judge(as, q, &t, ps, negative)
		if !found || better(m, best) {
			best, found = m, true
		}
		if !m.Weak {
			break
		}
	}
	return best, found && best.Score*10 >= min(best.need, mostNeed)*6
}

// guided pairs every keypoint of k with the most alike keypoint of q near to
// where t puts it. tol is in pixels of k.
func guided(k *Fingerprint, q *view, t *transform, tol float64, maxDist int, negative bool, ps []pair) []pair {
	var taken [MaxPoints]int16 // 1 + index in ps
	for ki := range k.points {
		kp := &k.points[ki]
		kx, ky := kp.xy()
		x, y := t.apply(kx, ky)
		if !(x > -tol && y > -tol && x < float64(q.w)+tol && y < float64(q.h)+tol) {
			continue
		}
		s, turn := t.at(kx, ky)
		if s <= 0 {
			continue
		}
		r := min(mul(tol+mul(0.7, levelScale[kp.level]), s)+1, 60)
		level := float64(kp.level) + mul(3, math.Log2(s))
		if level < -1.7 || level > levelCount-1+1.7 {
			continue
		}
		ang := int(math.Floor(float64(kp.angle)+turn+0.5)) & 63
		x0, x1 := max(0, int(x-r)/cellPx), min(q.nx-1, int(x+r)/cellPx)
		y0, y1 := max(0, int(y-r)/cellPx), min(q.ny-1, int(y+r)/cellPx)
		best, bestDist := -1, maxDist+1
		for cy := y0; cy <= y1; cy++ {
			for cx := x0; cx <= x1; cx++ {
				c := cy*q.nx + cx
				for _, qi := range q.order[q.start[c]:q.start[c+1]] {
					qp := &q.points[qi]
					if (qp.dark != kp.dark) != negative {
						continue
					}
					if da := int8((qp.angle-uint8(ang))<<2) >> 2; da > 5 || da < -5 {
						continue
					}
					if dl := float64(qp.level) - level; dl > 1.7 || dl < -1.7 {
						continue
					}
					qx, qy := qp.xy()
					if dx, dy := qx-x, qy-y; mul(dx, dx)+mul(dy, dy) > mul(r, r) {
						continue
					}
					if d := q.descs[qi].Distance(&k.descs[ki]); d < bestDist {
						best, bestDist = int(qi), d
					}
				}
			}
		}
		if best < 0 {
			continue
		}
		if at := taken[best]; at > 0 {
			if ps[at-1].dist > bestDist {
				ps[at-1] = pair{ki, best, bestDist}
			}
			continue
		}
		ps = append(ps, pair{ki, best, bestDist})
		taken[best] = int16(len(ps))
	}
	return ps
}

// sane refuses transforms that no copy has: collapsed, flipped, or strongly
// sheared.
func sane(k *Fingerprint, q *view, t *transform) bool {
	w, h := float64(k.w), float64(k.h)
	var lo, hi float64 = math.Inf(1), 0
	for _, c := range [5][2]float64{{0, 0}, {w, 0}, {0, h}, {w, h}, {w / 2, h / 2}} {
		if mul(t[6], c[0])+mul(t[7], c[1])+t[8] <= 1e-6 {
			return false
		}
		s, _ := t.at(c[0], c[1])
		if s <= 0 {
			return false
		}
		lo, hi = min(lo, s), max(hi, s)
	}
	if lo < 0.17 || hi > 6 || hi > 2.5*lo {
		return false
	}
	x0, y0 := t.apply(w/2, h/2)
	x1, y1 := t.apply(float64(w/2)+1, h/2)
	x2, y2 := t.apply(w/2, float64(h/2)+1)
	a, b := hypot(x1-x0, y1-y0), hypot(x2-x0, y2-y0)
	cos := (mul(x1-x0, x2-x0) + mul(y1-y0, y2-y0)) / (a * b)
	return a < 2.2*b && b < 2.2*a && math.Abs(cos) < 0.5
}

func fitAffine(k *Fingerprint, q *view, ps []pair, t *transform) bool {
	// Normal equations, about the means.
	var mx, my, mu, mv float64
	for _, p := range ps {
		x, y := k.points[p.k].xy()
		u, v := q.points[p.q].xy()
		mx, my, mu, mv = mx+x, my+y, mu+u, mv+v
	}
	n := float64(len(ps))
	mx, my, mu, mv = mx/n, my/n, mu/n, mv/n
	var xx, xy, yy, xu, yu, xv, yv float64
	for _, p := range ps {
		x, y := k.points[p.k].xy()
		u, v := q.points[p.q].xy()
		x, y, u, v = x-mx, y-my, u-mu, v-mv
		xx, xy, yy = xx+mul(x, x), xy+mul(x, y), yy+mul(y, y)
		xu, yu, xv, yv = xu+mul(x, u), yu+mul(y, u), xv+mul(x, v), yv+mul(y, v)
	}
	// A few points or a thin cloud fit a similarity only: shrink towards it.
	det := mul(xx, yy) - mul(xy, xy)
	sim := [2]float64{(xu + yv) / (xx + yy), (xv - yu) / (xx + yy)}
	if len(ps) < 6 || det < 0.02*(xx+yy)*(xx+yy) {
		c, s := sim[0], sim[1]
		*t = transform{c, -s, mu - mul(c, mx) + mul(s, my), s, c, mv - mul(s, mx) - mul(c, my), 0, 0, 1}
		return xx+yy > 0
	}
	a, b := (mul(xu, yy)-mul(yu, xy))/det, (mul(yu, xx)-mul(xu, xy))/det
	c, d := (mul(xv, yy)-mul(yv, xy))/det, (mul(yv, xx)-mul(xv, xy))/det
	*t = transform{a, b, mu - mul(a, mx) - mul(b, my), c, d, mv - mul(c, mx) - mul(d, my), 0, 0, 1}
	return true
}

// fitProjective refines t by least squares on the algebraic error weighted to
// be the geometric one at t (one step of iterative reweighting).
func fitProjective(k *Fingerprint, q *view, ps []pair, t *transform) bool {
	const n = 8
	var m [n][n + 1]float64
	// Scale coordinates to keep the system well conditioned.
	s := 1 / float64(max(k.w, k.h, q.w, q.h))
	for _, p := range ps {
		x, y := k.points[p.k].xy()
		u, v := q.points[p.q].xy()
		wt := 1 / (mul(t[6], x) + mul(t[7], y) + t[8])
		x, y, u, v = x*s, y*s, u*s, v*s
		for _, r := range [2][n + 1]float64{
			{x, y, 1, 0, 0, 0, -u * x, -u * y, u},
			{0, 0, 0, x, y, 1, -v * x, -v * y, v},
		} {
			for i := range n {
				for j := range n + 1 {
					m[i][j] += mul(wt*wt*r[i], r[j])
				}
			}
		}
	}
	// A little pull of the two projective terms to zero.
	m[6][6] += mul(1e-3, float64(len(ps)))
	m[7][7] += mul(1e-3, float64(len(ps)))
	for i := range n {
		p := i
		for j := i + 1; j < n; j++ {
			if math.Abs(m[j][i]) > math.Abs(m[p][i]) {
				p = j
			}
		}
		if math.Abs(m[p][i]) < 1e-12 {
			return false
		}
		m[i], m[p] = m[p], m[i]
		for j := range n {
			if j == i {
				continue
			}
			f := m[j][i] / m[i][i]
			for c := i; c <= n; c++ {
				m[j][c] -= mul(f, m[i][c])
			}
		}
	}
	var v [n]float64
	for i := range n {
		v[i] = m[i][n] / m[i][i]
	}
	*t = transform{v[0], v[1], v[2] / s, v[3], v[4], v[5] / s, v[6] * s, v[7] * s, 1}
	return true
}

// Beyond these a match is weak, whatever its score.
const (
	minAgreement = 0.15
	maxDiffering = 0.19
	maxWorn      = 0.18 // more of a copy that is worn all over may differ, from …
	wornFrom     = 0.22 // … this wear on, by …
	wornRise     = 1.6  // … so much for each step of wear
	maxSure      = 0.07 // more of one with a score that no shared frame reached: large writing over a copy
	sureFrom     = 70   // score from which some of that is added …
	sureSpan     = 30   // … and by which all is
)

// One object on a plain ground has few places, and many pairs at each. Other
// pictures may have the same object, a logo say, or one much like it, as icons
// of one series do. So more is needed to tell a copy from its kin: of the score,
// unless all that lies between the pairs agrees, and of the blocks, of which
// those count in part, too, in which fewer keypoints agree than elsewhere.
const (
	fewPlaces    = 32
	crowded      = 4 // pairs a place
	kinScore     = 40
	kinAgrees    = 0.92
	kinDiffering = 0.10
)

// leastScore is needed however well what lies between the keypoints agrees: of
// two drawings with one bold line on black it agrees by chance (0.87, score 6).
const (
	leastScore = 12
	mostNeed   = 20 // where little or nothing agrees
)

// A pair whose descriptors are chanceDist bits apart proves nothing, one that
// is nearSpan bits nearer proves all that a pair can.
const (
	chanceDist = 58
	nearSpan   = 28
)

// judge scores a transform and its pairs.
func judge(as *asset, q *view, t *transform, ps []pair, negative bool) Match {
	k := as.fp
	m := Match{Inliers: len(ps), Mirrored: q.mirrored, Negative: negative, Transform: *t}
	// The part of the known picture that lies in the copy, on a 32 by 32 grid.
	z, seen := warp(k, q, t)
	lo, hi := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{}
	for i, ok := range seen {
		if !ok {
			continue
		}
		x, y := float64(i%sketchSide)*float64(k.w)/sketchSide, float64(i/sketchSide)*float64(k.h)/sketchSide
		lo[0], lo[1] = min(lo[0], x), min(lo[1], y)
		hi[0], hi[1] = max(hi[0], x), max(hi[1], y)
	}
	near := 0.03 * hypot(hi[0]-lo[0], hi[1]-lo[1])
	type place struct{ x, y, weight float64 }
	var places []place
	var blocks [8][8]int
	var total float64
	for _, p := range ps {
		x, y := k.points[p.k].xy()
		// Pairs of unrelated pictures that look alike somewhere agree in many
		// places, but each only so-so; in a worn copy (filmed, very dark) most
		// pairs are so-so and some are near. So each pair counts by how near its
		// descriptors are.
		w := mul(float64(as.weight[p.k]), min(1, max(0, float64(chanceDist-p.dist))/nearSpan))
		total += w
		blocks[min(7, int(y)*8/k.h)][min(7, int(x)*8/k.w)]++
		distinct := true
		for i := range places {
			if o := &places[i]; hypot(o.x-x, o.y-y) < near {
				o.weight = max(o.weight, w)
				distinct = false
				break
			}
		}
		if distinct {
			places = append(places, place{x, y, w})
		}
	}
	var spread float64
	for _, o := range places {
		spread += o.weight
	}
	m.Places = len(places)
	// Coverage: of the blocks of the common area that hold keypoints of the
	// known picture, those that hold agreeing ones.
	var have [8][8]bool
	for _, p := range k.points {
		x, y := p.xy()
		if seen[min(31, int(y)*32/k.h)*sketchSide+min(31, int(x)*32/k.w)] {
			have[min(7, int(y)*8/k.h)][min(7, int(x)*8/k.w)] = true
		}
	}
	var n, of int
	for y := range have {
		for x := range have[y] {
			if have[y][x] {
				of++
				if blocks[y][x] > 0 {
					n++
				}
			}
		}
	}
	if of > 0 {
		m.Coverage = float64(n) / float64(of)
	}
	var ab, aa, bb float64
	for i := range z {
		if seen[i] {
			a, b := float64(k.sketch[i]), float64(z[i])
			ab, aa, bb = ab+mul(a, b), aa+mul(a, a), bb+mul(b, b)
		}
	}
	if aa > 0 && bb > 0 {
		m.Agreement = ab / math.Sqrt(aa*bb)
	}
	if negative {
		m.Agreement = -m.Agreement
	}
	var dist int
	for _, p := range ps {
		dist += p.dist
	}
	// A copy that is worn all over (filmed, very dark) has worn parts too; one
	// that is clean elsewhere has none.
	wear := min(0.4, max(0, 1-(chanceDist-float64(dist)/float64(max(1, len(ps))))/nearSpan))
	m.Score = int(math.Sqrt(spread * total))
	var partly float64
	m.Differing, partly = differing(k, q, t, &z, &seen, &blocks, negative, wear)
	limit := maxDiffering + min(maxWorn, mul(max(0, wear-wornFrom), wornRise))
	limit += mul(maxSure, min(1, max(0, float64(m.Score-sureFrom)/sureSpan)))
	m.need = int(min(mostNeed, max(leastScore, mostNeed-mul(24, m.Agreement-0.3))))
	if m.Places <= fewPlaces && m.Inliers >= crowded*m.Places {
		if m.Agreement < kinAgrees {
			m.need = kinScore
		}
		limit = min(limit, kinDiffering-partly)
	}
	m.Weak = m.Score < m.need || m.Agreement < minAgreement || m.Differing > limit
	return m
}

// warp lays the copy back onto the known picture's sketch grid.
func warp(k *Fingerprint, q *view, t *transform) (z [sketchSide * sketchSide]int8, seen [sketchSide * sketchSide]bool) {
	th := q.fp.thumb
	if th.W == 0 {
		return z, seen
	}
	var v [sketchSide * sketchSide]int32
	sx, sy := float64(th.W)/float64(q.w), float64(th.H)/float64(q.h)
	for i := range v {
		v[i] = hole
		kx := (float64(i%sketchSide) + 0.5) * float64(k.w) / sketchSide
		ky := (float64(i/sketchSide) + 0.5) * float64(k.h) / sketchSide
		x, y := t.apply(kx, ky)
		if !(x >= 0 && y >= 0 && x < float64(q.w) && y < float64(q.h)) {
			continue
		}
		if q.mirrored {
			x = float64(q.w) - x
		}
		s, _ := t.at(kx, ky)
		rx := max(0.5, mul(s*float64(k.w)/sketchSide, sx)/2)
		ry := max(0.5, mul(s*float64(k.h)/sketchSide, sy)/2)
		x, y = mul(x, sx), mul(y, sy)
		x0, x1 := max(0, int(x-rx+0.5)), min(th.W, int(x+rx+0.5))
		y0, y1 := max(0, int(y-ry+0.5)), min(th.H, int(y+ry+0.5))
		if x1 <= x0 {
			x0 = min(int(x), th.W-1)
			x1 = x0 + 1
		}
		if y1 <= y0 {
			y0 = min(int(y), th.H-1)
			y1 = y0 + 1
		}
		sum := 0
		for yy := y0; yy < y1; yy++ {
			for _, p := range th.Pix[yy*th.W+x0 : yy*th.W+x1] {
				sum += int(p)
			}
		}
		v[i] = int32(sum * 16 / ((x1 - x0) * (y1 - y0)))
		seen[i] = true
	}
	return contrast(&v), seen
}

// weights returns for each keypoint 1 over how many keypoints of f look like
// it. Points along one long edge, or in a pattern, all look alike and prove
// little together.
func (f *Fingerprint) weights() []float32 {
	const alike = 36
	n := make([]int, len(f.descs))
	for i := range f.descs {
		for j := range i {
			if f.points[i].dark == f.points[j].dark && f.descs[i].Distance(&f.descs[j]) <= alike {
				n[i]++
				n[j]++
			}
		}
	}
	ws := make([]float32, len(n))
	for i := range ws {
		ws[i] = 1 / float32(1+n[i])
	}
	return ws
}

// differing returns the share of those blocks of the common area that hold
// something to compare in which neither keypoints nor contrasts agree. Two
// pictures in the same frame of an app agree around their pictures and differ
// within. And it returns what is to be added where blocks in which keypoints
// agree, but much fewer than elsewhere, count in part.
func differing(k *Fingerprint, q *view, t *transform, z *[sketchSide * sketchSide]int8, seen *[sketchSide * sketchSide]bool, agreed *[8][8]int, negative bool, wear float64) (share, partly float64) {
	var points [8][8]int
	for _, p := range k.points {
		// Those that the copy could show: well inside of it and not too fine
		// or too coarse for its levels.
		x, y := p.xy()
		u, v := t.apply(x, y)
		s, _ := t.at(x, y)
		level := float64(p.level) + mul(3, math.Log2(max(s, 0.01)))
		edge := mul(2*keypointMargin*levelScale[p.level], s)
		if u < edge || v < edge || u > float64(q.w)-edge || v > float64(q.h)-edge || level < -0.5 || level > levelCount-0.5 {
			continue
		}
		points[min(7, int(y)*8/k.h)][min(7, int(x)*8/k.w)]++
	}
	// Where keypoints agree at all, this share of them does.
	in, of := 0, 0
	for by := range 8 {
		for bx := range 8 {
			if agreed[by][bx] > 0 {
				in, of = in+agreed[by][bx], of+max(points[by][bx], agreed[by][bx])
			}
		}
	}
	miss := 1 - float64(in)/float64(max(1, of))
	var same, other float64
	for by := range 8 {
		for bx := range 8 {
			var ab, aa, bb float64
			n := 0
			for y := max(0, 4*by-1); y < min(sketchSide, 4*by+5); y++ {
				for x := max(0, 4*bx-1); x < min(sketchSide, 4*bx+5); x++ {
					i := y*sketchSide + x
					if !seen[i] {
						continue
					}
					n++
					a, b := float64(k.sketch[i]), float64(z[i])
					ab, aa, bb = ab+mul(a, b), aa+mul(a, a), bb+mul(b, b)
				}
			}
			if n < 12 {
				continue
			}
			if negative {
				ab = -ab
			}
			textured := aa > 4*float64(n) && bb > 4*float64(n)
			like := 0.0
			if aa > 0 && bb > 0 {
				like = ab / math.Sqrt(aa*bb)
			}
			switch {
			case agreed[by][bx] > 0:
				same++
				if k, n := agreed[by][bx], points[by][bx]; k < n && atMost(k, n, 1-miss) < 0.003 {
					partly += 1 - float64(k)/(float64(n)*(1-miss))
				}
			case math.Pow(miss, float64(points[by][bx])) < 0.03 && like < 0.8: // no chance
				// In a worn copy glare and noise leave some likeness, another
				// picture leaves none.
				d := min(1, (0.8-like)/(0.02+mul(2, max(0, wear-0.15))))
				other, same = other+d, same+1-d
			case textured && like > 0.5:
				same++
			case textured && like < 0.3 || points[by][bx] > 2 && like < 0.3:
				other++
			}
		}
	}
	if same+other == 0 {
		return 0, 0
	}
	return other / (same + other), partly / (same + other)
}

// atMost is how likely it is that at most k of n come true, each with
// likelihood p.
func atMost(k, n int, p float64) (sum float64) {
	term := math.Pow(1-p, float64(n))
	for i := range k + 1 {
		sum += term
		term *= float64(n-i) / float64(i+1) * p / max(1e-9, 1-p)
	}
	return sum
}
