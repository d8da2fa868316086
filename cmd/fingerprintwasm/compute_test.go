package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// The browser's fingerprint is the reference's.
func TestCompute(t *testing.T) {
	dir := "../../fingerprint/pdq/testdata"
	data, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var refs []struct {
		File    string `json:"file"`
		PDQ     string `json:"pdq"`
		Quality int    `json:"quality"`
	}
	if err := json.Unmarshal(data, &refs); err != nil {
		t.Fatal(err)
	}
	if len(refs) < 5 {
		t.Fatalf("%d reference pictures, want at least 5", len(refs))
	}
	for _, ref := range refs {
		b, err := os.ReadFile(filepath.Join(dir, ref.File))
		if err != nil {
			t.Fatal(err)
		}
		var r result
		if err := json.Unmarshal([]byte(compute(b)), &r); err != nil {
			t.Fatal(err)
		}
		if ref.Quality < pdq.MinQuality {
			continue
		}
		got, err := pdq.Parse(r.PDQ)
		if err != nil {
			t.Fatalf("%s: %v (%s)", ref.File, err, r.Error)
		}
		want, err := pdq.Parse(ref.PDQ)
		if err != nil {
			t.Fatal(err)
		}
		if d := got.Distance(want); d > 10 || r.Quality < ref.Quality-1 || r.Quality > ref.Quality+1 {
			t.Errorf("%s: %d bits from the reference, quality %d, want %d", ref.File, d, r.Quality, ref.Quality)
		}
	}
}

func TestComputeOfOtherFiles(t *testing.T) {
	for name, in := range map[string]string{"text": "hello", "empty": "", "half a picture": "\xff\xd8\xff\xe0\x00\x10JFIF"} {
		var r result
		if err := json.Unmarshal([]byte(compute([]byte(in))), &r); err != nil {
			t.Fatal(err)
		}
		if r.PDQ != "" || r.Error == "" || len(r.SHA256) != 64 {
			t.Errorf("%s: %+v, want digests, no PDQ and an error", name, r)
		}
	}
}
