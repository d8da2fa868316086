package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
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

// checkPeak holds each sort of process that ended so far to what it may have
// resident.
func checkPeak(t *testing.T) {
	t.Helper()
	if raceEnabled {
		return
	}
	all := int64(0)
	for sort, most := range [sorts]int64{ordinary: 512 << 20, largeJPEG: 1 << 30, ofFFmpeg: 512 << 20} {
		name, n := [sorts]string{"worker", "worker of a progressive JPEG", "ffmpeg"}[sort], peaks[sort].Load()
		all += n
		t.Logf("the largest %s had %d MB", name, n>>20)
		if n > most {
			t.Errorf("the largest %s had %d MB, want at most %d", name, n>>20, most>>20)
		}
	}
	if all == 0 {
		t.Error("no process's memory was measured")
	}
}

// every returns one in n of a list.
func every(list []hostile, n int) (some []hostile) {
	for i := 0; i < len(list); i += n {
		some = append(some, list[i])
	}
	return some
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
	// All of them take minutes; make hostile tries all, make test all that are
	// written by hand and every tenth of the others.
	byHand, others := 4, 60
	switch {
	case os.Getenv("SIAGA_HOSTILE") != "":
		byHand, others = 1, 1
	case os.Getenv("SIAGA_TEST_CONFINED") != "":
		byHand, others = 1, 10
	}
	list = append(every(list, byHand), every(made, others)...)
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
	n, videos := 120, true
	switch v := os.Getenv("SIAGA_HOSTILE"); v {
	case "":
		if os.Getenv("SIAGA_TEST_FFMPEG") == "" {
			n, videos = 60, false // making the videos alone takes seconds
		}
	case "full":
		n = 20000
	default:
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("SIAGA_HOSTILE is %q, want full or a number", v)
		}
	}
	c := newCanaries(t)
	still, moving := seeds(t), map[string][]byte{}
	if videos {
		moving = videoSeeds(t)
	}
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
