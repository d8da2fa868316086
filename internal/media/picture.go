package media

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"

	"github.com/gen2brain/avif"
	"github.com/gen2brain/heic"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/picture"
)

// errPixels is returned for a picture over the limit of pixels.
type errPixels struct {
	width, height int
	limit         int64
}

func (e errPixels) Error() string {
	return fmt.Sprintf("this picture has %d × %d pixels, more than the limit of %d megapixels", e.width, e.height, e.limit/1e6)
}

// picture fingerprints a picture, and the frames of an animated one.
func (d *decoder) picture(set *fingerprint.Set) {
	img, err := d.still(set)
	if err != nil {
		d.refuse(err, set)
	}
	if img != nil {
		set.Picture = d.compute(img)
	}
}

// compute returns all that was asked for of a decoded picture.
func (d *decoder) compute(img image.Image) *fingerprint.Picture {
	return picture.Compute(img, picture.Options{NoTrims: !d.Local, NoLocal: !d.Local, Orientation: d.orientation()})
}

// refuse says in set why a picture was not, or not wholly, decoded.
func (d *decoder) refuse(err error, set *fingerprint.Set) {
	var pixels errPixels
	switch {
	case errors.As(err, &pixels):
		set.Unknown, set.Fix = err.Error(), "make it smaller and try that, or have the operator raise the limit"
	case errors.Is(err, errBudget):
		set.Unknown = fmt.Sprintf("this %s needs more memory to decode than a worker may use", noun(d.format))
		set.Fix = "save it smaller or in another format and try that"
	case errors.Is(err, errTime):
		set.Unknown = fmt.Sprintf("this %s takes too long to decode", noun(d.format))
		set.Fix = "review it by eye; if it is genuine, save it again in a common form and try that"
	case errors.Is(err, errPartial):
		set.Unknown = fmt.Sprintf("this %s is damaged; only a part of it could be fingerprinted", noun(d.format))
		set.Fix = "get an undamaged copy, or open it in a viewer, take a screenshot and use that"
	default:
		d.refused = true
		set.Unknown, set.Fix = unknownDamaged(d.format)
	}
}

// errPartial comes with a picture of which a part is missing.
var errPartial = errors.New("media: a part of the picture is missing")

// check refuses a picture whose size is not allowed, and makes room for it.
// perPixel is how many bytes its decoder needs for each pixel at its peak.
func (d *decoder) check(width, height int, perPixel float64) error {
	if width <= 0 || height <= 0 {
		return errors.New("media: a picture without pixels")
	}
	n := int64(width) * int64(height) // both come from fields of at most 32 bits
	if width > maxSide || height > maxSide || n > d.MaxPixels {
		return errPixels{width, height, d.MaxPixels}
	}
	return d.reserve(int64(perPixel * float64(n)))
}

// start moves to the first byte.
func (d *decoder) start() io.Reader {
	_, _ = d.src.Seek(0, io.SeekStart) // a section's seek to its start cannot fail
	return d.src
}

// still decodes the picture that a viewer shows first. An animation adds its
// frames and its first picture to set itself and returns no picture. With
// errPartial comes what could be decoded.
func (d *decoder) still(set *fingerprint.Set) (image.Image, error) {
	switch d.format.Name {
	case "jpeg":
		return d.jpeg()
	case "png":
		return d.png(set)
	case "gif":
		return d.gif(set)
	case "webp":
		return d.webp(set)
	case "bmp":
		return d.simple(bmp.DecodeConfig, bmp.Decode)
	case "tiff":
		return d.simple(tiff.DecodeConfig, tiff.Decode)
	case "heic":
		return d.isobmff(heic.Decode)
	case "avif":
		return d.isobmff(avif.Decode)
	}
	return nil, fmt.Errorf("media: no decoder for %s", d.format.Name)
}

type (
	configFunc func(io.Reader) (image.Config, error)
	decodeFunc func(io.Reader) (image.Image, error)
)

// simple decodes a format whose decoder reads from start to end. If the file
// ends too early, a viewer shows the part there is, and so that is decoded.
func (d *decoder) simple(config configFunc, decode decodeFunc) (image.Image, error) {
	c, err := config(d.start())
	if err != nil {
		return nil, err
	}
	n := bytesPerPixel(c.ColorModel)
	if d.format.Name != "bmp" {
		n += n / 2 // a part of the file, or of the picture, as it is decoded
	}
	if err := d.check(c.Width, c.Height, n); err != nil {
		return nil, err
	}
	img, err := decode(d.start())
	if err == nil {
		return img, nil
	}
	if err := d.check(c.Width, c.Height, 2*n); err != nil { // two decodings
		return nil, err
	}
	return d.salvage(func(fill byte) (image.Image, error) {
		padded := &filled{src: d.src, size: d.Size + int64(c.Width)*int64(c.Height)*8 + 4096, fill: fill}
		return decode(io.NewSectionReader(padded, 0, padded.size))
	}, err)
}

// bytesPerPixel is the size of decoded pixels.
func bytesPerPixel(m color.Model) float64 {
	switch m {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.YCbCrModel:
		return 3
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	if _, ok := m.(color.Palette); ok {
		return 1
	}
	return 5
}

// filled reads as src followed by one byte again and again up to size.
type filled struct {
	src  *io.SectionReader
	size int64
	fill byte
}

func (z *filled) ReadAt(b []byte, at int64) (int, error) {
	if at >= z.size {
		return 0, io.EOF
	}
	var err error
	if rest := z.size - at; int64(len(b)) > rest {
		b, err = b[:rest], io.EOF
	}
	n := 0
	if at < z.src.Size() {
		n, _ = z.src.ReadAt(b, at) // what is missing is filled
	}
	for i := range b[n:] {
		b[n+i] = z.fill
	}
	return len(b), err
}

// maxISOBMFF is the most bytes of HEIC or AVIF, which are copied into the
// memory of their WebAssembly decoder.
const maxISOBMFF = 64 << 20

// isobmff decodes HEIC or AVIF. Their own functions for the size alone are not
// used: that of HEIC reads the first 32 KB and fails on any file with more. A
// file whose pictures are larger than it declares meets the limit of memory.
func (d *decoder) isobmff(decode decodeFunc) (image.Image, error) {
	if d.Size > maxISOBMFF {
		return nil, errBudget
	}
	b, err := io.ReadAll(d.start())
	if err != nil {
		return nil, err
	}
	w, h, err := isobmffSize(b)
	if err != nil {
		return nil, err
	}
	// Planes in the decoder's memory, and their copies there and here.
	if err := d.check(w, h, 6); err != nil {
		return nil, err
	}
	return decode(bytes.NewReader(b))
}

// jpeg decodes a JPEG; where its data ends or breaks too early, it decodes
// what comes before.
func (d *decoder) jpeg() (image.Image, error) {
	c, err := jpeg.DecodeConfig(d.start())
	if err != nil {
		return nil, err
	}
	head, err := d.jpegHeader()
	if err != nil {
		return nil, err
	}
	d.raisable = head.progressive
	if err := d.check(c.Width, c.Height, head.perPixel()); err != nil {
		return nil, err
	}
	img, err := jpeg.Decode(d.start())
	if err == nil || head.scan == 0 {
		return img, err
	}
	return d.salvageJPEG(head, c.Width, c.Height, err)
}
