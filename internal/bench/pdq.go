package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // formats that are measured
	_ "image/jpeg" // formats that are measured
	_ "image/png"  // formats that are measured
	"io"
	"slices"
	"time"

	_ "golang.org/x/image/webp" // a format that is measured

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/problem"
)

// PDQOptions say what PDQ measures.
type PDQOptions struct {
	Files  []string // the user's own pictures
	Rounds int      // times that each is hashed; 0 means 9
	JSON   bool
}

type pdqFigures struct {
	Files          int     `json:"files"`
	Megapixels     float64 `json:"megapixels"`
	HashMSP50      float64 `json:"hash_ms_p50"`
	HashNSPerPixel float64 `json:"hash_ns_per_pixel"`
	DecodeMSP50    float64 `json:"decode_ms_p50"`
}

// PDQ measures hashing of decoded pixels to the eight hashes and the quality, and
// decoding apart from it, on one thread. The figures are medians over files of each file's median over rounds.
// It decodes the user's own files in this process; an edge does so in confined
// workers.
func PDQ(ctx context.Context, w io.Writer, o PDQOptions) error {
	if len(o.Files) == 0 {
		return errors.New("name at least one picture")
	}
	if o.Rounds <= 0 {
		o.Rounds = 9
	}
	var f pdqFigures
	var h pdq.Hasher // which keeps its buffers, as one who hashes many pictures does
	var hashMS, decodeMS, perPixel []float64
	for _, name := range o.Files {
		var hash, decode []float64
		pixels := 0
		for range o.Rounds {
			if err := ctx.Err(); err != nil {
				return err
			}
			file, err := media.Open(name) // no FIFO, folder or device
			if err != nil {
				return err
			}
			start := time.Now()
			img, _, err := image.Decode(file)
			decode = append(decode, ms(time.Since(start)))
			_ = file.Close() // read only
			if err != nil {
				return problem.Newf(problem.Invalid, "%s is no picture that can be read: %v", name, err).WithFix("name pictures: JPEG, PNG, GIF or WebP")
			}
			pixels = img.Bounds().Dx() * img.Bounds().Dy()
			start = time.Now()
			h.Hash(img)
			h.Dihedral()
			hash = append(hash, ms(time.Since(start)))
		}
		f.Megapixels += float64(pixels) / 1e6
		hashMS, decodeMS = append(hashMS, median(hash)), append(decodeMS, median(decode))
		perPixel = append(perPixel, median(hash)*1e6/float64(max(pixels, 1)))
	}
	f.Files, f.HashMSP50, f.DecodeMSP50, f.HashNSPerPixel = len(o.Files), median(hashMS), median(decodeMS), median(perPixel)
	if o.JSON {
		return json.NewEncoder(w).Encode(f)
	}
	_, err := fmt.Fprintf(w, "pdq files=%d megapixels=%.3f hash_ms_p50=%.3f hash_ns_per_pixel=%.3f decode_ms_p50=%.3f\n",
		f.Files, f.Megapixels, f.HashMSP50, f.HashNSPerPixel, f.DecodeMSP50)
	return err
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
