package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// built makes hostile files by construction: each structure of each format cut
// off, lied about, nested, repeated or put in front of another. Of a picture
// it must hold that it is fingerprinted or said to be unknown (answered);
// nothing that a viewer may show is passed over in silence.
type built struct {
	t    testing.TB
	list []hostile
}

func (c *built) read(name string) []byte {
	c.t.Helper()
	b, err := os.ReadFile(pictures + name)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *built) add(h hostile) { c.list = append(c.list, h) }

// answered adds files that must be fingerprinted or unknown.
func (c *built) answered(data []byte, name string, args ...any) {
	c.add(hostile{name: fmt.Sprintf(name, args...), data: data, answered: true})
}

// unknown adds files that must be unknown.
func (c *built) unknown(data []byte, name string, args ...any) {
	c.add(hostile{name: fmt.Sprintf(name, args...), data: data, unknown: true})
}

// same adds files that must have the fingerprint of one of the pictures.
func (c *built) same(as string, data []byte, name string, args ...any) {
	c.add(hostile{name: fmt.Sprintf(name, args...), data: data, picture: true, as: as})
}

// inert adds files that must be neither pictures nor videos.
func (c *built) inert(data []byte, name string, args ...any) {
	c.add(hostile{name: fmt.Sprintf(name, args...), data: data, inert: true})
}

// constructed are the files that are made by construction.
func constructed(t testing.TB, canaryFile, canaryAddr string) []hostile {
	c := &built{t: t}
	c.cutPNG()
	c.lyingPNG()
	c.cutJPEG()
	c.lyingJPEG()
	c.lyingGIF()
	c.lyingBMP()
	c.lyingTIFF()
	c.lyingWebP()
	c.boxes()
	c.disguised()
	c.scripts(canaryFile, canaryAddr)
	c.nested()
	return c.list
}

// pngChunks returns where each chunk of a PNG begins, and its end.
func pngChunks(b []byte) (at []int) {
	for i := 8; i+12 <= len(b); i += 12 + int(binary.BigEndian.Uint32(b[i:])) {
		at = append(at, i)
	}
	return append(at, len(b))
}

func (c *built) cutPNG() {
	for _, file := range []string{"base.png", "interlaced.png", "palette.png", "sixteen.png", "animated.png", "exif.png"} {
		b := c.read(file)
		at, seen := pngChunks(b), false
		for i, from := range at[:len(at)-1] {
			kind, end := string(b[from+4:from+8]), at[i+1]
			for _, cut := range []int{from, from + 4, from + 8, (from + end) / 2, end - 4, end - 1} {
				if file == "animated.png" && i > 6 && cut != from {
					continue
				}
				if seen || kind == "IDAT" {
					c.answered(b[:cut], "%s cut in %s at %d.png", file, kind, cut)
				} else {
					c.unknown(b[:cut], "%s cut in %s at %d.png", file, kind, cut)
				}
			}
			seen = seen || kind == "IDAT"
		}
	}
	b := c.read("base.png")
	c.same("base.png", b[:len(b)-12], "without-its-end.png")
	c.same("base.png", append(bytes.Clone(b), b...), "twice.png")
}

func (c *built) lyingPNG() {
	b := c.read("base.png")
	head := bytes.Clone(b[16:29])
	lie := func(name string, change func(h []byte)) {
		h := bytes.Clone(head)
		change(h)
		c.answered(append(appendPNG(bytes.Clone(b[:8]), "IHDR", h), b[33:]...), "%s.png", name)
	}
	for _, v := range []uint32{0, 1, 4, 60, 65535, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		lie(fmt.Sprint("width-", v), func(h []byte) { binary.BigEndian.PutUint32(h, v) })
		lie(fmt.Sprint("height-", v), func(h []byte) { binary.BigEndian.PutUint32(h[4:], v) })
	}
	for _, v := range []byte{0, 1, 2, 4, 7, 16, 255} {
		lie(fmt.Sprint("depth-", v), func(h []byte) { h[8] = v })
	}
	for _, v := range []byte{0, 1, 3, 4, 5, 6, 7, 255} {
		lie(fmt.Sprint("kind-", v), func(h []byte) { h[9] = v })
	}
	for i, what := range []string{"compression", "filter", "interlace"} {
		for _, v := range []byte{1, 2, 255} {
			lie(fmt.Sprint(what, "-", v), func(h []byte) { h[10+i] = v })
		}
	}
	for _, v := range []uint32{0, 1, 0x7fffffff, 0xffffffff} {
		for i, from := range pngChunks(b) {
			if i > 2 || from == len(b) {
				break
			}
			x := bytes.Clone(b)
			binary.BigEndian.PutUint32(x[from:], v)
			c.answered(x, "chunk-%d-of-length-%d.png", i, v)
		}
	}
	x := bytes.Clone(b)
	x[len(x)-20] ^= 1
	c.answered(x, "wrong-checksum.png")
	c.answered(append(bytes.Clone(b[:33]), appendPNG(nil, "IHDR", append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 60000), 60000), 8, 6, 0, 0, 0))...), "two-heads.png")
	c.answered(pngOf(120, 96, 8, 3, "IDAT", zeros(121*96)), "palette-missing.png")
	c.answered(pngOf(120, 96, 8, 3, "PLTE", make([]byte, 3000), "IDAT", zeros(121*96)), "palette-of-1000.png")
	c.answered(pngOf(120, 96, 8, 3, "PLTE", []byte{1, 2, 3}, "tRNS", make([]byte, 3000), "IDAT", zeros(121*96)), "transparency-of-3000.png")
	filters := bytes.Repeat(append([]byte{9}, make([]byte, 120)...), 96)
	c.answered(pngOf(120, 96, 8, 0, "IDAT", deflated(filters)), "filter-9.png")
	c.answered(pngOf(120, 96, 8, 0, "IDAT", []byte{0x78, 0x9c, 0xff, 0xff, 0xff}), "broken-deflate.png")
	c.answered(pngOf(120, 96, 8, 0, "IDAT", []byte{0x78, 0xbb, 0, 0, 0, 1}), "preset-dictionary.png")
}

// jpegSegments returns where each segment before the scan begins, the scan
// last.
func jpegSegments(b []byte) (at []int) {
	for i := 2; i+4 <= len(b) && b[i] == 0xff; i += 2 + int(binary.BigEndian.Uint16(b[i+2:])) {
		at = append(at, i)
		if b[i+1] == 0xda {
			break
		}
	}
	return at
}

func (c *built) cutJPEG() {
	for _, file := range []string{"baseline.jpg", "progressive.jpg", "cmyk.jpg", "restart.jpg", "exif.jpg"} {
		b := c.read(file)
		at := jpegSegments(b)
		for i, from := range at {
			if i == 0 {
				c.inert(b[:from], "%s cut before its first segment.jpg", file)
				continue
			}
			c.unknown(b[:from], "%s cut before %#x at %d.jpg", file, b[from+1], from)
			c.unknown(b[:from+3], "%s cut in the length of %#x at %d.jpg", file, b[from+1], from)
			c.unknown(b[:from+5], "%s cut in %#x at %d.jpg", file, b[from+1], from)
		}
		scan := at[len(at)-1]
		for _, part := range []int{1, 5, 50, 90, 99} {
			c.answered(b[:scan+(len(b)-scan)*part/100], "%s with %d of 100 of its scans.jpg", file, part)
		}
		if file != "restart.jpg" {
			c.same(file, b[:len(b)-2], "%s without its end.jpg", file)
		}
	}
}

func (c *built) lyingJPEG() {
	b := c.read("baseline.jpg")
	lie := func(marker byte, at int, v byte, name string) {
		x := bytes.Clone(b)
		for _, from := range jpegSegments(b) {
			if x[from+1] == marker {
				x[from+at] = v
				c.answered(x, "%s-%d.jpg", name, v)
				return
			}
		}
		c.t.Fatalf("baseline.jpg has no %#x", marker)
	}
	for _, v := range []byte{0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf} {
		lie(0xc0, 1, v, "frame-marker")
	}
	for _, v := range []byte{0, 7, 12, 16, 255} {
		lie(0xc0, 4, v, "precision")
	}
	for _, v := range []byte{0, 0x40, 0xff} {
		lie(0xc0, 5, v, "height-high")
		lie(0xc0, 7, v, "width-high")
	}
	for _, v := range []byte{0, 1, 2, 4, 5, 255} {
		lie(0xc0, 9, v, "components")
	}
	for _, v := range []byte{0x00, 0x10, 0x01, 0x33, 0x41, 0x44, 0x51, 0xff} {
		lie(0xc0, 11, v, "sampling")
	}
	for _, v := range []byte{1, 4, 255} {
		lie(0xc0, 12, v, "quantiser")
		lie(0xdb, 4, v, "quantiser-table")
		lie(0xc4, 4, v, "huffman-table")
		lie(0xc4, 5, v, "huffman-codes-of-one-bit")
	}
	for _, v := range []byte{0, 2, 4, 255} {
		lie(0xda, 4, v, "scan-components")
		lie(0xda, 5, v, "scan-component")
		lie(0xda, 6, v, "scan-tables")
	}
	for _, from := range jpegSegments(b) {
		for _, v := range []uint16{0, 1, 2, 65535} {
			x := bytes.Clone(b)
			binary.BigEndian.PutUint16(x[from+2:], v)
			c.answered(x, "segment-%#x-at-%d-of-length-%d.jpg", b[from+1], from, v)
		}
	}
	insert := func(segment []byte) []byte {
		return append(append([]byte{0xff, 0xd8}, segment...), b[2:]...)
	}
	for _, v := range []uint16{1, 2, 65535} {
		c.answered(insert(jpegSegment(0xdd, binary.BigEndian.AppendUint16(nil, v))), "restart-interval-%d.jpg", v)
	}
	for v := range byte(4) {
		c.answered(insert(jpegSegment(0xee, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), v))), "adobe-transform-%d.jpg", v)
	}
	c.answered(insert(bytes.Join([][]byte{{0xff, 0xd8}, {0xff, 0xd8}, {0xff, 0xd9}}, nil)), "starts-again.jpg")
	c.same("baseline.jpg", insert(jpegSegment(0xfe, make([]byte, 65533))), "longest-comment.jpg")
	c.same("baseline.jpg", insert(bytes.Repeat(jpegSegment(0xe2, append([]byte("ICC_PROFILE\x00\x01\xff"), make([]byte, 1000)...)), 255)), "profile-in-255-parts.jpg")
}

func (c *built) lyingGIF() {
	b := c.read("still.gif")
	at := 13
	if b[10]&0x80 != 0 {
		at += 3 << (b[10]&7 + 1)
	}
	for b[at] == 0x21 { // extensions
		at += 2
		for b[at] != 0 {
			at += int(b[at]) + 1
		}
		at++
	}
	lie := func(name string, i int, v byte) {
		x := bytes.Clone(b)
		x[i] = v
		c.answered(x, "%s-%d.gif", name, v)
	}
	for _, v := range []byte{0, 1, 127, 255} {
		lie("screen-width-low", 6, v)
		lie("screen-width-high", 7, v)
		lie("screen-height-high", 9, v)
		lie("screen-flags", 10, v)
		lie("frame-left-high", at+2, v)
		lie("frame-top-high", at+4, v)
		lie("frame-width-high", at+6, v)
		lie("frame-height-high", at+8, v)
		lie("frame-flags", at+9, v)
	}
	for _, v := range []byte{0, 1, 2, 7, 9, 11, 12, 13, 255} {
		lie("code-size", at+10, v)
	}
	for _, cut := range []int{6, 10, 13, 14, at, at + 1, at + 9} {
		c.unknown(b[:cut], "cut at %d.gif", cut)
	}
	for _, part := range []int{5, 30, 60, 90, 99} {
		c.answered(b[:at+(len(b)-at)*part/100], "with %d of 100 of its pixels.gif", part)
	}
	control := func(flags, low, high, index byte) []byte { return []byte{0x21, 0xf9, 4, flags, low, high, index, 0} }
	for disposal := range byte(8) {
		c.answered(append(append(append(bytes.Clone(b[:at]), control(disposal<<2|1, 255, 255, 255)...), b[at:len(b)-1]...), append(control(disposal<<2, 0, 0, 0), b[at:]...)...), "disposal-%d.gif", disposal)
	}
	loop := append([]byte("\x21\xff\x0bNETSCAPE2.0\x03\x01"), 0xff, 0xff, 0)
	c.same("still.gif", append(append(bytes.Clone(b[:at]), bytes.Repeat(loop, 1000)...), b[at:]...), "a-thousand-loops.gif")
	c.same("still.gif", append(append(bytes.Clone(b[:at]), append(append([]byte{0x21, 0xfe}, bytes.Repeat(append([]byte{255}, make([]byte, 255)...), 2000)...), 0)...), b[at:]...), "comment-of-half-a-megabyte.gif")
	c.answered(append(bytes.Clone(b[:at]), append([]byte{0x21, 0xf9, 255}, b[at:]...)...), "control-of-255.gif")
}

func (c *built) lyingBMP() {
	b := c.read("plain.bmp")
	lie := func(name string, i int, v uint32, size int) {
		x := bytes.Clone(b)
		if size == 2 {
			binary.LittleEndian.PutUint16(x[i:], uint16(v))
		} else {
			binary.LittleEndian.PutUint32(x[i:], v)
		}
		c.answered(x, "%s-%d.bmp", name, v)
	}
	for _, v := range []uint32{0, 1, 14, 53, 55, 1 << 20, 1<<32 - 1} {
		lie("offset", 10, v, 4)
	}
	for _, v := range []uint32{12, 16, 40, 52, 56, 64, 108, 124, 200} {
		lie("head", 14, v, 4)
	}
	for _, v := range []uint32{0, 1, 4, 65536, 1<<31 - 1, 1 << 31, 1<<32 - 100} {
		lie("width", 18, v, 4)
		lie("height", 22, v, 4)
	}
	for _, v := range []uint32{0, 1, 2, 4, 8, 15, 16, 32, 64, 65535} {
		lie("bits", 28, v, 2)
	}
	for _, v := range []uint32{1, 2, 3, 4, 5, 6, 11, 13, 99} {
		lie("compression", 30, v, 4)
	}
	for _, v := range []uint32{1, 257, 1 << 16, 1<<32 - 1} {
		lie("colours", 46, v, 4)
	}
	for _, cut := range []int{26, 40, 53, 54, 60, len(b) / 2} {
		c.answered(b[:cut], "cut at %d.bmp", cut)
	}
	rle := c.read("rle.bmp")
	for _, part := range []int{20, 60, 95} {
		c.answered(rle[:len(rle)*part/100], "run lengths cut at %d of 100.bmp", part)
	}
}

func (c *built) lyingTIFF() {
	b := c.read("lzw.tiff")
	order := binary.ByteOrder(binary.LittleEndian)
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	dir := int(order.Uint32(b[4:]))
	count := int(order.Uint16(b[dir:]))
	for _, v := range []uint16{0, 1, 65535} {
		x := bytes.Clone(b)
		order.PutUint16(x[dir:], v)
		c.answered(x, "directory-of-%d.tiff", v)
	}
	for i := range count {
		at := dir + 2 + 12*i
		tag := order.Uint16(b[at:])
		change := func(name string, fn func(e []byte)) {
			x := bytes.Clone(b)
			fn(x[at : at+12])
			c.answered(x, "tag-%d-%s.tiff", tag, name)
		}
		change("gone", func(e []byte) { order.PutUint16(e, 65000) })
		change("of-4g", func(e []byte) { order.PutUint32(e[4:], 1<<32-1) })
		change("of-kind-255", func(e []byte) { order.PutUint16(e[2:], 255) })
		change("zero", func(e []byte) { clear(e[8:]) })
		change("most", func(e []byte) { order.PutUint32(e[8:], 1<<32-1) })
		switch tag {
		case 259: // compression
			for _, v := range []uint16{1, 2, 3, 4, 6, 7, 8, 32773, 32946, 34712, 50001} {
				change(fmt.Sprint("is-", v), func(e []byte) { order.PutUint16(e[8:], v) })
			}
		case 262: // photometric
			for v := range uint16(9) {
				change(fmt.Sprint("is-", v), func(e []byte) { order.PutUint16(e[8:], v) })
			}
		}
	}
	for _, v := range []uint32{0, 1, 7, uint32(len(b)), 1<<32 - 1} {
		x := bytes.Clone(b)
		order.PutUint32(x[4:], v)
		c.answered(x, "directory-at-%d.tiff", v)
	}
	for _, cut := range []int{8, len(b) / 4, len(b) / 2, dir, dir + 2, dir + 14, len(b) - 1} {
		c.answered(b[:min(cut, len(b))], "cut at %d.tiff", cut)
	}
}

func (c *built) lyingWebP() {
	for _, file := range []string{"lossy.webp", "lossless.webp", "alpha.webp", "animated.webp"} {
		b := c.read(file)
		for i := 12; i+8 <= len(b); {
			n := int(binary.LittleEndian.Uint32(b[i+4:]))
			kind := string(b[i : i+4])
			c.answered(b[:i], "%s cut before %s at %d.webp", file, kind, i)
			c.answered(b[:i+8], "%s cut after the head of %s at %d.webp", file, kind, i)
			c.answered(b[:i+8+n/2], "%s cut in %s at %d.webp", file, kind, i)
			for _, v := range []uint32{0, 1, uint32(n) - 1, 1<<31 - 1, 1<<32 - 1} {
				x := bytes.Clone(b)
				binary.LittleEndian.PutUint32(x[i+4:], v)
				c.answered(x, "%s with %s at %d of length %d.webp", file, kind, i, v)
			}
			if i > 200 && file == "animated.webp" {
				break
			}
			i += 8 + n + n&1
		}
		for _, v := range []uint32{0, 4, 1<<31 - 1, 1<<32 - 1} {
			x := bytes.Clone(b)
			binary.LittleEndian.PutUint32(x[4:], v)
			c.answered(x, "%s of length %d.webp", file, v)
		}
	}
	b := c.read("alpha.webp")
	for bit := range 8 {
		x := bytes.Clone(b)
		x[20] ^= 1 << bit
		c.answered(x, "flag-%d.webp", bit)
	}
}

// inside are the boxes that hold other boxes, and how many bytes of their own
// come first.
var inside = map[string]int{"meta": 4, "iprp": 0, "ipco": 0, "moov": 0, "trak": 0, "mdia": 0, "minf": 0, "stbl": 0}

// walkBoxes calls fn for each box of an ISO base media file.
func walkBoxes(b []byte, from, to int, fn func(at, size int, kind string)) {
	for at := from; at+8 <= to; {
		size, kind := int(binary.BigEndian.Uint32(b[at:])), string(b[at+4:at+8])
		if size < 8 || at+size > to {
			return
		}
		fn(at, size, kind)
		if own, ok := inside[kind]; ok {
			walkBoxes(b, at+8+own, at+size, fn)
		}
		at += size
	}
}

func (c *built) boxes() {
	for _, file := range []string{"plain.heic", "plain.avif"} {
		b := c.read(file)
		ext := filepath.Ext(file)
		walkBoxes(b, 0, len(b), func(at, size int, kind string) {
			if at > 0 {
				c.unknown(b[:at], "cut before %s at %d%s", kind, at, ext)
			}
			if kind != "ftyp" {
				c.unknown(b[:at+8], "cut after the head of %s at %d%s", kind, at, ext)
			}
			for _, v := range []uint32{0, 1, 7, uint32(size) - 1, 1<<32 - 1} {
				x := bytes.Clone(b)
				binary.BigEndian.PutUint32(x[at:], v)
				// A ftyp of a wrong size need not look like a picture to anyone.
				if kind == "ftyp" {
					c.add(hostile{name: fmt.Sprintf("box-%s-at-%d-of-%d%s", kind, at, v, ext), data: x})
				} else {
					c.answered(x, "box-%s-at-%d-of-%d%s", kind, at, v, ext)
				}
			}
			if kind != "ftyp" {
				x := bytes.Clone(b)
				copy(x[at+4:], "free")
				c.answered(x, "box-%s-at-%d-gone%s", kind, at, ext)
			}
		})
	}
}

// disguised are good pictures under wrong names, and in company.
func (c *built) disguised() {
	files := []string{"baseline.jpg", "base.png", "still.gif", "lossy.webp", "plain.bmp", "lzw.tiff", "plain.heic", "plain.avif"}
	for _, file := range files {
		b := c.read(file)
		for _, ext := range []string{".mp4", ".txt", ".pdf", ".exe", ".m3u8", ""} {
			c.same(file, b, "%s under the name%s", file, ext)
		}
		for name, trailer := range map[string][]byte{
			"a zip": zipOf(c.t, "word/document.xml", "<w:t>harmless</w:t>"), "a script": []byte("<script>alert(1)</script>"), "a pdf": textPDF("harmless"),
			"zeros": make([]byte, 100_000), "another jpeg": c.read("grey.jpg"), "a gif": gifOf(9, 9, 3),
		} {
			if file == "lzw.tiff" || strings.HasPrefix(file, "plain.") && file != "plain.bmp" {
				c.add(hostile{name: file + " before " + name, data: append(bytes.Clone(b), trailer...), picture: true})
			} else {
				c.same(file, append(bytes.Clone(b), trailer...), "%s before %s", file, name)
			}
		}
	}
	// A thumbnail that shows something else is not the picture.
	thumb := c.read("grey.jpg")
	exif := append([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00"), binary.LittleEndian.AppendUint32(nil, 14)...)
	exif = append(append(exif, 2, 0), 1, 2, 4, 0, 1, 0, 0, 0, 44, 0, 0, 0, 2, 2, 4, 0, 1, 0, 0, 0)
	exif = append(binary.LittleEndian.AppendUint32(exif, uint32(len(thumb))), 0, 0, 0, 0)
	if len(exif)+len(thumb) < 65000 {
		c.same("baseline.jpg", append(append([]byte{0xff, 0xd8}, jpegSegment(0xe1, append(exif, thumb...))...), c.read("baseline.jpg")[2:]...), "thumbnail-of-another.jpg")
	}
	// A page that hides behind a picture's first bytes is no picture, and one
	// that hides a picture behind its own is unknown or text.
	for magic, ext := range map[string]string{"\xff\xd8\xff": "jpg", "\x89PNG\r\n\x1a\n": "png", "GIF89a": "gif", "RIFF\x20\x00\x00\x00WEBP": "webp"} {
		c.unknown(append([]byte(magic), "<html><script>alert(1)</script></html>"...), "page behind the first bytes.%s", ext)
	}
}

// scripts are files that make players open others.
func (c *built) scripts(file, addr string) {
	url := "http://" + addr + "/x"
	list := map[string]string{
		"m3u":          "#EXTM3U\n#EXTINF:10,x\n" + file + "\n#EXTINF:10,x\n" + url + "\n",
		"m3u-key":      "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"" + url + "\"\n#EXTINF:1,\n" + file + "\n",
		"m3u-map":      "#EXTM3U\n#EXT-X-MAP:URI=\"file://" + file + "\",BYTERANGE=\"100@0\"\n#EXTINF:1,\n" + url + "\n",
		"m3u-variants": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + url + "\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"" + url + "\"\n",
		"concat":       "ffconcat version 1.0\nfile '" + file + "'\nduration 1\nfile '" + url + "'\n",
		"concat-safe":  "ffconcat version 1.0\noption safe 0\nfile 'file:" + file + "'\n",
		"concat-url":   "concat:" + file + "|" + url,
		"subfile":      "subfile,,start,0,end,100,,:" + file,
		"mpd":          `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><SegmentTemplate media="` + url + `$Number$"/></AdaptationSet></Period></MPD>`,
		"smil":         `<smil><body><video src="` + url + `"/></body></smil>`,
		"asx":          `<asx version="3"><entry><ref href="` + url + `"/></entry></asx>`,
		"pls":          "[playlist]\nFile1=" + url + "\nFile2=" + file + "\nNumberOfEntries=2\n",
		"xspf":         `<playlist xmlns="http://xspf.org/ns/0/"><trackList><track><location>` + url + `</location></track></trackList></playlist>`,
		"cue":          "FILE \"" + file + "\" WAVE\n TRACK 01 AUDIO\n",
		"ram":          url + "\nfile://" + file + "\n",
		"sdp":          "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
		"manifest":     `<SmoothStreamingMedia><StreamIndex Url="` + url + `"/></SmoothStreamingMedia>`,
		"html":         `<html><img src="` + url + `"><iframe src="file://` + file + `"></iframe></html>`,
		"xml-include":  `<!DOCTYPE a [<!ENTITY % x SYSTEM "` + url + `"> %x;]><a/>`,
		"xinclude":     `<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file://` + file + `"/></a>`,
		"mvg":          "push graphic-context\nimage over 0,0 0,0 '" + url + "'\npop graphic-context\n",
		"msl":          `<image><read filename="` + file + `"/></image>`,
		"ps":           "%!PS\n(" + file + ") (r) file\n",
		"desktop":      "[InternetShortcut]\nURL=" + url + "\n",
	}
	for kind, text := range list {
		for _, ext := range []string{"mp4", "jpg", kind} {
			c.inert([]byte(text), "%s.%s", kind, ext)
		}
		c.inert(append([]byte("\xef\xbb\xbf"), text...), "%s after a mark.mkv", kind)
		c.inert([]byte("\n\n   "+text), "%s after blanks.ts", kind)
	}
	for _, name := range []string{"concat:" + file + "|x.mp4", "subfile,,start,0,end,9,,:" + file, "file:" + file, url, "x%03d.png", "-i", "--help", "pipe:0", "data:text/plain,x", "crypto:" + file, "x\x00y.mp4", "../../etc/passwd", strings.Repeat("x", 5000)} {
		c.add(hostile{name: name, data: c.read("baseline.jpg"), picture: true, as: "baseline.jpg"})
	}
	for _, kind := range []string{"url ", "urn ", "alis"} {
		ref := boxOf(kind, append([]byte{0, 0, 0, 0}, "file://"+file+"\x00"...))
		dref := boxOf("dref", []byte{0, 0, 0, 0, 0, 0, 0, 1}, ref)
		c.unknown(append(boxOf("ftyp", []byte("isom\x00\x00\x02\x00isom")), boxOf("moov", boxOf("trak", boxOf("mdia", boxOf("minf", boxOf("dinf", dref)))))...), "data-reference-%s.mp4", strings.TrimSpace(kind))
	}
}

// nested are structures within structures within structures.
func (c *built) nested() {
	for _, depth := range []int{2, 100, 20_000} {
		x := []byte("x")
		for range min(depth, 300) {
			x = zipOf(c.t, "word/document.xml", string(x))
		}
		c.add(hostile{name: fmt.Sprintf("zip-in-zip-%d.docx", depth), data: x})
		xml := strings.Repeat("<a>", depth) + "x" + strings.Repeat("</a>", depth)
		c.add(hostile{name: fmt.Sprintf("xml-of-depth-%d.docx", depth), data: zipOf(c.t, "word/document.xml", xml)})
		c.add(hostile{name: fmt.Sprintf("xml-of-depth-%d.odt", depth), data: zipOf(c.t, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", xml)})
		c.unknown([]byte(`<svg xmlns="http://www.w3.org/2000/svg">`+strings.Repeat("<g>", depth)+strings.Repeat("</g>", depth)+"</svg>"), "svg-of-depth-%d.svg", depth)
		c.unknown(pdfOf("<< /Type /Catalog /Pages 2 0 R >>", strings.Repeat("<< /Kids [", depth)+strings.Repeat("] >>", depth)), "pages-of-depth-%d.pdf", depth)
		boxes := []byte{}
		for range min(depth, 5000) {
			boxes = boxOf("meta", make([]byte, 4), boxes)
		}
		c.unknown(append(boxOf("ftyp", []byte("avif\x00\x00\x00\x00mif1avif")), boxes...), "boxes-of-depth-%d.avif", depth)
		list := []byte{}
		for range min(depth, 3000) {
			list = append(binary.LittleEndian.AppendUint32([]byte("LIST"), uint32(len(list)+4)), append([]byte("hdrl"), list...)...)
		}
		c.unknown(append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(list)+4)), append([]byte("AVI "), list...)...), "lists-of-depth-%d.avi", depth)
		ebml := []byte("\x1aE\xdf\xa3\x93B\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08")
		c.unknown(append(ebml, bytes.Repeat([]byte("\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff"), min(depth, 5000))...), "segments-of-depth-%d.mkv", depth)
		chain := []byte("II*\x00\x08\x00\x00\x00")
		for i := range min(depth, 5000) {
			chain = append(chain, 1, 0, 0x4a, 0x01, 4, 0, 1, 0, 0, 0)
			chain = binary.LittleEndian.AppendUint32(chain, uint32(8+18*(i+1)))
			chain = append(chain, 0, 0, 0, 0)
		}
		c.unknown(chain, "sub-directories-of-depth-%d.tiff", depth)
	}
}
