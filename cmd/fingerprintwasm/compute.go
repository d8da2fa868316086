// Command fingerprintwasm is the fingerprint packages for the browser: a page
// hands it a file's bytes, and only the fingerprints leave the page. Built with
// GOOS=js GOARCH=wasm by "make wasm" and embedded into the pages when present.
package main

import (
	"bytes"
	"encoding/json"
	"image"
	_ "image/gif"  // formats that the page can fingerprint
	_ "image/jpeg" // formats that the page can fingerprint
	_ "image/png"  // formats that the page can fingerprint

	_ "golang.org/x/image/bmp"  // formats that the page can fingerprint
	_ "golang.org/x/image/tiff" // formats that the page can fingerprint
	_ "golang.org/x/image/webp" // formats that the page can fingerprint

	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Limits of what a page takes: the browser's own memory is the user's.
const (
	maxBytes  = 256 << 20
	maxPixels = 60_000_000
)

// result is what the page gets, as JSON.
type result struct {
	SHA256  string `json:"sha256,omitempty"`
	MD5     string `json:"md5,omitempty"`
	PDQ     string `json:"pdq,omitempty"`
	Quality int    `json:"quality"`
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`

	// Error says why there is no PDQ, in a word that the page has a sentence for.
	Error string `json:"error,omitempty"`
}

// The words of result.Error.
const (
	tooLarge  = "large"     // of bytes or pixels
	noPicture = "nopicture" // that can be decoded here
	damaged   = "damaged"
)

// compute fingerprints a file. Digests are of any file; PDQ of a picture.
func compute(b []byte) string {
	var r result
	if len(b) > maxBytes {
		r.Error = tooLarge
		return text(r)
	}
	sha, md, _, err := digest.Sum(bytes.NewReader(b))
	if err != nil {
		r.Error = damaged
		return text(r)
	}
	r.SHA256, r.MD5 = sha.String(), md.String()
	c, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		r.Error = noPicture
		return text(r)
	}
	if int64(c.Width)*int64(c.Height) > maxPixels {
		r.Error = tooLarge
		return text(r)
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		r.Error = damaged
		return text(r)
	}
	p := pdq.Compute(img)
	r.PDQ, r.Quality, r.Width, r.Height = p.Hash.String(), p.Quality, c.Width, c.Height
	return text(r)
}

func text(r result) string {
	b, err := json.Marshal(r)
	if err != nil {
		return `{"error":"damaged"}`
	}
	return string(b)
}
