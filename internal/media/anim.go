package media

import (
	"image"
	"image/color"
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
	d       *decoder
	set     *fingerprint.Set
	canvas  *image.RGBA
	keep    *sampler
	hasher  pdq.Hasher
	number  int
	seconds float64
	shown   time.Time // when show was last called
}

// animation starts one on a canvas that check has let pass.
func (d *decoder) animation(width, height int, set *fingerprint.Set) *animation {
	return &animation{d: d, set: set, canvas: image.NewRGBA(image.Rect(0, 0, width, height)), keep: newSampler(d.MaxFrames)}
}

// show takes the canvas as it is for one frame of this duration, and reports
// whether there is time and room for more.
func (a *animation) show(seconds float64) bool {
	if a.set.Picture == nil {
		a.set.Picture = a.d.compute(a.canvas)
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
	// The next frame may take as long as this one did.
	now := time.Now()
	took := now.Sub(a.shown)
	if a.shown.IsZero() {
		took = 0
	}
	a.shown = now
	return a.number < maxAnimation && now.Add(took).Before(a.d.deadline)
}

// draw puts a frame onto the canvas, over it or in its place.
func (a *animation) draw(r image.Rectangle, img image.Image, over bool) {
	op := draw.Src
	if over {
		op = draw.Over
	}
	draw.Draw(a.canvas, r.Intersect(a.canvas.Rect), img, img.Bounds().Min, op)
}

// drawPaletted is draw over the canvas for GIF, many times as fast.
func (a *animation) drawPaletted(r image.Rectangle, img *image.Paletted) {
	var colours [256][4]uint8
	for i, c := range img.Palette {
		if rgba, ok := c.(color.RGBA); ok && i < len(colours) {
			colours[i] = [4]uint8{rgba.R, rgba.G, rgba.B, rgba.A}
		}
	}
	part := r.Intersect(a.canvas.Rect)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		from := img.Pix[(y-r.Min.Y)*img.Stride+part.Min.X-r.Min.X:][:part.Dx()]
		to := a.canvas.Pix[y*a.canvas.Stride+4*part.Min.X:][:4*part.Dx()]
		for x, i := range from {
			if c := &colours[i]; c[3] != 0 {
				copy(to[4*x:4*x+4], c[:])
			}
		}
	}
}

// erase makes a part of the canvas transparent.
func (a *animation) erase(r image.Rectangle) {
	draw.Draw(a.canvas, r.Intersect(a.canvas.Rect), image.Transparent, image.Point{}, draw.Src)
}

// finish moves the frames to the set. more says that some were left; it is an
// error if there was none.
func (a *animation) finish(more bool) error {
	if a.number == 0 {
		return errNoFrames
	}
	if a.number > 1 {
		a.set.Frames = a.keep.frames
	}
	if more {
		a.set.Unknown = "this animated picture has more frames than are fingerprinted in the time or number allowed"
		a.set.Fix = "review the rest by eye"
	}
	return nil
}
