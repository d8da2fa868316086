package media

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// addFiles seeds a fuzz target with the test pictures.
func addFiles(f *testing.F, pattern string) {
	files, err := filepath.Glob(pictures + pattern)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzSniff(f *testing.F) {
	addFiles(f, "*.*")
	f.Add([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1avif"))
	f.Fuzz(func(t *testing.T, b []byte) {
		format := Sniff(b[:min(len(b), HeadBytes)])
		if format.Name == "" && format.Class != Other || format.Name != "" && formats[format.Name] != format {
			t.Errorf("Sniff = %+v", format)
		}
	})
}

func TestSniffAllocatesNothing(t *testing.T) {
	for _, head := range [][]byte{[]byte("\xff\xd8\xff\xe0...."), bytes.Repeat([]byte("text "), 800), {1, 2, 3}, []byte("\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2")} {
		if n := testing.AllocsPerRun(100, func() { Sniff(head) }); n != 0 {
			t.Errorf("Sniff(%.10q) allocates %v times", head, n)
		}
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct{ head, want string }{
		{"", ""},
		{"\x00", ""},
		{"plain words", "text"},
		{"\xc3\xa9t\xc3", "text"}, // a letter cut by the end of the head
		{"<!DOCTYPE html><p>", "html"},
		{" <?xml version='1.0'?><svg xmlns='x'>", "svg"},
		{"<?xml version='1.0'?><rss>", "text"},
		{"{\\rtf1", "rtf"},
		{"junk %PDF-1.4", "pdf"},
		{"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"},
		{"RIFF\x00\x00\x00\x00AVI LIST", "avi"},
		{"RIFF\x00\x00\x00\x00JUNK", ""},
		{"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "avif"},
		{"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "heic"},
		{"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "mov"},
		{"\x00\x00\x00\x14ftypM4A \x00\x00\x00\x00M4A ", "m4a"},
		{"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00avif", "avif"},
		{"\xff\xff\xff\xffftypisom", "mp4"},
		{"\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1fB\x82\x84webm", "webm"},
		{"\x1aE\xdf\xa3\x93B\x82\x88matroska", "matroska"},
		{"ID3\x04", "mp3"},
		{"\xff\xfb\x90\x64", "mp3"},
		{"\xff\xf1\x50\x80", "aac"},
		{"BM is a word", "text"},
		{"#EXTM3U\n", "text"},
		{"ffconcat version 1.0\n", "text"},
	} {
		if got := Sniff([]byte(c.head)).Name; got != c.want {
			t.Errorf("Sniff(%q) = %q, want %q", c.head, got, c.want)
		}
	}
}

func TestSniffBySize(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"utf16", []byte("\xff\xfea\x00"), "text"},
		{"mpegts", bytes.Repeat(append([]byte("G"), make([]byte, 187)...), 3), "mpegts"},
		{"m2ts", bytes.Repeat(append([]byte("\x00\x00\x00\x00G"), make([]byte, 187)...), 3), "mpegts"},
	} {
		if got := Sniff(c.data).Name; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// fuzzDecoder is a decoder of b with little memory and time.
func fuzzDecoder(b []byte, format string) *decoder {
	j := job{Format: format, Size: int64(len(b)), MaxPixels: 1 << 18, MaxFrames: 64}
	return &decoder{job: j, format: formats[format], src: section(b), deadline: time.Now().Add(2 * time.Second)}
}

// FuzzContainers feeds all parsers of ours of the parts of pictures.
func FuzzContainers(f *testing.F) {
	addFiles(f, "*.gif")
	addFiles(f, "*.webp")
	addFiles(f, "*.png")
	addFiles(f, "exif.*")
	addFiles(f, "*progressive.jpg")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		format := Sniff(b[:min(len(b), HeadBytes)]).Name
		switch format {
		case "gif", "webp", "png", "jpeg", "tiff":
		default:
			return
		}
		var set fingerprint.Set
		d := fuzzDecoder(b, format)
		if o := d.orientation(); o < 0 || o > 8 {
			t.Errorf("orientation %d", o)
		}
		d.picture(&set)
		if (set.Picture == nil) && set.Unknown == "" || (set.Unknown == "") != (set.Fix == "") {
			t.Errorf("picture %v, unknown %q, fix %q", set.Picture, set.Unknown, set.Fix)
		}
		if len(set.Frames) > 64 {
			t.Errorf("%d frames", len(set.Frames))
		}
		last := -1.0
		for _, fr := range set.Frames {
			if fr.Seconds <= last {
				t.Errorf("frame at %v after %v", fr.Seconds, last)
			}
			last = fr.Seconds
		}
	})
}

func FuzzEXIF(f *testing.F) {
	f.Add(tiffOf(8, [3]uint32{0x112, 1, 6}))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := exifOrientation(bytes.NewReader(b), int64(len(b))); o < 0 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}

func FuzzISOBMFF(f *testing.F) {
	addFiles(f, "*.heic")
	addFiles(f, "*.avif")
	f.Fuzz(func(t *testing.T, b []byte) {
		w, h, err := isobmffSize(b)
		if (err == nil) != (w > 0 && h > 0) || w > 1<<30 || h > 1<<30 {
			t.Errorf("%d × %d, %v", w, h, err)
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add(textPDF("some words of a text that has some length, as a hash needs"))
	f.Add(zipOf(f, "word/document.xml", "<w:p><w:t>words</w:t></w:p>"))
	f.Add(zipOf(f, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<text:p>words</text:p>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		format := Sniff(b[:min(len(b), HeadBytes)]).Name
		if format != "zip" { // the PDF library may run long, which a worker's limit ends
			return
		}
		var set fingerprint.Set
		fuzzDecoder(b, format).text(&set)
		if len(set.TLSH) > 72 || (set.Unknown == "") != (set.Fix == "") {
			t.Errorf("%+v", set)
		}
	})
}

// FuzzReply feeds what a worker that a file took over might answer.
func FuzzReply(f *testing.F) {
	var b bytes.Buffer
	p := &fingerprint.Picture{Width: 3, Height: 4, PDQ: pdq.Result{Quality: 7}}
	if err := writeReply(&b, reply{Set: fingerprint.Set{Format: "png", Picture: p, Frames: []fingerprint.Frame{{Number: 1, Seconds: 2}}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReply(bytes.NewReader(b))
		if err != nil {
			return
		}
		if !printable(r.Set.Format + r.Set.Unknown + r.Set.Fix + r.Set.TLSH + r.Hello) {
			t.Errorf("let through: %+v", r.Set)
		}
		if p := r.Set.Picture; p != nil && (p.Width < 1 || p.Height < 1 || p.PDQ.Quality < 0 || p.PDQ.Quality > 100) {
			t.Errorf("let through: %+v", p)
		}
		var again bytes.Buffer
		if err := writeReply(&again, r); err != nil {
			t.Fatal(err)
		}
		if _, err := readReply(&again); err != nil {
			t.Errorf("what was let through is refused the second time: %v", err)
		}
	})
}

// FuzzFrames feeds what ffmpeg might write.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("YUV4MPEG2 W8 H6 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\nFRAME\n"+string(make([]byte, 72))), []byte("#tb 0: 1/25\n0, 0, 0, 1, 384, 0x0\n"))
	f.Add([]byte("YUV4MPEG2 W5 H5 F30000:1001 Cmono\nFRAME x\n"+string(make([]byte, 25))), []byte(""))
	f.Fuzz(func(t *testing.T, stream, times []byte) {
		s := &frameSink{keep: 4, pixels: 1 << 16}
		rate, err := s.read(bytes.NewReader(stream), func() {})
		if err == nil && len(stream) == 0 {
			t.Error("nothing is not a stream")
		}
		stamps := readTimes(bytes.NewReader(times))
		s.stamp(stamps, rate)
		if len(s.frames) > 4 || len(s.frames) > len(stamps) {
			t.Errorf("%d frames of %d times", len(s.frames), len(stamps))
		}
		last, lastT := -1, -1.0
		for _, fr := range s.frames {
			if fr.Number <= last || fr.Seconds < lastT || math.IsNaN(fr.Seconds) || fr.PDQ.Quality < 0 || fr.PDQ.Quality > 100 {
				t.Errorf("%+v after %d at %v", fr, last, lastT)
			}
			last, lastT = fr.Number, fr.Seconds
		}
	})
}

// The sampler keeps frames evenly and never more than it may.
func TestSampler(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(2, 40).Draw(t, "most")
		s := newSampler(most)
		seconds, taken := 0.0, 0
		for range rapid.IntRange(0, 2000).Draw(t, "frames") {
			if s.wants(seconds) {
				taken++
				s.add(fingerprint.Frame{Number: taken, Seconds: seconds})
			}
			seconds += rapid.SampledFrom([]float64{0.011, 0.033, 0.1, 0.5, 7}).Draw(t, "step")
		}
		if len(s.frames) > most {
			t.Fatalf("%d frames, want at most %d", len(s.frames), most)
		}
		if taken > 0 && (len(s.frames) == 0 || s.frames[0].Seconds != 0) {
			t.Fatal("the first frame is gone")
		}
		for i := 1; i < len(s.frames); i++ {
			if gap := s.frames[i].Seconds - s.frames[i-1].Seconds; gap < s.gap/2-tolerance {
				t.Fatalf("frames %v apart where the gap is %v", gap, s.gap)
			}
		}
		if taken >= most && len(s.frames) < most/2 {
			t.Fatalf("%d frames left of %d", len(s.frames), most)
		}
	})
}

// Luma is that of the red, green and blue that the reference converts to.
func TestLumaIsOfCutColours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 9).Draw(t, "w"), rapid.IntRange(1, 9).Draw(t, "h")
		chroma := rapid.SampledFrom([]string{"420jpeg", "422", "444", "mono"}).Draw(t, "chroma")
		full := rapid.Bool().Draw(t, "full")
		head := "YUV4MPEG2 W" + itoa(w) + " H" + itoa(h) + " F25:1 C" + chroma
		if full {
			head += " XCOLORRANGE=FULL"
		}
		y, err := readY4M(bufio.NewReader(bytes.NewReader([]byte(head + "\n"))))
		if err != nil {
			t.Fatal(err)
		}
		frame := rapid.SliceOfN(rapid.Byte(), y.frameSize(), y.frameSize()).Draw(t, "frame")
		got := make([]float32, w*h)
		y.luma(frame, got)
		for py := range h {
			for px := range w {
				u, v := 128.0, 128.0
				if y.cw > 0 {
					cx, cy := px, py
					if y.cw < w {
						cx /= 2
					}
					if y.ch < h {
						cy /= 2
					}
					u = float64(frame[w*h+cy*y.cw+cx])
					v = float64(frame[w*h+y.cw*y.ch+cy*y.cw+cx])
				}
				l, cb, cr := float64(frame[py*w+px]), u-128, v-128
				if !full {
					l, cb, cr = (l-16)*255/219, cb*255/224, cr*255/224
				}
				cut := func(x float64) float64 { return min(max(x, 0), 255) }
				want := 0.299*cut(l+1.402*cr) + 0.587*cut(l-0.344136*cb-0.714136*cr) + 0.114*cut(l+1.772*cb)
				if math.Abs(want-float64(got[py*w+px])) > 0.01 {
					t.Fatalf("pixel %d, %d: %v, want %v", px, py, got[py*w+px], want)
				}
			}
		}
	})
}

func itoa(n int) string { return strconv.Itoa(n) }

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}
