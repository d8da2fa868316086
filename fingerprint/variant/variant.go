// Package variant lists the cheap ways in which an altered copy of a picture
// may be found by its perceptual hash, in the order of their cost: as it is,
// turned and mirrored, with borders, bars, captions and app frames trimmed,
// and as a negative. What none of them finds is left to package local.
package variant

import (
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Probe is one hash to look for among known ones.
type Probe struct {
	// Pass names the way: "pdq", "pdq:rotate90" and the other orientations,
	// "pdq:upright", "trim:border", "trim:letterbox", "trim:caption",
	// "trim:screen", "trim:filmed", and each of these with ":negative" at its end.
	Pass string

	Hash        pdq.Hash
	Quality     int // of the part of the picture that was hashed; under pdq.MinQuality a match is for review at most
	MaxDistance int // greatest distance in bits that counts as a match
}

// Orientations names the dihedral forms in the order of Picture.Dihedral.
var Orientations = [8]string{"pdq", "pdq:rotate90", "pdq:rotate180", "pdq:rotate270", "pdq:flipX", "pdq:flipY", "pdq:flipPlus1", "pdq:flipMinus1"}

// Probes returns what to look for among known hashes of originals, cheapest
// and surest first. It is empty when the set holds no picture.
func Probes(set *fingerprint.Set) []Probe {
	if set == nil || set.Picture == nil {
		return nil
	}
	p := set.Picture
	out := make([]Probe, 0, 2*(9+8*len(p.Trims)))
	add := func(pass string, h pdq.Hash, quality int) {
		if h != (pdq.Hash{}) {
			out = append(out, Probe{pass, h, quality, pdq.MatchDistance})
		}
	}
	add("pdq", p.PDQ.Hash, p.PDQ.Quality)
	if p.Upright != nil {
		add("pdq:upright", p.Upright.Hash, p.Upright.Quality)
	}
	for i := 1; i < len(p.Dihedral); i++ {
		add(Orientations[i], p.Dihedral[i], p.PDQ.Quality)
	}
	for i := range p.Trims {
		t := &p.Trims[i]
		for j := range t.Dihedral {
			add("trim:"+t.Name, t.Dihedral[j], t.PDQ.Quality)
		}
	}
	// Every coefficient of a negative but the mean has the opposite sign, and
	// the mean is no part of the hash: the bits are the opposite ones.
	for _, q := range out[:len(out):len(out)] {
		add(q.Pass+":negative", Negative(q.Hash), q.Quality)
	}
	return out
}

// Negative returns the hash of the picture with dark and bright exchanged,
// given the hash of the picture. It differs from the hash of the negative's
// pixels by a few bits at most: where a coefficient equals the median.
func Negative(h pdq.Hash) pdq.Hash {
	for i := range h {
		h[i] = ^h[i]
	}
	return h
}
