package pdq

import (
	"fmt"
	"image"
)

//go:generate go run -C gen . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg pdq

// minSide is the least width and height of a picture that the reference
// hashes.
const minSide = 5

// Hasher computes hashes one after another, keeping its buffers, so that it
// allocates nothing once it has seen the largest width and height. The zero
// value is ready. It must not be used by two goroutines at once.
//
// Each Hash method reads a picture's pixels as they are stored, without regard
// to EXIF orientation, and returns the hash and its quality; Dihedral then
// gives the other seven. A picture under 5 pixels wide or high has an all-zero
// hash of quality 0, as in the reference.
//
// Colours are made luma as JPEG does it: 0.299 red + 0.587 green + 0.114 blue.
// What is transparent shows a white ground. Images of package image must be
// consistent, as its own methods ask: one whose buffer is too short panics.
type Hasher struct {
	src        source
	xs, ys     axis
	ones       []int32
	row        []int32 // luma of row rowRead
	rowRead    int
	buf        buffers
	columns    columns
	thumb      thumbnail
	spectrum   spectrum
	unhashable bool
}

// Hash returns the hash of all of img.
func (h *Hasher) Hash(img image.Image) Result {
	return h.HashRect(img, img.Bounds())
}

// HashRect returns the hash of the part of img within r, as if it were a
// picture of its own. Nothing is copied, so that a batch of crops of one
// picture costs their pixels only. (Where a JPEG's chroma is upsampled, it is
// from all of img, as in a crop of the decoded picture.)
func (h *Hasher) HashRect(img image.Image, r image.Rectangle) Result {
	h.src.open(img, r)
	return h.hash()
}

// HashRGB returns the hash of a picture of 3 bytes a pixel, red first, its rows
// stride bytes apart. It panics if pix is too short.
func (h *Hasher) HashRGB(pix []uint8, stride, width, height int) Result {
	checkPlane(len(pix), stride, width, height, 3)
	h.src = source{kind: kindRGB, pix: pix, stride: stride, w: width, h: height, scale: scale8}
	return h.hash()
}

// HashLuma8 returns the hash of a picture that is luma already, one byte a
// pixel from 0 (black) to 255 (white), its rows stride bytes apart. It panics
// if pix is too short.
func (h *Hasher) HashLuma8(pix []uint8, stride, width, height int) Result {
	checkPlane(len(pix), stride, width, height, 1)
	h.src = source{kind: kindGray, pix: pix, stride: stride, w: width, h: height, scale: scale8}
	return h.hash()
}

// HashLuma32 is HashLuma8 for values from 0 to 255 with fractions; stride
// counts values. A plane with an infinity, a NaN or values far outside that
// range has an all-zero hash of quality 0.
func (h *Hasher) HashLuma32(pix []float32, stride, width, height int) Result {
	checkPlane(len(pix), stride, width, height, 1)
	if h.start(width, height) {
		h.thumbnail32(pix, stride)
		h.unhashable = !h.thumb.sane()
	}
	return h.finish()
}

// Dihedral returns the hashes of the last picture and of it turned and
// mirrored: original, rotate90, rotate180, rotate270, flipX, flipY, flipPlus1,
// flipMinus1, the names and the order of the reference.
func (h *Hasher) Dihedral() (hashes [8]Hash) {
	if h.unhashable {
		return hashes
	}
	return h.spectrum.dihedral()
}

// checkPlane panics with what is wrong if a plane cannot be of this size.
func checkPlane(length, stride, width, height, bytes int) {
	if width <= 0 || height <= 0 {
		return // hashed as too small
	}
	if stride/bytes < width || (length-width*bytes)/stride < height-1 || length < width*bytes {
		panic(fmt.Sprintf("pdq: a buffer of %d values with stride %d cannot hold %d by %d pixels of %d each",
			length, stride, width, height, bytes))
	}
}

func (h *Hasher) hash() Result {
	if h.start(h.src.w, h.src.h) {
		h.thumbnail()
	}
	return h.finish()
}

// start plans a picture's axes and reports whether it is large enough.
func (h *Hasher) start(width, height int) bool {
	h.unhashable = width < minSide || height < minSide
	if h.unhashable {
		return false
	}
	h.xs.set(width)
	h.ys.set(height)
	for len(h.ones) < max(h.xs.w, h.ys.w) {
		h.ones = append(h.ones, 1)
	}
	return true
}

func (h *Hasher) finish() Result {
	h.src = source{} // do not keep the caller's picture alive
	if h.unhashable {
		return Result{}
	}
	h.spectrum.transform(&h.thumb)
	hash, _ := h.spectrum.hash(signs{{1, 1}, {1, 1}})
	return Result{Hash: hash, Quality: h.thumb.quality()}
}

// thumbnail reads the picture into h.thumb.
func (h *Hasher) thumbnail() {
	h.prepare(h.src.w)

	// Rows are summed with the whole weights of both axes, and only the last
	// step divides, so that the result does not depend on the order of sums.
	// The largest sum, of a white picture of 16 bits, is 2^26 w*w*w'*w', where
	// w and w' are the widths of both averages: in 63 bits up to 2^18 w*w'.
	var sums [side + 1]int64
	var tail [side]float64 // part one of a clipped last row
	for i := range h.ys.samples() {
		if i == 0 || i == side || h.ys.start[i] != h.ys.start[i-1] {
			h.sumRows(i, &sums)
		}
		out := &tail
		if i < side {
			out = &h.thumb[i]
		}
		for j := range out {
			out[j] = float64(sums[j])
		}
		h.xs.join(out, float64(sums[side]))
	}
	h.divide(&tail, float64(h.src.scale))
}

// thumbnail32 is thumbnail for a plane of 32-bit values.
func (h *Hasher) thumbnail32(pix []float32, stride int) {
	var sums [side + 1]float64
	var tail [side]float64
	columns := h.xs.samples()
	for i := range h.ys.samples() {
		clear(sums[:])
		y0, weights := h.ys.weights(i, h.ones)
		for k, weight := range weights {
			row := pix[(y0+k)*stride:][:h.xs.n]
			for j := range columns {
				x0, weights := h.xs.weights(j, h.ones)
				sum := 0.0
				for n, w := range weights {
					sum += float64(float64(w) * float64(row[x0+n]))
				}
				sums[j] += float64(float64(weight) * sum)
			}
		}
		out := &tail
		if i < side {
			out = &h.thumb[i]
		}
		copy(out[:], sums[:side])
		h.xs.join(out, sums[side])
	}
	h.divide(&tail, 1)
}

// divide joins the two parts of a clipped last row and turns sums of luma
// times scale into luma.
func (h *Hasher) divide(tail *[side]float64, scale float64) {
	last := &h.thumb[side-1]
	for j := range last {
		if h.ys.clipped {
			last[j] += float64(tail[j]*float64(h.ys.w)) / float64(h.ys.w-1)
		}
	}
	// A quotient is rounded once, so that it is the same for 8 and 16 bits.
	square := float64(h.xs.w*h.xs.w) * float64(h.ys.w*h.ys.w) * scale
	for i := range h.thumb {
		row := &h.thumb[i]
		for j := range row {
			row[j] /= square
		}
	}
}

// join adds the second part of a clipped last sample to the first, with the
// divisor that the others have.
func (a *axis) join(samples *[side]float64, second float64) {
	if a.clipped {
		samples[side-1] += float64(second*float64(a.w)) / float64(a.w-1)
	}
}

// Compute returns the hash of img and its quality; see Hasher for what is
// hashed. It may be called concurrently. A caller with many pictures saves
// allocations with a Hasher.
func Compute(img image.Image) Result {
	var h Hasher
	return h.Hash(img)
}

// ComputeDihedral returns what Compute does, and the hashes of the picture
// turned and mirrored in the order of Hasher.Dihedral, the first that of the
// picture itself.
func ComputeDihedral(img image.Image) (Result, [8]Hash) {
	var h Hasher
	r := h.Hash(img)
	return r, h.Dihedral()
}

// FromLuma8 is ComputeDihedral for a plane of luma; see Hasher.HashLuma8.
func FromLuma8(pix []uint8, stride, width, height int) (Result, [8]Hash) {
	var h Hasher
	r := h.HashLuma8(pix, stride, width, height)
	return r, h.Dihedral()
}

// FromLuma32 is ComputeDihedral for a plane of 32-bit luma; see
// Hasher.HashLuma32.
func FromLuma32(pix []float32, stride, width, height int) (Result, [8]Hash) {
	var h Hasher
	r := h.HashLuma32(pix, stride, width, height)
	return r, h.Dihedral()
}
