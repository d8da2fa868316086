package local

// keptSide is the longer side of the thumbnail in the form that Kept returns.
const keptSide = 32

// Kept returns f as a platform may keep it of its own uploads, to look for
// later signals in it: a query form of the keypoints that the shared form has,
// about 30 KB, whose thumbnail is at most 32 pixels wide and high, as fine as
// the shared form's sketch. It finds what f finds, but for copies of which few
// keypoints are left. Of a shared form it returns just that.
func (f *Fingerprint) Kept() *Fingerprint {
	a := f.Asset()
	if f.thumb.W == 0 || len(f.margin) < len(a.points) {
		return a
	}
	a.margin = f.margin[:len(a.points):len(a.points)]
	a.thumb = f.thumb
	if s := max(f.thumb.W, f.thumb.H); s > keptSide {
		a.thumb = f.thumb.Resize(max(1, (f.thumb.W*keptSide+s/2)/s), max(1, (f.thumb.H*keptSide+s/2)/s))
	}
	return a
}
