package pdq_test

import (
	"encoding/json"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

type vector struct {
	File     string   `json:"file"`
	Width    int      `json:"width"`
	Height   int      `json:"height"`
	PDQ      string   `json:"pdq"`
	Quality  int      `json:"quality"`
	Dihedral []string `json:"dihedral"`
}

// TestVectors holds us to the reference. PNG is decoded alike everywhere, so
// our hashes are the reference's. Decoders of JPEG round differently, which
// turns up to 4 bits of these pictures, and none in most.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(filepath.Base(v.File), func(t *testing.T) {
			limit := 0
			if filepath.Ext(v.File) == ".jpg" {
				limit = 4
			}
			img := open(t, filepath.Join("testdata", v.File))
			got, dihedral := pdq.ComputeDihedral(img)
			if b := img.Bounds(); b.Dx() != v.Width || b.Dy() != v.Height {
				t.Fatalf("decoded as %v, want %d by %d", b, v.Width, v.Height)
			}
			if d := got.Quality - v.Quality; d < -1 || d > 1 {
				t.Errorf("quality %d, want %d", got.Quality, v.Quality)
			}
			if got.Hash != dihedral[0] {
				t.Errorf("hash %v, first of eight %v", got.Hash, dihedral[0])
			}
			for i, want := range v.Dihedral {
				d := dihedral[i].Distance(parse(t, want))
				if d > limit {
					t.Errorf("dihedral %d is %v, at distance %d from %s, want at most %d", i, dihedral[i], d, want, limit)
				}
			}
		})
	}
}

func vectors(t testing.TB) (v []vector) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t testing.TB, s string) pdq.Hash {
	t.Helper()
	h, err := pdq.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func open(t testing.TB, name string) image.Image {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
