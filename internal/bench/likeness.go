package bench

import (
	"image"
	"math"

	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// distinct remembers pictures, to tell whether one was there before.
type distinct struct {
	names []string
	hash  []pdq.Hash
	luma  []local.Luma // at most likenessSide wide and high
	local local.Index
}

// Bounds of what counts as the same picture.
const (
	likenessSide  = 640  // at which keypoints are placed, see docs/format/local.md
	likenessGrid  = 16   // blocks a side that are compared
	likenessBlock = 0.7  // correlation of a block's pixels from which it shows the same
	likenessShare = 0.85 // of the blocks that show anything, at least
	likenessArea  = 0.3  // of either picture that is common, at least
)

// look is what distinct needs of a picture.
type look struct {
	hash  pdq.Hash
	forms [8]pdq.Hash
	luma  local.Luma
	local *local.Fingerprint
}

func newLook(img *image.RGBA) (l look, quality int) {
	r, forms := pdq.ComputeDihedral(img)
	l = look{hash: r.Hash, forms: forms, luma: local.FromImage(img)}
	if s := max(l.luma.W, l.luma.H); s > likenessSide {
		l.luma = l.luma.Resize(max(1, (l.luma.W*likenessSide+s/2)/s), max(1, (l.luma.H*likenessSide+s/2)/s))
	}
	l.local = local.ComputeLuma(l.luma, local.Options{})
	return l, r.Quality
}

// like returns the name of an earlier picture that shows the same as this one;
// if there is none, it remembers this one. PDQ tells, in all eight forms, and
// for two crops of one picture their pixels do: keypoints only propose how one
// lies in the other, as they are what the set is to measure.
func (d *distinct) like(name string, l look) string {
	for i, o := range d.hash {
		for _, f := range l.forms {
			if f.Distance(o) <= pdq.MatchDistance {
				return d.names[i]
			}
		}
	}
	for _, m := range d.local.Search(l.local) {
		if samePixels(d.luma[m.ID], l.luma, m) {
			return d.names[m.ID]
		}
	}
	d.local.Add(uint64(len(d.names)), l.local)
	d.names, d.hash, d.luma = append(d.names, name), append(d.hash, l.hash), append(d.luma, l.luma)
	return ""
}

// samePixels reports whether a and b show the same where m lays a onto b: block
// by block of what they have in common.
func samePixels(a, b local.Luma, m local.Match) bool {
	const samples = 8 // of a block, each way
	sign := 1.0
	if m.Negative {
		sign = -1
	}
	same, of, common, covered := 0, 0, 0, 0.0
	for by := range likenessGrid {
		for bx := range likenessGrid {
			var n, sa, sb, aa, bb, ab float64
			for i := range samples * samples {
				x := (float64(bx) + (float64(i%samples)+0.5)/samples) * float64(a.W) / likenessGrid
				y := (float64(by) + (float64(i/samples)+0.5)/samples) * float64(a.H) / likenessGrid
				t := &m.Transform
				z := t[6]*x + t[7]*y + t[8]
				u, v := (t[0]*x+t[1]*y+t[2])/z, (t[3]*x+t[4]*y+t[5])/z
				if m.Mirrored {
					u = float64(b.W) - u
				}
				if !(u >= 0 && v >= 0 && u < float64(b.W) && v < float64(b.H)) {
					continue
				}
				// A fortieth of the picture, so that a pixel off does not matter.
				p, q := meanAround(a, x, y, float64(a.W+a.H)/160), meanAround(b, u, v, float64(a.W+a.H)/160*scaleOf(t, x, y))
				n, sa, sb, aa, bb, ab = n+1, sa+p, sb+q, aa+p*p, bb+q*q, ab+p*q
			}
			if n < samples*samples/2 {
				continue
			}
			common++
			covered += math.Pow(scaleOf(&m.Transform, (float64(bx)+0.5)*float64(a.W)/likenessGrid, (float64(by)+0.5)*float64(a.H)/likenessGrid), 2)
			va, vb := aa/n-sa/n*sa/n, bb/n-sb/n*sb/n
			switch {
			case va < 9 && vb < 9: // both flat: nothing to tell
			case va > 1 && vb > 1 && sign*(ab/n-sa/n*sb/n)/math.Sqrt(va*vb) >= likenessBlock:
				same, of = same+1, of+1
			default:
				of++
			}
		}
	}
	blocks := float64(likenessGrid * likenessGrid)
	ofA := float64(common) / blocks
	ofB := covered * float64(a.W*a.H) / blocks / float64(b.W*b.H)
	return of >= 8 && float64(same) >= likenessShare*float64(of) && max(ofA, ofB) >= likenessArea
}

// scaleOf is by how much t enlarges at (x, y).
func scaleOf(t *[9]float64, x, y float64) float64 {
	z := t[6]*x + t[7]*y + t[8]
	det := t[0]*(t[4]*t[8]-t[5]*t[7]) - t[1]*(t[3]*t[8]-t[5]*t[6]) + t[2]*(t[3]*t[7]-t[4]*t[6])
	return math.Sqrt(math.Abs(det / (z * z * z)))
}

// meanAround is the mean of a square of the given width.
func meanAround(l local.Luma, x, y, width float64) float64 {
	r := max(0, int(width/2))
	x0, x1 := max(0, int(x)-r), min(l.W, int(x)+r+1)
	y0, y1 := max(0, int(y)-r), min(l.H, int(y)+r+1)
	if x1 <= x0 || y1 <= y0 {
		return 0
	}
	s := 0
	for yy := y0; yy < y1; yy++ {
		for _, p := range l.Pix[yy*l.W+x0 : yy*l.W+x1] {
			s += int(p)
		}
	}
	return float64(s) / float64((x1-x0)*(y1-y0))
}
