package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"iter"

	"github.com/siaga-crp/siaga/fingerprint"
)

var errPNG = errors.New("media: not a PNG")

// pngChunks yields the chunks of a PNG (W3C PNG, third edition, section 5). One
// that goes past the end is yielded shortened and marked.
func (d *decoder) pngChunks() iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		at := int64(8)
		for range maxChunks {
			var h [8]byte
			if !readFull(d.src, h[:], at) {
				return
			}
			c := chunk{kind: string(h[4:]), at: at + 8, size: int64(binary.BigEndian.Uint32(h[:]))}
			at = c.at + c.size + 4
			if c.at+c.size > d.Size {
				c.size, c.cut = d.Size-c.at, true
			}
			if !yield(c) || c.cut || c.kind == "IEND" {
				return
			}
		}
	}
}

// pngHeader is the first chunk.
type pngHeader struct {
	raw           [13]byte
	width, height int
}

// depth returns bits a pixel in the file, and bytes a pixel when decoded.
func (h pngHeader) depth(transparent bool) (bits int, decoded float64) {
	depth := int(h.raw[8])
	samples := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[h.raw[9]]
	decoded = 4
	if h.raw[9] == 3 || h.raw[9] == 0 && !transparent {
		decoded = 1
	}
	if depth == 16 {
		decoded *= 2
	}
	if h.raw[12] != 0 {
		decoded *= 1.5 // the passes of an interlaced picture are pictures of their own
	}
	return depth * samples, decoded
}

// rows yields the length of each row that the picture's data inflates to, of
// each pass if interlaced: a byte that names a filter, and the pixels.
func (h pngHeader) rows(bits int) iter.Seq[int64] {
	passes := [][4]int{{0, 0, 1, 1}}
	if h.raw[12] != 0 {
		passes = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	return func(yield func(int64) bool) {
		for _, p := range passes {
			w := (h.width - p[0] + p[2] - 1) / p[2]
			for y := p[1]; y < h.height && w > 0; y += p[3] {
				if !yield((int64(w)*int64(bits)+7)/8 + 1) {
					return
				}
			}
		}
	}
}

// png decodes a PNG, and the frames of an animated one (APNG). Chunks that the
// picture does not need are never inflated.
func (d *decoder) png(set *fingerprint.Set) (image.Image, error) {
	var h pngHeader
	var parts pngParts
	animated := false
	for c := range d.pngChunks() {
		switch c.kind {
		case "IHDR":
			if c.size != 13 || !readFull(d.src, h.raw[:], c.at) {
				return nil, errPNG
			}
			w, ht := binary.BigEndian.Uint32(h.raw[0:]), binary.BigEndian.Uint32(h.raw[4:])
			h.width, h.height = int(min(w, 1<<30)), int(min(ht, 1<<30))
		case "acTL":
			animated = parts.data == nil
		case "PLTE", "tRNS":
			if len(parts.common) < 2 {
				parts.common = append(parts.common, c)
			}
		case "IDAT":
			parts.data = append(parts.data, c)
		}
	}
	if h.width == 0 || len(parts.data) == 0 {
		return nil, errPNG
	}
	_, decoded := h.depth(parts.has("tRNS"))
	if err := d.check(h.width, h.height, decoded+0.5); err != nil {
		return nil, err
	}
	if animated {
		if err := d.apng(h, parts, set); set.Picture != nil {
			return nil, err
		}
	}
	img, err := png.Decode(d.start())
	if err == nil {
		return img, nil
	}
	return d.salvagePNG(h, parts, err)
}

// pngParts are the chunks that make a picture.
type pngParts struct {
	common []chunk // PLTE, tRNS
	data   []chunk // IDAT, or fdAT, whose first four bytes are a number
	frame  bool    // data is fdAT
}

func (p pngParts) has(kind string) bool {
	for _, c := range p.common {
		if c.kind == kind {
			return true
		}
	}
	return false
}

// reader returns the compressed data.
func (p pngParts) reader(src io.ReaderAt) io.Reader {
	var all []io.Reader
	for _, c := range p.data {
		skip := int64(0)
		if p.frame {
			skip = min(4, c.size)
		}
		all = append(all, io.NewSectionReader(src, c.at+skip, c.size-skip))
	}
	return io.MultiReader(all...)
}

// file returns a PNG of this size made of the parts, with data as its
// compressed content.
func (p pngParts) file(src io.ReaderAt, h pngHeader, data []byte) ([]byte, error) {
	b := []byte("\x89PNG\r\n\x1a\n")
	b = appendPNG(b, "IHDR", h.raw[:])
	for _, c := range p.common {
		content := make([]byte, min(c.size, 3*256))
		if !readFull(src, content, c.at) {
			return nil, errPNG
		}
		b = appendPNG(b, c.kind, content)
	}
	b = appendPNG(b, "IDAT", data)
	return appendPNG(b, "IEND", nil), nil
}

func appendPNG(b []byte, kind string, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	start := len(b)
	b = append(append(b, kind...), content...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// salvagePNG decodes what can be inflated of a PNG that ends too early or has
// wrong checksums. why is what its decoder said.
func (d *decoder) salvagePNG(h pngHeader, parts pngParts, why error) (image.Image, error) {
	bits, decoded := h.depth(parts.has("tRNS"))
	size := int64(0)
	for n := range h.rows(bits) {
		size += n
	}
	if size <= 0 || bits == 0 {
		return nil, why
	}
	// The data as inflated and as a file, and two decodings.
	if err := d.check(h.width, h.height, 2*decoded+3*float64(size)/float64(int64(h.width)*int64(h.height))); err != nil {
		return nil, why
	}
	z, err := zlib.NewReader(parts.reader(d.src))
	if err != nil {
		return nil, why
	}
	raw := make([]byte, size)
	n, err := io.ReadFull(z, raw)
	if n == 0 {
		return nil, why
	}
	there := int64(n)
	at := int64(0)
	for row := range h.rows(bits) { // from a row whose filter is not one, nothing can be decoded
		if at < there && raw[at] > 4 {
			there = at
			break
		}
		at += row
	}
	decode := func(fill byte) (image.Image, error) {
		for i := range raw[there:] {
			raw[there+int64(i)] = fill
		}
		at := int64(0)
		for row := range h.rows(bits) {
			if at >= there {
				raw[at] = 0
			}
			at += row
		}
		b, err := parts.file(d.src, h, stored(raw))
		if err != nil {
			return nil, err
		}
		return png.Decode(bytes.NewReader(b))
	}
	if err == nil && there == size { // only checksums were wrong
		img, err := decode(0)
		if err != nil {
			return nil, why
		}
		return img, nil
	}
	return d.salvage(decode, why)
}

// stored returns raw as a zlib stream that is not compressed (RFC 1950, 1951).
func stored(raw []byte) []byte {
	const most = 65535
	b := make([]byte, 0, len(raw)+len(raw)/most*5+16)
	b = append(b, 0x78, 0x01)
	for rest := raw; ; {
		n := min(len(rest), most)
		last := byte(0)
		if n == len(rest) {
			last = 1
		}
		b = append(b, last, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		b = append(b, rest[:n]...)
		if rest = rest[n:]; last == 1 {
			break
		}
	}
	return binary.BigEndian.AppendUint32(b, adler32.Checksum(raw))
}

// apng decodes an animated PNG (W3C PNG, third edition, 11.3.5). It leaves
// set.Picture nil where the animation has no frame that can be decoded.
func (d *decoder) apng(h pngHeader, still pngParts, set *fingerprint.Set) error {
	// Canvas, the canvas before, the frame and its parts.
	if err := d.check(h.width, h.height, 18); err != nil {
		return err
	}
	a := d.animation(h.width, h.height, set)
	var previous []uint8
	more := true
	flush := func(control []byte, parts pngParts) bool {
		f := binary.BigEndian.Uint32
		w, ht, x, y := f(control[4:]), f(control[8:]), f(control[12:]), f(control[16:])
		if w == 0 || ht == 0 || uint64(x)+uint64(w) > uint64(h.width) || uint64(y)+uint64(ht) > uint64(h.height) || len(parts.data) == 0 {
			return false
		}
		fh := h
		binary.BigEndian.PutUint32(fh.raw[0:], w)
		binary.BigEndian.PutUint32(fh.raw[4:], ht)
		data, err := io.ReadAll(parts.reader(d.src))
		if err != nil {
			return false
		}
		b, err := parts.file(d.src, fh, data)
		if err != nil {
			return false
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			return false
		}
		num, den := float64(binary.BigEndian.Uint16(control[20:])), float64(binary.BigEndian.Uint16(control[22:]))
		if den == 0 {
			den = 100
		}
		dispose, blend := control[24], control[25]
		r := image.Rect(int(x), int(y), int(x+w), int(y+ht))
		if dispose == 2 {
			previous = append(previous[:0], a.canvas.Pix...)
		}
		a.draw(r, img, blend == 1)
		more = a.show(num / den)
		switch dispose {
		case 1:
			a.erase(r)
		case 2:
			copy(a.canvas.Pix, previous)
		}
		return more
	}

	var control []byte
	parts := pngParts{common: still.common}
	for c := range d.pngChunks() {
		switch c.kind {
		case "fcTL":
			if control != nil && !flush(control, parts) {
				return a.finish(!more)
			}
			control = make([]byte, 26)
			if c.size != 26 || !readFull(d.src, control, c.at) {
				_ = a.finish(false)
				return errPartial
			}
			parts.data, parts.frame = nil, false
		case "IDAT":
			if control != nil { // else it is the still picture for those who know no animation
				parts.data = append(parts.data, c)
			}
		case "fdAT":
			parts.data, parts.frame = append(parts.data, c), true
		}
	}
	if control != nil {
		flush(control, parts)
	}
	return a.finish(!more)
}
