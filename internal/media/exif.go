package media

import (
	"encoding/binary"
	"io"
)

// maxEXIF is how much of an EXIF block is read.
const maxEXIF = 64 << 10

// exifOrientation returns the orientation, 1 to 8, of the first directory of a
// TIFF structure (Exif 2.32, 4.6.5; TIFF 6.0, section 2), or 0. Other
// directories, such as a thumbnail's, are never followed.
func exifOrientation(r io.ReaderAt, size int64) int {
	var head [8]byte
	if !readFull(r, head[:], 0) {
		return 0
	}
	var order binary.ByteOrder
	switch string(head[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(head[4:]))
	var count [2]byte
	if at < 8 || at > size || !readFull(r, count[:], at) {
		return 0
	}
	for i := range int64(min(order.Uint16(count[:]), 1000)) {
		var e [12]byte
		if !readFull(r, e[:], at+2+12*i) {
			return 0
		}
		if order.Uint16(e[:]) == 0x0112 && order.Uint16(e[2:]) == 3 && order.Uint32(e[4:]) == 1 {
			if o := int(order.Uint16(e[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 0
		}
	}
	return 0
}

// readFull reports whether all of b could be read from r at a place.
func readFull(r io.ReaderAt, b []byte, at int64) bool {
	n, _ := r.ReadAt(b, at) // an error is a short read, and too little is what counts
	return n == len(b)
}

// orientation finds the EXIF orientation of the picture, 0 if it has none. HEIC
// and AVIF keep theirs in boxes that their decoders obey.
func (d *decoder) orientation() int {
	switch d.format.Name {
	case "jpeg":
		h, err := d.jpegHeader()
		if err != nil {
			return 0
		}
		return h.orientation
	case "tiff":
		return exifOrientation(d.src, d.Size)
	case "png":
		for c := range d.pngChunks() {
			if c.kind == "eXIf" {
				return exifOrientation(io.NewSectionReader(d.src, c.at, c.size), min(c.size, maxEXIF))
			}
		}
	case "webp":
		for c := range riffChunks(d.src, 12, d.Size) {
			if c.kind == "EXIF" {
				at, size := c.at, c.size
				var mark [6]byte // some writers keep JPEG's mark
				if size > 6 && readFull(d.src, mark[:], at) && string(mark[:]) == "Exif\x00\x00" {
					at, size = at+6, size-6
				}
				return exifOrientation(io.NewSectionReader(d.src, at, size), min(size, maxEXIF))
			}
		}
	}
	return 0
}

// chunk is a named part of a file.
type chunk struct {
	kind string // four characters
	at   int64  // of its content
	size int64  // of its content, within the file
	cut  bool   // the file ends before the content does
}

// maxChunks is how many chunks of a file are looked at.
const maxChunks = 1 << 20
