package local_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	_ "image/jpeg"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint/local"
)

// scene draws overlapping ellipses of chance, in integers: the same pixels on
// every machine.
func scene(seed uint64, w, h int) local.Luma {
	s := seed*2862933555777941757 + 3037000493
	next := func(n int) int {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		return int(s>>33) % n
	}
	l := local.Luma{W: w, H: h, Pix: make([]byte, w*h)}
	for i := range l.Pix {
		l.Pix[i] = byte(90 + 60*(i%w)/w)
	}
	for range 260 {
		cx, cy, rx, ry, v := next(w), next(h), 3+next(w/12), 3+next(h/12), byte(next(256))
		for y := max(0, cy-ry); y < min(h, cy+ry); y++ {
			for x := max(0, cx-rx); x < min(w, cx+rx); x++ {
				if dx, dy := x-cx, y-cy; dx*dx*ry*ry+dy*dy*rx*rx < rx*rx*ry*ry {
					l.Pix[y*w+x] = v
				}
			}
		}
	}
	return l
}

func photo(t testing.TB, name string) local.Luma {
	t.Helper()
	f, err := os.Open("../pdq/testdata/images/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return local.FromImage(img)
}

// TestGolden pins the fingerprint bit for bit: partners compare what different
// machines computed. A change here is a new version of the format.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name string
		luma local.Luma
		want string
	}{
		{"scene", scene(1, 800, 600), "c091abc27d35796e"},
		{"small scene", scene(2, 150, 200), "88fe81ba5484fdd4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := local.ComputeLuma(c.luma, local.Options{})
			sum := sha256.Sum256(f.Append(nil))
			if got := hex.EncodeToString(sum[:8]); got != c.want {
				t.Errorf("fingerprint of %d keypoints has digest %s, want %s", f.Points(), got, c.want)
			}
		})
	}
}

func TestForms(t *testing.T) {
	f := local.ComputeLuma(scene(1, 800, 600), local.Options{})
	if f.Points() < local.MaxAssetPoints {
		t.Fatalf("%d keypoints, want at least %d", f.Points(), local.MaxAssetPoints)
	}
	q := f.Append(nil)
	if len(q) > local.MaxQueryBytes {
		t.Errorf("query form of %d bytes, want at most %d", len(q), local.MaxQueryBytes)
	}
	g, err := local.Decode(q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, g.Append(nil)); diff != "" {
		t.Errorf("query form changed (-want +got):\n%s", diff)
	}
	a := f.Asset().Append(nil)
	if len(a) > local.MaxAssetBytes {
		t.Errorf("shared form of %d bytes, want at most %d", len(a), local.MaxAssetBytes)
	}
	p, err := local.Parse(" " + f.String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, p.Append(nil)); diff != "" {
		t.Errorf("text form changed (-want +got):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := local.ComputeLuma(scene(2, 150, 200), local.Options{}).Asset().Append(nil)
	edit := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "too few"},
		{"later version", edit(func(b []byte) []byte { b[0] = 9; return b }), "version 9"},
		{"unknown form", edit(func(b []byte) []byte { b[1] = 'z'; return b }), "form"},
		{"too wide", edit(func(b []byte) []byte { b[2] = 0xFF; return b }), "out of range"},
		{"too many points", edit(func(b []byte) []byte { b[6] = 0xFF; return b }), "too many"},
		{"cut short", good[:len(good)-1], "do not hold"},
		{"bytes left over", append(good[:len(good):len(good)], 0), "do not hold"},
		{"point outside", edit(func(b []byte) []byte { b[520] = 0xFF; return b }), "outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := local.Decode(c.in)
			if !errors.Is(err, local.ErrSyntax) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrSyntax with %q", err, c.want)
			}
		})
	}
	if _, err := local.Parse(strings.Repeat("A", 30_000)); !errors.Is(err, local.ErrSyntax) {
		t.Errorf("long text: got %v, want ErrSyntax", err)
	}
	if _, err := local.Parse("not base64!"); !errors.Is(err, local.ErrSyntax) {
		t.Errorf("odd text: got %v, want ErrSyntax", err)
	}
}

func FuzzDecode(f *testing.F) {
	small := local.ComputeLuma(scene(2, 150, 200), local.Options{MaxPoints: 20})
	f.Add(small.Append(nil))
	f.Add(small.Asset().Append(nil))
	f.Add([]byte{1, 'a'})
	var x local.Index
	x.Add(1, local.ComputeLuma(scene(2, 150, 200), local.Options{MaxPoints: 100}))
	f.Fuzz(func(t *testing.T, b []byte) {
		fp, err := local.Decode(b)
		if err != nil {
			if !errors.Is(err, local.ErrSyntax) {
				t.Fatalf("got %v, want ErrSyntax", err)
			}
			return
		}
		if got := fp.Append(nil); string(got) != string(b) {
			t.Fatalf("decoded and encoded again to other bytes:\n%x\n%x", b, got)
		}
		x.Search(fp) // what others computed must not crash us
		x.Add(2, fp)
		x.Remove(2)
	})
}

func TestMirrorTwiceIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d, e local.Descriptor
		for i := range d {
			d[i], e[i] = rapid.Uint64().Draw(t, "d"), rapid.Uint64().Draw(t, "e")
		}
		m, n := d.Mirror(), e.Mirror()
		if m.Mirror() != d {
			t.Fatalf("mirrored twice %x, want %x", m.Mirror(), d)
		}
		if m.Distance(&n) != d.Distance(&e) {
			t.Fatalf("distance of mirrored %d, want %d", m.Distance(&n), d.Distance(&e))
		}
	})
}

func change(l local.Luma, w, h int, from func(x, y int) int) local.Luma {
	out := local.Luma{W: w, H: h, Pix: make([]byte, w*h)}
	for y := range h {
		for x := range w {
			out.Pix[y*w+x] = byte(from(x, y))
		}
	}
	return out
}

func TestSearch(t *testing.T) {
	a, b := photo(t, "bridge-mods__aaa-orig.jpg"), photo(t, "reg-test-input__labelme-subset__q0122.jpg")
	var x local.Index
	x.Add(7, local.ComputeLuma(a, local.Options{}))
	x.Add(8, local.ComputeLuma(b, local.Options{}))
	at := func(x, y int) int { return int(a.Pix[y*a.W+x]) }
	for _, c := range []struct {
		name               string
		luma               local.Luma
		mirrored, negative bool
	}{
		{"same", a, false, false},
		{"small", a.Resize(a.W/4, a.H/4), false, false},
		{"mirrored", change(a, a.W, a.H, func(x, y int) int { return at(a.W-1-x, y) }), true, false},
		{"upside down", change(a, a.W, a.H, func(x, y int) int { return at(a.W-1-x, a.H-1-y) }), false, false},
		{"turned", change(a, a.H, a.W, func(x, y int) int { return at(y, a.H-1-x) }), false, false},
		{"negative", change(a, a.W, a.H, func(x, y int) int { return 255 - at(x, y) }), false, true},
		{"mirrored negative", change(a, a.W, a.H, func(x, y int) int { return 255 - at(a.W-1-x, y) }), true, true},
		{"dark", change(a, a.W, a.H, func(x, y int) int { return at(x, y) / 4 }), false, false},
		{"corner", a.Sub(image.Rect(0, 0, a.W*2/3, a.H*2/3)), false, false},
		{"squeezed", a.Resize(a.W*2/3, a.H), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ms := x.Search(local.ComputeLuma(c.luma, local.Options{}))
			if len(ms) != 1 || ms[0].ID != 7 || ms[0].Weak {
				t.Fatalf("found %+v, want picture 7 alone and strongly", ms)
			}
			if ms[0].Mirrored != c.mirrored || ms[0].Negative != c.negative {
				t.Errorf("mirrored %v, negative %v; want %v, %v", ms[0].Mirrored, ms[0].Negative, c.mirrored, c.negative)
			}
		})
	}
	t.Run("another picture", func(t *testing.T) {
		if ms := x.Search(local.ComputeLuma(photo(t, "reg-test-input__labelme-subset__q2821.jpg"), local.Options{})); len(ms) != 0 {
			t.Errorf("found %+v, want nothing", ms)
		}
	})
	t.Run("removed", func(t *testing.T) {
		x.Remove(7)
		x.Remove(99)
		if ms := x.Search(local.ComputeLuma(a, local.Options{})); len(ms) != 0 {
			t.Errorf("found %+v, want nothing", ms)
		}
		if x.Len() != 1 {
			t.Errorf("%d pictures, want 1", x.Len())
		}
	})
}

// TestIndexAgainstModel adds, replaces and removes in any order and finds
// exactly what is there.
func TestIndexAgainstModel(t *testing.T) {
	var fs []*local.Fingerprint
	for i := range 3 {
		fs = append(fs, local.ComputeLuma(scene(uint64(10+i), 200, 160), local.Options{}))
	}
	rapid.Check(t, func(t *rapid.T) {
		var x local.Index
		model := map[uint64]int{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			id := rapid.Uint64Range(0, 3).Draw(t, "id")
			if rapid.Bool().Draw(t, "add") {
				k := rapid.IntRange(0, len(fs)-1).Draw(t, "picture")
				x.Add(id, fs[k])
				model[id] = k
			} else {
				x.Remove(id)
				delete(model, id)
			}
		}
		for k, f := range fs {
			got, want := map[uint64]bool{}, map[uint64]bool{}
			for _, m := range x.Search(f) {
				got[m.ID] = true
			}
			for id, j := range model {
				if j == k {
					want[id] = true
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("picture %d (-want +got):\n%s", k, diff)
			}
		}
	})
}

func TestIndexConcurrently(t *testing.T) {
	f := local.ComputeLuma(scene(3, 300, 240), local.Options{})
	var x local.Index
	x.Add(1, f)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				if i%2 == 0 {
					x.Add(uint64(10+i), f)
					x.Remove(uint64(10 + i))
				} else if ms := x.Search(f); len(ms) == 0 || j < 0 {
					t.Error("picture 1 was not found")
				}
			}
		})
	}
	wg.Wait()
}

func TestNoDetail(t *testing.T) {
	flat := local.Luma{W: 400, H: 300, Pix: make([]byte, 400*300)}
	if f := local.ComputeLuma(flat, local.Options{}); f.Points() != 0 {
		t.Errorf("a flat picture has %d keypoints, want none", f.Points())
	}
	for _, s := range [][2]int{{0, 0}, {1, 1}, {35, 2000}} {
		f := local.ComputeLuma(local.Luma{W: s[0], H: s[1], Pix: make([]byte, s[0]*s[1])}, local.Options{})
		if _, err := local.Parse(f.String()); err != nil {
			t.Errorf("%d by %d: %v", s[0], s[1], err)
		}
	}
}

// TestFromImage compares the fast paths with the general one.
func TestFromImage(t *testing.T) {
	n := image.NewNRGBA(image.Rect(3, 5, 40, 30))
	r := image.NewRGBA(n.Rect)
	for y := n.Rect.Min.Y; y < n.Rect.Max.Y; y++ {
		for x := n.Rect.Min.X; x < n.Rect.Max.X; x++ {
			c := color.NRGBA{uint8(x * 6), uint8(y * 8), uint8(x * y), uint8(255 - x)}
			n.SetNRGBA(x, y, c)
			r.Set(x, y, c)
		}
	}
	want := local.FromImage(struct{ image.Image }{n})
	for name, img := range map[string]image.Image{"NRGBA": n, "RGBA": r} {
		got := local.FromImage(img)
		for i := range want.Pix {
			if d := int(got.Pix[i]) - int(want.Pix[i]); d > 1 || d < -1 {
				t.Fatalf("%s: pixel %d is %d, want %d", name, i, got.Pix[i], want.Pix[i])
			}
		}
	}
}

func BenchmarkCompute(b *testing.B) {
	l := photo(b, "bridge-mods__aaa-orig.jpg").Resize(1152, 864)
	b.Run("megapixels=1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			local.ComputeLuma(l, local.Options{})
		}
	})
}
