// Package local computes and finds keypoint fingerprints of pictures: some
// hundreds of small places, each with its position, size, direction and a
// 256-bit descriptor of what surrounds it. Where a perceptual hash of the
// whole picture stops at a crop, a frame, a caption or a tilt, enough of these
// places survive to find the picture again and to say where it lies in the
// copy.
//
// # What it promises
//
//   - Compute gives the same bytes for the same pixels on every machine: all of
//     it is integer arithmetic.
//   - The shared form is at most 16 KB; docs/format/local.md has its layout and
//     every constant that is needed to compute it anew.
//   - Matching is floating point in 64 bits, with every product rounded before it
//     is summed, so that no compiler fuses them and arm64 judges as amd64 does.
//     What may still differ in the last bit is math's own Sin, Atan2, Log2 and
//     Pow, where they are written by hand for one architecture.
//   - A match is strong only if keypoints in distinct places of both pictures
//     agree under one geometry, what lies between them agrees too, and no large
//     part shows something else. A shared logo, caption or app frame does not
//     make a strong match. Weak matches are for review, never for blocking.
//   - Search is approximate where package index is exact: it may miss a known
//     picture of which few keypoints survive. It never reports one that failed
//     the geometric check.
//   - Decode and Parse are bounded and take hostile input. No function does I/O,
//     starts a goroutine that outlives it, or reads a clock.
//
// # What it reveals
//
// Descriptors are made to recognise a picture, and so they describe it: a
// recognisable likeness can be reconstructed from such descriptors
// (Weinzaepfel, Jégou, Pérez: Reconstructing an image from its local
// descriptors, CVPR 2011; d'Angelo et al.: From bits to images, PAMI 2014), and
// the 32 by 32 sketch in the shared form is a coarse likeness already. Treat a
// local fingerprint with the care of a small, blurred print of the picture: it
// stays within the sharing scope of its signal, is never shown on a page and
// never logged. The query form holds a thumbnail and does not leave the
// machine.
//
// # Method
//
// Keypoints are maxima of the determinant of the Hessian (Beaudet 1978;
// Lindeberg, IJCV 1998; Bay et al., SURF, 2008) on a pyramid of eight levels
// 2^(-1/3) apart, spread over the picture. A keypoint darker than what
// surrounds it is described as its negative, so that a negative has the same
// descriptors. The direction is that of the brightness centroid (Rosin 1999;
// ORB: Rublee et al., ICCV 2011) of the inner fields. Descriptors compare sums
// of receptive fields on rings (BRISK, FREAK: 2011, 2012) against thresholds
// (BAD and BEBLID: Suárez et al. 2020, 2021), chosen as ORB chooses its tests;
// the rings are their own mirror image, so a mirrored picture needs no second
// fingerprint. Look-up is by hash tables with query-directed probes (Lv et al.,
// Multi-probe LSH, VLDB 2007); candidates are ranked by votes that agree on
// rotation and scale (Jégou et al., Weak geometric consistency, ECCV 2008), and
// checked by hypotheses of one correspondence each (Philbin et al., CVPR 2007;
// in place of RANSAC's random ones), refined to an affine or projective map
// (Hartley and Zisserman, 4.1) with guided matching.
//
// docs/design/0012-altered-copies.md has the reasons and the figures.
package local

import (
	"image"
	"math/bits"
)

const (
	baseSide       = 640  // longer side at which a picture is examined, in pixels
	levelCount     = 8    // pyramid levels, 2^(-1/3) apart
	minLevelSide   = 36   // a level's shorter side, at least
	keypointMargin = 6    // keypoints keep this far from a level's edge
	minResponse    = 2000 // of the Hessian's determinant: above sensor noise
	maxEdge        = 2    // of trace^2/4det: beyond it a place is a line rather than a spot

	// MaxPoints is the most keypoints that are computed of one picture.
	MaxPoints = 1000
	// MaxAssetPoints is the most keypoints that the shared form carries.
	MaxAssetPoints = 430

	thumbSide  = 128 // longer side of the thumbnail in the query form
	sketchSide = 32  // cells a side of the sketch
)

// Descriptor is 256 brightness comparisons around a keypoint, test i in bit
// i%64 of word i/64.
type Descriptor [4]uint64

// Distance returns the number of differing bits, from 0 to 256.
func (d *Descriptor) Distance(o *Descriptor) int {
	return bits.OnesCount64(d[0]^o[0]) + bits.OnesCount64(d[1]^o[1]) +
		bits.OnesCount64(d[2]^o[2]) + bits.OnesCount64(d[3]^o[3])
}

// Mirror returns the descriptor of the same place in the mirrored picture.
func (d *Descriptor) Mirror() Descriptor {
	var m Descriptor
	for i, w := range d {
		m[i] = swapPairs(w)
	}
	return m
}

func swapPairs(w uint64) uint64 {
	const odd = 0xAAAAAAAAAAAAAAAA
	return w&odd>>1 | w<<1&odd
}

// point is one keypoint. Positions are in half pixels of the picture at its
// base size.
type point struct {
	x, y  uint16
	level uint8 // its size is 2^(level/3)
	angle uint8 // 64ths of a turn
	dark  bool  // darker than what surrounds it
}

// Fingerprint is the local fingerprint of one picture. It is immutable and may
// be used concurrently. The zero value has no keypoints and matches nothing.
type Fingerprint struct {
	w, h   int // base size in pixels
	points []point
	descs  []Descriptor
	margin []margins // query form only
	thumb  Luma      // query form only
	sketch [sketchSide * sketchSide]int8
}

// Points returns the number of keypoints.
func (f *Fingerprint) Points() int { return len(f.points) }

// Options bound the work of Compute. The zero value is the default.
type Options struct {
	MaxPoints int // at most this many keypoints; 0 or more than MaxPoints: MaxPoints
}

// Compute returns the fingerprint of img. It never fails: a picture with too
// little detail or of no area has few or no keypoints.
func Compute(img image.Image, o Options) *Fingerprint {
	return ComputeLuma(FromImage(img), o)
}

// ComputeLuma is Compute for a picture whose brightness is at hand.
func ComputeLuma(l Luma, o Options) *Fingerprint {
	if o.MaxPoints <= 0 || o.MaxPoints > MaxPoints {
		o.MaxPoints = MaxPoints
	}
	if l.W < minLevelSide || l.H < minLevelSide {
		return &Fingerprint{}
	}
	if s := max(l.W, l.H); s > baseSide {
		l = l.Resize(max(1, (l.W*baseSide+s/2)/s), max(1, (l.H*baseSide+s/2)/s))
	}
	f := &Fingerprint{w: l.W, h: l.H}
	ps := pyramid(l)
	space := workspaces.Get().(*workspace)
	defer workspaces.Put(space)
	space.fit(ps)
	levels := make([][]candidate, len(ps))
	for i := range ps {
		ps[i].prepare(space.hor)
		cs := ps[i].maxima(i, nil)
		levels[i] = spread(cs, ps[i].w, ps[i].h, levelQuota[i]*o.MaxPoints/1000)
	}
	// Interleave the levels so that every prefix has its share of each.
	var order []candidate
	next := make([]int, len(levels))
	for len(order) < o.MaxPoints {
		best, bestKey := -1, 0
		for i := range levels {
			if next[i] == len(levels[i]) {
				continue
			}
			if key := (next[i] + 1) * 1000000 / assetWeight[i]; best < 0 || key < bestKey {
				best, bestKey = i, key
			}
		}
		if best < 0 {
			break
		}
		order = append(order, levels[best][next[best]])
		next[best]++
	}
	f.points = make([]point, len(order))
	f.descs = make([]Descriptor, len(order))
	f.margin = make([]margins, len(order))
	for i, c := range order {
		p := &ps[c.level]
		var a int
		a, f.descs[i], f.margin[i] = p.describe(c)
		f.points[i] = point{
			x:     uint16(min(2*f.w-1, ((2*int(c.x)+1)*p.scale)>>16)),
			y:     uint16(min(2*f.h-1, ((2*int(c.y)+1)*p.scale)>>16)),
			level: uint8(c.level), angle: uint8(a), dark: c.dark,
		}
	}
	s := max(f.w, f.h)
	t := min(s, thumbSide)
	f.thumb = l.Resize(max(1, (f.w*t+s/2)/s), max(1, (f.h*t+s/2)/s))
	f.sketch = sketch(f.thumb)
	return f
}

// levelQuota is how many of 1000 keypoints a level may give, and assetWeight
// its share among the first ones, which the shared form keeps.
var (
	levelQuota  = [levelCount]int{240, 210, 170, 135, 110, 85, 70, 55}
	assetWeight = [levelCount]int{10, 80, 90, 80, 65, 50, 40, 32}
)

// Asset returns the shared form of f: its first MaxAssetPoints keypoints
// without the thumbnail.
func (f *Fingerprint) Asset() *Fingerprint {
	n := min(len(f.points), MaxAssetPoints)
	return &Fingerprint{w: f.w, h: f.h, points: f.points[:n:n], descs: f.descs[:n:n], sketch: f.sketch}
}
