package demo

import (
	"bytes"
	"image"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// TestBridgeIsTheReferences holds the picture of the story to the output of the
// PDQ reference for it (facebook/ThreatExchange, pdq/data, bridge-1-original.jpg):
// quality 100, and as decoders of JPEG round differently, up to 4 other bits.
func TestBridgeIsTheReferences(t *testing.T) {
	data, err := photos.ReadFile("photos/bridge.jpg")
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != 1600 || b.Dy() != 1004 {
		t.Errorf("the picture is %v, want 1600 by 1004", b)
	}
	got, turned := pdq.ComputeDihedral(img)
	if got.Quality != 100 {
		t.Errorf("quality %d, want 100", got.Quality)
	}
	for i, text := range []string{
		"f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22",
		"30a10efd71c83f429013d48d0ffffc52e34e0e17ada952a9d29685211ea9e5af",
		"adad5a64b5a102e55b62a08856dacd5ae63b847fc337b4b766b319361bc93188",
		"a5f0b457a49995e8c1065c275aaa54d8b61ba49df8fcfc0383c32f8b0bfc4f05",
		"f8f80f31e0f457b00637f5d5028f980fb36ed12a9622e1e233e64c634e9c64dd",
		"0dad2599b1a1bd1a5362576752da32a5e63b7380c2374b4866b346c91bc9ce77",
		"f0a5e102f1ccc0bd945308720fff038de34ef1e8ada9a956d2967ade5ea91a50",
		"a5f04ba8a4996a17c906a3d85aaaa927b61b5b42f8fc03fc87c3d0740bfcb0fa",
	} {
		want, err := pdq.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if d := turned[i].Distance(want); d > 4 {
			t.Errorf("turn %d: %v, at distance %d from %s, want at most 4", i, turned[i], d, text)
		}
	}
}
