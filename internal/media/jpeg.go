package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"io"
)

// jpegHeader is what we read of a JPEG ourselves (ITU-T T.81, annex B), up to
// its first scan.
type jpegHeader struct {
	progressive bool
	components  int
	orientation int
	scan        int64 // where the first scan's data starts; 0 if there is none
}

// perPixel is how many bytes the decoder needs for each pixel: its planes,
// coefficients of 32 bits each until the end of a progressive picture, and the
// result of four components.
func (h jpegHeader) perPixel() float64 {
	n := float64(h.components)
	if h.progressive {
		n *= 5
	}
	if h.components == 4 {
		n += 5
	}
	return n
}

var errJPEG = errors.New("media: not a JPEG")

// jpegHeader reads the header. Segments are skipped, never kept.
func (d *decoder) jpegHeader() (h jpegHeader, err error) {
	h.components = 3
	at := int64(2)
	for range maxSegments {
		var b [4]byte
		if !readFull(d.src, b[:2], at) {
			return h, nil // ends too early; its decoder will say so
		}
		if b[0] != 0xff {
			at++ // junk between segments, which decoders skip
			continue
		}
		marker := b[1]
		switch {
		case marker == 0xff:
			at++
			continue
		case marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8:
			at += 2
			continue
		case marker == 0xd9:
			return h, nil
		}
		if !readFull(d.src, b[:], at) {
			return h, nil
		}
		size := int64(binary.BigEndian.Uint16(b[2:]))
		if size < 2 {
			return h, errJPEG
		}
		switch {
		case marker == 0xda:
			h.scan = at + 2 + size
			return h, nil
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			var sof [6]byte
			if readFull(d.src, sof[:], at+4) {
				h.progressive, h.components = marker&3 == 2, int(sof[5])
			}
		case marker == 0xe1 && h.orientation == 0 && size > 8:
			var mark [6]byte
			if readFull(d.src, mark[:], at+4) && string(mark[:]) == "Exif\x00\x00" {
				h.orientation = exifOrientation(io.NewSectionReader(d.src, at+10, size-8), size-8)
			}
		}
		at += 2 + size
	}
	return h, errJPEG
}

// maxSegments is how many steps jpegHeader takes: segments and bytes of junk.
const maxSegments = 1 << 16

// salvageJPEG decodes a JPEG whose data ends or breaks in a scan, as viewers
// do: what comes before is shown. why is what its decoder said.
//
// Of a progressive picture, the scans before are the whole picture with less
// detail. Otherwise the bytes from the fault on are replaced by others, which
// nearly always decode to something, as nearly all codes are taken.
func (d *decoder) salvageJPEG(h jpegHeader, width, height int, why error) (image.Image, error) {
	fault := d.Size
	if !errors.Is(why, io.ErrUnexpectedEOF) && !errors.Is(why, io.EOF) {
		// Where it broke is found by decoding once more, in small reads.
		slow := &slowReader{r: io.NewSectionReader(d.src, 0, d.Size)}
		_, err := jpeg.Decode(slow)
		if err == nil || slow.n <= h.scan {
			return nil, why
		}
		fault = max(slow.n-2*slowRead, h.scan)
	}
	if h.scan == 0 || fault <= h.scan {
		return nil, why // no pixel of it is there
	}
	end := bytes.NewReader([]byte{0xff, 0xd9})
	if h.progressive {
		if img, err := jpeg.Decode(io.MultiReader(io.NewSectionReader(d.src, 0, fault), end)); err == nil {
			return img, nil // all scans are there, only the end is not
		}
		end.Reset([]byte{0xff, 0xd9})
		if at := d.lastScan(h.scan, fault); at > 0 {
			img, err := jpeg.Decode(io.MultiReader(io.NewSectionReader(d.src, 0, at), end))
			if err == nil {
				if at < d.Size/3 {
					return img, errPartial
				}
				return img, nil
			}
		}
	}
	// Two decodings are kept at a time.
	if err := d.check(width, height, 2*h.perPixel()); err != nil {
		return nil, why
	}
	missing := int64(width)*int64(height)*2 + 1<<16
	return d.salvage(func(fill byte) (image.Image, error) {
		return jpeg.Decode(io.MultiReader(
			io.NewSectionReader(d.src, 0, fault),
			io.LimitReader(repeated(fill), missing),
			bytes.NewReader([]byte{0xff, 0xd9}),
		))
	}, why)
}

// lastScan returns where the last scan header before end starts, or 0 if it is
// the first one, whose data starts at first.
func (d *decoder) lastScan(first, end int64) int64 {
	r := bufio.NewReaderSize(io.NewSectionReader(d.src, first, end-first), 64<<10)
	last, at := int64(0), first
	for prev := byte(0); ; at++ {
		b, err := r.ReadByte()
		if err != nil {
			return last
		}
		if prev == 0xff && b == 0xda {
			last = at - 1
		}
		prev = b
	}
}

// slowRead is how many bytes slowReader returns at a time.
const slowRead = 128

// slowReader counts what was read.
type slowReader struct {
	r io.Reader
	n int64
}

func (s *slowReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b[:min(len(b), slowRead)])
	s.n += int64(n)
	return n, err
}

// repeated reads one byte without end.
type repeated byte

func (r repeated) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}
