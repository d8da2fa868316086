package media

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	xdraw "golang.org/x/image/draw"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
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
	// All of them need nearly what a worker may have, and more when a busy
	// machine collects its garbage late.
	list = append(list, hostile{name: "12000-frames.webp", data: riff(many...), picture: !full, answered: true})
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

// canaries are what no hostile file may touch: a file that tells when it is
// opened, and addresses that tell when they are called.
type canaries struct {
	file, address string
	called        atomic.Int64
	opened        func() int
}

func newCanaries(t *testing.T) *canaries {
	t.Helper()
	c := &canaries{file: filepath.Join(t.TempDir(), "canary.ts")}
	if err := os.WriteFile(c.file, bytes.Repeat([]byte("G\x40\x00\x10 canary "), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.address = l.Addr().String()
	packets, err := net.ListenPacket("udp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.called.Add(1)
			_ = conn.Close()
		}
	})
	listening.Go(func() {
		for b := make([]byte, 1500); ; {
			if _, _, err := packets.ReadFrom(b); err != nil {
				return
			}
			c.called.Add(1)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		_ = packets.Close()
		listening.Wait()
	})
	c.opened = watch(t, c.file)
	return c
}

// check fails the test if a canary was touched.
func (c *canaries) check(t *testing.T) {
	t.Helper()
	if n := c.called.Load(); n != 0 {
		t.Errorf("%d connections to the canary", n)
	}
	if n := c.opened(); n != 0 {
		t.Errorf("the canary file was opened %d times", n)
	}
}

// patience is how much longer than its limit a file may take here, as tests
// share their machine.
const patience = 3

// attack fingerprints one hostile file and checks what must always hold.
func attack(t *testing.T, p *Pool, name string, data []byte) fingerprint.Set {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience*p.opt.PictureTime)
	defer cancel()
	set, err := p.Fingerprint(ctx, bytes.NewReader(data), Want{Name: name, Local: true})
	if err != nil {
		if !errors.Is(err, ErrEmpty) || len(data) != 0 {
			t.Errorf("%s: %v", name, err)
		}
		return set
	}
	if set.Bytes != int64(len(data)) {
		t.Errorf("%s: %d bytes, want %d", name, set.Bytes, len(data))
	}
	if (set.Unknown == "") != (set.Fix == "") {
		t.Errorf("%s: unknown %q and fix %q", name, set.Unknown, set.Fix)
	}
	return set
}

// ceiling is the most memory that a worker or ffmpeg may have resident: its
// limit and what a program maps besides.
const ceiling = hardMemory + 128<<20

func checkPeak(t *testing.T) {
	t.Helper()
	if raceEnabled {
		return
	}
	t.Logf("the largest worker had %d MB", peak.Load()>>20)
	if n := peak.Load(); n > ceiling || n == 0 {
		t.Errorf("the largest worker had %d MB, want at most %d", n>>20, int64(ceiling)>>20)
	}
}

func TestCraftedFiles(t *testing.T) {
	c := newCanaries(t)
	p, err := New(Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	hasFFmpeg := p.Video() == nil
	list := crafted(t, c.file, c.address)
	made := constructed(t, c.file, c.address)
	if n := len(list) + len(made); n < 450 {
		t.Errorf("%d crafted files; THREATS promises 450", n)
	}
	// All of them take a minute; make hostile tries all.
	step := 40
	switch {
	case os.Getenv("SIAGA_HOSTILE") != "":
		step = 1
	case os.Getenv("SIAGA_TEST_CONFINED") != "":
		step = 10
	}
	for i := 0; i < len(made); i += step {
		list = append(list, made[i])
	}
	hashes := map[string]pdq.Hash{}
	for _, h := range list {
		if _, ok := hashes[h.as]; h.as != "" && !ok {
			set, err := p.Path(t.Context(), pictures+h.as, Want{})
			if err != nil || set.Picture == nil {
				t.Fatalf("%s: %v %s", h.as, err, set.Unknown)
			}
			hashes[h.as] = set.Picture.PDQ.Hash
		}
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return
				}
				h := list[i]
				start := time.Now()
				set := attack(t, p, h.name, h.data)
				if took := time.Since(start); took > time.Second {
					t.Logf("%s: %v: picture %v, %d frames, %s", h.name, took.Round(time.Millisecond), set.Picture != nil, len(set.Frames), set.Unknown)
				}
				if h.unknown && set.Unknown == "" {
					t.Errorf("%s: not said to be unknown: %+v", h.name, set)
				}
				if h.picture && set.Picture == nil {
					t.Errorf("%s: not fingerprinted: %s", h.name, set.Unknown)
				}
				if h.as != "" && set.Picture != nil && set.Picture.PDQ.Hash != hashes[h.as] {
					t.Errorf("%s: its hash is %d bits from that of %s", h.name, set.Picture.PDQ.Hash.Distance(hashes[h.as]), h.as)
				}
				if h.answered && set.Picture == nil && set.Unknown == "" {
					t.Errorf("%s: neither fingerprinted nor said to be unknown", h.name)
				}
				if h.inert && (set.Picture != nil || len(set.Frames) > 0) {
					t.Errorf("%s: taken for a picture or a video", h.name)
				}
				if !hasFFmpeg && h.picture && set.Unknown != "" && set.Picture == nil {
					t.Errorf("%s: needs ffmpeg", h.name)
				}
			}
		})
	}
	running.Wait()
	// After all this, the pool works.
	set, err := p.Path(t.Context(), pictures+"base.png", Want{})
	if err != nil || set.Picture == nil {
		t.Errorf("afterwards a good picture gives %v, %s", err, set.Unknown)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	c.check(t)
	checkPeak(t)
	t.Logf("%d crafted files", len(list))
}

// damage returns data with one kind of damage that transfers, disks and
// attackers do.
func damage(data []byte, r *rand.Rand) []byte {
	b := bytes.Clone(data)
	at := func() int { return r.IntN(len(b)) }
	for range 1 + r.IntN(3) {
		if len(b) < 16 {
			return b
		}
		switch r.IntN(9) {
		case 0:
			b = b[:at()]
		case 1:
			for range 1 + r.IntN(20) {
				b[at()] = byte(r.Uint32())
			}
		case 2:
			for range 1 + r.IntN(20) {
				b[at()] ^= 1 << r.IntN(8)
			}
		case 3: // a length or size
			values := []uint32{0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, uint32(len(b))}
			i := r.IntN(min(len(b)-4, 400))
			if r.IntN(2) == 0 {
				binary.BigEndian.PutUint32(b[i:], values[r.IntN(len(values))])
			} else {
				binary.LittleEndian.PutUint32(b[i:], values[r.IntN(len(values))])
			}
		case 4:
			i := at()
			clear(b[i:min(len(b), i+1+r.IntN(2000))])
		case 5: // a part again
			i, j := at(), at()
			i, j = min(i, j), max(i, j)
			b = append(b[:j:j], append(bytes.Clone(b[i:j]), b[j:]...)...)
		case 6: // a part gone
			i := at()
			b = append(b[:i:i], b[min(len(b), i+1+r.IntN(500)):]...)
		case 7: // a part elsewhere
			i, j, n := at(), at(), 1+r.IntN(200)
			copy(b[i:], bytes.Clone(b[j:min(len(b), j+n)]))
		case 8: // in the head
			b[r.IntN(min(len(b), 64))] = byte(r.Uint32())
		}
	}
	return b
}

// seeds are the good files that are damaged.
func seeds(t *testing.T) map[string][]byte {
	t.Helper()
	m := make(map[string][]byte)
	files, err := filepath.Glob(pictures + "*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch filepath.Ext(f) {
		case ".sh", ".md":
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[filepath.Base(f)] = b
	}
	text := strings.Repeat("the duty officer reads the notice and calls a partner who answers at once\n", 20)
	m["text.txt"] = []byte(text)
	m["text.pdf"] = textPDF(text)
	m["text.docx"] = zipOf(t, "[Content_Types].xml", "<Types/>", "word/document.xml", "<w:document><w:body><w:p><w:t>"+text+"</w:t></w:p></w:body></w:document>")
	m["text.odt"] = zipOf(t, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<text:p>"+text+"</text:p>")
	var large bytes.Buffer
	if err := jpeg.Encode(&large, drawing(700, 500), nil); err != nil {
		t.Fatal(err)
	}
	m["large.jpg"] = large.Bytes()
	return m
}

// videoSeeds are short videos in many containers, made by ffmpeg.
func videoSeeds(t *testing.T) map[string][]byte {
	t.Helper()
	m := make(map[string][]byte)
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return m
	}
	dir := t.TempDir()
	for name, codec := range map[string][]string{
		"v.mp4": {"-c:v", "libx264"}, "v.mov": {"-c:v", "mpeg4"}, "v.mkv": {"-c:v", "libx264"}, "v.webm": {"-c:v", "libvpx", "-deadline", "realtime"},
		"v.avi": {"-c:v", "mpeg4"}, "v.flv": {"-c:v", "flv1"}, "v.ts": {"-c:v", "mpeg2video"}, "v.mpg": {"-c:v", "mpeg1video"},
		"v.wmv": {"-c:v", "wmv2"}, "v.ogv": {"-c:v", "libtheora"}, "hevc.mp4": {"-c:v", "libx265", "-x265-params", "log-level=none"}, "frag.mp4": {"-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"},
	} {
		path := filepath.Join(dir, name)
		args := append([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=0.8"}, codec...)
		if out, err := exec.Command("ffmpeg", append(args, "-pix_fmt", "yuv420p", path)...).CombinedOutput(); err != nil {
			t.Fatalf("making %s: %v %s", name, err, out)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = b
	}
	return m
}

// SIAGA_HOSTILE=full damages 20,000 files, a number that many; without it, few.
func TestDamagedFiles(t *testing.T) {
	n := 120
	switch v := os.Getenv("SIAGA_HOSTILE"); v {
	case "":
	case "full":
		n = 20000
	default:
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("SIAGA_HOSTILE is %q, want full or a number", v)
		}
	}
	c := newCanaries(t)
	still, moving := seeds(t), videoSeeds(t)
	names := func(m map[string][]byte) (list []string) {
		for name := range m {
			list = append(list, name)
		}
		return list
	}
	stills, movies := sorted(names(still)), sorted(names(moving))
	p, err := New(Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var next, hashed, unknown, digests, slow atomic.Int64
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || t.Failed() {
					return
				}
				r := rand.New(rand.NewPCG(uint64(i), 4))
				name, data := stills[i%len(stills)], []byte(nil)
				if len(movies) > 0 && i%10 == 0 {
					name = movies[i/10%len(movies)]
					data = moving[name]
				} else {
					data = still[name]
				}
				data = damage(data, r)
				start := time.Now()
				set := attack(t, p, fmt.Sprintf("damage %d of %s", i, name), data)
				if time.Since(start) > p.opt.PictureTime {
					slow.Add(1)
				}
				if i%1000 == 999 {
					t.Logf("%d files tried", i+1)
				}
				switch {
				case set.Unknown != "":
					unknown.Add(1)
				case set.Picture != nil, set.TLSH != "", len(set.Frames) > 0:
					hashed.Add(1)
				default:
					digests.Add(1)
				}
			}
		})
	}
	running.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	c.check(t)
	checkPeak(t)
	t.Logf("%d damaged files: %d fingerprinted, %d unknown, %d nothing that a viewer shows, %d over the time limit", n, hashed.Load(), unknown.Load(), digests.Load(), slow.Load())
}

// Pictures that a transfer cut off are shown by viewers as far as they go, and
// so they are fingerprinted as far as they go. Where more than a little is
// missing, they are unknown besides.
func TestCutOffPictures(t *testing.T) {
	f, err := os.Open("../../fingerprint/pdq/testdata/images/bridge-mods__aaa-orig.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	photo, err := jpeg.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	small := image.NewRGBA(image.Rect(0, 0, 640, 480))
	xdraw.ApproxBiLinear.Scale(small, small.Rect, photo, photo.Bounds(), xdraw.Src, nil)
	encode := func(e func(w io.Writer) error) []byte {
		var b bytes.Buffer
		if err := e(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(pictures + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	deep := image.NewRGBA64(small.Rect)
	xdraw.Draw(deep, deep.Rect, small, image.Point{}, xdraw.Src)
	files := map[string][]byte{
		"baseline.jpg":           encode(func(w io.Writer) error { return jpeg.Encode(w, small, nil) }),
		"grey.jpg":               encode(func(w io.Writer) error { return jpeg.Encode(w, greyOf(small), nil) }),
		"rgb.png":                encode(func(w io.Writer) error { return png.Encode(w, small) }),
		"sixteen.png":            encode(func(w io.Writer) error { return png.Encode(w, deep) }),
		"still.gif":              encode(func(w io.Writer) error { return gif.Encode(w, small, nil) }),
		"plain.bmp":              encode(func(w io.Writer) error { return bmp.Encode(w, small) }),
		"small-progressive.jpg":  read("progressive.jpg"),
		"small-cmyk.jpg":         read("cmyk.jpg"),
		"small-interlaced.png":   read("interlaced.png"),
		"small-interlaced.gif":   read("interlaced.gif"),
		"small-lossy.webp":       read("lossy.webp"),
		"small-lossless.webp":    read("lossless.webp"),
		"small-restart.jpg":      read("restart.jpg"),
		"small-lzw.tiff":         read("lzw.tiff"),
		"small-cmyk-progressive": read("cmyk-progressive.jpg"),
	}
	p := newPool(t, Options{FFmpeg: "none"})
	for _, c := range []struct {
		file string
		keep float64 // of its bytes
		bits int     // at most, from the whole; -1 where it has to be unknown
	}{
		{"baseline.jpg", 0.99, 8}, {"baseline.jpg", 0.97, 16}, {"baseline.jpg", 0.6, -1},
		{"grey.jpg", 0.99, 8},
		{"rgb.png", 0.99, 8}, {"rgb.png", 0.97, 16}, {"rgb.png", 0.6, -1},
		{"sixteen.png", 0.99, 8},
		{"still.gif", 0.99, 8}, {"still.gif", 0.6, -1},
		{"plain.bmp", 0.99, 8}, {"plain.bmp", 0.6, -1},
		{"small-progressive.jpg", 0.99, 10}, {"small-progressive.jpg", 0.7, 31}, {"small-progressive.jpg", 0.1, -1},
		{"small-cmyk.jpg", 0.99, 31}, {"small-cmyk-progressive", 0.99, 10},
		{"small-interlaced.png", 0.9, 31}, {"small-interlaced.png", 0.2, -1},
		{"small-interlaced.gif", 0.9, 31},
		{"small-lossy.webp", 0.99, 31}, {"small-lossy.webp", 0.3, -1}, {"small-lossless.webp", 0.5, -1},
		{"small-restart.jpg", 0.9, -1}, {"small-lzw.tiff", 0.5, -1},
	} {
		t.Run(fmt.Sprintf("%s/%v", c.file, c.keep), func(t *testing.T) {
			b := files[c.file]
			whole, err := p.Fingerprint(t.Context(), bytes.NewReader(b), Want{})
			if err != nil || whole.Picture == nil {
				t.Fatal(whole.Unknown, err)
			}
			cut, err := p.Fingerprint(t.Context(), bytes.NewReader(b[:int(c.keep*float64(len(b)))]), Want{})
			if err != nil {
				t.Fatal(err)
			}
			if c.bits < 0 {
				if cut.Unknown == "" {
					t.Errorf("not said to be unknown")
				}
				return
			}
			if cut.Picture == nil {
				t.Fatalf("not fingerprinted: %s", cut.Unknown)
			}
			if d := cut.Picture.PDQ.Hash.Distance(whole.Picture.PDQ.Hash); d > c.bits {
				t.Errorf("%d bits from the whole picture, want at most %d (%s)", d, c.bits, cut.Unknown)
			}
		})
	}
}

// greyOf is img without its colours.
func greyOf(img image.Image) *image.Gray {
	g := image.NewGray(img.Bounds())
	xdraw.Draw(g, g.Rect, img, img.Bounds().Min, xdraw.Src)
	return g
}
