package media

import (
	"bytes"
	"image"
)

// maxMissing is the greatest part of a picture that may be missing for the rest
// to be guessed without a word about it.
const maxMissing = 0.03

// salvage decodes a picture of which a part is missing. decode decodes it with
// bytes of one kind in place of what is missing; done twice with different
// bytes, what differs is what is missing. It is filled by repeating the row
// above (below, in files that begin at the bottom), which is nearer to what was
// there than grey or black. why is what the decoder said of the file itself.
func (d *decoder) salvage(decode func(fill byte) (image.Image, error), why error) (image.Image, error) {
	img, err := decode(0)
	if err != nil {
		return nil, why
	}
	for _, fill := range []byte{0xa5, 0x2a, 0x5c} {
		if other, err := decode(fill); err == nil {
			return img, repair(img, other)
		}
	}
	return img, errPartial
}

// plane is one of the arrays of an image: rows of bytes.
type plane struct {
	pix    []uint8
	stride int
	rows   int // how many there are
	high   int // how many rows of the picture each covers
}

// planes returns the arrays of the images that decoders make.
func planes(img image.Image) []plane {
	h := img.Bounds().Dy()
	one := func(pix []uint8, stride int) []plane { return []plane{{pix, stride, h, 1}} }
	switch p := img.(type) {
	case *image.Gray:
		return one(p.Pix, p.Stride)
	case *image.Gray16:
		return one(p.Pix, p.Stride)
	case *image.Paletted:
		return one(p.Pix, p.Stride)
	case *image.RGBA:
		return one(p.Pix, p.Stride)
	case *image.RGBA64:
		return one(p.Pix, p.Stride)
	case *image.NRGBA:
		return one(p.Pix, p.Stride)
	case *image.NRGBA64:
		return one(p.Pix, p.Stride)
	case *image.CMYK:
		return one(p.Pix, p.Stride)
	case *image.YCbCr:
		return ycbcrPlanes(p)
	case *image.NYCbCrA:
		return append(ycbcrPlanes(&p.YCbCr), plane{p.A, p.AStride, h, 1})
	}
	return nil
}

func ycbcrPlanes(p *image.YCbCr) []plane {
	h := p.Rect.Dy()
	high := 1
	switch p.SubsampleRatio {
	case image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio410:
		high = 2
	}
	rows := (h + high - 1) / high
	return []plane{{p.Y, p.YStride, h, 1}, {p.Cb, p.CStride, rows, high}, {p.Cr, p.CStride, rows, high}}
}

// repair fills what differs in two decodings of one picture, in the first of
// them, and returns errPartial if that is much.
func repair(img, other image.Image) error {
	ours, theirs := planes(img), planes(other)
	if len(ours) == 0 || len(ours) != len(theirs) || img.Bounds() != other.Bounds() {
		return errPartial
	}
	missing := 0.0
	for i, p := range ours {
		lost := 0.0
		top := 0 // rows at the top that have none above to repeat
		for y := range p.rows {
			row := p.row(y)
			at := firstDifference(row, theirs[i].row(y))
			if at == len(row) {
				continue
			}
			lost += 1 - float64(at)/float64(len(row))
			if y == top {
				top++
				continue
			}
			copy(row[at:], p.row(y - 1)[at:])
		}
		if top < p.rows {
			for y := top - 1; y >= 0; y-- {
				copy(p.row(y), p.row(y+1))
			}
		}
		missing = max(missing, lost/float64(p.rows))
	}
	if missing > maxMissing {
		return errPartial
	}
	return nil
}

// firstDifference returns where two rows begin to differ, or their length.
func firstDifference(a, b []uint8) int {
	if bytes.Equal(a, b) {
		return len(a)
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// row returns row y; the last one may lack the padding of the others.
func (p plane) row(y int) []uint8 {
	return p.pix[min(y*p.stride, len(p.pix)):min((y+1)*p.stride, len(p.pix))]
}

// repeatRow writes the last of the good rows over those below and returns
// errPartial if there were too few.
func repeatRow(img image.Image, good int) error {
	height := img.Bounds().Dy()
	if good <= 0 || good > height {
		return errPartial
	}
	for _, p := range planes(img) {
		last := good / p.high
		if last == 0 {
			continue
		}
		from := p.row(last - 1)
		for y := last; y < p.rows; y++ {
			copy(p.row(y), from)
		}
	}
	if float64(good) < (1-maxMissing)*float64(height) {
		return errPartial
	}
	return nil
}
