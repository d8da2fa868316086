package media

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"os"
	"strings"
	"testing"
)

// hostile is one crafted file.
type hostile struct {
	name string
	data []byte

	// What must hold, besides that the program lives and no canary is touched:
	unknown  bool   // said to be unknown: a viewer may show it
	picture  bool   // fingerprinted all the same
	as       string // with the hash of this picture
	answered bool   // one or the other
	inert    bool   // neither a picture nor a video
}

// deflated is a zlib stream of b.
func deflated(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// zeros is a zlib stream of n zeros.
func zeros(n int64) []byte {
	var b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&b, 9)
	_, _ = io.CopyN(w, repeated(0), n)
	_ = w.Close()
	return b.Bytes()
}

// pngOf is a PNG of this head and these chunks.
func pngOf(w, h uint32, depth, kind byte, chunks ...any) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	b := appendPNG([]byte("\x89PNG\r\n\x1a\n"), "IHDR", append(head, depth, kind, 0, 0, 0))
	for i := 0; i+1 < len(chunks); i += 2 {
		b = appendPNG(b, chunks[i].(string), chunks[i+1].([]byte))
	}
	return appendPNG(b, "IEND", nil)
}

// gifOf is a GIF of n frames of one pixel each on a screen.
func gifOf(width, height uint16, n int) []byte {
	b := []byte("GIF89a")
	b = binary.LittleEndian.AppendUint16(b, width)
	b = binary.LittleEndian.AppendUint16(b, height)
	b = append(b, 0x80, 0, 0, 0, 0, 0, 255, 255, 255)
	for range n {
		b = append(b, 0x21, 0xf9, 4, 0, 1, 0, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0)
	}
	return append(b, 0x3b)
}

// tiffOf is a little-endian TIFF of these entries, its directory followed by
// next.
func tiffOf(next uint32, entries ...[3]uint32) []byte {
	b := []byte("II*\x00\x08\x00\x00\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, 4)
		b = binary.LittleEndian.AppendUint32(b, e[1])
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return binary.LittleEndian.AppendUint32(b, next)
}

// jpegSegment is a marker with its length.
func jpegSegment(marker byte, content []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(content)+2)), content...)
}

// boxOf is a box of an ISO base media file.
func boxOf(kind string, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(all)+8)), kind...), all...)
}

// heifOf is the start of a HEIC or AVIF that declares a size.
func heifOf(brand string, w, h uint32) []byte {
	ispe := boxOf("ispe", make([]byte, 4), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h))
	return append(boxOf("ftyp", []byte(brand+"\x00\x00\x00\x00mif1"+brand)), boxOf("meta", make([]byte, 4), boxOf("iprp", boxOf("ipco", ispe)))...)
}

// zipOf is a zip file of these parts, names and contents in turn.
func zipOf(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i+1 < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, parts[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pdfOf is a PDF of these objects, numbered from 1, the first its catalogue.
func pdfOf(objects ...string) []byte {
	b := []byte("%PDF-1.4\n")
	var at []int
	for i, o := range objects {
		at = append(at, len(b))
		b = fmt.Appendf(b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := len(b)
	b = fmt.Appendf(b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, p := range at {
		b = fmt.Appendf(b, "%010d 00000 n \n", p)
	}
	return fmt.Appendf(b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
}

// textPDF is a PDF of one page with this text.
func textPDF(text string) []byte {
	var content strings.Builder
	content.WriteString("BT /F1 12 Tf 50 700 Td 14 TL\n")
	for line := range strings.Lines(text) {
		fmt.Fprintf(&content, "(%s) Tj T*\n", strings.TrimSpace(line))
	}
	content.WriteString("ET")
	return pdfOf(
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", content.Len(), content.String()),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
	)
}

// damagedPage is a PDF whose first page has this text, and whose second chooses
// no font where it must.
func damagedPage(text string) []byte {
	stream := func(s string) string {
		s = "BT " + s + " ET"
		return fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(s), s)
	}
	return pdfOf(
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R 6 0 R] /Count 2 >>",
		"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		stream("/F1 12 Tf ("+text+") Tj"),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
		"<< /Type /Page /Parent 2 0 R /Contents 7 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		stream("/F1 Tf ("+text+") Tj"),
	)
}

// crafted are the files of which something is known to break decoders. What
// names files and addresses names canaries.
func crafted(t testing.TB, canaryFile, canaryAddr string) []hostile {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(pictures + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	u32 := func(v ...uint32) (b []byte) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, x)
		}
		return b
	}
	text := strings.Repeat("the duty officer reads the notice and calls a partner who answers at once. ", 20)
	base := read("base.png")
	var list []hostile
	add := func(name string, data []byte) *hostile {
		list = append(list, hostile{name: name, data: data})
		return &list[len(list)-1]
	}
	unknown := func(name string, data []byte) { add(name, data).unknown = true }
	shown := func(name string, data []byte) { add(name, data).picture = true }

	// What takes seconds is made and tried only where there is time.
	full := os.Getenv("SIAGA_HOSTILE") != ""
	size := func(n int) int {
		if full {
			return n
		}
		return n / 20
	}

	// PNG
	bomb := zeros(int64(size(200 << 20)))
	unknown("50000x50000.png", pngOf(50000, 50000, 8, 2, "IDAT", bomb))
	unknown("65535x65535-1bit.png", pngOf(65535, 65535, 1, 0, "IDAT", bomb))
	unknown("2147483647x1.png", pngOf(1<<31-1, 1, 8, 2, "IDAT", bomb))
	unknown("4294967295.png", pngOf(1<<32-1, 1<<32-1, 16, 6, "IDAT", bomb))
	shown("ratio-10000x10000-1bit.png", pngOf(10000, uint32(size(10000)), 1, 0, "IDAT", zeros(int64(size(10000))*1251)))
	unknown("16bit-rgba-100-megapixels.png", pngOf(10000, 10000, 16, 6, "IDAT", bomb))
	shown("ztxt-bomb.png", append(append([]byte(nil), base[:33]...), append(appendPNG(nil, "zTXt", append([]byte("x\x00\x00"), bomb...)), base[33:]...)...))
	shown("iccp-bomb.png", append(append([]byte(nil), base[:33]...), append(appendPNG(nil, "iCCP", append([]byte("x\x00\x00"), bomb...)), base[33:]...)...))
	shown("itxt-bomb.png", append(append([]byte(nil), base[:33]...), append(appendPNG(nil, "iTXt", append([]byte("x\x00\x01\x00\x00\x00"), bomb...)), base[33:]...)...))
	unknown("no-pixels.png", pngOf(0, 0, 8, 2, "IDAT", zeros(10)))
	unknown("no-data.png", pngOf(100, 100, 8, 2))
	unknown("bad-depth.png", pngOf(100, 100, 3, 2, "IDAT", zeros(30100)))
	unknown("bad-kind.png", pngOf(100, 100, 8, 5, "IDAT", zeros(30100)))
	unknown("chunk-of-4gb.png", append(pngOf(100, 100, 8, 2)[:33], "\xff\xff\xff\xffIDAT"...))
	manyChunks := base[:33]
	manyChunks = append([]byte(nil), manyChunks...)
	for range size(200000) {
		manyChunks = appendPNG(manyChunks, "tEXt", nil)
	}
	shown("200000-chunks.png", append(manyChunks, base[33:]...))
	frames := []any{"acTL", u32(1<<31-1, 0)}
	frames = append(frames, "fcTL", append(u32(0, 100, 100, 0, 0), 0, 1, 0, 10, 0, 0), "IDAT", zeros(30100))
	for i := range size(20000) {
		frames = append(frames, "fcTL", append(u32(uint32(2*i+1), 100, 100, 0, 0), 0, 1, 0, 10, 0, 0), "fdAT", append(u32(uint32(2*i+2)), zeros(30100)...))
	}
	shown("apng-20000-frames.png", pngOf(100, 100, 8, 2, frames...))
	shown("apng-frame-outside.png", pngOf(100, 100, 8, 2, "acTL", u32(2, 0), "IDAT", zeros(30100), "fcTL", append(u32(0, 1<<31, 1<<31, 1<<31, 1<<31), 0, 1, 0, 10, 0, 0), "fdAT", append(u32(1), zeros(30100)...)))

	// GIF
	shown("100000-frames.gif", gifOf(16, 16, size(100000)))
	unknown("screen-65535x65535.gif", gifOf(65535, 65535, 1))
	shown("screen-of-nothing.gif", gifOf(0, 0, 2))
	shown("no-trailer.gif", bytes.TrimSuffix(gifOf(8, 8, 2), []byte{0x3b}))
	unknown("only-a-head.gif", []byte("GIF89a\x08\x00\x08\x00\x00\x00\x00"))
	huge := gifOf(8, 8, 0)
	huge = append(huge[:len(huge)-1], 0x2c, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 8)
	unknown("frame-65535x65535.gif", append(huge, bytes.Repeat([]byte{0xff}, 300)...))
	unknown("extensions-without-end.gif", append(gifOf(8, 8, 0)[:19], bytes.Repeat([]byte{0x21, 0xfe, 0}, 300000)...))
	unknown("bad-code-size.gif", append(gifOf(8, 8, 0)[:19], 0x2c, 0, 0, 0, 0, 8, 0, 8, 0, 0, 13, 1, 0, 0))
	var lzwBomb bytes.Buffer
	if err := gif.Encode(&lzwBomb, image.NewPaletted(image.Rect(0, 0, 9000, size(9000)), color.Palette{color.Black, color.White}), nil); err != nil {
		t.Fatal(err)
	}
	b := lzwBomb.Bytes()
	frame := b[19 : len(b)-1]
	for range size(60) {
		b = append(b[:len(b)-1], append(append([]byte(nil), frame...), 0x3b)...)
	}
	shown("60-frames-of-81-megapixels.gif", b)

	// TIFF
	unknown("directory-loop.tiff", tiffOf(8, [3]uint32{0x100, 1, 100}, [3]uint32{0x101, 1, 100}))
	unknown("2g-x-2g.tiff", tiffOf(0, [3]uint32{0x100, 1, 1 << 31}, [3]uint32{0x101, 1, 1 << 31}, [3]uint32{0x102, 1, 8}, [3]uint32{0x106, 1, 1}, [3]uint32{0x111, 1, 8}, [3]uint32{0x117, 1, 8}))
	unknown("4g-strips.tiff", tiffOf(0, [3]uint32{0x100, 1, 100}, [3]uint32{0x101, 1, 100}, [3]uint32{0x102, 1, 8}, [3]uint32{0x106, 1, 1}, [3]uint32{0x111, 1<<32 - 1, 8}, [3]uint32{0x117, 1<<32 - 1, 8}))
	unknown("tiles-of-nothing.tiff", tiffOf(0, [3]uint32{0x100, 1, 100}, [3]uint32{0x101, 1, 100}, [3]uint32{0x102, 1, 8}, [3]uint32{0x106, 1, 1}, [3]uint32{0x142, 1, 0}, [3]uint32{0x143, 1, 0}, [3]uint32{0x144, 1, 8}, [3]uint32{0x145, 1, 8}))
	manyDirs := []byte("II*\x00\x08\x00\x00\x00")
	for i := range size(50000) {
		manyDirs = append(manyDirs, 0, 0)
		manyDirs = binary.LittleEndian.AppendUint32(manyDirs, uint32(8+6*(i+1)))
	}
	unknown("50000-directories.tiff", manyDirs)
	unknown("directory-at-the-end.tiff", []byte("MM\x00*\xff\xff\xff\xff"))

	// JPEG
	sof := func(marker byte, w, h uint16, comps byte) []byte {
		c := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), comps}
		for i := range comps {
			c = append(c, i+1, 0x11, 0)
		}
		return jpegSegment(marker, c)
	}
	soi := []byte{0xff, 0xd8}
	unknown("65535x65535.jpg", bytes.Join([][]byte{soi, sof(0xc0, 65535, 65535, 3), {0xff, 0xd9}}, nil))
	unknown("255-components.jpg", bytes.Join([][]byte{soi, sof(0xc0, 100, 100, 255), {0xff, 0xd9}}, nil))
	unknown("no-components.jpg", bytes.Join([][]byte{soi, sof(0xc2, 100, 100, 0), {0xff, 0xd9}}, nil))
	unknown("not-a-picture.jpg", []byte("\xff\xd8\xff\xe0 not a picture"))
	shown("300000-segments.jpg", append(append(append([]byte(nil), soi...), bytes.Repeat([]byte{0xff, 0xfe, 0, 2}, 60000)...), read("baseline.jpg")[2:]...))
	unknown("junk-without-end.jpg", append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte{0}, 3<<20)...))
	unknown("huffman-of-nothing.jpg", bytes.Join([][]byte{soi, sof(0xc0, 8, 8, 1), jpegSegment(0xc4, make([]byte, 17)), jpegSegment(0xda, []byte{1, 1, 0, 0, 63, 0}), {0, 0, 0xff, 0xd9}}, nil))
	scans := bytes.Join([][]byte{soi, jpegSegment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)), sof(0xc2, 8000, uint16(size(8000)), 1), jpegSegment(0xc4, append(append([]byte{0x00}, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0)), jpegSegment(0xc4, append(append([]byte{0x10}, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0xe0))}, nil)
	for range size(5000) {
		scans = append(scans, jpegSegment(0xda, []byte{1, 1, 0, 1, 63, 0})...)
		scans = append(scans, make([]byte, 8)...)
	}
	add("5000-scans.jpg", append(scans, 0xff, 0xd9))
	exif := append([]byte("Exif\x00\x00"), tiffOf(8, [3]uint32{0x8769, 1, 8}, [3]uint32{0x112, 1 << 30, 8})...)
	shown("exif-loop.jpg", append(append(append([]byte(nil), soi...), jpegSegment(0xe1, exif)...), read("baseline.jpg")[2:]...))

	// BMP
	bmpHead := func(w, h int32, bits uint16, used uint32) []byte {
		b := make([]byte, 54)
		copy(b, "BM")
		binary.LittleEndian.PutUint32(b[10:], 54)
		binary.LittleEndian.PutUint32(b[14:], 40)
		binary.LittleEndian.PutUint32(b[18:], uint32(w))
		binary.LittleEndian.PutUint32(b[22:], uint32(h))
		binary.LittleEndian.PutUint16(b[26:], 1)
		binary.LittleEndian.PutUint16(b[28:], bits)
		binary.LittleEndian.PutUint32(b[46:], used)
		return b
	}
	unknown("2g-x-2g.bmp", bmpHead(1<<31-1, 1<<31-1, 24, 0))
	unknown("minus.bmp", bmpHead(-100, -1<<31, 32, 0))
	unknown("4g-colours.bmp", bmpHead(100, 100, 8, 1<<32-1))
	unknown("no-bits.bmp", bmpHead(100, 100, 0, 0))

	// WebP
	riff := func(parts ...[]byte) []byte {
		all := append([]byte("WEBP"), bytes.Join(parts, nil)...)
		return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(all))), all...)
	}
	riffChunk := func(kind string, content []byte) []byte {
		b := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(content))), content...)
		if len(content)&1 != 0 {
			b = append(b, 0)
		}
		return b
	}
	canvas := func(w, h uint32) []byte {
		return riffChunk("VP8X", []byte{2, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
	}
	unknown("canvas-16m-x-16m.webp", riff(canvas(1<<24-1, 1<<24-1), riffChunk("ANIM", make([]byte, 6)), riffChunk("ANMF", make([]byte, 30))))
	unknown("no-frames.webp", riff(canvas(99, 99), riffChunk("ANIM", make([]byte, 6))))
	lossy := read("lossy.webp")[12:]
	one := append([]byte{0, 0, 0, 0, 0, 0, 119, 0, 0, 95, 0, 0, 1, 0, 0, 0}, lossy...)
	many := [][]byte{canvas(119, 95), riffChunk("ANIM", make([]byte, 6))}
	for range size(12000) {
		many = append(many, riffChunk("ANMF", one))
	}
	shown("12000-frames.webp", riff(many...))
	unknown("frame-of-another-size.webp", riff(canvas(119, 95), riffChunk("ANMF", append([]byte{0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 95, 0, 0, 1, 0, 0, 0}, lossy...))))
	unknown("chunk-of-4gb.webp", append(riff(), "VP8 \xff\xff\xff\xff0"...))

	// HEIC and AVIF
	for _, brand := range []string{"heic", "avif"} {
		unknown("4g-x-4g."+brand, heifOf(brand, 1<<32-1, 1<<32-1))
		unknown("small-and-empty."+brand, heifOf(brand, 64, 64))
		unknown("box-loop."+brand, append(boxOf("ftyp", []byte(brand+"\x00\x00\x00\x00"+brand)), 0, 0, 0, 0, 'm', 'e', 't', 'a', 0, 0, 0, 0, 0, 0, 0, 0))
		deep := []byte{}
		for range 3000 {
			deep = boxOf("iprp", deep)
		}
		unknown("deep-boxes."+brand, append(boxOf("ftyp", []byte(brand+"\x00\x00\x00\x00"+brand)), boxOf("meta", make([]byte, 4), deep)...))
		cut := read("plain." + brand)
		unknown("half."+brand, cut[:len(cut)/2])
	}

	// Documents
	unknown("zip-bomb.docx", zipOf(t, "word/document.xml", strings.Repeat("\x00", size(64<<20))))
	add("big-text.docx", zipOf(t, "word/document.xml", "<w:t>"+strings.Repeat(text, size(40000))))
	unknown("deep.docx", zipOf(t, "word/document.xml", strings.Repeat("<a>", size(2000000))))
	add("entities.docx", zipOf(t, "word/document.xml", `<!DOCTYPE x [<!ENTITY a "`+strings.Repeat("x", 10000)+`"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><w:t>`+strings.Repeat("&b;", 100000)+text+`</w:t>`))
	add("external-entity.odt", zipOf(t, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", `<!DOCTYPE x [<!ENTITY a SYSTEM "file://`+canaryFile+`">]><text:p>&a; `+text+`</text:p>`))
	add("path-outside.docx", zipOf(t, "../../../../etc/cron.d/x", "x", "word/document.xml", "<w:t>"+text+"</w:t>"))
	names := []string{"[Content_Types].xml", ""}
	for i := range size(20000) {
		names = append(names, fmt.Sprintf("word/document%d.xml", i), "")
	}
	unknown("20000-parts.docx", zipOf(t, append(names, "word/document.xml", "")...))
	add("cut.zip", zipOf(t, "a", text)[:60])
	add("central-directory-of-4g.zip", append([]byte("PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff"), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0))
	if full {
		unknown("page-loop.pdf", pdfOf("<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 >>"))
	}
	unknown("reference-loop.pdf", pdfOf("2 0 R", "1 0 R"))
	unknown("deep-arrays.pdf", pdfOf("<< /Type /Catalog /Pages 2 0 R >>", strings.Repeat("[", size(5000000))))
	unknown("deep-dictionaries.pdf", pdfOf("<< /Type /Catalog /Pages 2 0 R >>", strings.Repeat("<</A", size(2000000))))
	flate := string(zeros(int64(size(400 << 20))))
	unknown("flate-bomb.pdf", pdfOf("<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", "<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>", fmt.Sprintf("<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream", len(flate), flate)))
	unknown("no-pages.pdf", pdfOf("<< >>"))
	unknown("only-a-head.pdf", []byte("%PDF-1.7\n"))
	unknown("xref-outside.pdf", []byte("%PDF-1.4\nstartxref\n999999999999\n%%EOF\n"))
	unknown("xref-of-4g.pdf", []byte("%PDF-1.4\nxref\n0 4294967295\n0000000000 65535 f \ntrailer\n<< /Size 4294967295 /Root 1 0 R >>\nstartxref\n9\n%%EOF\n"))
	unknown("old.doc", append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 2000)...))
	add("one-line.txt", bytes.Repeat([]byte("word "), size(4<<20)))
	add("one-letter.txt", bytes.Repeat([]byte("a"), 1<<20))
	add("half-of-utf16.txt", []byte("\xff\xfea\x00b\x00c"))

	// Files that name others, under names of videos.
	playlist := "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + canaryFile + "\n#EXTINF:10,\nhttp://" + canaryAddr + "/x.ts\n#EXT-X-ENDLIST\n"
	add("playlist.mp4", []byte(playlist))
	add("playlist.m3u8", []byte(playlist))
	add("script.mp4", []byte("ffconcat version 1.0\nfile '"+canaryFile+"'\nfile 'http://"+canaryAddr+"/x.mp4'\n"))
	add("dash.mp4", []byte(`<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation id="1"><BaseURL>http://`+canaryAddr+`/</BaseURL></Representation></AdaptationSet></Period></MPD>`))
	add("session.mp4", []byte("v=0\no=- 0 0 IN IP4 "+canaryAddr+"\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"))
	add("redirect.asf", []byte("[Reference]\r\nRef1=http://"+canaryAddr+"/x\r\n"))
	unknown("reference.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="http://`+canaryAddr+`/x.png"/><image xlink:href="file://`+canaryFile+`"/></svg>`))
	url := func(s string) []byte { return boxOf("url ", append([]byte{0, 0, 0, 0}, s+"\x00"...)) }
	dref := boxOf("dref", u32(0, 2), url("file://"+canaryFile), url("http://"+canaryAddr+"/x"))
	unknown("external-track.mp4", append(boxOf("ftyp", []byte("isom\x00\x00\x02\x00isom")), boxOf("moov", boxOf("trak", boxOf("mdia", boxOf("minf", boxOf("dinf", dref)))))...))
	rdrf := boxOf("rdrf", u32(0), []byte("url "), u32(uint32(len(canaryAddr)+9)), []byte("http://"+canaryAddr+"/x"))
	unknown("reference-movie.mov", boxOf("moov", boxOf("rmra", boxOf("rmda", rdrf))))

	// Containers that claim much.
	unknown("box-of-4g.mp4", append(boxOf("ftyp", []byte("isom\x00\x00\x02\x00isom")), "\xff\xff\xff\xffmoov"...))
	unknown("stts-of-4g.mp4", append(boxOf("ftyp", []byte("isom\x00\x00\x02\x00isom")), boxOf("moov", boxOf("trak", boxOf("mdia", boxOf("hdlr", u32(0, 0), []byte("vide"), make([]byte, 12)), boxOf("minf", boxOf("stbl", boxOf("stts", u32(0, 1<<31-1)), boxOf("stsz", u32(0, 0, 1<<31-1)), boxOf("stco", u32(0, 1<<31-1)))))))...))
	deep := []byte{}
	for range 5000 {
		deep = boxOf("moov", deep)
	}
	unknown("deep-boxes.mp4", append(boxOf("ftyp", []byte("isom\x00\x00\x02\x00isom")), deep...))
	unknown("ebml-of-2-56.mkv", []byte("\x1aE\xdf\xa3\x93B\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff\x15I\xa9f\x01\xff\xff\xff\xff\xff\xff\xfe"))
	unknown("list-of-4g.avi", []byte("RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrlavih\xff\xff\xff\xff"))
	unknown("noise.ts", bytes.Repeat(append([]byte("G\x40\x11\x10"), make([]byte, 184)...), 100))
	unknown("noise.flv", append([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"), bytes.Repeat([]byte{9, 0xff, 0xff, 0xff}, 2000)...))
	unknown("noise.mpg", append([]byte("\x00\x00\x01\xba"), bytes.Repeat([]byte{0, 0, 1, 0xe0, 0xff}, 2000)...))
	unknown("noise.ogv", append([]byte("OggS"), bytes.Repeat([]byte{0xff}, 4000)...))
	unknown("noise.wmv", append([]byte("\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"), bytes.Repeat([]byte{0xff}, 4000)...))
	return list
}
