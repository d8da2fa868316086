// Package picture computes all fingerprints of one decoded picture at once:
// PDQ as it is and in its eight orientations, PDQ of the inner pictures that
// package trim proposes, and the keypoints of package local.
package picture

import (
	"image"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/trim"
)

// Options say what to compute. The zero value computes everything.
type Options struct {
	NoTrims bool // leave out trimmed candidates
	NoLocal bool // leave out keypoints

	// Luma is the picture's brightness (local.FromImage) where the caller has it;
	// it is computed unless it has the picture's size.
	Luma local.Luma

	// Orientation is the EXIF orientation, 1 to 8, of which Upright is made;
	// 0 and 1 leave the picture as it is.
	Orientation int
}

// orientation is the index in Picture.Dihedral that undoes an EXIF
// orientation.
var orientation = [9]int{2: 5, 3: 2, 4: 4, 5: 6, 6: 3, 7: 7, 8: 1}

// Compute returns the fingerprints of img. It does not fail: a picture too
// small to hash has hashes of quality 0. It may be called concurrently.
func Compute(img image.Image, o Options) *fingerprint.Picture {
	b := img.Bounds()
	p := &fingerprint.Picture{Width: b.Dx(), Height: b.Dy()}
	p.PDQ, p.Dihedral = pdq.ComputeDihedral(img)
	if o.Orientation > 1 && o.Orientation < len(orientation) {
		p.Upright = &pdq.Result{Hash: p.Dihedral[orientation[o.Orientation]], Quality: p.PDQ.Quality}
	}
	if o.NoTrims && o.NoLocal {
		return p
	}
	l := o.Luma
	if l.W != p.Width || l.H != p.Height {
		l = local.FromImage(img)
	}
	if !o.NoTrims {
		for _, c := range trim.Find(l.Pix, l.W, l.H) {
			t := fingerprint.Trim{Name: c.Name, X0: c.Rect.Min.X, Y0: c.Rect.Min.Y, X1: c.Rect.Max.X, Y1: c.Rect.Max.Y}
			t.PDQ, t.Dihedral = pdq.FromLuma8(l.Pix[c.Rect.Min.Y*l.W+c.Rect.Min.X:], l.W, c.Rect.Dx(), c.Rect.Dy())
			p.Trims = append(p.Trims, t)
		}
		p.Trims = append(p.Trims, filmed(l)...)
	}
	if !o.NoLocal {
		if f := local.ComputeLuma(l, local.Options{}); f.Points() > 0 {
			p.Local = f.Append(nil)
		}
	}
	return p
}

// Sides of a picture in which a filmed screen is looked for, and of what it
// shows, seen straight on.
const (
	filmedSide  = 320
	rectifiedTo = 128
)

// filmed hashes what a screen in the picture may show, seen straight on.
func filmed(l local.Luma) (ts []fingerprint.Trim) {
	small := l
	if s := max(l.W, l.H); s > filmedSide {
		small = l.Resize(max(1, (l.W*filmedSide+s/2)/s), max(1, (l.H*filmedSide+s/2)/s))
	}
	for _, q := range trim.Quads(small.Pix, small.W, small.H) {
		t := fingerprint.Trim{Name: trim.Filmed, X0: l.W, Y0: l.H}
		for _, c := range q {
			x := min(max(int(c[0]*float64(l.W)/float64(small.W)), 0), l.W)
			y := min(max(int(c[1]*float64(l.H)/float64(small.H)), 0), l.H)
			t.X0, t.Y0, t.X1, t.Y1 = min(t.X0, x), min(t.Y0, y), max(t.X1, x), max(t.Y1, y)
		}
		t.PDQ, t.Dihedral = pdq.FromLuma8(q.Rectify(small.Pix, small.W, small.H, rectifiedTo), rectifiedTo, rectifiedTo, rectifiedTo)
		ts = append(ts, t)
	}
	return ts
}
