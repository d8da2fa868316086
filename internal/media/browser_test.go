package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// These tests ask Chromium what people see, and run where SIAGA_TEST_BROWSER
// is set, as make test does; there a missing browser fails.

// drawn is what Chromium made of one file: nothing where it showed no pixel.
type drawn struct {
	width, height int
	pix           []byte // red, green, blue and alpha, on white; empty for a very large one
}

// page loads each of so many files into an <img>, draws it on a canvas and
// sends back the pixels. A file of which no pixel is drawn is not shown.
const page = `<!doctype html><title>pictures</title><script>
async function one(i) {
  const img = new Image();
  const loaded = await new Promise(r => { img.onload = () => r(true); img.onerror = () => r(false); img.src = "/file/" + i });
  const w = img.naturalWidth, h = img.naturalHeight;
  if (!loaded || !w || !h) return;
  const large = w * h > 2e6, c = document.createElement("canvas");
  c.width = large ? 64 : w; c.height = large ? 64 : h;
  const g = c.getContext("2d", {willReadFrequently: true});
  g.drawImage(img, 0, 0, c.width, c.height);
  if (!g.getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 == 3 && v > 0)) return;
  g.globalCompositeOperation = "destination-over"; g.fillStyle = "white"; g.fillRect(0, 0, c.width, c.height);
  await fetch("/drawn/" + i + "?w=" + w + "&h=" + h, {method: "POST", body: large ? "" : g.getImageData(0, 0, w, h).data});
}
async function all(n) {
  let next = 0;
  await Promise.all([0, 1, 2, 3].map(async () => { while (next < n) await one(next++) }));
  return n;
}
</script>`

// inChromium returns what Chromium shows of each file.
func inChromium(t *testing.T, files []hostile) map[int]drawn {
	t.Helper()
	var mu sync.Mutex
	shown := map[int]drawn{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("GET /file/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil || n >= len(files) {
			http.NotFound(w, r)
			return
		}
		// Chromium looks at the bytes of all pictures but these.
		kind := "application/octet-stream"
		if strings.HasSuffix(files[n].name, ".svg") {
			kind = "image/svg+xml"
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(files[n].data)
	})
	mux.HandleFunc("POST /drawn/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		var d drawn
		d.width, _ = strconv.Atoi(r.FormValue("w"))
		d.height, _ = strconv.Atoi(r.FormValue("h"))
		var err error
		if d.pix, err = io.ReadAll(r.Body); err != nil || len(d.pix) != 0 && len(d.pix) != 4*d.width*d.height {
			t.Errorf("%s: %d bytes of %d by %d pixels came back: %v", files[n].name, len(d.pix), d.width, d.height, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		shown[n] = d
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	// The tests run as root in a container, where Chromium's own sandbox cannot start.
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(chromedp.NoSandbox))
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/")); err != nil {
		t.Fatal(err)
	}
	if n, err := chromedp.Run(ctx, chromedp.Evaluate[int](fmt.Sprintf("all(%d)", len(files)), chromedp.EvalAwaitPromise)); err != nil || n != len(files) {
		t.Fatalf("%d of %d files were tried: %v", n, len(files), err)
	}
	mu.Lock()
	defer mu.Unlock()
	return shown
}

// raw is a picture as PNG stores it: rows of samples of depth bits. step and
// offset choose some of the pixels, for interlacing.
func raw(img image.Image, kind, depth int, x0, y0, dx, dy int, index func(color.Color) int) []byte {
	var out []byte
	b := img.Bounds()
	for y := y0; y < b.Dy(); y += dy {
		row, bits, used := []byte{0}, 0, 0
		put := func(v int) { // v is of 16 bits, or an index
			if kind != 3 {
				v >>= 16 - depth
			}
			bits, used = bits<<depth|v, used+depth
			for used >= 8 {
				row = append(row, byte(bits>>(used-8)))
				used -= 8
			}
			bits &= 1<<used - 1
		}
		for x := x0; x < b.Dx(); x += dx {
			c := img.At(b.Min.X+x, b.Min.Y+y)
			r, g, bl, _ := c.RGBA()
			alpha := 0xffff
			if x < b.Dx()/8 && y < b.Dy()/8 {
				alpha = 0x8000
			}
			switch kind {
			case 0, 4:
				put(int(299*r+587*g+114*bl) / 1000)
			case 3:
				put(index(c))
			default:
				put(int(r))
				put(int(g))
				put(int(bl))
			}
			if kind == 4 || kind == 6 {
				put(alpha)
			}
		}
		if used > 0 {
			row = append(row, byte(bits<<(8-used)))
		}
		if len(row) > 1 {
			out = append(out, row...)
		}
	}
	return out
}

// pngKinds are the photograph in every kind and depth that PNG has (W3C PNG,
// table 11.1), plain and interlaced, and with few colours.
func pngKinds(img image.Image) (files []hostile) {
	b := img.Bounds()
	adam7 := [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	add := func(kind, depth, colours int, extra ...any) {
		var chunks []any
		index := func(color.Color) int { return 0 }
		if kind == 3 {
			var plte []byte
			for i := range colours {
				v := byte(i * 255 / max(colours-1, 1))
				plte = append(plte, v, v, v)
			}
			index = func(c color.Color) int {
				r, g, bl, _ := c.RGBA()
				return (int(299*r+587*g+114*bl)/1000*(colours-1) + 0x8000) >> 16
			}
			chunks = append(chunks, "PLTE", plte)
		}
		chunks = append(chunks, extra...)
		for interlace := range byte(2) {
			var data []byte
			if interlace == 0 {
				data = raw(img, kind, depth, 0, 0, 1, 1, index)
			} else {
				for _, p := range adam7 {
					data = append(data, raw(img, kind, depth, p[0], p[1], p[2], p[3], index)...)
				}
			}
			file := pngOf(uint32(b.Dx()), uint32(b.Dy()), byte(depth), byte(kind), append(slices.Clone(chunks), "IDAT", deflated(data))...)
			head := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(b.Dx())), uint32(b.Dy())), byte(depth), byte(kind), 0, 0, interlace)
			file = append(appendPNG(bytes.Clone(file[:8]), "IHDR", head), file[33:]...)
			what := ""
			if len(extra) > 0 {
				what = "-" + extra[0].(string)
			}
			files = append(files, hostile{name: fmt.Sprintf("kind-%d-depth-%d-colours-%d-interlace-%d%s.png", kind, depth, colours, interlace, what), data: file})
		}
	}
	for _, depth := range []int{1, 2, 4, 8, 16} {
		add(0, depth, 0)
	}
	for _, kind := range []int{2, 4, 6} {
		add(kind, 8, 0)
		add(kind, 16, 0)
	}
	for _, p := range [][2]int{{1, 2}, {2, 3}, {4, 12}, {4, 16}, {8, 12}, {8, 255}} {
		add(3, p[0], p[1])
	}
	add(3, 8, 12, "tRNS", []byte{255, 255, 0, 128})
	add(2, 8, 0, "tRNS", []byte{0, 255, 0, 255, 0, 255})
	add(0, 8, 0, "tRNS", []byte{0, 200})
	add(2, 8, 0, "gAMA", []byte{0, 0, 0xb1, 0x8f})
	add(2, 8, 0, "sRGB", []byte{0})
	return files
}

// bmpKinds are the photograph in the kinds of BMP that browsers read.
func bmpKinds(img image.Image) (files []hostile) {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	grey := func(x, y int) int {
		r, g, b, _ := img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y).RGBA()
		return int(299*r+587*g+114*b) / 1000
	}
	add := func(name string, bits int, down, old bool, masks []uint32) {
		var head, data []byte
		if old { // OS/2: 12 bytes, palettes of three
			head = binary.LittleEndian.AppendUint32(nil, 12)
			for _, v := range []int{w, h, 1, bits} {
				head = binary.LittleEndian.AppendUint16(head, uint16(v))
			}
		} else {
			head = binary.LittleEndian.AppendUint32(nil, 40)
			hh := int32(h)
			if down {
				hh = -hh
			}
			head = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(head, uint32(w)), uint32(hh))
			head = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(head, 1), uint16(bits))
			compression := uint32(0)
			if masks != nil {
				compression = 3
			}
			head = binary.LittleEndian.AppendUint32(head, compression)
			head = append(head, make([]byte, 20)...)
			for _, m := range masks {
				head = binary.LittleEndian.AppendUint32(head, m)
			}
		}
		if bits <= 8 {
			for i := range 1 << bits {
				v := byte(i * 255 / (1<<bits - 1))
				head = append(head, v, v, v)
				if !old {
					head = append(head, 0)
				}
			}
		}
		for i := range h {
			y := h - 1 - i
			if down {
				y = i
			}
			var row []byte
			acc, used := 0, 0
			for x := range w {
				v := grey(x, y)
				switch bits {
				case 16:
					p := v>>11<<10 | v>>11<<5 | v>>11
					if masks != nil {
						p = v>>11<<11 | v>>10<<5 | v>>11
					}
					row = binary.LittleEndian.AppendUint16(row, uint16(p))
				case 24:
					row = append(row, byte(v>>8), byte(v>>8), byte(v>>8))
				case 32:
					row = append(row, byte(v>>8), byte(v>>8), byte(v>>8), 0)
				default:
					acc, used = acc<<bits|v>>(16-bits), used+bits
					if used == 8 {
						row, acc, used = append(row, byte(acc)), 0, 0
					}
				}
			}
			for len(row)%4 != 0 {
				row = append(row, 0)
			}
			data = append(data, row...)
		}
		file := binary.LittleEndian.AppendUint32([]byte("BM"), uint32(14+len(head)+len(data)))
		file = binary.LittleEndian.AppendUint32(append(file, 0, 0, 0, 0), uint32(14+len(head)))
		files = append(files, hostile{name: name + ".bmp", data: append(append(file, head...), data...)})
	}
	for _, bits := range []int{1, 4, 8, 16, 24, 32} {
		add(fmt.Sprint("bits-", bits), bits, false, false, nil)
		add(fmt.Sprint("downwards-", bits), bits, true, false, nil)
	}
	for _, bits := range []int{1, 4, 8, 24} {
		add(fmt.Sprint("os2-", bits), bits, false, true, nil)
	}
	add("565", 16, false, false, []uint32{0xf800, 0x7e0, 0x1f})
	add("888", 32, false, false, []uint32{0xff0000, 0xff00, 0xff})
	return files
}

// gifKinds are the photograph in odd GIFs.
func gifKinds(t *testing.T, img image.Image) (files []hostile) {
	greys := func(n int, clear bool) (p color.Palette) {
		for i := range n {
			p = append(p, color.Gray{uint8(i * 255 / (n - 1))})
		}
		if clear {
			p[0] = color.Transparent
		}
		return p
	}
	frame := func(r image.Rectangle, p color.Palette) *image.Paletted {
		f := image.NewPaletted(r, p)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				f.Set(x, y, img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y))
			}
		}
		return f
	}
	full := image.Rectangle{Max: img.Bounds().Size()}
	inner := image.Rect(full.Max.X/8, full.Max.Y/8, full.Max.X*7/8, full.Max.Y*7/8)
	add := func(name string, g *gif.GIF) {
		var b bytes.Buffer
		if err := gif.EncodeAll(&b, g); err != nil {
			t.Fatal(err)
		}
		files = append(files, hostile{name: name + ".gif", data: b.Bytes()})
	}
	for _, n := range []int{2, 3, 12, 100, 256} {
		add(fmt.Sprint("colours-", n), &gif.GIF{Image: []*image.Paletted{frame(full, greys(n, false))}, Delay: []int{0}})
		add(fmt.Sprint("clear-", n), &gif.GIF{Image: []*image.Paletted{frame(full, greys(n, true))}, Delay: []int{0}})
	}
	add("frame-within", &gif.GIF{Image: []*image.Paletted{frame(inner, greys(64, false))}, Delay: []int{0}, Config: image.Config{Width: full.Max.X, Height: full.Max.Y}})
	for d := range byte(4) {
		add(fmt.Sprint("disposal-", d), &gif.GIF{
			Image: []*image.Paletted{frame(full, greys(64, false)), frame(inner, greys(12, true)), frame(full, greys(5, false))},
			Delay: []int{50, 50, 50}, Disposal: []byte{d, d, d}, Config: image.Config{Width: full.Max.X, Height: full.Max.Y},
		})
	}
	return files
}

// jpegKinds are the photograph in JPEGs of many qualities and orientations.
func jpegKinds(t *testing.T, img image.Image) (files []hostile) {
	encode := func(img image.Image, quality int) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, q := range []int{5, 25, 50, 75, 90, 100} {
		files = append(files, hostile{name: fmt.Sprintf("quality-%d.jpg", q), data: encode(img, q)})
	}
	b := encode(img, 85)
	for o := range uint32(10) { // 0 and 9 mean nothing
		exif := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), byte(o), 0, 0, 0, 0, 0, 0)
		files = append(files, hostile{name: fmt.Sprintf("orientation-%d.jpg", o), data: append(append([]byte{0xff, 0xd8}, jpegSegment(0xe1, exif)...), b[2:]...)})
	}
	return files
}

// legal are pictures as programs make them, however odd.
func legal(t *testing.T) (files []hostile) {
	t.Helper()
	c := &built{t: t}
	names, err := filepath.Glob(pictures + "*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if ext := filepath.Ext(name); ext != ".sh" && ext != ".md" {
			files = append(files, hostile{name: filepath.Base(name), data: c.read(filepath.Base(name))})
		}
	}
	img, err := png.Decode(bytes.NewReader(c.read("base.png")))
	if err != nil {
		t.Fatal(err)
	}
	files = slices.Concat(files, pngKinds(img), bmpKinds(img), gifKinds(t, img), jpegKinds(t, img))
	c.disguised()
	return slices.Concat(files, c.list)
}

// damagedPictures are those files made by construction that are pictures to
// somebody, and good ones that were cut off.
func damagedPictures(t *testing.T) (files []hostile) {
	t.Helper()
	c := &built{t: t}
	for i, h := range constructed(t, "canary", "127.0.0.1:1") {
		switch filepath.Ext(h.name) {
		case ".jpg", ".png", ".gif", ".bmp", ".webp", ".avif", ".tiff":
			if !h.inert && i%2 == 0 {
				files = append(files, h)
			}
		}
	}
	for _, name := range []string{
		"baseline.jpg", "progressive.jpg", "cmyk.jpg", "restart.jpg", "base.png", "interlaced.png", "sixteen.png", "palette.png",
		"still.gif", "interlaced.gif", "animated.gif", "lossy.webp", "lossless.webp", "alpha.webp", "plain.bmp", "rle.bmp", "plain.avif",
	} {
		b := c.read(name)
		for _, part := range []int{99, 90, 70, 40} {
			files = append(files, hostile{name: fmt.Sprintf("%d of 100 of %s", part, name), data: b[:len(b)*part/100]})
		}
	}
	return files
}

// What a browser shows is fingerprinted, at least 95 of 100 files, and nothing
// is passed over in silence. Pictures that are as programs make them have the
// hash of what the browser draws. Of a picture that was cut off it has that of
// what is there, with the last row again in place of what is not, where the
// browser leaves a gap: the copies that we look for have no gap.
func TestWhatChromiumShows(t *testing.T) {
	if os.Getenv("SIAGA_TEST_BROWSER") == "" {
		t.Skip("pictures in a browser: set SIAGA_TEST_BROWSER=1, or run make test")
	}
	p := newPool(t, Options{})
	allShown, allHashed := 0, 0
	for _, c := range []struct {
		name  string
		files []hostile
		share float64 // of those that Chromium shows
		drawn bool    // whether all have to be as drawn
	}{
		{"legal", legal(t), 0.98, true},
		{"damaged", damagedPictures(t), 0.9, false},
	} {
		shown := inChromium(t, c.files)
		hashed, compared, near := 0, 0, 0
		var missed []string
		for i, f := range c.files {
			d, ok := shown[i]
			if !ok {
				continue
			}
			set, err := p.Fingerprint(t.Context(), bytes.NewReader(f.data), Want{Name: f.name})
			if err != nil {
				t.Errorf("%s: %v", f.name, err)
				continue
			}
			if set.Picture == nil && set.Unknown == "" {
				t.Errorf("%s is shown by Chromium, and neither fingerprinted nor said to be unknown", f.name)
			}
			if set.Picture == nil {
				missed = append(missed, f.name)
				continue
			}
			hashed++
			if len(d.pix) == 0 {
				continue
			}
			seen := pdq.Compute(&image.NRGBA{Pix: d.pix, Stride: 4 * d.width, Rect: image.Rect(0, 0, d.width, d.height)})
			ours := set.Picture.PDQ
			if set.Picture.Upright != nil {
				ours = *set.Picture.Upright
			}
			if seen.Quality < pdq.MinQuality {
				continue // flat, or nearly: any hash is as good as another
			}
			compared++
			if n := ours.Hash.Distance(seen.Hash); n <= 10 {
				near++
			} else if c.drawn {
				t.Errorf("%s: %d bits from what Chromium draws, want at most 10 (%s)", f.name, n, set.Unknown)
			}
		}
		share := float64(hashed) / float64(max(len(shown), 1))
		t.Logf("%s: %d files, Chromium shows %d, of which %d are fingerprinted (%.1f %%; not: %q); of %d compared with what it drew %d are within 10 bits",
			c.name, len(c.files), len(shown), hashed, 100*share, missed, compared, near)
		if len(shown) < 100 || compared < 50 {
			t.Errorf("%s: Chromium shows %d, of which %d are compared: too few to tell", c.name, len(shown), compared)
		}
		if share < c.share {
			t.Errorf("%s: %.3f of what Chromium shows is fingerprinted, want %.2f", c.name, share, c.share)
		}
		allShown, allHashed = allShown+len(shown), allHashed+hashed
	}
	share := float64(allHashed) / float64(max(allShown, 1))
	t.Logf("together: of %d files that Chromium shows %d are fingerprinted (%.1f %%)", allShown, allHashed, 100*share)
	if share < 0.95 {
		t.Errorf("%.3f of what Chromium shows is fingerprinted, want 0.95", share)
	}
}
