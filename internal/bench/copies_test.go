package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/draw"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/internal/edits"
)

const testPhotos = "testdata/photos"

// long is set under make test: all edits and frames, which take some ten
// seconds. A bare go test takes a few.
var long = os.Getenv("SIAGA_TEST_LONG") != ""

// some returns the first n names, or all of them where there is time.
func some(n int, names ...string) []string {
	if long {
		return names
	}
	return names[:n]
}

// TestCopies is the regression test of recall: a few photos and edits of every
// sort. The measurement proper is `siaga bench copies` on a folder of photos.
func TestCopies(t *testing.T) {
	var b bytes.Buffer
	names := some(3, "rotate5", "negative+crop10", "screenshot-dark",
		"jpeg10", "crop-right35", "caption-bottom+mirror", "stickers", "filmed", "pip", "stretch-wide")
	err := Copies(t.Context(), &b, CopiesOptions{Dir: testPhotos, Workers: 4, Pixels: 200_000, JSON: true, Edits: names})
	if err != nil {
		t.Fatal(err)
	}
	var f copiesFigures
	if err := json.Unmarshal(b.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if f.Photos != 8 || len(f.Edits) != len(names) || f.Benign != 4*len(names) || f.Of != 8*len(names) {
		t.Fatalf("measured %d photos, %d edits, %d benign of %d; want 8, %d, %d of %d", f.Photos, len(f.Edits), f.Benign, f.Of, len(names), 4*len(names), 8*len(names))
	}
	if f.False != 0 {
		t.Errorf("%d of %d pictures matched what they are not, want none", f.False, f.Of)
	}
	if f.Recall < 0.95 {
		t.Errorf("recall %.3f, want at least 0.95", f.Recall)
	}
	for _, e := range f.Edits {
		if e.Found < e.Copies-1 {
			t.Errorf("%s: %d of %d copies found, want all but one at least", e.Edit, e.Found, e.Copies)
		}
	}
}

// TestCopiesByPass asserts that each cheap pass finds what it is there for.
func TestCopiesByPass(t *testing.T) {
	var b bytes.Buffer
	err := Copies(t.Context(), &b, CopiesOptions{
		Dir: testPhotos, Workers: 4, Pixels: 200_000, JSON: true,
		Edits: some(2, "mirror", "border-white", "negative", "portrait-blur", "caption-top", "filmed"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var f copiesFigures
	if err := json.Unmarshal(b.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"mirror": "pdq", "negative": "pdq", "border-white": "trim", "portrait-blur": "trim", "caption-top": "trim", "filmed": "trim",
	}
	for _, e := range f.Edits {
		if n := e.ByPass[want[e.Edit]]; n < e.Copies-1 {
			t.Errorf("%s: %d of %d copies found by %s (%v), want all but one at least", e.Edit, n, e.Copies, want[e.Edit], e.ByPass)
		}
	}
}

// TestSharedFrame makes known pictures of photos in an app's frame, under a
// caption and with a logo: other photos in the same frame are no copies.
func TestSharedFrame(t *testing.T) {
	photos, err := findPhotos(testPhotos)
	if err != nil {
		t.Fatal(err)
	}
	var imgs []*image.RGBA
	for _, p := range photos {
		img, err := readPhoto(p.path, 200_000)
		if err != nil {
			t.Fatal(err)
		}
		imgs = append(imgs, img)
	}
	for _, name := range some(1, "screenshot-light", "caption-bottom", "logo", "border-shaded") {
		i := 0
		for edits.All()[i].Name != name {
			i++
		}
		e := edits.All()[i]
		var x local.Index
		framed := make([]*local.Fingerprint, len(imgs))
		for i, img := range imgs {
			// One app, other posts: names and words differ.
			framed[i] = local.Compute(e.Apply(edits.Input{Picture: img, Other: img, Rand: edits.Seed(name, photos[i].name)}), local.Options{})
			x.Add(uint64(i), framed[i])
		}
		// The same filmed off a screen is worn, and must not pass for that.
		filmed := edits.All()[slices.IndexFunc(edits.All(), func(e edits.Edit) bool { return e.Name == "filmed" })]
		for i, img := range imgs {
			in := edits.Input{Picture: e.Apply(edits.Input{Picture: img, Other: img, Rand: edits.Seed(name, photos[i].name)}), Rand: edits.Seed("filmed", photos[i].name)}
			for _, m := range x.Search(local.Compute(filmed.Apply(in), local.Options{})) {
				if m.ID != uint64(i) && !m.Weak {
					t.Errorf("%s, filmed: %s is taken for %s: score %d, agreement %.2f, coverage %.2f, differing %.2f", name, photos[i].name, photos[m.ID].name, m.Score, m.Agreement, m.Coverage, m.Differing)
				}
			}
		}
		for i, f := range framed {
			self := false
			for _, m := range x.Search(f) {
				if m.ID == uint64(i) {
					self = !m.Weak
					continue
				}
				if !m.Weak {
					t.Errorf("%s: %s is taken for %s: score %d, agreement %.2f, coverage %.2f, differing %.2f", name, photos[i].name, photos[m.ID].name, m.Score, m.Agreement, m.Coverage, m.Differing)
				}
			}
			if !self {
				t.Errorf("%s: %s is not found again in the same frame", name, photos[i].name)
			}
		}
	}
}

func TestCopiesRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		o    CopiesOptions
		want string
	}{
		{"no folder", CopiesOptions{}, "name a folder"},
		{"empty folder", CopiesOptions{Dir: t.TempDir()}, "at least 4"},
		{"one photo", CopiesOptions{Dir: folder(t, 1, nil)}, "holds 1 readable photos"},
		{"damaged photos", CopiesOptions{Dir: folder(t, 3, []byte("not a picture"))}, "3 readable photos (JPEG, PNG, GIF, WebP); at least 4 are needed; 1 were left out, the first because: decoding "},
		{"huge photo", CopiesOptions{Dir: folder(t, 3, hugePNG())}, "60000 by 60000 pixels; at most 100 million are read"},
		{"no such folder", CopiesOptions{Dir: "nowhere"}, "there is no folder nowhere; name one"},
		{"a file", CopiesOptions{Dir: "copies_test.go"}, "copies_test.go is a file; name the folder"},
		{"fewer assets than none", CopiesOptions{Dir: testPhotos, Assets: -1}, "--assets is -1; give a whole number, or 0"},
		{"fewer edits than none", CopiesOptions{Dir: testPhotos, Each: -3}, "--each is -3"},
		{"fewer pixels than none", CopiesOptions{Dir: testPhotos, Pixels: -5}, "--pixels is -5"},
		{"unknown edit", CopiesOptions{Dir: testPhotos, Edits: []string{"melt"}}, `no edit "melt"; use some of`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Copies(t.Context(), &bytes.Buffer{}, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// folder makes a folder of n photos, and another file if there is one.
func folder(t *testing.T, n int, other []byte) string {
	t.Helper()
	photos, err := findPhotos(testPhotos)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range n {
		b, err := os.ReadFile(photos[i].path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(photos[i].path)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if other != nil {
		if err := os.WriteFile(filepath.Join(dir, "other.png"), other, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hugePNG is the head of a picture that would need 14 GB of memory.
func hugePNG() []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x06\x00\x00\x00")
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

// TestCopiesLeavesOut: one file that cannot be read does not stop the others.
func TestCopiesLeavesOut(t *testing.T) {
	var b bytes.Buffer
	err := Copies(t.Context(), &b, CopiesOptions{Dir: folder(t, 4, []byte("not a picture")), Edits: []string{"same"}, Pixels: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"left out: decoding ", "other.png: image: unknown format\n", "\ncopies photos=4 edits=1 recall=", "\nprocessor time: "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, b.String())
		}
	}
}

// TestKin makes pictures of one series: a thing in the middle of a plain ground
// that all of them share, and another beside it that each has for itself. None
// is a copy of the other, though half of what they show is the same.
func TestKin(t *testing.T) {
	photos, err := findPhotos(testPhotos)
	if err != nil {
		t.Fatal(err)
	}
	var imgs []*image.RGBA
	for _, p := range photos {
		img, err := readPhoto(p.path, 200_000)
		if err != nil {
			t.Fatal(err)
		}
		imgs = append(imgs, img)
	}
	kin := func(own *image.RGBA, up int) *local.Fingerprint {
		m := image.NewRGBA(image.Rect(0, 0, 480, 480))
		draw.Draw(m, m.Rect, image.White, image.Point{}, draw.Src)
		shared, mid := imgs[0].Rect, image.Pt(200, 200)
		draw.Draw(m, image.Rect(180, 200, 300, 320), imgs[0], image.Pt(shared.Dx()/2-60, shared.Dy()/2-60), draw.Src)
		draw.Draw(m, image.Rect(190, 140, 290, 200), own, mid.Sub(image.Pt(up, up)), draw.Src)
		return local.Compute(m, local.Options{})
	}
	var x local.Index
	for i, img := range imgs[1:] {
		x.Add(uint64(i), kin(img, 0)) //nolint:gosec // a place
	}
	for i, img := range imgs[1:] {
		self := false
		for _, m := range x.Search(kin(img, 0)) {
			if m.ID == uint64(i) { //nolint:gosec // a place
				self = !m.Weak
				continue
			}
			if !m.Weak {
				t.Errorf("%s is taken for %s: score %d, %d pairs in %d places, agreement %.2f, differing %.2f", photos[i+1].name, photos[m.ID+1].name, m.Score, m.Inliers, m.Places, m.Agreement, m.Differing)
			}
		}
		if !self {
			t.Errorf("%s is not found again", photos[i+1].name)
		}
	}
}

// A strong match of the wrong photo is false, whether the picture is benign or a
// copy of another known photo; and with nothing to find there is no recall.
func TestCopiesCountsEveryWrongMatch(t *testing.T) {
	x := &copyIndex{names: map[uint64]string{0: "a", 2: "c"}}
	known, poor, benign := &copyPhoto{name: "a", known: true, quality: 90}, &copyPhoto{name: "c", known: true, quality: 20}, &copyPhoto{name: "b", quality: 90}
	var e editFigures
	for _, c := range []struct {
		p    *copyPhoto
		r    looked
		want string
	}{
		{known, looked{strong: []uint64{0}, pass: "pdq"}, ""},
		{known, looked{strong: []uint64{0, 2}, pass: "local"}, "false"},
		{known, looked{strong: []uint64{2, 2}, pass: "local"}, "missed"},
		{poor, looked{strong: []uint64{0}, pass: "local"}, "false"},
		{benign, looked{strong: []uint64{0, 2}, pass: "local"}, "false"},
		{benign, looked{weak: []uint64{0}, pass: "local"}, "false-review"},
		{benign, looked{}, ""},
	} {
		if got := e.count(c.p, x, c.r); got != c.want {
			t.Errorf("%s, %+v: counted as %q, want %q", c.p.name, c.r, got, c.want)
		}
	}
	photos := []copyPhoto{*known, *benign, *poor, *benign}
	for _, c := range []struct {
		name string
		e    []editFigures
		want []string
	}{
		{"wrong", []editFigures{e}, []string{"taken for what they are not: 1 of 3 benign pictures, 3 of 4 copies\n", "recall=0.6667 false=4 of=7 "}},
		{"little detail", []editFigures{{Poor: 1, Looked: 1, times: e.times}}, []string{"there is no recall to tell; add photos\n", " false=0 of=1 "}},
	} {
		var b bytes.Buffer
		if err := report(&b, photos, nil, c.e, CopiesOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: the report has no %q:\n%s", c.name, want, b.String())
			}
		}
	}
}
