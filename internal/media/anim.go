package media

import (
	"image"
	"image/draw"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// sampler chooses which frames are kept: all up to framesPerSecond, and when
// there are more than max, every other one is dropped and from then on not
// taken any more. So any video ends with max/2 to max frames at most, evenly
// spread, whatever its header claims.
type sampler struct {
	max    int
	frames []fingerprint.Frame
	gap    float64 // seconds between frames
	next   float64 // time from which the next frame is taken
}

// framesPerSecond is the most frames that are taken of a second.
const framesPerSecond = 10

// tolerance lets frames count as a gap apart when rounding made it less.
const tolerance = 0.002

func newSampler(most int) *sampler {
	return &sampler{max: max(most, 2), gap: 1.0 / framesPerSecond}
}

// wants reports whether the frame at t seconds is to be kept.
func (s *sampler) wants(t float64) bool { return len(s.frames) == 0 || t >= s.next-tolerance }

// add keeps a frame that was wanted.
func (s *sampler) add(f fingerprint.Frame) {
	if len(s.frames) >= s.max {
		n := 0
		for i := 0; i < len(s.frames); i += 2 {
			s.frames[n] = s.frames[i]
			n++
		}
		s.frames = s.frames[:n]
		s.gap *= 2
		if f.Seconds < s.frames[n-1].Seconds+s.gap-tolerance {
			s.next = s.frames[n-1].Seconds + s.gap
			return
		}
	}
	s.frames = append(s.frames, f)
	s.next = f.Seconds + s.gap
}

// maxAnimation is how many frames of an animated picture are decoded.
const maxAnimation = 10000

// animation draws the frames of an animated picture one over the other and
// fingerprints what a viewer shows.
type animation struct {
	canvas  *image.RGBA
	keep    *sampler
	hasher  pdq.Hasher
	number  int
	seconds float64
	first   *image.RGBA // a copy of the first frame
	until   time.Time
}

// animation starts one on a canvas that check has let pass.
func (d *decoder) animation(width, height int) *animation {
	return &animation{canvas: image.NewRGBA(image.Rect(0, 0, width, height)), keep: newSampler(d.MaxFrames), until: d.deadline}
}

// show takes the canvas as it is for one frame of this duration, and reports
// whether there is time and room for more.
func (a *animation) show(seconds float64) bool {
	if a.first == nil {
		a.first = &image.RGBA{Pix: append([]uint8(nil), a.canvas.Pix...), Stride: a.canvas.Stride, Rect: a.canvas.Rect}
	}
	if a.keep.wants(a.seconds) {
		f := fingerprint.Frame{Number: a.number, Seconds: a.seconds, PDQ: a.hasher.Hash(a.canvas)}
		f.Dihedral = a.hasher.Dihedral()
		a.keep.add(f)
	}
	if seconds < 0.011 { // as browsers do with delays of nothing
		seconds = 0.1
	}
	a.number++
	a.seconds += seconds
	return a.number < maxAnimation && time.Now().Before(a.until)
}

// draw puts a frame onto the canvas, over it or in its place.
func (a *animation) draw(r image.Rectangle, img image.Image, over bool) {
	op := draw.Src
	if over {
		op = draw.Over
	}
	draw.Draw(a.canvas, r.Intersect(a.canvas.Rect), img, img.Bounds().Min, op)
}

// erase makes a part of the canvas transparent.
func (a *animation) erase(r image.Rectangle) {
	draw.Draw(a.canvas, r.Intersect(a.canvas.Rect), image.Transparent, image.Point{}, draw.Src)
}

// finish moves the result to set and returns the first frame, nil if there was
// none. more says that frames were left.
func (a *animation) finish(set *fingerprint.Set, more bool) image.Image {
	if a.first == nil {
		return nil
	}
	if a.number > 1 {
		set.Frames = a.keep.frames
	}
	if more {
		set.Unknown = "this animated picture has more frames than are fingerprinted in the time or number allowed"
		set.Fix = "review the rest by eye"
	}
	return a.first
}
