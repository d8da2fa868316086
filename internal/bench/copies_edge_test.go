package bench

import (
	"slices"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/picture"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/edits"
)

// TestCopiesAnswersAsAnEdge holds look against the matcher that an edge and siaga
// match run, which has keypoints of known pictures by another way: they find the
// same photo, by the same pass, and agree on whether to block.
func TestCopiesAnswersAsAnEdge(t *testing.T) {
	all, err := findPhotos(testPhotos)
	if err != nil {
		t.Fatal(err)
	}
	if !long {
		all = all[:minPhotos]
	}
	const pixels = 100_000
	x, photos, _, err := newCopyIndex(t.Context(), all, CopiesOptions{Dir: testPhotos, Pixels: pixels, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	m := app.NewMatcher()
	for i := range photos {
		p := &photos[i]
		img, err := readPhoto(p.path, pixels)
		if err != nil {
			t.Fatal(err)
		}
		pic := picture.Compute(img, picture.Options{NoTrims: true})
		if i == 0 {
			// As one of too little detail, by both ways.
			pic.PDQ.Quality = 49
			x.quality[0] = 49
		}
		if !p.known {
			continue
		}
		if err := m.AddKnown(p.name, &fingerprint.Set{SHA256: digest.SHA256{byte(i + 1)}, Picture: pic}); err != nil {
			t.Fatal(err)
		}
	}
	blocked, reviewed := 0, 0
	for _, name := range some(3, "crop20", "border-white", "filmed", "jpeg10", "mirror", "negative", "screenshot-dark", "pip") {
		e := edits.All()[slices.IndexFunc(edits.All(), func(e edits.Edit) bool { return e.Name == name })]
		for i := range photos {
			img, err := readPhoto(photos[i].path, pixels)
			if err != nil {
				t.Fatal(err)
			}
			copied := e.Apply(edits.Input{Picture: img, Other: img, Rand: edits.Seed(name, photos[i].name)})
			got := m.Match(&fingerprint.Set{SHA256: digest.SHA256{255}, Picture: picture.Compute(copied, picture.Options{})})
			r := x.look(copied)
			want, pass := "", ""
			switch {
			case len(r.strong) > 0:
				want, pass = x.names[r.strong[0]]+" block", r.pass
				blocked++
			case len(r.weak) > 0:
				want, pass = x.names[r.weak[0]]+" review", r.pass
				reviewed++
			}
			have, by := "", ""
			if len(got) > 0 {
				have, by = got[0].Known+" "+got[0].Action, got[0].Pass
			}
			if have != want || want != "" && have == photos[i].name+" block" && by != pass {
				t.Errorf("%s of %s: the edge answers %q by %q, look %q by %q", name, photos[i].name, have, by, want, pass)
			}
		}
	}
	if blocked == 0 || reviewed == 0 {
		t.Errorf("%d blocked, %d for review: the photos prove too little", blocked, reviewed)
	}
}
